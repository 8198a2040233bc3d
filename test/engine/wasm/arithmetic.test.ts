/** The kernels compute what `protocols/arithmetic.md` says, to the bit, in every form that this machine can run. */
import { afterAll, describe, expect, it } from 'vitest'
import { askThread } from '../../../src/engine/ask-thread.ts'
import { syntheticShard } from '../../../src/engine/synthetic.ts'
import { type CacheType, cacheTypes } from '../../../src/base/cache-type.ts'
import { threadFile } from '../../../src/engine/thread-file.ts'
import { arithmeticClasses, classHere, computeClass, trialNames } from '../../../src/engine/wasm/numeric-class.ts'
import { compileKernels } from '../../../src/engine/wasm/compile.ts'
import { memoryPagesMax } from '../../../src/engine/wasm/emit.ts'
import type { Kernels } from '../../../src/engine/wasm/kernels.ts'
import { checkBytes, wrongKernel } from '../../../src/engine/wasm/self-check.ts'
import { layerCacheBytes } from '../../../src/engine/wasm/footprint.ts'
import { formsHere } from '../../../src/engine/wasm/forms.ts'
import type { ProductForms } from '../../../src/engine/wasm/products.ts'
import { WasmSpan } from '../../../src/engine/wasm/span.ts'
import type { ModelConfig } from '../../../src/model/decoder.ts'
import { type ShardLayout, shardLayout } from '../../../src/model/layout.ts'
import { type EdgeType, type ShardRole, shardName, shardOrder } from '../../../src/model/manifest.ts'
import { recordBytes } from '../../../src/model/tiles.ts'
import { type MixedWeights, type QuantisedType, quantisedTypes, type Weights } from '../../../src/model/weight-types.ts'
import { forward } from './forward.ts'
import { alwaysTogether } from './policies.ts'

/** Nothing in it is a multiple of anything that kernels count in. */
const odd: ModelConfig = {
  layers: 2,
  hidden: 76,
  intermediate: 282,
  heads: 6,
  kvHeads: 2,
  headDim: 14,
  vocab: 61,
  contextMax: 200,
  ropeTheta: 10_000,
  normEpsilon: 1e-5,
  tiedEmbeddings: false
}
/** As real models are. */
const even: ModelConfig = {
  ...odd,
  hidden: 64,
  intermediate: 96,
  heads: 4,
  kvHeads: 2,
  headDim: 16,
  tiedEmbeddings: true
}

const forms: readonly ProductForms[] = [
  formsHere(),
  { dot: 'plain', streams: 1 },
  { dot: 'plain', streams: 4, attention: 'words' },
  { dot: 'relaxed', streams: 3 },
  { dot: 'relaxed', nibbles: 'i16', signed: 'words', streams: 2, attention: 'words' }
]

type Layer = MixedWeights['layers'][number]

/** Two layers by turns. */
function mixed({ layers, tiedEmbeddings }: ModelConfig, one: Layer, other: Layer): MixedWeights {
  const table = tiedEmbeddings ? {} : ({ output: 'q8' } as const)
  return { embedding: 'q4-f16', ...table, layers: Array.from({ length: layers }, (_, l) => (l % 2 ? other : one)) }
}

/** Every matrix of its own type, and each layer otherwise. */
const mixtures = {
  mixed: [
    { q: 'q8-f16', k: 'q8-f16', v: 'q8-f16', o: 'q4', gate: 'q4-f16', up: 'q4-f16', down: 'f32' },
    { q: 'f32', k: 'f32', v: 'f32', o: 'q8', gate: 'q8', up: 'q8', down: 'q4-f16' }
  ],
  /** As in GGUF's Q4_K_M, whose values have six bits in some layers, and with none like another one. */
  'mixed in stacks': [
    {
      ...{ q: 'q4-f16i8-min', k: 'q4-f16i8-min', v: 'q8-f16i8-16', o: 'q4-f16i8-min' },
      ...{ gate: 'q4-f16i8-min', up: 'q4-f16', down: 'q8-f16i8-16' }
    },
    { q: 'q8', k: 'f32', v: 'q4', o: 'q8', gate: 'f32', up: 'q8-f16', down: 'q4-f16' }
  ]
} as const satisfies Record<string, readonly [Layer, Layer]>

function shardsOf(config: ModelConfig, weights: Weights) {
  const shard = (role: ShardRole, layer: number | null): Uint8Array =>
    syntheticShard({ config, weights }, { role, layer }, role === 'embedding' ? 1 : role === 'head' ? 2 : 3 + layer!)
  const files = new Map(shardOrder(config).map(place => [shardName(place), shard(place.role, place.layer)]))
  return { shard, files, locations: new Map([...files.keys()].map(name => [name, name])) }
}

