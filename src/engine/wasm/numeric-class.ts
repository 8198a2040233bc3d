/**
 * The numeric class of the engine in WebAssembly is the revision of its arithmetic: every machine that computes what
 * `protocols/arithmetic.md` says has it. A small model with every kernel in it is computed at start, and the digest of
 * what comes out compared with the one that belongs to the revision: a machine that differs serves as a class of its own.
 */
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js'
import type { ModelConfig } from '../../model/decoder.ts'
import { type EdgeType, shardName, shardOrder } from '../../model/manifest.ts'
import type { MixedWeights, Weights, WeightType } from '../../model/weight-types.ts'
import type { CacheType } from '../../base/cache-type.ts'
import { syntheticShard } from '../synthetic.ts'
import { CheckedModules } from './compile.ts'
import type { ProductForms } from './products.ts'
import { WasmSpan } from './span.ts'

/** Raised when bits change that were computed before, and when there are kinds of weights that were not. */
export const arithmeticRevision = 2

/**
 * What is computed to compare machines: a llama, which was there first, over caches of float32 and of int8, decoders with
 * all that others have beyond it, mixtures of experts, and layers of short convolutions.
 */
export const trialNames = ['f32', 'i8', 'decoders', 'experts', 'convolutions'] as const
export type TrialName = (typeof trialNames)[number]

/**
 * 16 hex digits each: what {@link computeClass} gives on every machine that computes revision {@link arithmeticRevision}. The
 * first is the class that such a machine announces. A trial that is added changes none of those that were there.
 */
export const arithmeticClasses = {
  f32: '5017f367de977d72',
  i8: 'd4b2565d0a7b2706',
  decoders: '745ad5f3fc416e95',
  experts: '950ddfeed689fc34',
  convolutions: '81ed882b8bbbb6b5'
} as const satisfies Record<TrialName, string>

