/** Whole peers on loopback: one has a model, the others come to serve it. */
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import {
  createPeer,
  type GenerateOptions,
  type Peer,
  type PeerInit,
  type ShardFetch,
  splitBudgets
} from '../../src/index.ts'
import type { ModelId } from '../../src/base/ids.ts'
import { supplyOpenMs } from '../../src/supply/limits.ts'
import type { StoredModel } from '../../src/model/store.ts'
import { shardsProtocol } from '../../src/supply/frame.ts'
import { createSwarm } from '../../src/swarm/service.ts'
import { newSwarm } from '../../src/swarm/swarm-file.ts'
import { writeRandomModel } from './model.ts'

/** For whatever a peer does by itself: machines that run these tests may have little time for them. */
const patience = { timeout: 90_000 }
vi.setConfig({ testTimeout: 240_000, hookTimeout: 120_000 })

let root: string
let model: StoredModel
let peers: Peer[] = []
const warnings = new Map<Peer, string[]>()

beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'skein-test-'))
  model = await writeRandomModel(path.join(root, 'holder'))
})
afterEach(async () => {
  await Promise.all(peers.map(peer => peer.stop()))
  peers = []
  warnings.clear()
  await rm(root, { recursive: true, force: true })
})

const swarm = newSwarm('supply')

async function start(name: string, init: Partial<PeerInit> = {}): Promise<Peer> {
  const said: string[] = []
  const peer = await createPeer({
    dataDir: path.join(root, name),
    swarm,
    model: 'random',
    listen: ['/ip4/127.0.0.1/tcp/0'],
    mdns: false,
    bootstrap: peers.flatMap(other => other.addresses).slice(0, 1),
    onWarning: message => said.push(message),
    ...init
  })
  peers.push(peer)
  warnings.set(peer, said)
  return peer
}

function stagesOf(peer: Peer): string[] {
  const own = peer.status().peers.find(({ self }) => self)!
  return own.stages.filter(({ serving }) => serving).map(({ start, end }) => `${start}-${end}`)
}

/** How often a peer sees each layer of the model served: it answers once no layer is missing. */
function coverageAt(peer: Peer): readonly number[] | undefined {
  return peer.status().models.find(({ name }) => name === 'random')?.coverage
}

async function answer(peer: Peer, options: GenerateOptions = {}): Promise<readonly number[]> {
  const ids: number[] = []
  for await (const { id } of peer.generate('Once upon a time', { maxTokens: 8, ...options })) ids.push(id)
  return ids
}

describe('five peers, one of which holds the model', () => {
  it('all serve it', async () => {
    const holder = await start('holder')
    const others = await Promise.all(['a', 'b', 'c', 'd'].map(name => start(name)))
    const fetched: ShardFetch[] = []
    for (const peer of others) peer.addEventListener('shards:fetch', ({ detail }) => fetched.push(detail))
    await expect.poll(() => peers.map(stagesOf), patience).toEqual(peers.map(() => ['0-6']))
    const expected = await answer(holder)
    expect(expected).toHaveLength(8)
    for (const peer of others) expect(await answer(peer)).toEqual(expected)
    expect([...warnings.values()].flat().join()).not.toContain('broke the protocol')
    for (const peer of peers) expect(peer.status()).toMatchObject({ violations: {}, fetching: null })
    const begun = fetched.filter(({ tookMs }) => tookMs === undefined)
    expect(begun.filter(({ shards }) => shards === 'layers 0-6, embedding, head')).toHaveLength(4)
  })
})

