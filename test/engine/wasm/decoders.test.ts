/** What decoders have beyond llama is computed as it is described, to the bit, and however it is cut, batched and shared. */
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { type CacheType, cacheTypes } from '../../../src/base/cache-type.ts'
import { syntheticShard } from '../../../src/engine/synthetic.ts'
import { formsHere } from '../../../src/engine/wasm/forms.ts'
import type { ProductForms } from '../../../src/engine/wasm/products.ts'
import type { PagedCache } from '../../../src/engine/wasm/paged-cache.ts'
import { WasmSpan } from '../../../src/engine/wasm/span.ts'
import type { ModelConfig } from '../../../src/model/decoder.ts'
import { shardBytes } from '../../../src/model/layout.ts'
import { type EdgeType, type ShardRole, shardName, shardOrder } from '../../../src/model/manifest.ts'
import { partsOfLayer, type Weights, type WeightType } from '../../../src/model/weight-types.ts'
import { architectures, fields, plainDecoder } from './decoders.ts'
import { PlainDecoder } from '../../model/plain-decoder.ts'
import { decodeShard } from '../../model/reference.ts'
import { forward } from './forward.ts'
import { alwaysTogether } from './policies.ts'

const forms: readonly ProductForms[] = [formsHere(), { dot: 'plain', streams: 1, attention: 'words' }]

interface Made {
  readonly config: ModelConfig
  readonly weights: Weights
  readonly edge: EdgeType
}

function shardOf({ config, weights }: Pick<Made, 'config' | 'weights'>) {
  return (role: ShardRole, layer: number | null): Uint8Array =>
    syntheticShard({ config, weights }, { role, layer }, role === 'embedding' ? 1 : role === 'head' ? 2 : 3 + layer!)
}

/** Logits after some tokens, in float64. @param made whose shards are read as those of `config` */
function plainLogits(config: ModelConfig, ids: readonly number[], made: ModelConfig): number[] {
  const shard = shardOf({ config: made, weights: 'f32' })
  const shards = shardOrder(config).map(place =>
    decodeShard({ config, weights: 'f32' }, place, shard(place.role, place.layer))
  )
  return [...new PlainDecoder(config, shards).greedy(ids, 0).logits]
}

const spans: WasmSpan[] = []
afterAll(() => {
  for (const span of spans) span.release()
})

async function spanOf(made: Made, start: number, end: number, form: ProductForms, threads = 1): Promise<WasmSpan> {
  const shard = shardOf(made)
  const files = new Map(shardOrder(made.config).map(place => [shardName(place), shard(place.role, place.layer)]))
  const shardLocations = new Map([...files.keys()].map(name => [name, name]))
  const source = { kind: 'memory', files } as const
  const init = { ...made, start, end, shardLocations, source, forms: form, threads, policy: alwaysTogether }
  const span = WasmSpan.create(init)
  spans.push(span)
  await span.gather()
  return span
}

/** Every product otherwise, and what is stacked of several types. */
function mixed(config: ModelConfig): Weights {
  const { layers, tiedEmbeddings } = config
  const types = {
    q: 'q8-f16',
    k: 'q4-f16-min',
    v: 'q8-f16i8-16',
    o: 'q8',
    convIn: 'q4-f16-min',
    convOut: 'q8',
    gate: 'q4-f16',
    up: 'f32',
    down: 'q4'
  } as const
  const mixer = { q: 'q4', k: 'q4', v: 'q8', o: 'f32', convIn: 'q8-f16i8-16', convOut: 'f32' } as const
  const others = { ...mixer, gate: 'q8', up: 'q8', down: 'q8-f16' } as const
  const output = tiedEmbeddings ? {} : ({ output: 'q8' } as const)
  const of = (layer: number): Record<string, WeightType> => {
    const all: Record<string, WeightType> = layer % 2 === 0 ? types : others
    return Object.fromEntries(partsOfLayer(config, layer).map(part => [part, all[part]!]))
  }
  return { embedding: 'q8-f16', ...output, layers: Array.from({ length: layers }, (_, layer) => of(layer)) }
}

const sizeOf = (config: ModelConfig): string =>
  Array.from({ length: config.layers }, (_, layer) =>
    shardBytes({ config, weights: 'f32' }, { role: 'layer', layer })
  ).join()
const bits = (values: ArrayLike<number>): Uint32Array => new Uint32Array(Float32Array.from(values).buffer)
const of = (all: Readonly<Record<string, Partial<ModelConfig>>>): { name: string; config: ModelConfig }[] =>
  Object.entries(all).map(([name, extra]) => ({ name, config: { ...plainDecoder, ...extra } }))
const idsOf = (length: number): number[] =>
  Array.from({ length }, (_, i) => (i * i * 5 + 3 * i + 3) % plainDecoder.vocab)

