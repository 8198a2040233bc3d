import { readdirSync, truncateSync } from 'node:fs'
import path from 'node:path'
import type { Worker } from 'node:worker_threads'
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest'
import type { Engine } from '../../src/engine/engine.ts'
import { createOnnxEngine, type OnnxEngineInit } from '../../src/engine/onnx/engine.ts'
import { needsTwinRows } from '../../src/engine/onnx/self-test.ts'
import type { ModelConfig } from '../../src/model/decoder.ts'
import { greedy, sessionId, signal, through } from './pipeline.ts'
import { poisonEmbedding, syntheticModel, type TestModel } from './synthetic-model.ts'

/** The real threads, noted so that a test can end one. */
const threads: Worker[] = []
vi.mock('node:worker_threads', async original => {
  const real = await original<typeof import('node:worker_threads')>()
  class Noted extends real.Worker {
    constructor(...args: ConstructorParameters<typeof Worker>) {
      super(...args)
      threads.push(this)
    }
  }
  return { ...real, Worker: Noted }
})

const config: ModelConfig = {
  layers: 3,
  hidden: 32,
  intermediate: 64,
  heads: 2,
  kvHeads: 1,
  headDim: 16,
  vocab: 40,
  contextMax: 3000,
  ropeTheta: 10_000,
  normEpsilon: 1e-5,
  tiedEmbeddings: false
}
const model = syntheticModel(config, 'f32', 'f32', 1)
const models: TestModel[] = [model]
const engines: Engine[] = []
afterEach(() => Promise.all(engines.splice(0).map(engine => engine.close())))
afterAll(() => {
  for (const each of models) each.remove()
})

async function make(init: Partial<OnnxEngineInit> = {}, from: TestModel = model): Promise<Engine> {
  const { manifest, shardDirectory } = from
  const engine = await createOnnxEngine({ manifest, shardDirectory, start: 0, end: 3, cacheBytesMax: 1 << 26, ...init })
  engines.push(engine)
  await engine.open(sessionId(1), { tokensMax: 300, sampling: greedy })
  return engine
}

function ids(position: number, tokens: number, sample = true): Parameters<Engine['run']>[0] {
  const list = Int32Array.from({ length: tokens }, (_, i) => (position + i) % config.vocab)
  return { session: sessionId(1), position, tokens, input: { kind: 'ids', ids: list }, sample }
}