describe('who asks about a model that is not here', () => {
  it('and gives up is told so at once, though the peer that offers it never answers', async () => {
    await start('holder')
    const mute = await createSwarm({
      dataDir: path.join(root, 'mute'),
      config: swarm,
      listen: ['/ip4/127.0.0.1/tcp/0'],
      mdns: false,
      neighbours: false,
      bootstrap: [...peers[0]!.addresses]
    })
    const asked = Promise.withResolvers<void>()
    await mute.links.handle(shardsProtocol, { inboundMax: 9, frameBytesMax: 1 << 20 }, channel =>
      channel.receive({ onFrame: () => asked.resolve(), onClose: () => {} })
    )
    const offer = {
      model: 'ab'.repeat(32) as ModelId,
      name: 'elsewhere',
      layers: 6,
      held: [{ start: 0, end: 6 }],
      embedding: true,
      head: true,
      visitMs: 1,
      layerMs: 1,
      numericClass: '',
      pinned: null
    }
    mute.announce({ models: [offer] })
    try {
      const models = (): string[] => peers[0]!.status().models.map(({ name }) => name)
      await expect.poll(models, patience).toContain('elsewhere')
      const controller = new AbortController()
      const events = peers[0]!.generate('x', { model: 'elsewhere', signal: controller.signal }).events()
      const failed = expect(events[Symbol.asyncIterator]().next()).rejects.toThrow('enough of it')
      await asked.promise
      const startMs = performance.now()
      controller.abort(new Error('enough of it'))
      await failed
      expect(performance.now() - startMs).toBeLessThan(supplyOpenMs / 2)
      const before = peers[0]!.generate('x', { model: 'elsewhere', signal: controller.signal })
      await expect(before.events()[Symbol.asyncIterator]().next()).rejects.toThrow('enough of it')
    } finally {
      await mute.stop()
    }
  })
})

