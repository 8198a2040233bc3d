/** Draft models of real peers, over libp2p, with the model that ships and the real engine: found, counted, shared out, and let go. */
import { setTimeout as delay } from 'node:timers/promises'
import { expect, it } from 'vitest'
import {
  type Engine,
  EngineError,
  type EngineFactory,
  type GenerateOptions,
  type Peer,
  type PeerInit,
  type SwarmConfig,
  wasmEngine
} from '../../src/index.ts'
import { newSwarm } from '../../src/swarm/swarm-file.ts'
import { writeRandomModel } from '../supply/model.ts'
import { livePeers } from './live-peers.ts'

const { peers, folder, start: startPeer } = livePeers('draft')
const prompt = 'Once upon a time, there was a little girl who'

async function start(swarm: SwarmConfig, init: Partial<PeerInit> & { warnings?: string[] } = {}): Promise<Peer> {
  const { warnings = [], ...rest } = init
  return startPeer({
    swarm,
    memoryBytes: 256e6,
    onWarning: message => warnings.push(message),
    ...rest
  })
}

/** The engine on a machine that is so much slower at every step: laps over it show what drafts gain. */
function slow(ms: number): EngineFactory {
  return {
    ...wasmEngine,
    async create(init): Promise<Engine> {
      const engine = await wasmEngine.create(init)
      const run = engine.run.bind(engine)
      engine.run = async (step, options) => {
        await delay(ms)
        return run(step, options)
      }
      return engine
    }
  }
}

/** An engine whose steps fail after so many, where it holds a whole model. */
function dying(steps: number): EngineFactory {
  return {
    ...wasmEngine,
    async create(init): Promise<Engine> {
      const engine = await wasmEngine.create(init)
      const run = engine.run.bind(engine)
      let left = steps
      engine.run = async (step, options) => {
        if (left-- <= 0) throw new EngineError('its thread has ended')
        return run(step, options)
      }
      return engine
    }
  }
}

/** Three peers that serve a third each, and how often each layer is covered once they do. */
async function serveThirds(swarm: SwarmConfig): Promise<void> {
  for (const [from, to] of [
    [0, 2],
    [2, 4],
    [4, 6]
  ] as const) {
    await start(swarm, { model: 'stories15m', layers: { start: from, end: to }, engines: [slow(25)] })
  }
}

async function answer(peer: Peer, options: GenerateOptions = {}) {
  const generation = peer.generate(prompt, { model: 'stories15m', maxTokens: 40, ...options })
  for await (const _ of generation);
  return generation.answer
}

const covered = (peer: Peer, times = [1, 1, 1, 1, 1, 1]): Promise<void> =>
  expect
    .poll(() => peer.status().models.find(({ name }) => name === 'stories15m')?.coverage, { timeout: 100_000 })
    .toEqual(times)

const drafting = (peer: Peer): Promise<void> =>
  expect.poll(() => peer.status().draft, { timeout: 100_000 }).toMatchObject({ ready: true, state: 'ready' })

/** The shipped model's tokenizer with something changed, and other white space. */
function tokenizerWith(change: (vocab: Record<string, number>) => void): (bytes: Uint8Array) => Uint8Array {
  return bytes => {
    const json = JSON.parse(new TextDecoder().decode(bytes))
    change(json.model.vocab)
    return new TextEncoder().encode(JSON.stringify(json, null, 1))
  }
}

it('answers have the same tokens in fewer laps: greedy and sampled, also when a peer dies in the middle', {
  timeout: 120_000
}, async () => {
  const swarm = newSwarm('drafts')
  await serveThirds(swarm)
  const warnings: string[] = []
  const driver = await start(swarm, { memoryBytes: 24e6, draft: 'stories15m', warnings })
  await covered(driver)
  await drafting(driver)
  for (const sampling of [{}, { temperature: 0.8, topP: 0.9, seed: 7, frequencyPenalty: 0.5 }]) {
    const plain = await answer(driver, { ...sampling, speculate: false })
    const drafted = await answer(driver, sampling)
    expect(drafted.ids).toEqual(plain.ids)
    expect(drafted.drafts.taken, JSON.stringify([sampling, drafted.drafts])).toBeGreaterThan(10)
    for (const [i, { steps }] of drafted.hops.entries()) expect(steps).toBe(plain.hops[i]!.steps - drafted.drafts.taken)
  }
  const plain = await answer(driver, { speculate: false })
  // Another one for the middle, and the one there was dies.
  await start(swarm, { model: 'stories15m', layers: { start: 2, end: 4 }, engines: [slow(25)] })
  await covered(driver, [1, 1, 2, 2, 1, 1])
  const ids: number[] = []
  let middle: string | undefined
  let losses = 0
  for await (const event of driver.generate(prompt, { model: 'stories15m', maxTokens: 40 }).events()) {
    if (event.event === 'route') middle = event.hops[1]!.peer
    if (event.event === 'lost') losses++
    if (event.event !== 'token') continue
    ids.push(event.id)
    if (ids.length === 10) void peers.find(({ id }) => id === middle)!.stop()
  }
  expect(ids).toEqual(plain.ids)
  expect(losses).toBeGreaterThan(0)
  expect(warnings.filter(message => message.includes('draft the'))).toEqual([])
})