function span(
  config: ModelConfig,
  weights: Weights,
  edge: EdgeType,
  form: ProductForms,
  start = 0,
  end = config.layers
) {
  const { files, locations } = shardsOf(config, weights)
  const source = { kind: 'memory', files } as const
  return WasmSpan.create({ config, weights, edge, start, end, shardLocations: locations, source, forms: form })
}

const bits = (values: ArrayLike<number>): Uint32Array => new Uint32Array(Float32Array.from(values).buffer)
const types = ['f32', ...(Object.keys(quantisedTypes) as QuantisedType[]), 'mixed', 'mixed in stacks'] as const
/** An edge rounds what a layer gives, whatever its weights are of. */
const edgesOf = (type: (typeof types)[number]) =>
  type === 'f32' || type === 'mixed' ? (['f32', 'f16', 'bf16'] as const) : (['f16'] as const)
const cases = [
  ...types.flatMap(type => edgesOf(type).map(edge => ({ type, edge, held: 'f32' as CacheType }))),
  { type: 'f32', edge: 'f32', held: 'i8' },
  { type: 'mixed in stacks', edge: 'f16', held: 'i8' }
] as const
/** Tables are of the type too, since those of one type in the format's short form are not. */
function weightsOf(type: (typeof types)[number], config: ModelConfig): Weights {
  if (type === 'mixed' || type === 'mixed in stacks') return mixed(config, mixtures[type][0], mixtures[type][1])
  const layer = { q: type, k: type, v: type, o: type, gate: type, up: type, down: type }
  const table = config.tiedEmbeddings ? {} : { output: type }
  return { embedding: type, ...table, layers: new Array(config.layers).fill(layer) }
}
const tokens = 19
let compared = 0
afterAll(() => expect(compared).toBeGreaterThan(0))

describe.each([
  { name: 'odd', config: odd },
  { name: 'even', config: even }
])('a model of $name dimensions', ({ config }) => {
  it.each(cases)('gives the bits of the reference: $type, edges $edge, cache $held', ({ type, edge, held }) => {
    const weights = weightsOf(type, config)
    const ids = Array.from({ length: tokens }, (_, i) => (i * i * 5 + 3) % config.vocab)
    const want = forward(config, weights, edge, ids, shardsOf(config, weights).shard, held)
    for (const form of forms) {
      const whole = span(config, weights, edge, form)
      const cache = whole.open(undefined, held)
      // A few together, then one by one: both ways of every product.
      let last = whole.run(cache, Int32Array.from(ids.slice(0, 11)), 11).slice()
      expect(bits(last)).toEqual(bits(want.hidden[10]!))
      for (let i = 11; i < tokens; i++) {
        last = whole.run(cache, Int32Array.of(ids[i]!), 1).slice()
        expect(bits(last)).toEqual(bits(want.hidden[i]!))
      }
      expect(bits(whole.logits(last))).toEqual(bits(want.logits))
      compared += tokens
    }
  })
})

/** Beyond a page of either type of cache. */
const beyond = [
  { held: 'f32', length: 150, some: types },
  { held: 'i8', length: 290, some: ['f32', 'mixed in stacks'] }
] as const

const eachBeyond = beyond.flatMap(({ some, ...each }) => some.map(type => ({ type, ...each })))

it.each(eachBeyond)(
  'gives the same bits over chunks, cuts and forms, beyond a page: $type, cache $held',
  ({ type, held, length }) => {
    const ids = Int32Array.from({ length }, (_, i) => (i * i * 7 + 13) % odd.vocab)
    const weights = weightsOf(type, odd)
    const seen = new Set<string>()
    for (const form of forms) {
      for (const cuts of [[2], [1, 2]]) {
        const parts = cuts.map((end, i) => span(odd, weights, 'f16', form, cuts[i - 1] ?? 0, end))
        for (const chunk of [length, 1, 7, 128]) {
          const caches = parts.map(part => part.open(undefined, held))
          let out: Int32Array | Float32Array = ids
          for (let at = 0; at < ids.length; at += chunk) {
            out = ids.subarray(at, at + chunk)
            const n = out.length
            for (const [i, part] of parts.entries()) out = part.run(caches[i]!, out, n).slice()
          }
          seen.add([...bits(out), ...bits(parts.at(-1)!.logits(out as Float32Array))].join())
        }
      }
    }
    expect(seen.size).toBe(1)
  }
)

