/** A sealed directory opens with its key alone; whatever else is tried says so in a sentence, and changes nothing. */
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { readStoredText } from '../../src/disk/files.ts'
import { checkOpened, openSealed } from '../../src/disk/vault.ts'
import { writeWhole } from '../../src/disk/whole-file.ts'
import { openDataDir } from '../../src/swarm/data-dir.ts'
import { sealDirectory } from '../../src/swarm/sealing-service.ts'
import { needs } from '../needs.ts'
import { scratchFolders } from '../scratch.ts'
import { hasCommand, startTpm, whyNoTpm } from '../swtpm.ts'

const folder = scratchFolders()
let dir: string
let key: string
beforeEach(async () => {
  dir = join(await folder(), 'data')
  key = join(await folder(), 'seal.key')
  await writeFile(key, randomBytes(32))
})

const sealError = (message: RegExp) =>
  expect.objectContaining({ name: 'SealError', exitCode: 3, message: expect.stringMatching(message) })

/** A sealed directory with a file in it. */
async function sealed(seal = key): Promise<void> {
  const close = await openSealed(dir, seal)
  await writeWhole(join(dir, 'file'), 'content')
  close()
}

async function content(seal: string): Promise<string> {
  const close = await openSealed(dir, seal)
  try {
    return await readStoredText(join(dir, 'file'), 100)
  } finally {
    close()
  }
}

describe('a key file', () => {
  it('seals a new directory, and opens it again', async () => {
    await sealed()
    expect(await content(key)).toBe('content')
    expect(JSON.parse(await readFile(join(dir, 'skein.json'), 'utf8'))).toMatchObject({
      format: 2,
      seal: { by: { kind: 'key' } }
    })
  })

  it('of other bytes does not open it', async () => {
    await sealed()
    const before = await readFile(join(dir, 'skein.json'))
    const other = join(await folder(), 'other.key')
    await writeFile(other, randomBytes(32))
    await expect(openSealed(dir, other)).rejects.toEqual(
      sealError(/sealed with another key than .*other\.key; nothing there was changed/)
    )
    expect(await readFile(join(dir, 'skein.json'))).toEqual(before)
    expect(await content(key)).toBe('content')
  })

  it('that is missing, short, or in the directory itself is refused before anything is made', async () => {
    await expect(openSealed(dir, join(dir, '..', 'none.key'))).rejects.toEqual(
      sealError(/there is no key file .* skein key .* --seal/)
    )
    await writeFile(key, randomBytes(31))
    await expect(openSealed(dir, key)).rejects.toEqual(sealError(/has 31 bytes, and at least 32 random ones/))
    await mkdir(dir)
    await writeFile(join(dir, 'own.key'), randomBytes(32))
    await expect(openSealed(dir, join(dir, 'own.key'))).rejects.toEqual(sealError(/lies in .* which it seals/))
    expect(await readdir(dir)).toEqual(['own.key'])
  })
})

describe('a directory', () => {
  it('that is sealed says what opens it to whoever brings no key', async () => {
    await sealed()
    await expect(checkOpened(dir)).rejects.toEqual(sealError(/is sealed by a key: give --seal FILE, or --seal keyring/))
    await expect(openDataDir(dir)).rejects.toEqual(sealError(/is sealed by a key/))
    await expect(openSealed(dir, 'tpm2')).rejects.toEqual(sealError(/sealed by a key, which --seal tpm2 does not open/))
  })

  it('that holds files as they are is not sealed by the way', async () => {
    const plain = await openDataDir(dir)
    await plain.close()
    await expect(openDataDir(dir, { seal: key })).rejects.toEqual(
      sealError(/is not sealed and holds files already: skein seal/)
    )
  })

  it('that two begin to seal at once has one key', async () => {
    const closes = await Promise.all(Array.from({ length: 4 }, () => openSealed(dir, key)))
    await writeWhole(join(dir, 'file'), 'content')
    for (const close of closes) close()
    expect(await content(key)).toBe('content')
  })

  it('whose skein.json is spoilt says that, and no key is drawn anew', async () => {
    await sealed()
    await writeFile(join(dir, 'skein.json'), '{"format":2,"seal":{"by":{"kind":"key"},"salt":"AA=="}}')
    await expect(openSealed(dir, key)).rejects.toMatchObject({
      name: 'DataDirectoryError',
      message: expect.stringMatching(/does not say how .* is sealed \(seal\.key\)/)
    })
    await writeFile(join(dir, 'skein.json'), '')
    await expect(openSealed(dir, key)).rejects.toEqual(
      sealError(/holds sealed files, and its skein\.json does not say what opens them/)
    )
    await expect(sealDirectory(dir, key)).rejects.toEqual(sealError(/holds sealed files/))
    expect(await readFile(join(dir, 'skein.json'), 'utf8')).toBe('')
  })

  it('is locked and opened by who runs on it, and takes nothing afterwards', async () => {
    const own = await openDataDir(dir, { seal: key })
    await writeWhole(join(dir, 'file'), 'content')
    await own.close()
    await own.close()
    await expect(writeWhole(join(dir, 'file'), 'late')).rejects.toMatchObject({ code: 'EACCES' })
    expect(await content(key)).toBe('content')
    const names = await readdir(dir)
    expect(names.filter(name => !/^[\w-]{22,}$/.test(name)).sort()).toEqual(['lock', 'skein.json'])
  })
})