it('a model of other tokens is told of once and drafts for its own alone; one of the same in another file is not told of', {
  timeout: 120_000
}, async () => {
  const swarm = newSwarm('drafts')
  await start(swarm, { model: 'stories15m' })
  for (const isAlike of [true, false]) {
    const dataDir = await folder()
    const tokenizer = tokenizerWith(vocab => {
      if (isAlike) return
      ;[vocab['▁girl'], vocab['▁boy']] = [vocab['▁boy']!, vocab['▁girl']!]
    })
    const small = await writeRandomModel(dataDir, { name: 'small', layers: 1, tokenizer })
    const warnings: string[] = []
    const driver = await start(swarm, { dataDir, memoryBytes: 12e6, draft: 'small', warnings })
    await covered(driver)
    await drafting(driver)
    const plain = await answer(driver, { speculate: false })
    for (let i = 0; i < 2; i++) expect((await answer(driver)).ids).toEqual(plain.ids)
    const { id } = driver.status().models.find(({ name }) => name === 'stories15m')!
    expect(warnings.filter(message => message.includes('tokens'))).toEqual(
      isAlike
        ? []
        : [
            `small (${small.id.slice(0, 12)}) has other tokens than stories15m (${id.slice(0, 12)}): it does not draft for that, whose drafts come from the text alone`
          ]
    )
  }
})

it('counts in the budget, is shown, keeps its files, and is let go of by name', { timeout: 120_000 }, async () => {
  const dataDir = await folder()
  const { id } = await writeRandomModel(dataDir)
  const swarm = newSwarm('drafts')
  const peer = await start(swarm, { dataDir, draft: 'random', memoryBytes: 96e6, layers: { start: 0, end: 6 } })
  await covered(peer)
  await drafting(peer)
  const { draft, peers: rows } = peer.status()
  expect(draft).toMatchObject({ model: id, name: 'random' })
  const own = rows[0]!
  expect(own.usedBytes).toBeGreaterThan(draft!.bytes + 18e6)
  expect(own.usedBytes).toBeLessThanOrEqual(own.budgetBytes)
  // What is asked where none is named is what is served.
  expect((await answer(peer, { model: 'stories15m', maxTokens: 5 })).ids).toHaveLength(5)
  await expect(peer.removeModel('random')).rejects.toThrow('by the peer that runs here')
  await peer.unserve('random')
  expect(peer.status().draft).toBeNull()
  expect(peer.status().peers[0]!.usedBytes).toBe(own.usedBytes! - draft!.bytes)
  expect((await answer(peer, { maxTokens: 5 })).ids).toHaveLength(5)
  await peer.removeModel('random')
})

it('that the budget cannot hold is refused with its bytes, beside what is served and alone', {
  timeout: 120_000
}, async () => {
  const swarm = newSwarm('drafts')
  const refused = await start(swarm, { draft: 'stories15m', memoryBytes: 20e6 }).catch((error: Error) => error)
  const [, needed] =
    /^a budget of 20\.0 MB cannot hold the draft model stories15m whole, with its caches: it takes (\d+) bytes/.exec(
      (refused as Error).message
    ) ?? []
  expect(needed).toBeDefined()
  await expect(start(swarm, { draft: 'stories15m', memoryBytes: 0 })).rejects.toThrow('cannot hold the draft model')
  // What is left after it is too little for a layer: where a model to serve is named, that is an error.
  const warnings: string[] = []
  const init = { draft: 'stories15m', memoryBytes: Number(needed) + 1000, warnings }
  await expect(start(swarm, { ...init, model: 'stories15m' })).rejects.toThrow(/cannot hold even one layer/)
  const peer = await start(swarm, init)
  await drafting(peer)
  const [own] = peer.status().peers
  expect(own).toMatchObject({ stages: [], usedBytes: Number(needed) })
  expect(warnings.join()).toMatch(/cannot hold even one layer .* beside its draft model this peer serves none/)
})