describe('a peer without the model', () => {
  it('serves the part that placement gives it, and serves it again after a restart', async () => {
    const [half, more] = splitBudgets(model, 2) as [number, number]
    await start('holder', { memoryBytes: half })
    let other = await start('a', { memoryBytes: more })
    await expect.poll(() => peers.flatMap(stagesOf).sort(), patience).toEqual(['0-3', '3-6'])
    for (const peer of peers) await expect.poll(() => coverageAt(peer), patience).toEqual([1, 1, 1, 1, 1, 1])
    const expected = await answer(other)
    expect(await answer(peers[0]!)).toEqual(expected)
    await other.stop()
    peers.pop()
    other = await start('a', { memoryBytes: more })
    let isFetched = false
    other.addEventListener('shards:fetch', () => {
      isFetched = true
    })
    await expect.poll(() => stagesOf(other), patience).toHaveLength(1)
    // Its own stage needs nobody: the holder's may not be known yet.
    await expect.poll(() => coverageAt(other), patience).toEqual([1, 1, 1, 1, 1, 1])
    expect(await answer(other)).toEqual(expected)
    expect(isFetched).toBe(false)
  })

  it('waits for somebody who has it, and says so', async () => {
    const other = await start('a')
    expect(other.status()).toMatchObject({
      fetching: { model: null, state: "looking for the model 'random'" },
      models: []
    })
    const sentence = "the model 'random' is not here and no live peer offers it: waiting for one that does"
    await expect.poll(() => warnings.get(other), patience).toContain(sentence)
    expect(other.status().fetching?.state).toBe(sentence)
    await expect(answer(other)).rejects.toMatchObject({ name: 'UnknownModelError' })
    await start('holder')
    await expect.poll(() => stagesOf(other), patience).toEqual(['0-6'])
  })

  it('asks for the beginning of an id where two models have the name', async () => {
    const second = await writeRandomModel(path.join(root, 'second'), { layers: 2 })
    await start('holder', { memoryBytes: 64 << 20 })
    await start('second')
    const [first, last] = peers as [Peer, Peer]
    const short = ({ id }: { id: string }): string => id.slice(0, 12)
    const of = (it: StoredModel, peer: Peer): string => `random (${short(it)}) of …${peer.id.slice(-8)}`
    const other = await start('a')
    const offers = [
      [model, first],
      [second, last]
    ] as [StoredModel, Peer][]
    const list = offers.sort(([a], [b]) => (a.id < b.id ? -1 : 1)).map(([it, peer]) => of(it, peer))
    const sentence = `'random' is more than one model: ${list.join(', ')}; give the beginning of an id`
    await expect.poll(() => warnings.get(other), patience).toContain(sentence)
    expect(other.status().fetching).toMatchObject({ model: null, state: sentence, unclear: true })
    // Who has one of the two here has no better right to the name.
    await expect(answer(first, { model: 'random' })).rejects.toMatchObject({
      name: 'AmbiguousModelError',
      exitCode: 2,
      message: `'random' is more than one model: random (${short(model)}) here, ${of(second, last)}; give the beginning of an id`
    })
    const clear = (self: StoredModel, it: StoredModel, peer: Peer): string =>
      `the name random is not clear: this peer serves random (${short(self)}), another model is ${of(it, peer)}; give the beginning of an id to choose one`
    await expect.poll(() => warnings.get(first), patience).toContain(clear(model, second, last))
    await expect.poll(() => warnings.get(last), patience).toContain(clear(second, model, first))
    await expect.poll(() => stagesOf(last), patience).toEqual(['0-2'])
    const ids = await answer(last)
    expect(await answer(first, { model: second.id.slice(0, 8) })).toEqual(ids)
    expect(await answer(first, { model: second.id })).toEqual(ids)
    const third = await start('b', { model: short(second) })
    await expect.poll(() => stagesOf(third), patience).toEqual(['0-2'])
    expect(warnings.get(first)!.filter(message => message.includes('not clear'))).toHaveLength(1)
  })

  it('of which a part is covered says that another model has the name', async () => {
    const second = await writeRandomModel(path.join(root, 'second'), { layers: 2 })
    const head = await start('holder', { layers: { start: 0, end: 3 } })
    const namesake = await start('second')
    await expect.poll(() => stagesOf(namesake), patience).toEqual(['0-2'])
    await expect.poll(() => stagesOf(head), patience).toEqual(['0-3'])
    const other = `random (${second.id.slice(0, 12)}) of …${namesake.id.slice(-8)}`
    await expect(answer(head, { waitMs: 1_000 })).rejects.toThrow(
      `random (${model.id.slice(0, 12)}), which is not the ${other}, cannot answer: layers 3-6 are served by nobody`
    )
  })

  it('answers with a model that it does not serve, and does not come to serve it (a phone that only asks)', async () => {
    const holder = await start('holder')
    await expect.poll(() => stagesOf(holder), patience).toEqual(['0-6'])
    const phone = await start('phone', { model: 'stories15m' })
    expect(await answer(phone, { model: 'random' })).toEqual(await answer(holder))
    await expect(answer(phone, { model: 'nobody-has-it' })).rejects.toThrow("no model 'nobody-has-it'")
    await phone.stop()
    peers.pop()
    const again = await createPeer({
      dataDir: path.join(root, 'phone'),
      swarm,
      listen: ['/ip4/127.0.0.1/tcp/0'],
      mdns: false
    })
    peers.push(again)
    expect(again.status().models.map(({ name }) => name)).toContain('stories15m')
  })
})

describe('a damaged shard', () => {
  it('is fetched anew, and the stage serves', async () => {
    await cp(path.join(root, 'holder', 'models'), path.join(root, 'a', 'models'), { recursive: true })
    const file = path.join(root, 'a', 'models', 'shards', model.manifest.shards[3]!.sha256)
    const bytes = await readFile(file)
    bytes[1000]! ^= 1
    await writeFile(file, bytes)
    await start('holder')
    const other = await start('a')
    await expect.poll(() => stagesOf(other), patience).toEqual(['0-6'])
    expect(warnings.get(other)!.join()).toMatch(/the layer 2 shard of random is damaged: .*; it is fetched anew/)
    expect(await answer(other)).toEqual(await answer(peers[0]!))
    expect(Buffer.compare(await readFile(file), await readFile(file.replace('/a/', '/holder/')))).toBe(0)
  })
})
