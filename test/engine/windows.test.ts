/** What layers with a window give back while a session goes on: how much is left, how far back it can be cut, and that no bit changes. */
import fc from 'fast-check'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { type CacheType, cacheTypes } from '../../src/base/cache-type.ts'
import { pagesHeld } from '../../src/base/pages.ts'
import type { Engine, StepOutput } from '../../src/engine/engine.ts'
import { rollbackTokens } from '../../src/engine/limits.ts'
import { pagePositions } from '../../src/engine/wasm/attention.ts'
import { layerCacheBytes, stageCacheBytes } from '../../src/engine/wasm/footprint.ts'
import { cutLength, floorOf, latestTokens, readFrom } from '../../src/engine/windows.ts'
import type { ModelConfig } from '../../src/model/decoder.ts'
import { cutEngines, greedy, sessionId, signal } from './pipeline.ts'
import { syntheticModel, type TestModel } from './synthetic-model.ts'

const window = 40
const contextMax = 1_200

const plain: ModelConfig = {
  layers: 3,
  hidden: 44,
  intermediate: 36,
  heads: 4,
  kvHeads: 2,
  headDim: 14,
  vocab: 61,
  contextMax,
  ropeTheta: 10_000,
  normEpsilon: 1e-5,
  tiedEmbeddings: true
}
/** As Mistral: all layers have one. */
const all: ModelConfig = { ...plain, kinds: { of: [{ window }], layers: [0, 0, 0] } }
/** As Gemma: some have one, and each of these its own. */
const some: ModelConfig = { ...plain, kinds: { of: [{ window }, {}, { window: 300 }], layers: [0, 1, 2] } }

describe('what windows leave behind', () => {
  it('is what no step reads that starts where a cache can be cut to', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 900 }), fc.nat(3_000), fc.nat(3_000), (window, reached, back) => {
        const floor = floorOf([window, undefined], reached)
        const position = Math.max(0, reached - back)
        // Whoever goes back no further than is promised is served, and so is everybody where nothing was given back.
        if (back <= rollbackTokens || readFrom(window, reached) === 0) expect(cutLength(position, floor)).toBe(position)
        if (cutLength(position, floor) > 0) {
          const reads = Math.max(0, position - window + 1)
          expect(reads).toBeGreaterThanOrEqual(readFrom(window, reached))
        }
      }),
      { numRuns: 2_000 }
    )
    expect([floorOf([undefined], 10_000), floorOf([], 10_000), readFrom(undefined, 10_000)]).toEqual([0, 0, 0])
  })

  it('leaves no more pages than are said to be held', () => {
    const positions = fc.constantFrom(128, 256, 384)
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 900 }),
        fc.integer({ min: 1, max: 5_000 }),
        positions,
        (window, most, p) => {
          let held = 0
          for (let reached = 1; reached <= most; reached++) {
            const first = Math.floor(readFrom(window, reached) / p)
            held = Math.max(held, Math.ceil(reached / p) - first)
          }
          expect(held).toBeLessThanOrEqual(pagesHeld(most, p, latestTokens(window)))
          // And that is not said for nothing: a window, what may be rolled back, and a page.
          expect(pagesHeld(most, p, latestTokens(window)) * p).toBeLessThan(window + rollbackTokens + 2 * p)
          if (most >= window + rollbackTokens + 2 * p) expect(held).toBe(pagesHeld(most, p, latestTokens(window)))
        }
      ),
      { numRuns: 60 }
    )
  })

  it('is what a session is charged by', () => {
    const page = layerCacheBytes(plain, 1)
    const [whole, few] = [
      Math.ceil(contextMax / pagePositions),
      pagesHeld(contextMax, pagePositions, latestTokens(window))
    ]
    expect([whole, few]).toEqual([10, 4])
    expect(stageCacheBytes(plain, { start: 0, end: 3 }, contextMax)).toBe(3 * whole * page)
    expect(stageCacheBytes(all, { start: 0, end: 3 }, contextMax)).toBe(3 * few * page)
    expect(stageCacheBytes(some, { start: 0, end: 2 }, contextMax)).toBe((few + whole) * page)
    expect(stageCacheBytes(some, { start: 0, end: 3 }, 100)).toBe(3 * page)
  })
})

// ── Engines ───────────────────────────────────────────────────────────────────────────────────────

const engines: Engine[] = []
const models: TestModel[] = []
afterEach(async () => {
  await Promise.all(engines.splice(0).map(engine => engine.close()))
})
afterAll(() => {
  for (const model of models) model.remove()
})

async function cut(config: ModelConfig, cuts: readonly number[], threads = 1): Promise<Engine[]> {
  const model = syntheticModel(config, 'q8', 'f16', 7)
  models.push(model)
  const made = await cutEngines(model, cuts, { threads })
  engines.push(...made)
  return made
}

const idAt = (at: number): number => (at * at * 7 + at * 3 + 5) % plain.vocab