it('that dies in mid-answer is told of, gives its memory back, and drafts for nobody any more', {
  timeout: 120_000
}, async () => {
  const swarm = newSwarm('drafts')
  await start(swarm, { model: 'stories15m', engines: [slow(60)] })
  const warnings: string[] = []
  // 16 of the steps show how fast it is.
  const driver = await start(swarm, { draft: 'stories15m', memoryBytes: 21.2e6, engines: [dying(20)], warnings })
  await covered(driver)
  await drafting(driver)
  const told: string[] = []
  for await (const event of driver.generate(prompt, { maxTokens: 30 }).events()) {
    if (event.event === 'warning') told.push(event.message)
    if (event.event === 'done') expect(event.ids).toHaveLength(30)
  }
  expect(told).toEqual(['the draft model stories15m drafts no more: its thread has ended'])
  const reason = 'this peer drafts from the text alone, without the model stories15m: its thread has ended'
  expect(warnings).toContain(reason)
  expect(driver.status().draft).toMatchObject({ ready: false, state: 'its thread has ended', bytes: 0 })
  expect(driver.status().peers.find(({ self }) => self)!.usedBytes).toBe(0)
  expect((await answer(driver, { maxTokens: 10 })).ids).toHaveLength(10)
  expect(warnings.filter(message => message === reason)).toHaveLength(1)
})

it('that is not here is fetched from who serves it', { timeout: 120_000 }, async () => {
  const swarm = newSwarm('drafts')
  const holder = await folder()
  await writeRandomModel(holder)
  await start(swarm, { dataDir: holder, model: 'random' })
  const driver = await start(swarm, { draft: 'random', model: 'stories15m' })
  await drafting(driver)
  expect(
    driver
      .status()
      .models.map(({ name }) => name)
      .sort()
  ).toEqual(['random', 'stories15m'])
})

it('that takes its part of the budget while a stage loads is made way for by that stage', {
  timeout: 120_000
}, async () => {
  const swarm = newSwarm('drafts')
  const holder = await folder()
  await writeRandomModel(holder)
  const loading = Promise.withResolvers<void>()
  const claimed = Promise.withResolvers<void>()
  const late: EngineFactory = {
    ...wasmEngine,
    async create(init): Promise<Engine> {
      if (init.manifest.name === 'stories15m') {
        loading.resolve()
        await claimed.promise
      }
      return wasmEngine.create(init)
    }
  }
  const driver = await start(swarm, { draft: 'random', model: 'stories15m', engines: [late] })
  await loading.promise
  await start(swarm, { dataDir: holder, model: 'random' })
  await expect.poll(() => driver.status().draft?.bytes, { timeout: 100_000 }).toBeGreaterThan(0)
  claimed.resolve()
  await covered(driver)
  await drafting(driver)
})

it('that takes what sessions hold by then loads once they have ended', { timeout: 120_000 }, async () => {
  const swarm = newSwarm('drafts')
  const holder = await folder()
  await writeRandomModel(holder)
  const driver = await start(swarm, { draft: 'random', model: 'stories15m', memoryBytes: 42e6, engines: [slow(400)] })
  await covered(driver)
  // They take longer than the draft model takes to come, on any machine, and end when that has been seen to wait.
  const ending = new AbortController()
  const generations = Array.from({ length: 4 }, () =>
    driver.generate(prompt, { model: 'stories15m', maxTokens: 240, signal: ending.signal })
  )
  const answers = generations.map(async generation => {
    for await (const _ of generation);
  })
  const sessions = (): number => driver.status().peers.find(({ self }) => self)!.sessions
  await expect.poll(sessions, { timeout: 100_000 }).toBe(4)
  await start(swarm, { dataDir: holder, model: 'random' })
  await expect
    .poll(() => driver.status().draft?.state, { timeout: 100_000, interval: 5 })
    .toMatch(/^waiting until stages let go of/)
  ending.abort()
  await Promise.allSettled(answers)
  await drafting(driver)
})