it.each([2, 20, 48, 64, 80, 128, 256, 512])('has the bits of the reference for heads of %i, in every form', headDim => {
  const init = { config: { ...odd, headDim }, types: new Set(['f32'] as const), edge: 'f32' } as const
  // They are compared as they are compiled.
  for (const form of forms) compileKernels({ ...init, forms: form }, { shared: false })
})

it('finds a kernel of any type of cache that is wrong', () => {
  const init = { config: odd, types: new Set(['f32'] as const), edge: 'f32', forms: formsHere() } as const
  const module = compileKernels(init, { shared: false })
  const memory = new WebAssembly.Memory({ initial: checkBytes / 65_536, maximum: memoryPagesMax })
  const { exports } = new WebAssembly.Instance(module, { env: { memory } })
  const right = exports as unknown as Kernels
  expect(wrongKernel(right, memory.buffer, init)).toBeUndefined()
  for (const type of cacheTypes) {
    for (const name of [`scores.${type}.3`, `mix.${type}.3`] as const) {
      const wrong = { ...right, [name]: () => {} }
      expect(wrongKernel(wrong, memory.buffer, init)).toBe(`attention of 3 rows over a cache of ${type}`)
    }
  }
})

it('has the class of its revision, in every form', () => {
  for (const form of forms) {
    for (const name of trialNames) expect([name, computeClass(form, name)]).toEqual([name, arithmeticClasses[name]])
  }
  expect(classHere(formsHere())).toBe(arithmeticClasses.f32)
})

it('has it in the threads of engines, too, where V8 pairs vectors', async () => {
  const file = threadFile(new URL('../../../src/engine/wasm/factory.ts', import.meta.url).href, 'class-worker')
  expect(await askThread(file, { what: 'the class' })).toBe(arithmeticClasses.f32)
})

it.each(cacheTypes.flatMap(held => cacheTypes.map(before => ({ held, before }))))(
  'gives the pages of a cache of $before to the next one of $held, and what was left in them changes nothing',
  ({ held, before }) => {
    const ids = Int32Array.from({ length: 300 }, (_, i) => (i * 11) % odd.vocab)
    const want = (() => {
      const whole = span(odd, 'q8', 'f16', formsHere())
      return whole.run(whole.open(undefined, held), ids, ids.length).slice()
    })()
    const whole = span(odd, 'q8', 'f16', formsHere())
    const first = whole.open(undefined, before)
    whole.run(first, ids, ids.length)
    const used = first.pages.flat().flatMap(page => page!.at)
    first.free()
    expect([first.length, first.pages.flat()]).toEqual([0, []])
    const second = whole.open(undefined, held)
    expect(whole.run(second, ids, ids.length)).toEqual(want)
    expect(second.pages.flat().some(page => page!.at.some(at => used.includes(at)))).toBe(true)
    // Cut, and grown again.
    second.truncate(3)
    expect(whole.run(second, ids.subarray(3), ids.length - 3)).toEqual(want)
  }
)

it('holds several times as many tokens of int8 in the same bytes, and gives about what float32 gives', () => {
  for (const headDim of [16, 64, 128]) {
    const shape = { ...even, headDim }
    const [f32, i8] = cacheTypes.map(type => layerCacheBytes(shape, 4096, type))
    expect(f32! / i8!).toBeGreaterThan(headDim === 16 ? 1.9 : 2.9)
  }
  const whole = span({ ...even, headDim: 64 }, 'f32', 'f32', formsHere())
  const ids = Int32Array.from({ length: 200 }, (_, i) => (i * i * 7 + 13) % even.vocab)
  const [a, b] = cacheTypes.map(type => whole.logits(whole.run(whole.open(undefined, type), ids, ids.length)).slice())
  const rms = (values: readonly number[]): number => Math.hypot(...values) / Math.sqrt(values.length)
  const error = rms([...a!].map((value, i) => value - b![i]!)) / rms([...a!])
  expect(error).toBeGreaterThan(0)
  expect(error).toBeLessThan(0.02)
})

