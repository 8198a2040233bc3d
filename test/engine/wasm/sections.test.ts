/** A stage in several memories: what lies where, and that it changes no bit. */
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { type CacheType, cacheTypes } from '../../../src/base/cache-type.ts'
import type { SessionId } from '../../../src/base/ids.ts'
import { syntheticShard } from '../../../src/engine/synthetic.ts'
import { startSpan } from '../../../src/engine/wasm/engine.ts'
import { wasmEngine } from '../../../src/engine/wasm/factory.ts'
import { layerCacheBytes } from '../../../src/engine/wasm/footprint.ts'
import { formsHere } from '../../../src/engine/wasm/forms.ts'
import type { PagedCache } from '../../../src/engine/wasm/paged-cache.ts'
import { sectionsOf, type SectionsInit } from '../../../src/engine/wasm/sections.ts'
import { WasmSpan } from '../../../src/engine/wasm/span.ts'
import { type LargePages, StageMemory } from '../../../src/engine/wasm/stage-memory.ts'
import { byChance } from './policies.ts'
import type { TeamPolicy } from '../../../src/engine/wasm/choice.ts'
import { plainDecoder } from './decoders.ts'
import type { ModelConfig } from '../../../src/model/decoder.ts'
import { shardBytes } from '../../../src/model/layout.ts'
import { type Manifest, shardName, shardOrder, stagePlaces } from '../../../src/model/manifest.ts'
import type { Weights } from '../../../src/model/weight-types.ts'

const config: ModelConfig = { ...plainDecoder, layers: 6, intermediate: 52 }
const tied: ModelConfig = { ...config, tiedEmbeddings: true }
const MiB = 1 << 20
const GiB = 1 << 30