describe('an ONNX engine', () => {
  it('lets its thread end by itself, whenever its loading is aborted or it is closed in mid-step', async () => {
    // A thread that is terminated inside ONNX Runtime takes the process with it.
    for (let ms = 0; ms < 200; ms += 20) {
      const aborting = AbortSignal.timeout(ms)
      const loading = make({ signal: aborting })
      const engine = await loading.catch(() => undefined)
      const step = engine?.run(ids(0, 250), { signal }).catch(() => undefined)
      await engine?.close()
      await step
      expect(threads.at(-1)?.threadId ?? -1).toBe(-1)
    }
  }, 120_000)

  it('rejects every pending call when its thread ends, and closes', async () => {
    const engine = await make()
    await engine.open(sessionId(2), { tokensMax: 300, sampling: greedy })
    // The thread fails over it by itself before it sees the calls, the first of which comes by message as well: terminated inside
    // ONNX Runtime it aborts the process.
    threads.at(-1)!.postMessage(null)
    const calls = [engine.free(sessionId(2)), engine.run(ids(0, 200), { signal }), engine.run(ids(200, 1), { signal })]
    for (const result of await Promise.allSettled(calls)) {
      expect(result).toMatchObject({ status: 'rejected', reason: { name: 'EngineError' } })
    }
    expect(engine.cacheBytesUsed).toBe(0)
    await expect(engine.run(ids(0, 1), { signal })).rejects.toMatchObject({ name: 'EngineError' })
    await engine.close()
  })

  it('rejects what waits when it is closed, and completes what runs', async () => {
    const engine = await make()
    const running = engine.run(ids(0, 130), { signal })
    const waiting = engine.run(ids(130, 1), { signal })
    const refused = expect(waiting).rejects.toMatchObject({ name: 'EngineError' })
    await engine.close()
    expect((await running).kind).toBe('tokens')
    await refused
  })

  it('fails a step whose numbers overflow, and keeps the tokens before it', async () => {
    const wild = syntheticModel(config, 'f32', 'f32', 2)
    models.push(wild)
    // Only the embedding of token 7 is not finite, so every step without it succeeds.
    poisonEmbedding(wild, 7, Number.POSITIVE_INFINITY)
    for (const end of [2, 3]) {
      const engine = await make({ end }, wild)
      const sample = end === 3
      const first = await engine.run(ids(0, 7, sample), { signal })
      await expect(engine.run(ids(7, 1, sample), { signal })).rejects.toMatchObject({ name: 'EngineError' })
      expect(engine.length(sessionId(1))).toBe(7)
      // In a second pass, after a first one that was added to the cache.
      await expect(engine.run(ids(0, 140, sample), { signal })).rejects.toMatchObject({ name: 'EngineError' })
      expect(engine.length(sessionId(1))).toBe(0)
      const times = { computeMs: expect.anything(), spans: expect.anything() }
      expect(await engine.run(ids(0, 7, sample), { signal })).toMatchObject({ ...first, ...times })
    }
  })

  it('refuses more waiting requests than its queue holds', async () => {
    const engine = await make()
    const calls = Array.from({ length: 1100 }, () => engine.run(ids(0, 1), { signal }))
    const results = await Promise.allSettled(calls)
    expect(results[0]!.status).toBe('fulfilled')
    expect(results.at(-1)).toMatchObject({ status: 'rejected', reason: { name: 'NoRoomError' } })
  })

  it.each([
    [0, 0],
    [-1, 1],
    [1, 4],
    [2, 1],
    [0, 1.5]
  ])('refuses layers %d-%d of 3', async (start, end) => {
    await expect(make({ start, end })).rejects.toThrow('no range')
  })

  it('refuses heads wider than an attention block', async () => {
    const manifest = { ...model.manifest, config: { ...config, headDim: 130 } }
    await expect(make({ manifest })).rejects.toThrow('heads of 130')
  })

  it('says which layers cannot be loaded', async () => {
    const torn = syntheticModel(config, 'q8', 'f32', 3)
    models.push(torn)
    for (const name of readdirSync(torn.shardDirectory)) truncateSync(path.join(torn.shardDirectory, name), 100)
    await expect(make({ start: 1, end: 2 }, torn)).rejects.toMatchObject({
      name: 'EngineError',
      message: expect.stringContaining('layers 1-2 cannot be loaded')
    })
    await expect(make({ shardDirectory: '/nowhere' })).rejects.toMatchObject({ name: 'EngineError' })
  })

  it('stops loading when its signal aborts', async () => {
    const abort = new AbortController()
    const loading = make({ signal: abort.signal })
    abort.abort(new Error('not needed any more'))
    await expect(loading).rejects.toThrow('not needed any more')
    await expect(make({ signal: AbortSignal.abort(new Error('never')) })).rejects.toThrow('never')
  })

  it('replays 300 tokens across two block borders in one step', async () => {
    const engine = await make()
    const whole = await engine.run(ids(0, 300), { signal })
    const again = await engine.run(ids(250, 50), { signal })
    expect(again).toMatchObject({ kind: 'tokens', ids: whole.kind === 'tokens' ? whole.ids : [] })
    expect(await through([engine], sessionId(1), 0, [1, 2, 3], true)).toBeTypeOf('number')
  })
})

it('decides by trying whether 4-bit rows need company', async () => {
  expect(await needsTwinRows()).toBeTypeOf('boolean')
})