it.each(eachBeyond)(
  'gives the same bits with 1, 2 and 3 threads: $type, cache $held',
  async ({ type, held, length }) => {
    const ids = Int32Array.from({ length }, (_, i) => (i * i * 7 + 13) % odd.vocab)
    const weights = weightsOf(type, odd)
    const seen = new Set<string>()
    for (const count of [1, 2, 3]) {
      const { files, locations } = shardsOf(odd, weights)
      const source = { kind: 'memory', files } as const
      const whole = WasmSpan.create({
        ...{ config: odd, weights, edge: 'f16', start: 0, end: 2, shardLocations: locations, source },
        ...{ forms: formsHere(), threads: count, policy: alwaysTogether }
      })
      await whole.gather()
      for (const chunk of [length, 1, 7]) {
        const cache = whole.open(undefined, held)
        let out = new Float32Array()
        for (let at = 0; at < ids.length; at += chunk) {
          const part = ids.subarray(at, at + chunk)
          out = whole.run(cache, part, part.length).slice()
        }
        seen.add([...bits(out), ...bits(whole.logits(out))].join())
      }
      whole.release()
    }
    expect(seen.size).toBe(1)
  }
)

it.each(cacheTypes)('refuses what overflows, and the cache of %s is none the worse', held => {
  const part = span(odd, 'f32', 'f32', formsHere(), 1, 2)
  const cache = part.open(undefined, held)
  const row = Float32Array.from({ length: odd.hidden }, (_, k) => (k % 5) - 2)
  const want = part.run(cache, row, 1).slice()
  // As a row is whose sums have overflown.
  const huge = new Float32Array(odd.hidden).fill(Number.POSITIVE_INFINITY)
  expect(() => part.run(cache, huge, 1)).toThrow(/layers 1-2 overflow: hidden value \d+ is/)
  expect(cache.length).toBe(1)
  cache.truncate(0)
  expect(part.run(cache, row, 1)).toEqual(want)
})

it('refuses a shard that does not fit its tiles, and what is described and not computed yet', () => {
  const { files, locations } = shardsOf(odd, 'q8')
  const init = { config: odd, weights: 'q8', edge: 'f16', start: 0, end: 2, shardLocations: locations } as const
  const short = new Map(files).set('layer 1', files.get('layer 1')!.subarray(1))
  const size = files.get('layer 1')!.length
  const source = { kind: 'memory', files: short } as const
  expect(() => WasmSpan.create({ ...init, source, forms: formsHere() })).toThrow(
    `the file of the layer 1 has ${size - 1} bytes, its dimensions need ${size}`
  )
  const config = { ...odd, later: 30 } as ModelConfig
  expect(() => WasmSpan.create({ ...init, config, source, forms: formsHere() })).toThrow(
    'what config.later describes is not computed yet'
  )
})

it.each<[string, QuantisedType | 'f32', 'layer 0' | 'head', (shard: Uint8Array, layout: ShardLayout) => void]>([
  [
    'a norm that is not finite',
    'q8-f16',
    'layer 0',
    (shard, { vectors }) => new DataView(shard.buffer).setFloat32(vectors[1]!.offset, Number.NaN, true)
  ],
  [
    'a weight that is not finite',
    'f32',
    'layer 0',
    (shard, { matrices }) =>
      new DataView(shard.buffer).setFloat32(matrices[2]!.offset + 8, Number.POSITIVE_INFINITY, true)
  ],
  [
    'a scale that is not finite',
    'q8',
    'head',
    // The last number of a matrix.
    (shard, { matrices }) =>
      new DataView(shard.buffer).setFloat32(matrices[0]!.offset + matrices[0]!.bytes - 4, Number.NaN, true)
  ],
  [
    'a level of 7 bits that has 8',
    'q8-f16i8-min',
    'layer 0',
    // The first of a later group, behind the factors of two.
    (shard, { matrices: [, , , down] }) => (shard[down!.offset + 2 * 32 + 8 * recordBytes(down!.type)] = 128)
  ]
])('refuses a shard that has %s', (_, weights, name, spoil) => {
  const { files, locations } = shardsOf(odd, weights)
  const init = { config: odd, weights, edge: 'f16', start: 0, end: 2, shardLocations: locations } as const
  const create = (files: ReadonlyMap<string, Uint8Array>): WasmSpan =>
    WasmSpan.create({ ...init, source: { kind: 'memory', files }, forms: formsHere() })
  create(files).release()
  const shard = files.get(name)!.slice()
  const place = name === 'head' ? ({ role: 'head', layer: null } as const) : ({ role: 'layer', layer: 0 } as const)
  spoil(shard, shardLayout({ config: odd, weights }, place))
  expect(() => create(new Map(files).set(name, shard))).toThrow(
    weights === 'q8-f16i8-min' ? 'has a level above 127' : 'has a number that is not finite'
  )
})