describe('sections', () => {
  const shapes = fc.record({
    config: fc
      .record({
        layers: fc.integer({ min: 2, max: 80 }),
        hidden: fc.constantFrom(576, 2048, 4096),
        vocab: fc.constantFrom(61, 32_000, 128_256),
        contextMax: fc.constantFrom(128, 2048, 131_072),
        tiedEmbeddings: fc.boolean()
      })
      .map(own => ({ ...config, heads: 8, kvHeads: 4, headDim: own.hidden / 8, intermediate: 3 * own.hidden, ...own })),
    weights: fc.constantFrom<Weights>('f32', 'q8', 'q4'),
    threads: fc.integer({ min: 1, max: 4 }),
    cacheBytesMax: fc.constantFrom(0, 100 * MiB, 6 * GiB, Number.MAX_SAFE_INTEGER),
    from: fc.integer({ min: 0, max: 99 }).map(share => share / 100),
    to: fc.integer({ min: 0, max: 100 }).map(share => share / 100)
  })
  const initOf = ({ from, to, ...shape }: typeof shapes extends fc.Arbitrary<infer T> ? T : never): SectionsInit => {
    const start = Math.floor(from * shape.config.layers)
    return { ...shape, start, end: start + Math.max(1, Math.round(to * (shape.config.layers - start))) }
  }

  it('hold each shard of a stage once, in order, in memories with room for the same caches of every layer', () => {
    let several = 0
    fc.assert(
      fc.property(shapes, shape => {
        const init = initOf(shape)
        const { sections, cacheBytesMost } = sectionsOf(init)
        if (sections.length > 1) several++
        expect(sections[0]!.start).toBe(init.start)
        expect(sections.at(-1)!.end).toBe(init.end)
        for (const [i, { start }] of sections.entries()) if (i > 0) expect(start).toBe(sections[i - 1]!.end)
        const names = sections.flatMap(({ places }) => places.map(shardName))
        expect(names.toSorted()).toEqual(stagePlaces(init.config, init.start, init.end).map(shardName).toSorted())
        const perLayer = cacheBytesMost / (init.end - init.start)
        for (const { start, end, places } of sections) {
          const weights = places.reduce((sum, place) => sum + shardBytes(init, place), 0)
          expect(weights + perLayer * (end - start)).toBeLessThan(4 * GiB)
          expect(places.filter(({ role }) => role === 'layer').map(({ layer }) => layer)).toEqual(
            Array.from({ length: end - start }, (_, k) => start + k)
          )
        }
        // All that was asked for, unless a layer that has a memory of its own has no more room in it.
        const isFull = ({ start, end, places }: (typeof sections)[number]): boolean =>
          end === start + 1 && places.reduce((sum, place) => sum + shardBytes(init, place), 0) + perLayer > 3 * GiB
        if (cacheBytesMost < init.cacheBytesMax!) expect(sections.some(isFull)).toBe(true)
      }),
      { numRuns: 300 }
    )
    expect(several).toBeGreaterThan(50)
  })

  it('are one where all fits, and as many as weights or caches ask for', () => {
    const shape = {
      config: { ...config, layers: 40, hidden: 4096, intermediate: 11_008, heads: 32, kvHeads: 32, headDim: 128 }
    }
    const init = { ...shape, weights: 'q8', start: 0, end: 40 } as const
    const weights = 40 * shardBytes(init, { role: 'layer', layer: 0 })
    expect(weights).toBeGreaterThan(8 * GiB)
    expect(sectionsOf({ ...init, end: 4 }).sections.map(({ start, end }) => [start, end])).toEqual([[0, 4]])
    const all = sectionsOf(init).sections
    expect(all.length).toBe(Math.ceil(weights / (4 * GiB)))
    // Caches of 6 GiB beside these.
    expect(sectionsOf({ ...init, cacheBytesMax: 6 * GiB }).sections.length).toBe(
      Math.ceil((weights + 6 * GiB) / (4 * GiB))
    )
    expect(sectionsOf({ ...init, end: 8, cacheBytesMax: 6 * GiB }).sections.length).toBe(2)
  })

  it('share out what no memory holds no more than that: caches have what is left', () => {
    const init = { config, weights: 'q8', start: 0, end: 6, cacheBytesMax: 100 * GiB } as const
    const { sections, cacheBytesMost } = sectionsOf(init)
    expect(sections.length).toBe(6)
    expect(cacheBytesMost).toBeGreaterThan(23 * GiB)
    expect(cacheBytesMost).toBeLessThan(24 * GiB)
  })

  it('refuse a layer, or what lies with it, that no memory holds', () => {
    const wide = { ...config, vocab: 1 << 20, hidden: 4096, heads: 32, headDim: 128 }
    const bytes = shardBytes({ config: wide, weights: 'f32' }, { role: 'embedding', layer: null })
    expect(bytes).toBeGreaterThan(4 * GiB)
    const weights = bytes + shardBytes({ config: wide, weights: 'f32' }, { role: 'layer', layer: 0 })
    const init = { config: wide, weights: 'f32', start: 0, end: 6 } as const
    const sentence = `layer 5 and head, \\d+ bytes of weights and \\d+ to compute with, must fit into one memory of ${4 * GiB} bytes`
    expect(() => sectionsOf(init)).toThrow(new RegExp(sentence))
    expect(() => sectionsOf({ ...init, end: 1 })).toThrow(`embedding and layer 0, ${weights} bytes of weights`)
    // Others of that model can be computed.
    expect(sectionsOf({ ...init, start: 1, end: 5 }).sections.length).toBe(1)
    expect(wasmEngine.supports({ config: wide, weights: 'f32', edge: 'f16' } as Manifest)).toMatch(new RegExp(sentence))
    expect(wasmEngine.supports({ config, weights: 'f32', edge: 'f16' } as Manifest)).toBeUndefined()
  })
})

// ── Bits ──────────────────────────────────────────────────────────────────────────────────────────

const spans: WasmSpan[] = []
afterAll(() => {
  for (const span of spans) span.release()
})

/** So many pages in each layer, for all sessions of a test. */
const cachePages = 26
const cacheBytesMax = config.layers * layerCacheBytes(config, 128 * cachePages)