/** A session of a pipeline that reads one text. */
async function sessionOf(pipeline: readonly Engine[], cache: CacheType, name: number, owner?: string) {
  const session = sessionId(name)
  const init = { tokensMax: contextMax, sampling: greedy, cache, owner }
  await Promise.all(pipeline.map(engine => engine.open(session, init)))
  /** Reads [from, to): what each stage gives. */
  const read = async (from: number, to: number): Promise<string[]> => {
    const ids = Int32Array.from({ length: to - from }, (_, i) => idAt(from + i))
    let input: Parameters<Engine['run']>[0]['input'] = { kind: 'ids', ids }
    const outs: string[] = []
    for (const engine of pipeline) {
      const step = { session, position: from, tokens: to - from, input, sample: engine === pipeline.at(-1) }
      const out: StepOutput = await engine.run(step, { signal })
      outs.push(out.kind === 'hidden' ? Buffer.from(out.bytes).toString('hex') : 'ids' in out ? out.ids.join() : '')
      if (out.kind === 'hidden') input = { kind: 'hidden', bytes: out.bytes }
    }
    return outs
  }
  return { session, read, end: () => Promise.all(pipeline.map(engine => engine.free(session))) }
}

type Session = Awaited<ReturnType<typeof sessionOf>>

/** Reads on to a position, in steps that end where they would on the wire. */
async function readTo({ read }: Session, from: number, to: number): Promise<void> {
  for (let at = from; at < to; ) {
    const end = Math.min(to, (Math.floor(at / 128) + 1) * 128)
    await read(at, end)
    at = end
  }
}

describe.each([
  ['of all layers', all, [1]],
  ['of some layers', some, [1, 2]]
] as const)('a model with windows %s', (_, config, cuts) => {
  it.each(cacheTypes)('gives in caches of %s the bits that it gives read afresh', { timeout: 120_000 }, async cache => {
    const pipeline = await cut(config, cuts)
    const long = await sessionOf(pipeline, cache, 1)
    await readTo(long, 0, 1_000)
    for (const position of [990, 1_000 - 127, 1_000 - rollbackTokens]) {
      const got = await long.read(position, 1_000)
      const fresh = await sessionOf(pipeline, cache, position)
      await readTo(fresh, 0, position)
      expect(await fresh.read(position, 1_000)).toEqual(got)
      await fresh.end()
    }
    // Further back there is nothing: it says so, and is read from the beginning.
    const want = await long.read(1_000, 1_001)
    await expect(long.read(1_000 - rollbackTokens, 1_000)).rejects.toMatchObject({ name: 'CacheGapError', length: 0 })
    const windowed = pipeline.filter(engine => engine.length(long.session) === 0)
    expect(windowed.map(engine => engine.floor!(long.session))).toEqual([0])
    await expect(long.read(900, 1_000)).rejects.toThrow('the cache ends at 0')
    await readTo(long, 0, 1_000)
    expect(await long.read(1_000, 1_001)).toEqual(want)
  })

  it('is as it was after a step that was refused, and can be cut as far', { timeout: 120_000 }, async () => {
    const [first] = (await cut(config, [])) as [Engine]
    const { session, read } = await sessionOf([first], 'f32', 1)
    for (let at = 0; at < 900; at += 100) await read(at, at + 100)
    expect(first.floor!(session)).toBe(900 - rollbackTokens)
    const ids = Int32Array.from({ length: 100 }, () => 1).fill(plain.vocab, 99)
    const wrong = first.run(
      { session, position: 900, tokens: 100, input: { kind: 'ids', ids }, sample: true },
      { signal }
    )
    await expect(wrong).rejects.toMatchObject({ name: 'InvalidStepError' })
    expect([first.length(session), first.floor!(session)]).toEqual([900, 900 - rollbackTokens])
    // Further back than it could be if the step had been computed.
    expect(await read(900 - rollbackTokens, 700)).toHaveLength(1)
  })

  it('shares what sessions begin with, as far as they all have it', { timeout: 120_000 }, async () => {
    const pipeline = await cut(config, cuts)
    const alone = await sessionOf(pipeline, 'f32', 1)
    await readTo(alone, 0, 1_000)
    const want = [await alone.read(1_000, 1_010), await alone.read(1_010, 1_011)]
    await alone.end()
    for (const cache of cacheTypes) {
      const name = cache === 'f32' ? 10 : 20
      const first = await sessionOf(pipeline, cache, name, 'one')
      await readTo(first, 0, 1_000)
      const own = [await first.read(1_000, 1_010), await first.read(1_010, 1_011)]
      if (cache === 'f32') expect(own).toEqual(want)
      const before = pipeline.map(engine => engine.prefixes.reused)
      const second = await sessionOf(pipeline, cache, name + 1, 'one')
      await readTo(second, 0, 1_000)
      expect([await second.read(1_000, 1_010), await second.read(1_010, 1_011)]).toEqual(own)
      // The last row of each step is computed where a token is drawn after it.
      const known = pipeline.map(engine => 7 * (engine === pipeline.at(-1) ? 127 : 128))
      expect(pipeline.map((engine, i) => engine.prefixes.reused - before[i]!)).toEqual(known)
      await Promise.all([first.end(), second.end()])
    }
  })
})
