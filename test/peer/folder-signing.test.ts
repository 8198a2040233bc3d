/**
 * Bundles of OpenSSF model-signing v1.0: one that its public tool made (PyPI model-signing 1.1.1, `sign key`) lies in `bundles/`, and
 * where that tool can be installed it reads what is written here, and the other way round.
 */
import { spawnSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { existsSync } from 'node:fs'
import { copyFile, mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import { signFolder, verifyFolder } from '../../src/peer/folder-signing.ts'
import { skein } from '../cli/skein.ts'
import { needs } from '../needs.ts'
import { scratchFolders } from '../scratch.ts'

const folder = scratchFolders()
const bundles = join(import.meta.dirname, 'bundles')
const signal = new AbortController().signal
let dir: string
let model: string
let bundle: string
let keys: { private: string; public: string }

beforeEach(async () => {
  dir = await folder()
  ;[model, bundle] = [join(dir, 'm'), join(dir, 'm', 'model.sig')]
  await mkdir(join(model, 'sub'), { recursive: true })
  await writeFile(join(model, 'config.json'), '{"a":1}')
  await writeFile(join(model, 'model.safetensors'), 'weights')
  await writeFile(join(model, 'sub', 'x.bin'), 'deep')
  keys = await keyPair('P-256')
})

async function keyPair(namedCurve: string): Promise<typeof keys> {
  const pair = generateKeyPairSync('ec', { namedCurve })
  const files = { private: join(dir, `${namedCurve}.pem`), public: join(dir, `${namedCurve}.pub`) }
  await writeFile(files.private, pair.privateKey.export({ type: 'pkcs8', format: 'pem' }))
  await writeFile(files.public, pair.publicKey.export({ type: 'spki', format: 'pem' }))
  return files
}

const sign = (path = model): Promise<number> => signFolder({ path, bundle, key: keys.private, signal })
const verify = (key = keys.public, path = model): Promise<number> => verifyFolder({ path, bundle, key, signal })

describe('a bundle of the public tool', () => {
  const theirs = join(bundles, 'signer.pem')
  beforeEach(() => copyFile(join(bundles, 'model.sig'), bundle))

  it('is believed by its key, and by no other', async () => {
    expect(await verify(theirs)).toBe(3)
    await expect(verify()).rejects.toThrow(/model\.sig is not signed by the key .*P-256\.pub, or it was changed$/)
  })

  it.each([
    ['a file was changed', ['config.json', '{"a":2}'], 'config.json has another digest'],
    ['a file came in', ['sub/evil.py', 'import os'], 'sub/evil.py was not signed'],
    ['a name would write on a terminal', ['\u001b[2J', ''], '?[2J was not signed']
  ] as const)('is not of a folder where %s', async (_, [name, text], sentence) => {
    await writeFile(join(model, name), text)
    await expect(verify(theirs)).rejects.toThrow(`${model} is not what ${bundle} signs: ${sentence}`)
  })

  it('is none once what it signs was changed', async () => {
    const json = JSON.parse(await readFile(bundle, 'utf8'))
    const payload = Buffer.from(json.dsseEnvelope.payload, 'base64').toString().replace('config.json', 'config.jsom')
    json.dsseEnvelope.payload = Buffer.from(payload).toString('base64')
    await writeFile(bundle, JSON.stringify(json))
    await expect(verify(theirs)).rejects.toThrow('or it was changed')
  })
})

describe('a bundle of ours', () => {
  it.each(['P-256', 'P-384', 'P-521'])('is of a folder, by a key of %s', async curve => {
    keys = await keyPair(curve)
    expect(await sign()).toBe(3)
    expect(await verify()).toBe(3)
    await expect(sign()).rejects.toThrow('model.sig exists already and is not overwritten')
    await writeFile(join(model, 'model.safetensors'), 'weightz')
    await expect(verify()).rejects.toThrow('model.safetensors has another digest')
  })

  it('is of one file, and of no links', async () => {
    const file = join(model, 'config.json')
    bundle = join(dir, 'file.sig')
    expect(await sign(file)).toBe(1)
    expect(await verify(keys.public, file)).toBe(1)
    await symlink('config.json', join(model, 'link.json'))
    bundle = join(dir, 'folder.sig')
    await expect(sign()).rejects.toThrow('link.json in')
  })

  it('says at the door what is no key and no bundle', async () => {
    const other = generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' })
    await writeFile(join(dir, 'other.pub'), other)
    await expect(verify(join(dir, 'other.pub'))).rejects.toThrow(
      /is a key of ed25519: bundles of the OpenSSF are signed/
    )
    await expect(verify(keys.private)).rejects.toThrow('is a secret key')
    await expect(verify()).rejects.toThrow(/model\.sig cannot be read: /)
    await writeFile(bundle, '[]')
    await expect(verify()).rejects.toThrow(/model\.sig is no bundle of model-signing v1\.0: it is missing or wrong/)
    await writeFile(bundle, '{"mediaType":"text/plain"}')
    await expect(verify()).rejects.toThrow('mediaType must be application/vnd.dev.sigstore.bundle.v0.3+json')
  })

  it('is made and verified at the command line', { timeout: 60_000 }, async () => {
    const signed = await skein(['model', 'sign', model, '--oms', bundle, '--sign-key', keys.private])
    expect(signed).toMatchObject({
      code: 0,
      stdout: `signed ${model}, 3 files: ${bundle} is the bundle, to give along\n`
    })
    const args = ['model', 'verify', model, '--oms', bundle, '--signer', keys.public]
    expect(await skein(args)).toMatchObject({
      code: 0,
      stdout: `${model}: 3 files, as the owner of ${keys.public} signed it\n`
    })
    await writeFile(join(model, 'more'), '')
    expect(await skein(args)).toMatchObject({ code: 3, stderr: expect.stringContaining('more was not signed') })
    expect(await skein(args.slice(0, 5))).toMatchObject({ code: 2, stderr: expect.stringContaining('one --signer') })
  })
})

/** The public tool in a folder of its own, installed once; undefined where that cannot be. */
const python = ((): string | undefined => {
  const home = join(tmpdir(), 'skein-model-signing-1.1.1')
  const file = join(home, 'bin', 'python')
  const works = (): boolean => spawnSync(file, ['-m', 'model_signing', '--help'], { timeout: 30_000 }).status === 0
  if (!existsSync(file)) {
    spawnSync('python3', ['-m', 'venv', home], { timeout: 60_000 })
    const packages = ['model-signing==1.1.1', 'pyOpenSSL']
    spawnSync(file, ['-m', 'pip', 'install', '-q', '--retries', '0', '--timeout', '5', ...packages], {
      timeout: 120_000
    })
  }
  return works() ? file : undefined
})()

describe(
  'beside the public tool',
  needs(python === undefined ? 'PyPI model-signing 1.1.1 cannot be installed here' : undefined),
  () => {
    const tool = (...args: string[]): { status: number | null; text: string } => {
      const { status, stdout, stderr } = spawnSync(python!, ['-m', 'model_signing', ...args], { encoding: 'utf8' })
      return { status, text: stdout + stderr }
    }
    const check = (path: string): ReturnType<typeof tool> =>
      tool('verify', 'key', path, '--signature', bundle, '--public_key', keys.public)

    it.each(['P-256', 'P-384', 'P-521'])(
      'is read by it, and reads it, with a key of %s',
      { timeout: 120_000 },
      async curve => {
        keys = await keyPair(curve)
        await sign()
        expect(check(model)).toMatchObject({ status: 0 })
        await writeFile(join(model, 'config.json'), '{"a":2}')
        expect(check(model)).toMatchObject({
          status: 1,
          text: expect.stringMatching(/Hash mismatch for \\?'config\.json/)
        })

        bundle = join(dir, 'theirs.sig')
        await writeFile(join(model, 'model.sig'), 'of before')
        expect(tool('sign', 'key', model, '--signature', bundle, '--private_key', keys.private)).toMatchObject({
          status: 0
        })
        expect(await verify()).toBe(4)
        await writeFile(join(model, 'config.json'), '{"a":3}')
        await expect(verify()).rejects.toThrow('config.json has another digest')
      }
    )

    it('agrees on a model of one file', { timeout: 60_000 }, async () => {
      bundle = join(dir, 'file.sig')
      await sign(join(model, 'config.json'))
      expect(check(join(model, 'config.json'))).toMatchObject({ status: 0 })
    })
  }
)
