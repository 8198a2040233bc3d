/** A sealed peer's disk: whoever copies it learns neither a weight nor an identity nor a name, and the peer itself loses nothing. */
import { randomBytes } from 'node:crypto'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, expect, it } from 'vitest'
import {
  createPeer,
  importModel,
  openSealed,
  type Peer,
  type PeerInit,
  removeModel,
  sealDirectory,
  type StoredModel,
  verifyAudit,
  verifyModel
} from '../../src/index.ts'
import { loadIdentity } from '../../src/swarm/identity.ts'
import { newSwarm } from '../../src/swarm/swarm-file.ts'
import { placeOf } from '../../src/disk/opened.ts'
import { allUnder } from '../files-under.ts'
import { writeTiny } from '../model/hugging-face.ts'
import { scratchFolders } from '../scratch.ts'

const folder = scratchFolders()
const peers: Peer[] = []
afterEach(async () => {
  await Promise.all(peers.splice(0).map(peer => peer.stop()))
})

const name = 'telling-name-of-a-model'
const prompt = 'A secret plan of the quick brown fox'

interface Machine {
  readonly dataDir: string
  readonly seal: string | undefined
}

async function machine({ sealed = true } = {}): Promise<Machine> {
  const key = join(await folder(), 'seal.key')
  await writeFile(key, randomBytes(32), { mode: 0o600 })
  return { dataDir: join(await folder(), 'data'), seal: sealed ? key : undefined }
}

async function start(
  swarm: ReturnType<typeof newSwarm>,
  machine: Machine,
  init: Partial<PeerInit> = {}
): Promise<Peer> {
  const bootstrap = peers.flatMap(({ addresses }) => [...addresses])
  const peer = await createPeer({
    ...{ swarm, ...machine, model: name, memoryBytes: 64e6, mdns: false, listen: ['/ip4/127.0.0.1/tcp/0'], bootstrap },
    ...init
  })
  peers.push(peer)
  return peer
}

/** What a sealed directory has open, for as long as the work takes. */
async function within<T>({ dataDir, seal }: Machine, work: () => Promise<T>): Promise<T> {
  const close = seal === undefined ? undefined : await openSealed(dataDir, seal)
  try {
    return await work()
  } finally {
    close?.()
  }
}

async function imported(machine: Machine): Promise<StoredModel> {
  const source = await folder()
  await writeTiny(source)
  return within(machine, () => importModel({ source, dataDir: machine.dataDir, name, origin: 'tests' }))
}

async function ids(peer: Peer, session?: string): Promise<readonly number[]> {
  const generation = peer.generate(prompt, {
    maxTokens: 8,
    ...(session === undefined ? {} : { session: { name: session } })
  })
  for await (const _ of generation);
  return (await generation.answer).ids
}

const serves = (peer: Peer): boolean =>
  peer
    .status()
    .peers.find(({ self }) => self)!
    .stages.some(({ serving }) => serving)

/** All that nobody may learn from a disk, by what it is called. */
async function secretsOf(
  machine: Machine,
  model: StoredModel,
  swarm: ReturnType<typeof newSwarm>
): Promise<Map<string, Uint8Array | string>> {
  return within(machine, async () => {
    const identity = await loadIdentity(machine.dataDir)
    const { readFileSync } = await import('../../src/disk/files-sync.ts')
    const shards = join(machine.dataDir, 'models', 'shards')
    const { shards: entries, tokenizer } = model.manifest
    const secrets = new Map<string, Uint8Array | string>([
      ['the private key', identity.privateKey.raw.subarray(0, 32)],
      ['the public key', identity.privateKey.publicKey.raw],
      ['the model id', model.id],
      ['the model name', name],
      ['a word of its manifest', 'tokenizer'],
      ['the prompt', prompt],
      ['the swarm secret', Buffer.from(swarm.secret, 'base64')],
      ['the swarm secret as text', swarm.secret]
    ])
    for (const peer of peers) secrets.set(`the id of ${peer.id}`, peer.id)
    for (const { sha256, bytes } of [...entries, tokenizer]) {
      secrets.set(`the digest ${sha256}`, sha256)
      secrets.set(`the digest ${sha256} in bytes`, Buffer.from(sha256, 'hex'))
      const path = join(shards, sha256)
      if ((await stat(placeOf(path).real).catch(() => undefined)) === undefined) continue
      const content = readFileSync(path)
      const middle = bytes >> 1
      secrets.set(`a piece of ${sha256}`, content.subarray(middle, middle + 32))
    }
    return secrets
  })
}

const found = (copy: Buffer, secrets: ReadonlyMap<string, Uint8Array | string>): string[] =>
  [...secrets]
    .filter(([, secret]) => copy.includes(typeof secret === 'string' ? secret : Buffer.from(secret)))
    .map(([what]) => what)

