/**
 * The numeric class of the engine in WebAssembly is the revision of its arithmetic: every machine that computes what
 * `protocols/arithmetic.md` says has it. A small model with every kernel in it is computed at start, and the digest of
 * what comes out compared with the one that belongs to the revision: a machine that differs serves as a class of its own.
 */
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js'
import type { ModelConfig } from '../../model/decoder.ts'
import { shardName, shardOrder } from '../../model/manifest.ts'
import type { MixedWeights, Weights, WeightType } from '../../model/weight-types.ts'
import { type CacheType, cacheTypes, usualCache } from '../../base/cache-type.ts'
import { syntheticShard } from '../synthetic.ts'
import { CheckedModules } from './compile.ts'
import type { ProductForms } from './products.ts'
import { WasmSpan } from './span.ts'

/** Raised when bits change that were computed before, and when there are kinds of weights that were not. */
export const arithmeticRevision = 2

/** 16 hex digits: what {@link computeClass} gives on every machine that computes revision {@link arithmeticRevision}. */
export const arithmeticClass = '5017f367de977d72'
/** The same over caches of int8: what is computed with those of float32 is as it was before there were any. */
export const arithmeticClassI8 = 'd4b2565d0a7b2706'

/** Grouped heads, heads that fill no slice, short last blocks and tiles, more than a group of records, and more positions than a page has. */
const config: ModelConfig = {
  layers: 2,
  hidden: 84,
  intermediate: 300,
  heads: 6,
  kvHeads: 2,
  headDim: 22,
  vocab: 100,
  contextMax: 256,
  ropeTheta: 10_000,
  normEpsilon: 1e-5,
  tiedEmbeddings: false
}
type LayerTypes = readonly [qkv: WeightType, o: WeightType, gateUp: WeightType, down: WeightType]

function mixed(embedding: WeightType, output: WeightType, layers: readonly LayerTypes[]): MixedWeights {
  const of = ([qkv, o, wide, down]: LayerTypes) => ({ q: qkv, k: qkv, v: qkv, o, gate: wide, up: wide, down })
  return { embedding, output, layers: layers.map(of) }
}

/** Every type in a short and in a long product, but for some that differ in nothing else from one that is there. */
const models = [
  {
    weights: mixed('q8-f16', 'q8', [
      ['q8', 'q4', 'q8-f16', 'q4-f16'],
      ['q4-f16-min', 'q8-f16-min', 'q8-f16i8-16', 'q4-f16i8-min']
    ]),
    edge: 'f16'
  },
  {
    weights: mixed('q4-f16i8-min', 'q8-f16i8-16', [
      ['q8-f16i8-min', 'q8-f16i8-16', 'q4', 'q8'],
      ['q4-f16', 'q8-f16', 'q4-f16i8-min', 'q8-f16i8-min']
    ]),
    edge: 'bf16'
  },
  { weights: 'f32', edge: 'f32' }
] as const

/**
 * Models by type of cache, and tokens of each pass: more than a page, a few, a lone one. Pages of int8 hold more, and products
 * are the same over them.
 */
const trials = {
  f32: { models, passes: [131, 5, 1] },
  i8: { models: models.slice(0, 1), passes: [260, 131, 5, 1] }
} as const satisfies Record<CacheType, object>

function shards(weights: Weights): Map<string, Uint8Array> {
  return new Map(
    shardOrder(config).map((place, i) => [shardName(place), syntheticShard({ config, weights }, place, i + 1)])
  )
}

/**
 * What this machine announces: the class of the revision where it computes all of it, over caches of either type; else one
 * of its own.
 */
export function classHere(forms: ProductForms): string {
  const checked = new CheckedModules()
  const [usual, i8] = cacheTypes.map(type => computeClass(forms, type, checked)) as [string, string]
  return i8 === arithmeticClassI8 ? usual : bytesToHex(sha256(utf8ToBytes(usual + i8))).slice(0, 16)
}

/** 16 hex digits of the SHA-256 of all hidden states and logits of the small model, with all types of weights. */
export function computeClass(
  forms: ProductForms,
  cache: CacheType = usualCache,
  checked = new CheckedModules()
): string {
  const hash = sha256.create()
  const { models, passes } = trials[cache]
  for (const { weights, edge } of models) {
    const files = shards(weights)
    const shardLocations = new Map([...files.keys()].map(name => [name, name]))
    const source = { kind: 'memory', files } as const
    const shape = { config, weights, edge, shardLocations, source, forms, checked }
    const parts = [WasmSpan.create({ ...shape, start: 0, end: 1 }), WasmSpan.create({ ...shape, start: 1, end: 2 })]
    const caches = parts.map(part => part.open(undefined, cache))
    for (const n of passes) {
      const at = caches[0]!.length
      let values: Int32Array | Float32Array = Int32Array.from({ length: n }, (_, i) => ((at + i) ** 2 * 7 + 13) % 100)
      for (const [i, part] of parts.entries()) {
        values = part.run(caches[i]!, values, n)
        hash.update(bytesOf(values))
      }
      hash.update(bytesOf(parts[1]!.logits(values as Float32Array)))
    }
  }
  return bytesToHex(hash.digest()).slice(0, 16)
}

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
}
