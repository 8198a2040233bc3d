/** Weights between real peers on loopback. */
import { readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { PeerId } from '../../src/base/ids.ts'
import { chunkBytes } from '../../src/model/limits.ts'
import { Keeping } from '../../src/disk/keeping.ts'
import { changeSignatures } from '../../src/model/signatures.ts'
import { knownSignatures, signersOf, signModel } from '../../src/peer/model-signing.ts'
import { makeSigningKeyFile } from '../../src/swarm/signing-file.ts'
import { modelSignature, modelSignaturesBytesMax, withSignature } from '../../src/trust/model-signature.ts'
import { signingKey } from '../../src/trust/signing-key.ts'
import { supplyFrameBytesMax } from '../../src/supply/limits.ts'
import { openLibrary } from '../../src/model/library.ts'
import { type ModelStore, openStore, type StoredModel } from '../../src/model/store.ts'
import { decodeRequest, encodeFrame } from '../../src/supply/codec.ts'
import { shardsProtocol } from '../../src/supply/frame.ts'
import { createSupply, type Supply } from '../../src/supply/service.ts'
import type { Swarm } from '../../src/swarm/swarm.ts'
import { connectedCount, until, World } from '../swarm/real-peers.ts'
import { writeRandomModel } from './model.ts'

let signal = new AbortController().signal

interface Member {
  readonly swarm: Swarm
  readonly store: ModelStore
  readonly supply: Supply
  readonly violations: string[]
}

let world: World
let model: StoredModel
let members: Member[] = []

beforeEach(async () => {
  signal = AbortSignal.timeout(110_000)
  world = await World.create()
  model = await writeRandomModel(path.join(world.root, 'holder'))
})
afterEach(async () => {
  await Promise.all(members.map(({ supply }) => supply.stop()))
  members = []
  await world.close()
})

/** A peer without the models that ship: what it has, it wrote or fetched. */
async function join(name: string, { live = () => false }: { live?: () => boolean } = {}): Promise<Member> {
  const store = await openStore({ own: path.join(world.root, name, 'models') })
  const swarm = await world.start(name)
  const violations: string[] = []
  const supply = await createSupply({
    links: swarm.links,
    store,
    live,
    signatures: knownSignatures(store, new Keeping(() => {})),
    onViolation: (peer, kind, message) => violations.push(`${peer} ${kind}: ${message}`)
  })
  const member = { swarm, store, supply, violations }
  members.push(member)
  return member
}

async function connect(...them: Member[]): Promise<void> {
  await until(() => them.every(({ swarm }) => connectedCount(swarm) === them.length - 1), 'all are connected')
}

/** Gives a second peer all of the model, by its files. */
async function copyTo(name: string): Promise<void> {
  const from = await openLibrary(path.join(world.root, 'holder'))
  const to = await openStore({ own: path.join(world.root, name, 'models') })
  const addition = await to.begin()
  for (const { sha256 } of [...model.manifest.shards, model.manifest.tokenizer]) {
    await addition.putBytes(await readFile(path.join(from.own, 'shards', sha256)), { signal })
  }
  await to.putManifest(model.manifest)
  await addition.commit()
}

async function expectWhole({ store }: Member): Promise<void> {
  await store.verify(await store.resolve(model.id), { signal })
}

const bytesOf = (files: readonly { readonly bytes: number }[]): number =>
  files.reduce((sum, { bytes }) => sum + bytes, 0)

describe('a model that one peer has', () => {
  it('reaches a second one, whole', async () => {
    const [holder, other] = [await join('holder'), await join('a')]
    await connect(holder, other)
    const peers = (): PeerId[] => [holder.swarm.id]
    const learnt = await other.supply.learn(model.id, { peers, signal })
    expect(learnt.manifest).toEqual(model.manifest)
    expect(await other.store.held(learnt)).toEqual([])
    await other.supply.fetch(learnt.manifest.shards, { peers, signal })
    await expectWhole(other)
    expect([...holder.violations, ...other.violations]).toEqual([])
  })

  it('brings along who signed it, as far as that is right, and gives it on', async () => {
    const [holder, other, third] = [await join('holder'), await join('a'), await join('b')]
    await connect(holder, other, third)
    const keyFile = path.join(world.root, 'signing.key')
    const { key } = await makeSigningKeyFile(keyFile)
    await signModel({ dataDir: path.join(world.root, 'holder'), model: model.id, keyFile, signal })
    const forger = signingKey()
    const forged = modelSignature(model.id, { ...forger, sign: () => new Uint8Array(64) }, 0)
    const change = (signatures: Uint8Array): Uint8Array => withSignature(signatures, forged)!
    await changeSignatures(holder.store.own, model.id, { bytesMax: modelSignaturesBytesMax, change })
    const of = (name: string): ReturnType<typeof signersOf> => signersOf(path.join(world.root, name), model)
    expect(await of('holder')).toMatchObject({ good: [{ key }], bad: [forger.key] })

    await other.supply.learn(model.id, { peers: () => [holder.swarm.id], signal })
    expect(await of('a')).toMatchObject({ good: [{ key }], bad: [] })
    await third.supply.learn(model.id, { peers: () => [other.swarm.id], signal })
    expect(await of('b')).toEqual(await of('a'))
  })

  it('is given on by those who are still fetching it (W5)', async () => {
    const [holder, a, b] = [await join('holder'), await join('a'), await join('b')]
    await connect(holder, a, b)
    // b only ever asks a, which begins without anything.
    const learn = (): PeerId[] => [holder.swarm.id]
    await Promise.all([a, b].map(({ supply }) => supply.learn(model.id, { peers: learn, signal })))
    const { shards } = model.manifest
    const first = b.supply.fetch(shards, { peers: () => [a.swarm.id], signal })
    await Promise.all([first, a.supply.fetch(shards, { peers: learn, signal })])
    await Promise.all([expectWhole(a), expectWhole(b)])
  })

  it('is not fetched once more when its sources change while the last of it is written', async () => {
    const [holder, other] = [await join('holder'), await join('other')]
    await connect(holder, other)
    const known = await other.supply.learn(model.id, { peers: () => [holder.swarm.id], signal })
    const files = known.manifest.shards
    const done = other.supply.fetch(files, { peers: () => [holder.swarm.id], signal })
    let isDone = false
    done.finally(() => {
      isDone = true
    })
    while (!isDone) {
      other.supply.changed()
      await new Promise(resolve => setImmediate(resolve))
    }
    await done
    expect(other.supply.progress(files)).toBeUndefined()
    await expectWhole(other)
  })

  it('is refused in a sentence where nobody has it', async () => {
    const [a, b] = [await join('a'), await join('b')]
    await connect(a, b)
    const learning = a.supply.learn(model.id, { peers: () => [b.swarm.id], signal })
    await expect(learning).rejects.toMatchObject({
      name: 'NotHeldError',
      message: expect.stringContaining('does not have it')
    })
  })
})

describe('a fetch', () => {
  it('goes on from another source when one is killed half-way', async () => {
    await copyTo('second')
    const [holder, second, other] = [await join('holder'), await join('second'), await join('a')]
    await connect(holder, second, other)
    const peers = (): PeerId[] => [holder.swarm.id, second.swarm.id]
    const { shards } = (await other.supply.learn(model.id, { peers, signal })).manifest
    const fetching = other.supply.fetch(shards, { peers, signal })
    await until(() => (other.supply.progress(shards)?.bytes ?? 0) > bytesOf(shards) / 3, 'a third has come')
    const before = received(other)
    await holder.supply.stop()
    await holder.swarm.stop()
    await fetching
    await expectWhole(other)
    expect(other.violations).toEqual([])
    expect(before).toBeGreaterThan(0)
  })

  it('goes on where it was after a restart, and after its only source came back', async () => {
    const [holder, other] = [await join('holder'), await join('a')]
    await connect(holder, other)
    const peers = (): PeerId[] => [holder.swarm.id]
    const { shards } = (await other.supply.learn(model.id, { peers, signal })).manifest
    const [embedding] = shards
    const fetching = other.supply.fetch([embedding!], { peers, signal })
    await until(() => (other.supply.progress([embedding!])?.bytes ?? 0) > 8 * chunkBytes, 'some chunks have come')
    const stopped = expect(fetching).rejects.toThrow('the peer is stopping')
    await other.supply.stop()
    await stopped
    await other.swarm.stop()
    const again = await join('a')
    await connect(holder, again)
    const sent = sentBy(again)
    await again.supply.fetch(shards, { peers, signal })
    await expectWhole(again)
    const ranges = sent()
    expect(ranges).toBeLessThanOrEqual(bytesOf(shards) - 8 * chunkBytes)
    expect(ranges).toBeGreaterThan(bytesOf(shards.slice(1)))
  })

  it('mends a damaged file by its damaged chunk alone', async () => {
    await copyTo('a')
    const [embedding] = model.manifest.shards
    const file = path.join(world.root, 'a', 'models', 'shards', embedding!.sha256)
    const bytes = await readFile(file)
    bytes[5 * chunkBytes + 17]! ^= 1
    await writeFile(file, bytes)
    const [holder, other] = [await join('holder'), await join('a')]
    await connect(holder, other)
    const sent = sentBy(other)
    await expect(expectWhole(other)).rejects.toMatchObject({ name: 'CorruptShardError' })
    await other.supply.fetch([embedding!], { peers: () => [holder.swarm.id], signal })
    await expectWhole(other)
    expect(sent()).toBe(chunkBytes)
  })

  it('drops and names a source that lies, after one chunk, and nobody else (W1, W2)', async () => {
    const [holder, other] = [await join('holder'), await join('a')]
    const liar = await world.start('liar')
    await liar.links.handle(shardsProtocol, { inboundMax: 2, frameBytesMax: supplyFrameBytesMax }, channel =>
      channel.receive({
        onFrame: async bytes => {
          const request = decodeRequest(bytes)!
          if (request.kind === 'watch') {
            channel.send(encodeFrame({ kind: 'state', file: request.file, whole: true, chunks: new Uint8Array(0) }))
          } else if (request.kind === 'list-request') {
            const named = [...model.manifest.shards, model.manifest.tokenizer].find(
              ({ sha256 }) => sha256 === request.file
            )
            const digests = await holder.store.chunkList(named!, { signal })
            channel.send(encodeFrame({ kind: 'list', file: request.file, digests: digests! }))
          } else if (request.kind === 'range-request') {
            lies += request.length
            channel.send(encodeFrame({ ...request, kind: 'range', data: new Uint8Array(request.length).fill(7) }))
          }
        },
        onClose: () => {}
      })
    )
    let lies = 0
    await until(() => connectedCount(other.swarm) === 2, 'both are connected')
    const peers = (): PeerId[] => [liar.id, holder.swarm.id]
    await other.supply.learn(model.id, { peers: () => [holder.swarm.id], signal })
    await other.supply.fetch(model.manifest.shards, { peers, signal })
    await expectWhole(other)
    expect(other.violations).toHaveLength(1)
    expect(other.violations[0]).toMatch(
      new RegExp(`^${liar.id} wrong bytes: ${liar.id} sent wrong bytes for chunk \\d+ of`)
    )
    expect(lies).toBeLessThan(4 * chunkBytes)
    expect(holder.violations).toEqual([])
  })

  it('is asked for at the rate of live sessions while there are some (W10)', async () => {
    const [holder, other] = [await join('holder', { live: () => true }), await join('a')]
    await connect(holder, other)
    const peers = (): PeerId[] => [holder.swarm.id]
    const learnt = await other.supply.learn(model.id, { peers, signal })
    const layer = learnt.manifest.shards.slice(1, 3)
    const startMs = performance.now()
    await other.supply.fetch(layer, { peers, signal })
    expect(performance.now() - startMs).toBeGreaterThan(bytesOf(layer) / 1_000 - 100)
  })
})

describe('a source', () => {
  it.each([
    ['no frame', Uint8Array.of(255, 255, 255)],
    ['an answer', encodeFrame({ kind: 'have', file: 'a'.repeat(64), chunk: 1 })],
    [
      'a range beyond its chunk',
      encodeFrame({ kind: 'range-request', file: 'a'.repeat(64), chunk: 0, offset: 1, length: chunkBytes })
    ],
    ['a short id', Uint8Array.of(0x1a, 3, 0x0a, 1, 7)]
  ])('ends the stream that brings %s, and goes on (W12)', async (_, bytes) => {
    const [holder, other] = [await join('holder'), await join('a')]
    await connect(holder, other)
    const channel = await other.swarm.links.open(holder.swarm.id, shardsProtocol, { signal })
    const ended = new Promise<Error | undefined>(resolve => channel.receive({ onFrame: () => {}, onClose: resolve }))
    channel.send(bytes)
    expect(await ended).toBeInstanceOf(Error)
    await until(() => holder.violations.length === 1, 'it is counted')
    expect(holder.violations[0]).toContain(`${other.swarm.id} bad shards frame`)
    await other.supply.learn(model.id, { peers: () => [holder.swarm.id], signal })
  })

  it('gives nothing that no manifest of its own lists (W3)', async () => {
    const [holder, other] = [await join('holder'), await join('a')]
    await connect(holder, other)
    const secret = 'a'.repeat(64)
    await writeFile(path.join(holder.store.own, 'shards', secret), 'a secret')
    const channel = await other.swarm.links.open(holder.swarm.id, shardsProtocol, { signal })
    const frames: Uint8Array[] = []
    channel.receive({ onFrame: frame => frames.push(frame), onClose: () => {} })
    channel.send(encodeFrame({ kind: 'watch', file: secret }))
    channel.send(encodeFrame({ kind: 'list-request', file: secret }))
    channel.send(encodeFrame({ kind: 'range-request', file: secret, chunk: 0, offset: 0, length: 8 }))
    await until(() => frames.length === 3, 'three answers')
    expect(frames.map(frame => Buffer.from(frame).includes('secret'))).toEqual([false, false, false])
    await channel.close()
  })

  it('says that it does not have what is damaged, and is no liar (W3)', async () => {
    const [embedding, layer] = model.manifest.shards
    const file = path.join(world.root, 'holder', 'models', 'shards', layer!.sha256)
    const bytes = await readFile(file)
    bytes[chunkBytes]! ^= 1
    await writeFile(file, bytes)
    const [holder, other] = [await join('holder'), await join('a')]
    await connect(holder, other)
    const peers = (): PeerId[] => [holder.swarm.id]
    await other.supply.learn(model.id, { peers, signal })
    await other.supply.fetch([embedding!], { peers, signal })
    // Long enough for the answer; that a fetch without sources fails is held in virtual time.
    const asked = other.supply.fetch([layer!], { peers, signal: AbortSignal.timeout(1_500) })
    await expect(asked).rejects.toMatchObject({ name: 'TimeoutError' })
    expect(other.violations).toEqual([])
    expect(await other.store.held(await other.store.resolve(model.id))).toHaveLength(1)
  })
})

/** Bytes of ranges that a member asks for from now on. */
function sentBy({ swarm }: Member): () => number {
  const { links } = swarm
  let bytes = 0
  const open = links.open.bind(links)
  links.open = async (peer, protocol, options) => {
    const channel = await open(peer, protocol, options)
    if (protocol !== shardsProtocol) return channel
    const send = channel.send.bind(channel)
    channel.send = frame => {
      const request = decodeRequest(frame)!
      if (request.kind === 'range-request') bytes += request.length
      return send(frame)
    }
    return channel
  }
  return () => bytes
}

function received({ supply }: Member): number {
  return supply.progress(model.manifest.shards)?.bytes ?? 0
}