/** Grouped heads, heads that fill no slice, short last blocks and tiles, more than a group of records, and more positions than a page has. */
const llama: ModelConfig = {
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

/** What is computed for a trial: a model, its cache, and the tokens of each pass. */
interface Trial {
  readonly config: ModelConfig
  readonly weights: Weights
  readonly edge: EdgeType
  readonly cache: CacheType
  readonly passes: readonly number[]
}

/** Every type in a short and in a long product, but for some that differ in nothing else from one that is there. */
const llamas = [
  {
    config: llama,
    weights: mixed('q8-f16', 'q8', [
      ['q8', 'q4', 'q8-f16', 'q4-f16'],
      ['q4-f16-min', 'q8-f16-min', 'q8-f16i8-16', 'q4-f16i8-min']
    ]),
    edge: 'f16'
  },
  {
    config: llama,
    weights: mixed('q4-f16i8-min', 'q8-f16i8-16', [
      ['q8-f16i8-min', 'q8-f16i8-16', 'q4', 'q8'],
      ['q4-f16', 'q8-f16', 'q4-f16i8-min', 'q8-f16i8-min']
    ]),
    edge: 'bf16'
  },
  { config: llama, weights: 'f32', edge: 'f32' }
] as const

/** Every field of a description: as models have them that have many, and what these leave. */
const decoders = [
  {
    config: {
      ...llama,
      norm: { offset: 1, place: 'both' },
      rotation: { divisors: [1, 1, 1, 1.25, 1.5, 2, 2.75, 4, 8, 8, 8], gain: 1.125 },
      attention: { qkvBias: true, headNorm: 'head', scale: 0.5, scoreCap: 1.5 },
      feedForward: { activation: 'gelu-tanh' },
      kinds: { of: [{ window: 100, ropeTheta: 1_000, rotation: { dims: 14 } }, {}], layers: [0, 1] },
      ...{ embeddingScale: 9.125, logitCap: 3 }
    },
    weights: 'q8-f16',
    edge: 'bf16'
  },
  {
    config: {
      ...llama,
      norm: { kind: 'mean', place: 'after' },
      rotation: { pairs: 'neighbours' },
      attention: { qkvBias: true, outputBias: true, headNorm: 'all' },
      feedForward: { activation: 'gelu', ungated: true, bias: true },
      kinds: { of: [{}, { rotation: 'none' }], layers: [0, 1] },
      ...{ residualScale: 0.21875, logitScale: 0.1, tiedEmbeddings: true }
    },
    weights: 'f32',
    edge: 'f32'
  }
] as const

/**
 * Experts that some rows of a pass take and others do not, in one layer of two, with shares of all and of those alone; numbers
 * that fill no tile and no record.
 */
const mixtures = [
  {
    config: {
      ...llama,
      experts: { count: 11, used: 3, intermediate: 44 },
      kinds: { of: [{}, { experts: 'none' }], layers: [0, 1] }
    },
    weights: mixed('q8-f16', 'q8', [
      ['q8-f16', 'q8-f16', 'q4-f16i8-min', 'q8-f16i8-16'],
      ['q8', 'q8', 'q4', 'q4']
    ]),
    edge: 'f16'
  },
  {
    config: {
      ...llama,
      norm: { place: 'both' },
      feedForward: { activation: 'gelu', ungated: true },
      experts: { count: 16, used: 2, intermediate: 70, renormalised: true }
    },
    weights: mixed('q8', 'q8', [
      ['q8', 'q8', 'q4-f16', 'f32'],
      ['q8', 'q8', 'f32', 'q8-f16']
    ]),
    edge: 'bf16'
  }
] as const

/** Before a layer of attention and behind one; rows of whole vectors and with a rest. */
const convolutions = [
  {
    config: {
      ...llama,
      attention: { headNorm: 'head' },
      kinds: { of: [{ convolution: { length: 3 } }, {}], layers: [0, 1] }
    },
    weights: 'q8-f16',
    edge: 'bf16'
  },
  {
    config: { ...llama, hidden: 86, kinds: { of: [{}, { convolution: { length: 5 } }], layers: [0, 1] } },
    weights: 'f32',
    edge: 'f16'
  }
] as const

/** More tokens than a page has, a few, a lone one. Pages of int8 hold more, and products are the same over them. */
const passes = { f32: [131, 5, 1], i8: [260, 131, 5, 1] } as const satisfies Record<CacheType, readonly number[]>

const trials: Readonly<Record<TrialName, readonly Trial[]>> = {
  f32: llamas.map(model => ({ ...model, cache: 'f32', passes: passes.f32 })),
  i8: llamas.slice(0, 1).map(model => ({ ...model, cache: 'i8', passes: passes.i8 })),
  decoders: overBoth(decoders),
  experts: mixtures.map(model => ({ ...model, cache: 'f32', passes: passes.f32 })),
  convolutions: overBoth(convolutions)
}

/** Each over a cache of float32, and the first one over one of int8. */
function overBoth(models: readonly Pick<Trial, 'config' | 'weights' | 'edge'>[]): Trial[] {
  return [...models, ...models.slice(0, 1)].map((model, i) => {
    const cache = i < models.length ? 'f32' : 'i8'
    return { ...model, cache, passes: passes[cache] }
  })
}

function shards({ config, weights }: Trial): Map<string, Uint8Array> {
  return new Map(
    shardOrder(config).map((place, i) => [shardName(place), syntheticShard({ config, weights }, place, i + 1)])
  )
}

/** What this machine announces: the class of the revision where it computes all of it; else one of its own. */
export function classHere(forms: ProductForms): string {
  const checked = new CheckedModules()
  const classes = trialNames.map(name => computeClass(forms, name, checked))
  const isOfRevision = trialNames.every((name, i) => classes[i] === arithmeticClasses[name])
  return isOfRevision ? arithmeticClasses.f32 : bytesToHex(sha256(utf8ToBytes(classes.join('')))).slice(0, 16)
}

/** 16 hex digits of the SHA-256 of all hidden states and logits of a trial's models. */
export function computeClass(forms: ProductForms, name: TrialName = 'f32', checked = new CheckedModules()): string {
  const hash = sha256.create()
  for (const trial of trials[name]) {
    const { config, weights, edge, cache, passes } = trial
    const files = shards(trial)
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