it('has nothing on its disk that tells: neither a weight nor a key nor a name, of its own or of others', {
  timeout: 180_000
}, async () => {
  const swarm = newSwarm('sealed')
  const [holder, second, third, plain] = [
    await machine(),
    await machine(),
    await machine(),
    await machine({ sealed: false })
  ]
  const model = await imported(holder)
  const driver = await start(swarm, holder)
  await expect.poll(() => serves(driver), { timeout: 60_000 }).toBe(true)
  const expected = await ids(driver)
  // These fetch what they serve from it, and keep its session.
  for (const other of [second, third, plain]) await start(swarm, other)
  await expect.poll(() => peers.every(serves), { timeout: 60_000 }).toBe(true)
  expect(await ids(driver, 'telling session')).toEqual(expected)
  const secrets = new Map<Machine, Map<string, Uint8Array | string>>()
  for (const each of [holder, second, third, plain]) secrets.set(each, await secretsOf(each, model, swarm))
  await Promise.all(peers.splice(0).map(peer => peer.stop()))

  for (const each of [holder, second, third]) {
    const copy = await allUnder(each.dataDir)
    expect(found(copy, secrets.get(each)!)).toEqual([])
    expect(copy.length).toBeGreaterThan(30_000)
  }
  // The same search finds all that in a directory that is not sealed, but for what never lies on a disk.
  const seen = found(await allUnder(plain.dataDir), secrets.get(plain)!)
  expect(seen).toEqual(expect.arrayContaining(['the private key', 'the public key', 'the model id', 'the model name']))
  expect(seen.filter(what => what.startsWith('a piece of')).length).toBeGreaterThan(2)
  expect(seen.filter(what => what.startsWith('the digest')).length).toBeGreaterThan(2)

  // Nothing was lost by it.
  const again = await start(swarm, holder)
  expect(again.id).toBe(driver.id)
  await expect.poll(() => serves(again), { timeout: 60_000 }).toBe(true)
  expect(await ids(again)).toEqual(expected)
})

it('fetches a shard again whose seal is broken, and names it where nobody has it', { timeout: 120_000 }, async () => {
  const swarm = newSwarm('sealed')
  const [holder, other] = [await machine(), await machine()]
  const model = await imported(holder)
  await imported(other)
  const shard = model.manifest.shards[1]!
  const spoilt = await within(other, async () => placeOf(join(other.dataDir, 'models', 'shards', shard.sha256)).real)
  const bytes = await readFile(spoilt)
  bytes[bytes.length >> 1]! ^= 1
  await writeFile(spoilt, bytes)
  const signal = AbortSignal.timeout(60_000)
  await within(other, async () => {
    await expect(verifyModel(other.dataDir, name, { signal })).rejects.toMatchObject({
      name: 'CorruptShardError',
      message: expect.stringMatching(
        /^the .* shard of telling-name-of-a-model is damaged: .* does not open, its seal is broken$/
      )
    })
  })
  await start(swarm, holder)
  await expect.poll(() => serves(peers[0]!), { timeout: 60_000 }).toBe(true)
  const mending = await start(swarm, other, { layers: { start: 0, end: model.manifest.config.layers } })
  await expect.poll(() => serves(mending), { timeout: 60_000 }).toBe(true)
  await mending.stop()
  await within(other, () => verifyModel(other.dataDir, name, { signal }))
})

it('is not started with another key or none, and a model is removed with it alone', { timeout: 60_000 }, async () => {
  const [own, other] = [await machine(), await machine()]
  const swarm = newSwarm('sealed')
  await imported(own)
  const before = await allUnder(own.dataDir)
  await expect(start(swarm, { ...own, seal: other.seal })).rejects.toMatchObject({ name: 'SealError' })
  await expect(start(swarm, { ...own, seal: undefined })).rejects.toMatchObject({ name: 'SealError' })
  await expect(removeModel(own.dataDir, name)).rejects.toMatchObject({ name: 'SealError' })
  expect(await allUnder(own.dataDir)).toEqual(before)
  await within(own, () => removeModel(own.dataDir, name))
  expect((await allUnder(own.dataDir)).length).toBeLessThan(before.length / 2)
})

it('can be sealed where it lies, and goes on after that was cut short', { timeout: 120_000 }, async () => {
  const swarm = newSwarm('sealed')
  const plain = await machine({ sealed: false })
  const { seal } = await machine()
  const model = await imported(plain)
  const first = await start(swarm, plain, { audit: true })
  await expect.poll(() => serves(first), { timeout: 60_000 }).toBe(true)
  const expected = await ids(first)
  await expect(sealDirectory(plain.dataDir, seal!)).rejects.toThrow(/is in use by process/)
  await peers.pop()!.stop()
  const secrets = await secretsOf(plain, model, swarm)
  const stray = 'alice 0123456789abcdef0123456789abcdef'
  await writeFile(join(plain.dataDir, 'keys.txt'), stray)

  // Cut short after each of its files: the next one goes on.
  let files = 0
  for (let last = -1; last !== 0; ) {
    const cut = new AbortController()
    const sealed = await sealDirectory(plain.dataDir, seal!, {
      signal: cut.signal,
      onProgress: progress => {
        files = Math.max(files, progress.files)
        cut.abort(new Error('cut short'))
      }
    }).catch((error: Error) => error)
    if (sealed instanceof Error) {
      expect(sealed.message).toBe('cut short')
      await expect(createPeer({ ...plain, seal, swarm })).rejects.toThrow(/was being sealed when that was cut short/)
      last = 1
    } else last = sealed.files
  }
  expect(found(await allUnder(plain.dataDir), new Map([...secrets, ['the keys', stray]]))).toEqual([])
  const sealed = { dataDir: plain.dataDir, seal }
  expect(await within(sealed, () => verifyAudit(plain.dataDir))).toMatchObject({ problem: null, knownBy: 'key' })
  const again = await start(swarm, sealed, { audit: true })
  expect(again.id).toBe(first.id)
  await expect.poll(() => serves(again), { timeout: 60_000 }).toBe(true)
  expect(await ids(again)).toEqual(expected)
})