interface Shape {
  readonly config: ModelConfig
  readonly weights: Weights
  readonly start?: number
  readonly end?: number
  readonly threads?: number
  readonly memoryBytesMax?: number
  readonly policy?: TeamPolicy
  readonly largePages?: LargePages
}

function source({ config, weights }: Pick<Shape, 'config' | 'weights'>) {
  const files = new Map(
    shardOrder(config).map((place, i) => [shardName(place), syntheticShard({ config, weights }, place, i + 1)])
  )
  const shardLocations = new Map([...files.keys()].map(name => [name, name]))
  return { source: { kind: 'memory', files }, shardLocations } as const
}

async function spanOf({ start = 0, end = config.layers, ...shape }: Shape): Promise<WasmSpan> {
  const init = { edge: 'f16', start, end, cacheBytesMax, forms: formsHere(), ...source(shape), ...shape } as const
  const span = WasmSpan.create(init)
  spans.push(span)
  await span.gather()
  return span
}

/** The largest memories of which a stage needs so many. */
function memoryFor(shape: Shape, sections: number): number {
  for (let bytes = 8 * MiB, count = 0; count < sections; bytes -= 65_536) {
    const init = { start: 0, end: config.layers, cacheBytesMax, ...shape, memoryBytesMax: bytes }
    count = sectionsOf(init).sections.length
    if (count === sections) return bytes
  }
  throw new Error(`no memory makes ${sections} sections`)
}

const bits = (values: Float32Array): string => Buffer.from(values.slice().buffer).toString('hex')

/** What happens to sessions: tokens for some of them in one pass, or one is cut, or begins anew with what another one has. */
type Act =
  | { readonly kind: 'pass'; readonly tokens: readonly number[] }
  | { readonly kind: 'cut'; readonly session: number; readonly share: number }
  | { readonly kind: 'anew'; readonly session: number; readonly held: CacheType; readonly after: number }

const sessions = 4
const acts = fc.array(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant('pass' as const),
        // Nothing of most, so that lone rows are there, too.
        tokens: fc.array(fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.constantFrom(1, 1, 2, 7, 40, 131)), {
          minLength: sessions,
          maxLength: sessions
        })
      })
    },
    fc.record({
      kind: fc.constant('cut' as const),
      session: fc.nat(sessions - 1),
      share: fc.double({ min: 0, max: 1, noNaN: true })
    }),
    fc.record({
      kind: fc.constant('anew' as const),
      session: fc.nat(sessions - 1),
      held: fc.constantFrom(...cacheTypes),
      after: fc.nat(sessions - 1)
    })
  ),
  { minLength: 3, maxLength: 14 }
)

/** What passes give along one or several stages. */
function live(stages: readonly WasmSpan[], all: readonly Act[]): string[] {
  const given: string[] = []
  const caches = Array.from({ length: sessions }, (_, i) =>
    stages.map(stage => stage.open(undefined, cacheTypes[i % 2]))
  )
  for (const act of all) {
    if (act.kind === 'cut') {
      const length = Math.floor(caches[act.session]![0]!.length * act.share)
      for (const cache of caches[act.session]!) cache.truncate(length)
    } else if (act.kind === 'anew') {
      const [old, other] = [caches[act.session]!, caches[act.after]!]
      const fresh = stages.map(stage => stage.open(undefined, act.held))
      // It goes on with the first block that another one has computed.
      if (act.held === other[0]!.type && other[0]!.length >= 128) {
        for (const [i, { blocks }] of stages.entries()) {
          const held = blocks.hold(other[i]!, 0)
          blocks.adopt(fresh[i]!, held)
          blocks.release(held)
        }
      }
      for (const cache of old) cache.free()
      caches[act.session] = fresh
    } else {
      const in_ = caches.flatMap((of, i) => {
        const tokens = Math.min(act.tokens[i]!, config.contextMax - of[0]!.length)
        const at = of[0]!.length
        const ids = Int32Array.from({ length: tokens }, (_, k) => ((at + k) ** 2 * 7 + i * 3 + k) % config.vocab)
        return tokens > 0 ? [{ of, tokens, input: ids as Int32Array | Float32Array }] : []
      })
      if (in_.length === 0) continue
      let inputs = in_.map(({ input }) => input)
      for (const [s, stage] of stages.entries()) {
        const outs = stage.pass(in_.map(({ of, tokens }, i) => ({ cache: of[s]!, input: inputs[i]!, tokens })))
        inputs = outs.map(out => (out as Float32Array).slice())
        if (s < stages.length - 1) continue
        given.push(...(inputs as Float32Array[]).map(bits))
        stage.eachLogits(inputs as Float32Array[], logits => given.push(bits(logits)))
      }
    }
  }
  for (const of of caches) for (const cache of of) cache.free()
  return given
}