const whyNoKeyring = (): string | undefined => {
  if (!hasCommand('keyctl')) return 'there is no keyctl: see .ci/run'
  try {
    // A container may show a keyring and take no key.
    const id = execFileSync('keyctl', ['padd', 'user', `skein-test-${process.pid}`, '@u'], { input: 'x' })
      .toString()
      .trim()
    execFileSync('keyctl', ['pipe', id], { stdio: 'ignore' })
    execFileSync('keyctl', ['unlink', id, '@u'], { stdio: 'ignore' })
    return undefined
  } catch {
    return "the kernel's keyring cannot be used here"
  }
}

describe("the kernel's keyring", needs(whyNoKeyring()), () => {
  const name = `skein-test-${process.pid}`
  const purge = (): unknown => execFileSync('sh', ['-c', `keyctl purge user ${name} || true`], { stdio: 'ignore' })
  afterAll(purge)

  it('has the key that a file has, and opens what the file sealed', async () => {
    await sealed()
    await expect(content(`keyring:${name}`)).rejects.toEqual(sealError(/has no key skein-test-.*keyctl padd user/))
    execFileSync('sh', ['-c', `keyctl padd user ${name} @u < ${key}`], { stdio: 'ignore' })
    expect(await content(`keyring:${name}`)).toBe('content')
    purge()
    await expect(content(`keyring:${name}`)).rejects.toEqual(sealError(/has no key/))
    await expect(openSealed(dir, 'keyring:a b')).rejects.toEqual(sealError(/takes a name/))
  })
})

describe('a TPM', needs(whyNoTpm), () => {
  const stops: (() => void)[] = []
  const before = process.env.TPM2TOOLS_TCTI
  const homes = scratchFolders(afterAll)

  /** Another machine's, each time. */
  async function anotherTpm(): Promise<void> {
    const tpm = await startTpm(await homes())
    stops.push(tpm.stop)
    process.env.TPM2TOOLS_TCTI = tpm.tcti
  }

  beforeAll(anotherTpm, 60_000)
  afterAll(() => {
    for (const stop of stops) stop()
    if (before === undefined) delete process.env.TPM2TOOLS_TCTI
    else process.env.TPM2TOOLS_TCTI = before
  })

  it('gives what it was asked to keep, and to nobody who has another one', async () => {
    await sealed('tpm2')
    expect(await content('tpm2')).toBe('content')
    await expect(openSealed(dir, key)).rejects.toEqual(
      sealError(/sealed by its machine's TPM, which .* does not open: give --seal tpm2/)
    )
    const own = process.env.TPM2TOOLS_TCTI
    await anotherTpm()
    await expect(openSealed(dir, 'tpm2')).rejects.toEqual(sealError(/the TPM of another machine has sealed this/))
    process.env.TPM2TOOLS_TCTI = own
    expect(await content('tpm2')).toBe('content')
  }, 60_000)

  it('gives it no more once a register has changed that it was bound to', async () => {
    await sealed('tpm2:16')
    expect(await content('tpm2')).toBe('content')
    execFileSync('tpm2_pcrextend', [`16:sha256=${'ab'.repeat(32)}`], { stdio: 'ignore' })
    await expect(openSealed(dir, 'tpm2')).rejects.toEqual(
      sealError(/a register that the key is bound to is not as it was/)
    )
    await expect(openSealed(dir, 'tpm2:24')).rejects.toEqual(sealError(/takes numbers from 0 to 23/))
  }, 60_000)
})
