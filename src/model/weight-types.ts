/**
 * How the numbers of a matrix are stored, and which matrix of a model is stored how.
 *
 * Quantised weights are whole numbers in blocks of 16 or 32 columns of one row: a weight is its level times its block's
 * scale, plus its block's minimum where the type has one. Scales and minima are float32, or 16 bits that count in 2⁻¹⁴
 * ({@link halfUnit}) and 2⁻¹⁰ ({@link minimumUnit}), or a float16 that counts in 2⁻¹⁴ for 256 columns times a signed byte for
 * each block: so that what GGUF's types hold is held without being rounded anew.
 */
import { assert } from '../base/assert.ts'
import { convolutionOf, type ModelConfig } from './decoder.ts'

/** Of a matrix. */
export interface StoredAs {
  /** Of a level. */
  readonly bits: 8 | 4
  /**
   * What a stored level has more than it means, so that it is none below 0 and takes 7 bits at most; `signed`: it is a signed
   * byte.
   */
  readonly zero: 'signed' | 0 | 8 | 64
  /** Columns that share a scale. */
  readonly block: 16 | 32
  readonly scale: 'f32' | 'f16' | 'f16i8'
  readonly hasMinimum: boolean
}

/** The quantised types by their names: what they hold of others without rounding is beside them. */
export const quantisedTypes = {
  /** What the first manifest format had. */
  q8: { bits: 8, zero: 'signed', block: 32, scale: 'f32', hasMinimum: false },
  q4: { bits: 4, zero: 8, block: 32, scale: 'f32', hasMinimum: false },
  /** Q8_0, Q5_0. */
  'q8-f16': { bits: 8, zero: 'signed', block: 32, scale: 'f16', hasMinimum: false },
  /** Q4_0. */
  'q4-f16': { bits: 4, zero: 8, block: 32, scale: 'f16', hasMinimum: false },
  /** Q5_1. */
  'q8-f16-min': { bits: 8, zero: 0, block: 32, scale: 'f16', hasMinimum: true },
  /** Q4_1. */
  'q4-f16-min': { bits: 4, zero: 0, block: 32, scale: 'f16', hasMinimum: true },
  /** Q6_K. */
  'q8-f16i8-16': { bits: 8, zero: 64, block: 16, scale: 'f16i8', hasMinimum: false },
  /** Q5_K. */
  'q8-f16i8-min': { bits: 8, zero: 0, block: 32, scale: 'f16i8', hasMinimum: true },
  /** Q4_K. */
  'q4-f16i8-min': { bits: 4, zero: 0, block: 32, scale: 'f16i8', hasMinimum: true }
} as const satisfies Record<string, StoredAs>

export type QuantisedType = keyof typeof quantisedTypes
/** How a matrix is stored: float32, or one of {@link quantisedTypes}. */
export type WeightType = 'f32' | QuantisedType

/** What the weights of a checkpoint are converted to at import, by the names that people give them. */
export type Dtype = 'f32' | 'q8' | 'q4' | 'q4-min'
export const dtypes = {
  ...{ f32: 'f32', q8: 'q8-f16', q4: 'q4-f16' },
  /** Half a bit more for each weight: a block's range need not lie around zero. */
  'q4-min': 'q4-f16-min'
} as const satisfies Record<Dtype, WeightType>

/**
 * What a float16 scale counts in, and what bytes are multiplied with. Scales of trained weights are small: as they are, the
 * smallest would be subnormal, which float32 arithmetic takes a hundred times as long for; so they reach from 3.7e-9 to 4,
 * and all of GGUF's below 4 are held.
 */
export const halfUnit = 2 ** -14

/**
 * What the float16 minimum of one block counts in. It is a weight, and some weights are large: SmolLM2-135M has one of -9.25.
 * So minima reach from 6e-8, the smallest of GGUF's, to 64.
 */
export const minimumUnit = 2 ** -10

/**
 * Matrices of a layer, as a model defines them: those of `q`, `k`, `v`, and of `gate`, `up`, are stacked where they are of one type.
 * All experts of a layer have the same types of `gate`, `up` and `down`.
 */