/** Two tables of rotations, of which some memories need one and some none, and kinds that no memory begins with. */
const kinds: ModelConfig = {
  ...config,
  attention: { headNorm: 'head', qkvBias: true },
  kinds: { of: [{ window: 40, ropeTheta: 500 }, {}, { rotation: 'none' }], layers: [0, 0, 1, 2, 0, 1] }
}

describe.each([
  { name: 'q8', shape: { config, weights: 'q8' } as const },
  { name: 'layers of several kinds', shape: { config: kinds, weights: 'q8' } as const },
  { name: 'f32, with one table', shape: { config: tied, weights: 'f32' } as const },
  { name: 'q4 in records of float16, with one table', shape: { config: tied, weights: 'q4-f16' } as const }
])('$name', ({ shape }) => {
  it('has the bits of one memory in several, whatever its sessions and threads do and wherever it is cut', {
    timeout: 120_000
  }, async () => {
    const whole = await spanOf(shape)
    expect(whole.sections).toBe(1)
    const split: (readonly WasmSpan[])[] = []
    for (const [sections, threads] of [
      [2, 1],
      [3, 1],
      [3, 2],
      [6, 2]
    ] as const) {
      // Threads part at any layer of any section.
      const own = { ...shape, threads, ...(threads > 1 ? { policy: byChance(sections) } : {}) }
      const span = await spanOf({ ...own, memoryBytesMax: memoryFor(own, sections) })
      expect(span.sections).toBe(sections)
      split.push([span])
    }
    const memoryBytesMax = memoryFor(shape, 6)
    const cut = [
      await spanOf({ ...shape, end: 2, memoryBytesMax }),
      await spanOf({ ...shape, start: 2, memoryBytesMax })
    ]
    expect(cut.every(({ sections }) => sections > 1)).toBe(true)
    split.push(cut)
    fc.assert(
      fc.property(acts, all => {
        const want = live([whole], all)
        for (const stages of split) expect(live(stages, all)).toEqual(want)
      }),
      { numRuns: 15 }
    )
  })
})

it('gives memory back where one of several has no more, and computes on', async () => {
  const shape = { config, weights: 'q8' } as const
  const memoryBytesMax = memoryFor(shape, 3)
  const [whole, split] = [await spanOf(shape), await spanOf({ ...shape, memoryBytesMax })]
  const ids = Int32Array.from({ length: 300 }, (_, i) => (i * 7) % config.vocab)
  const want = whole.run(whole.open(), ids, 300).slice()
  const full: PagedCache[] = []
  const fill = (): void => {
    for (;;) {
      full.push(split.open())
      split.run(full.at(-1)!, ids, 300)
    }
  }
  expect(fill).toThrow(/bytes more than \d+ cannot be reserved in a memory of at most \d+ bytes/)
  // More than was asked for: what is left of a memory is theirs, too.
  expect((full.length - 1) * 3).toBeGreaterThanOrEqual(cachePages - 3)
  expect(full.at(-1)!.length).toBe(0)
  for (const cache of full) cache.free()
  expect(split.blocks.bytesUsed).toBe(0)
  expect(split.run(split.open(), ids, 300)).toEqual(want)
})