describe.each([...of(fields), ...of(architectures)])('$name', ({ name, config }) => {
  const types = name in fields ? (['mixed'] as const) : (['f32', 'mixed'] as const)
  it.each(cacheTypes.flatMap(held => types.map(type => ({ held, type }))))(
    'has the bits of the reference, $type weights, cache $held',
    async ({ held, type }) => {
      const made = {
        config,
        weights: type === 'mixed' ? mixed(config) : type,
        edge: type === 'mixed' ? 'f16' : 'f32'
      } as const
      const ids = idsOf(13)
      const want = forward(config, made.weights, made.edge, ids, shardOf(made), held)
      for (const [i, form] of forms.entries()) {
        const whole = await spanOf(made, 0, config.layers, form, 1 + i)
        const cache = whole.open(undefined, held)
        // A few together, then one by one: both ways of every product.
        let last = whole.run(cache, Int32Array.from(ids.slice(0, 9)), 9).slice()
        expect(bits(last)).toEqual(bits(want.hidden[8]!))
        for (let at = 9; at < ids.length; at++) {
          last = whole.run(cache, Int32Array.of(ids[at]!), 1).slice()
          expect(bits(last)).toEqual(bits(want.hidden[at]!))
        }
        expect(bits(whole.logits(last))).toEqual(bits(want.logits))
      }
    }
  )

  it('is what its description says, within rounding', async () => {
    const made = { config, weights: 'f32', edge: 'f32' } as const
    const ids = idsOf(11)
    const want = plainLogits(config, ids, config)
    const whole = await spanOf(made, 0, config.layers, formsHere())
    const logits = whole.logits(whole.run(whole.open(), Int32Array.from(ids), ids.length))
    const size = Math.hypot(...want)
    const error = Math.hypot(...want.map((value, i) => value - logits[i]!)) / size
    expect(size).toBeGreaterThan(0)
    expect(error).toBeLessThan(3e-6)
    // And what is described is not nothing.
    const llama = {
      ...plainDecoder,
      headDim: config.headDim,
      kvHeads: config.kvHeads,
      tiedEmbeddings: config.tiedEmbeddings
    }
    const drawn = sizeOf(config) === sizeOf(llama) ? config : llama
    const other = plainLogits(llama, ids, drawn)
    expect(Math.hypot(...want.map((value, i) => value - other[i]!)) / size).toBeGreaterThan(1e-3)
  })
})

/** Longer than a page of float32 has positions. */
const length = 150
/** Windows within a page, of a page, and over a border. */
const windows = { ...plainDecoder, kinds: { of: [{ window: 1 }, { window: 128 }, { window: 141 }], layers: [0, 1, 2] } }

interface Life {
  readonly seed: number
  readonly held: CacheType
  /** Tokens of its passes, over and over. */
  readonly chunks: readonly number[]
}

const idAt = ({ seed }: Pick<Life, 'seed'>, at: number): number => (at * at * 7 + seed * 3 + at) % plainDecoder.vocab

/** What comes after the token at each position, computed alone and one by one. */
function alone(span: WasmSpan, life: Pick<Life, 'seed' | 'held'>): string[] {
  const cache = span.open(undefined, life.held)
  const outs = Array.from({ length }, (_, at) => {
    const hidden = span.run(cache, Int32Array.of(idAt(life, at)), 1)
    return [...bits(hidden), ...bits(span.logits(hidden))].join()
  })
  cache.free()
  return outs
}

/** The same of sessions that share passes through parts of the model: after the last token of each pass. */
function together(
  parts: readonly WasmSpan[],
  lives: readonly Life[],
  use: (life: number, at: number, out: string) => void
): void {
  const caches = lives.map(({ held }) => parts.map(part => part.open(undefined, held)))
  for (let pass = 0; caches.some(([first]) => first!.length < length); pass++) {
    const here = [...lives.keys()].filter(i => caches[i]![0]!.length < length)
    const sizes = here.map(i => {
      const { chunks } = lives[i]!
      return Math.min(chunks[pass % chunks.length]!, length - caches[i]![0]!.length)
    })
    let outs: (Float32Array | Int32Array)[] = here.map((i, n) => {
      const from = caches[i]![0]!.length
      return Int32Array.from({ length: sizes[n]! }, (_, k) => idAt(lives[i]!, from + k))
    })
    for (const [p, part] of parts.entries()) {
      const inputs = here.map((i, n) => ({ cache: caches[i]![p] as PagedCache, input: outs[n]!, tokens: sizes[n]! }))
      outs = part.pass(inputs) as Float32Array[]
    }
    parts.at(-1)!.eachLogits(outs as Float32Array[], (logits, n) => {
      const i = here[n]!
      use(i, caches[i]![0]!.length - 1, [...bits(outs[n]!), ...bits(logits)].join())
    })
  }
  for (const cache of caches.flat()) cache.free()
}

const lives = fc.array(
  fc.record<Life>({
    seed: fc.nat(1),
    held: fc.constantFrom(...cacheTypes),
    chunks: fc.array(fc.constantFrom(1, 2, 7, 40, 131), { minLength: 1, maxLength: 4 })
  }),
  { minLength: 1, maxLength: 3 }
)

it.each([...of(architectures), { name: 'windows', config: windows }])(
  'gives the same bits however it is cut, chunked, batched and shared by threads: $name',
  { timeout: 120_000 },
  async ({ config }) => {
    const made = { config, weights: mixed(config), edge: 'bf16' } as const
    const whole = await spanOf(made, 0, 3, formsHere())
    const want = [0, 1].map(seed => new Map(cacheTypes.map(held => [held, alone(whole, { seed, held })])))
    const cuts = [
      [0, 3],
      [0, 1, 3],
      [0, 2, 3],
      [0, 1, 2, 3]
    ]
    const spans = new Map<string, WasmSpan[]>()
    for (const cut of cuts) {
      for (const threads of [1, 2]) {
        const parts = cut.slice(1).map((end, i) => spanOf(made, cut[i]!, end, forms[threads - 1]!, threads))
        spans.set(`${cut} ${threads}`, await Promise.all(parts))
      }
    }
    let compared = 0
    fc.assert(
      fc.property(fc.constantFrom(...cuts), fc.constantFrom(1, 2), lives, (cut, threads, all) => {
        together(spans.get(`${cut} ${threads}`)!, all, (i, at, out) => {
          const { seed, held } = all[i]!
          if (out !== want[seed]!.get(held)![at]) throw new Error(`position ${at} of session ${i} has other bits`)
          compared++
        })
      }),
      { numRuns: 5 }
    )
    expect(compared).toBeGreaterThan(8)
  }
)
