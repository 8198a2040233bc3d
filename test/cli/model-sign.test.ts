/** Signed models at the command line: who signs, who is believed, and in which words not. */
import { execFile } from 'node:child_process'
import { copyFile, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { beforeEach, expect, it } from 'vitest'
import { writeTiny } from '../model/hugging-face.ts'
import { scratchFolders } from '../scratch.ts'
import { expectFailure, skein } from './skein.ts'

const folder = scratchFolders()
let dir: string
let data: string
let key: string
beforeEach(async () => {
  dir = await folder()
  ;[data, key] = [join(dir, 'data'), join(dir, 'signing.key')]
})

const sign = (name: string, ...args: string[]): ReturnType<typeof skein> =>
  skein(['model', 'sign', name, '--data', data, ...args])
const verify = (name: string, ...args: string[]): ReturnType<typeof skein> =>
  skein(['model', 'verify', name, '--data', data, ...args])
const publicKeyOf = async (file: string): Promise<string> => {
  const made = await skein(['key', file, '--signing', '--json'])
  expect(made).toMatchObject({ code: 0, stderr: '' })
  return JSON.parse(made.stdout).publicKey
}

it('signs a model, verifies it by its signers, shows and removes them with it', { timeout: 120_000 }, async () => {
  const made = await skein(['key', key, '--signing'])
  const [, first] = /its public part, to give to others: ([0-9a-f]{64})\n$/.exec(made.stdout) ?? []
  expect(first, made.stdout).toBeTruthy()
  expect((await stat(key)).mode & 0o777).toBe(0o600)
  await expectFailure(
    skein(['key', key, '--signing']),
    3,
    /exists already and is not overwritten: models may be signed/
  )
  await writeTiny(join(dir, 'source'))
  await skein(['model', 'import', join(dir, 'source'), '--data', data, '--name', 'tiny'])
  await expectFailure(verify('tiny', '--signer', first!), 3, /^skein: tiny \([0-9a-f]{12}\) is not signed\n$/)

  const signed = await sign('tiny', '--sign-key', key)
  expect(signed).toMatchObject({ code: 0, stdout: expect.stringContaining(`by the key ${first}`) })
  const swarm = ['init', join(dir, 'swarm.json'), '--authority', join(dir, 'authority.key')]
  expect(await skein(swarm)).toMatchObject({ code: 0 })
  const { signer } = JSON.parse((await sign('tiny', '--sign-key', join(dir, 'authority.key'), '--json')).stdout)
  await expectFailure(
    sign('tiny', '--sign-key', join(dir, 'authority.key.recovery')),
    3,
    /key of a recovery, which signs no/
  )

  const text64 = Buffer.from(first!, 'hex').toString('base64url')
  for (const given of [`${key}.pub`, first!.toUpperCase(), text64, signer.key]) {
    expect(await verify('tiny', '--signer', given)).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^tiny: every file has the digest .* signed it\n$/)
    })
  }
  const strangers = await publicKeyOf(join(dir, 'other.key'))
  const unknown = new RegExp(
    `is signed by ${first!.slice(0, 12)}…, .*none of the keys that are trusted: ${strangers.slice(0, 12)}…`
  )
  await expectFailure(verify('tiny', '--signer', strangers), 3, unknown)
  expect(await verify('tiny', '--signer', strangers, '--signer', first!)).toMatchObject({ code: 0 })
  expect((await skein(['model', 'show', 'tiny', '--data', data])).stdout).toMatch(
    new RegExp(`^ {2}signed by +${first} at 20`, 'm')
  )
  const shown = JSON.parse((await skein(['model', 'show', 'tiny', '--data', data, '--json'])).stdout)
  expect(shown.signers.map(({ key }: { key: string }) => key)).toEqual([first, signer.key])

  // What lies beside the manifest was changed: neither key is believed any more by what is not its own.
  const file = join(data, 'models', 'manifests', `${shown.id}.signatures`)
  const bytes = await readFile(file)
  await writeFile(file, bytes.with(100, bytes[100]! ^ 1))
  await expectFailure(verify('tiny', '--signer', first!), 3, /names the key .* and is not its own: it was changed/)
  expect(await verify('tiny', '--signer', signer.key)).toMatchObject({ code: 0 })

  // A signed model with a shard that is not the manifest's is refused, as any other, and not signed.
  const [shard] = shown.manifest.shards
  const at = join(data, 'models', 'shards', shard.sha256)
  await writeFile(at, (await readFile(at)).with(9, 255))
  await expectFailure(verify('tiny', '--signer', signer.key), 3, /embed/)
  await expectFailure(sign('tiny', '--sign-key', key), 3, /embed/)

  await skein(['model', 'rm', 'tiny', '--data', data])
  expect(await readdir(join(data, 'models', 'manifests'))).toEqual([])
})

it('signs with a key of openssl, in a sealed directory, a model that ships', { timeout: 90_000 }, async () => {
  const made = await promisify(execFile)('openssl', ['genpkey', '-algorithm', 'ed25519', '-out', key]).catch(
    () => undefined
  )
  if (made === undefined) await skein(['key', key, '--signing'])
  await skein(['key', join(dir, 'seal.key'), '--seal'])
  const sealed = ['--seal', join(dir, 'seal.key')]
  const { signer } = JSON.parse((await sign('stories15m', '--sign-key', key, '--json', ...sealed)).stdout)
  expect(await verify('stories15m', '--signer', signer.key, ...sealed)).toMatchObject({ code: 0 })
  const names = await readdir(data, { recursive: true })
  expect(names.filter(name => name.includes('signatures') || name.includes('manifests'))).toEqual([])
})

it('says at the door what is no key', { timeout: 60_000 }, async () => {
  await publicKeyOf(key)
  const junk = join(dir, 'junk')
  await writeFile(junk, 'nothing of the kind')
  const p256 = join(dir, 'p256.pem')
  const { privateKey } = (await import('node:crypto')).generateKeyPairSync('ec', { namedCurve: 'P-256' })
  await writeFile(p256, privateKey.export({ type: 'pkcs8', format: 'pem' }))
  await expectFailure(
    sign('stories15m', '--sign-key', join(dir, 'x')),
    3,
    /there is no key file .*x: skein key FILE --signing/
  )
  await expectFailure(sign('stories15m', '--sign-key', junk), 3, /junk is no key that signs models/)
  await expectFailure(sign('stories15m', '--sign-key', p256), 3, /is a key of type ec: models are signed with Ed25519/)
  await expectFailure(sign('stories15m', '--sign-key', `${key}.pub`), 3, /is a public key, which signs nothing/)
  await expectFailure(verify('stories15m', '--signer', 'abc'), 3, /there is no key file abc: a signer is 64 hex digits/)
  await expectFailure(verify('stories15m', '--signer', key), 3, /is a secret key: a signer is known by its public part/)
  await expectFailure(verify('stories15m', '--signer', junk), 3, /junk is no public key/)
  await expectFailure(skein(['key', join(dir, 'y'), '--signing', '--seal']), 2, /--signing goes without --seal/)
  await expectFailure(skein(['model', 'sign', 'stories15m', '--data', data]), 2, /--sign-key/)
  // A public part that is there belongs to another key: the new one is not left without its own.
  await copyFile(`${key}.pub`, join(dir, 'z.pub'))
  await expectFailure(skein(['key', join(dir, 'z'), '--signing']), 3, /z\.pub exists already/)
  await expect(stat(join(dir, 'z'))).rejects.toMatchObject({ code: 'ENOENT' })
})