it.each([1, 2])('computes at addresses beyond 2 GiB, with %i threads', async threads => {
  const shape = { config, weights: 'q8', threads } as const
  const [near, far] = [await spanOf(shape), await spanOf({ ...shape, cacheBytesMax: 3 * GiB } as Shape)]
  // Pages that nobody writes to take no memory of the machine.
  far.blocks.makeRoom(far.open(), 128 * Math.ceil((2.2 * GiB) / far.blocks.pageBytes))
  const all: Act[] = [
    { kind: 'pass', tokens: [40, 300, 1, 7] },
    { kind: 'pass', tokens: [1, 1, 1, 1] },
    { kind: 'pass', tokens: [1, 0, 0, 0] },
    { kind: 'pass', tokens: [0, 1, 0, 0] }
  ]
  expect(live([far], all)).toEqual(live([near], all))
})

// ── The engine ────────────────────────────────────────────────────────────────────────────────────

it('has caches of what its memories can hold, and refuses more with the bytes', async () => {
  const shape = { config, weights: 'q8' } as const
  const memoryBytesMax = 2 * MiB
  const span = { ...shape, ...source(shape), edge: 'f16', start: 0, end: 6, threads: 1, memoryBytesMax } as const
  const most = sectionsOf({ ...span, cacheBytesMax: GiB }).cacheBytesMost
  const engine = await startSpan(span, GiB)
  try {
    expect(engine.cacheBytesMax).toBe(most)
    expect(most).toBeLessThan(6 * memoryBytesMax)
    engine.cacheBytesMax = 2 * GiB
    expect(engine.cacheBytesMax).toBe(most)
    const sampling = { temperature: 0, topP: 1, topK: 0, seed: 0 }
    const { signal } = new AbortController()
    const ids = Int32Array.from({ length: 300 }, (_, i) => (i * 7) % config.vocab)
    const step = { position: 0, tokens: 300, input: { kind: 'ids', ids }, sample: true } as const
    const tokens = new Set<string>()
    const each = engine.cacheBytes(300)
    for (let n = 0; (n + 1) * each <= most; n++) {
      const session = String(n).padStart(32, '0') as SessionId
      await engine.open(session, { tokensMax: 300, sampling, owner: 'one' })
      tokens.add(
        JSON.stringify(await engine.run({ ...step, session }, { signal }).then(out => out.kind === 'tokens' && out.ids))
      )
    }
    expect(tokens.size).toBe(1)
    const more = engine.open('f'.repeat(32) as SessionId, { tokensMax: 300, sampling })
    await expect(more).rejects.toThrow(`of ${most} bytes are in use`)
    engine.cacheBytesMax = 3 * each
    expect(engine.cacheBytesMax).toBe(3 * each)
  } finally {
    await engine.close()
  }
})

it('is loaded into memories that are as large as it needs them: none grows before a session is there', async () => {
  for (const [threads, count] of [
    [1, 1],
    [2, 1],
    [1, 3]
  ] as const) {
    const shape = { config: { ...config, hidden: 320, vocab: 4000 }, weights: 'q8' } as const
    let memories = 0
    const memoryBytesMax = count === 1 ? undefined : memoryFor(shape, count)
    const span = await spanOf({ ...shape, threads, memoryBytesMax, largePages: () => void memories++ })
    expect(span.sections).toBe(count)
    // A memory asks for large pages when it is made and whenever it has grown.
    expect(memories).toBe(count)
  }
})

it('says how many bytes cannot be reserved, and of what', () => {
  expect(() => new StageMemory(3 * MiB, { shared: false, bytesMax: 2 * MiB })).toThrow(
    `${3 * MiB} bytes for weights cannot be reserved in a memory of at most ${2 * MiB} bytes`
  )
})