export const layerParts = ['q', 'k', 'v', 'o', 'convIn', 'convOut', 'gate', 'up', 'down'] as const
export type LayerPart = (typeof layerParts)[number]

/** Those of one layer: with a short convolution, the products before and after it are in the place of those of attention. */
export function partsOfLayer(config: Pick<ModelConfig, 'kinds'>, layer: number): readonly LayerPart[] {
  const mixer = convolutionOf(config, layer) === undefined ? (['q', 'k', 'v', 'o'] as const) : convolutionParts
  return [...mixer, 'gate', 'up', 'down']
}
const convolutionParts = ['convIn', 'convOut'] as const

/** A type for each matrix. */
export interface MixedWeights {
  readonly embedding: WeightType
  /** Left out where the output matrix is the embedding. */
  readonly output?: WeightType | undefined
  /** By layer: of its own parts. */
  readonly layers: readonly Readonly<Partial<Record<LayerPart, WeightType>>>[]
}

/** One type for all layers, whose embedding and output matrix have {@link embeddingType}; or one for each matrix. */
export type Weights = WeightType | MixedWeights

/** Of embedding and output matrix in a model of one type: 4 bits there cost too much quality for what they save. */
export function embeddingType(type: WeightType): WeightType {
  if (type === 'f32') return 'f32'
  const { scale } = quantisedTypes[type]
  return scale === 'f32' ? 'q8' : 'q8-f16'
}

/** What chooses experts is float32 whatever the others are: it is small, and the nearest two choose other experts. */
export const routerType = 'f32'

/** The type of one matrix. @param layer index of the layer, or null */
export function typeOf(
  weights: Weights,
  part: LayerPart | 'router' | 'embedding' | 'output',
  layer: number | null
): WeightType {
  if (part === 'router') return routerType
  const isTable = part === 'embedding' || part === 'output'
  if (typeof weights === 'string') return isTable ? embeddingType(weights) : weights
  if (part === 'output') return weights.output ?? weights.embedding
  if (isTable) return weights.embedding
  const type = weights.layers[layer!]![part]
  assert(type !== undefined, () => `layer ${layer} has a matrix ${part}`)
  return type
}

/** All types that occur in a model. */
export function typesIn(weights: Weights): ReadonlySet<WeightType> {
  if (typeof weights === 'string') return new Set([weights, embeddingType(weights)])
  const { embedding, output, layers } = weights
  return new Set([embedding, ...(output === undefined ? [] : [output]), ...layers.flatMap(each => Object.values(each))])
}

/** For people: `q8-f16`, or `mixed (q4-f16, q8-f16)`. */
export function weightsLabel(weights: Weights): string {
  return typeof weights === 'string' ? weights : `mixed (${[...typesIn(weights)].sort().join(', ')})`
}

/** The same for a model of so many layers: they come by turns, as their kinds do (`configFor`). */
export function weightsFor(weights: Weights, layers: number): Weights {
  if (typeof weights === 'string') return weights
  const { length } = weights.layers
  return { ...weights, layers: Array.from({ length: layers }, (_, i) => weights.layers[i % length]!) }
}

/** Why the types do not fit a model, or undefined. */
export function wrongWeights(
  weights: Weights,
  config: Pick<ModelConfig, 'layers' | 'tiedEmbeddings' | 'kinds'>
): string | undefined {
  if (typeof weights === 'string') return undefined
  const { layers, tiedEmbeddings } = config
  if (weights.layers.length !== layers)
    return `weights.layers has ${weights.layers.length} layers, config has ${layers}`
  for (const [layer, types] of weights.layers.entries()) {
    const parts = partsOfLayer(config, layer)
    const there = layerParts.filter(part => types[part] !== undefined)
    const wrong = layerParts.find(part => parts.includes(part) !== there.includes(part))
    if (wrong !== undefined) {
      return `weights.layers.${layer}.${wrong} ${parts.includes(wrong) ? 'is missing' : 'must be left out'}: its matrices are ${parts.join(', ')}`
    }
  }
  if ((weights.output === undefined) !== tiedEmbeddings) {
    return tiedEmbeddings
      ? 'weights.output must be left out: the output matrix is the embedding'
      : 'weights.output is missing'
  }
  return undefined
}
