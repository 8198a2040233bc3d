/** All kernels of a stage as one module, made for a model's dimensions. */
import { attentionBlock } from '../../model/limits.ts'
import type { ModelConfig } from '../../model/decoder.ts'
import type { EdgeType } from '../../model/manifest.ts'
import type { CacheType } from '../../base/cache-type.ts'
import {
  attentionRows,
  filled,
  mix,
  scaled,
  scores,
  softmax,
  spreadQueries,
  storeKeyValue,
  valueSlice
} from './attention.ts'
import { byteMix, byteScores } from './attention-bytes.ts'
import { byteQueries, storeBytes } from './byte-levels.ts'
import { type MemoryLimits, ModuleWriter } from './emit.ts'
import { convolved } from './convolve.ts'
import { activated, capped, gated } from './gates.ts'
import { convolutionLengths, layerForms } from './layer-kinds.ts'
import { norm, rowNorms } from './norms.ts'
import { added, addedShare, nonFinite, rotation, sumAtEdge } from './pointwise.ts'
import type { RotationForm } from './rotary.ts'
import { type ActivationForm, activationsOf, quantiser } from './activations.ts'
import { type ProductForms, productOfOne, severalLayout } from './products.ts'
import { productOfMany } from './tile-products.ts'
import { roundUp } from '../../model/tiles.ts'
import type { ModelShape } from '../../model/layout.ts'
import { routerType, typesIn, type WeightType } from '../../model/weight-types.ts'

/** What of a decoder's description its kernels are made of. */
export type KernelsConfig = Pick<
  ModelConfig,
  | 'hidden'
  | 'heads'
  | 'kvHeads'
  | 'headDim'
  | 'normEpsilon'
  | 'ropeTheta'
  | 'norm'
  | 'rotation'
  | 'attention'
  | 'feedForward'
  | 'experts'
  | 'kinds'
  | 'residualScale'
  | 'logitScale'
  | 'logitCap'
>

export interface KernelsInit {
  readonly config: KernelsConfig
  /** Types of the matrices in this stage. */
  readonly types: ReadonlySet<WeightType>
  readonly edge: EdgeType
  readonly forms: ProductForms
  readonly memory: MemoryLimits
  /** How often it was compiled before with other flags: V8 gives the same bytes the code that it has made of them. @default 0 */
  readonly attempt?: number
}

/** A head's dimensions in the cache, filled up with zeros. */
export function headWidth(headDim: number): number {
  return roundUp(headDim, valueSlice)
}

type Quantise = (x: number, blocks: number, out: number) => void
type ProductOne = (w: number, blocks: number, tiles: number, activations: number, out: number) => void
type ProductMany = (
  w: number,
  blocks: number,
  tiles: number,
  activations: number,
  activationStride: number,
  out: number,
  outStride: number,
  rows: number
) => void
export type Rotate = (row: number, cos: number, sin: number, heads: number) => void
type RowNorms = (rows: number, weight: number, count: number) => void
type InPlace = (x: number, vectors: number) => void
type Scores = (queries: number, keys: number, tiles: number, out: number, stride: number) => void
type Mix = (
  weights: number,
  weightStride: number,
  values: number,
  tiles: number,
  sums: number,
  sumStride: number,
  /** For caches of int8 alone. */
  scratch: number
) => void

/** The module's exports; what each takes is said where it is made. All addresses and counts are i32. */
export type Kernels = {
  readonly [name in `quantise.${ActivationForm}.${'one' | 'many'}`]: Quantise
} & { readonly [name in `product.${WeightType}.one`]: ProductOne } & {
  readonly [name in `product.${WeightType}.many`]: ProductMany
} & {
  readonly [name: `queries.${CacheType}.${number}`]: (...addresses: number[]) => void
  readonly [name: `scores.${CacheType}.${number}`]: Scores
  readonly [name: `mix.${CacheType}.${number}`]: Mix
  readonly norm: (x: number, weight: number, out: number) => void
  readonly [name: `rotate.${RotationForm['pairs']}.${number}`]: Rotate
  readonly sum: (x: number, y: number, vectors: number) => void
  readonly sumAtEdge: (x: number, y: number, vectors: number) => void
  readonly nonFinite: (x: number, vectors: number) => number
  readonly 'store.f32': (key: number, value: number, keysAt: number, valuesAt: number) => void
  readonly 'store.i8': (key: number, value: number, keysAt: number, valuesAt: number, scaleAt: number) => void
  readonly softmax: (row: number, tiles: number) => number
  readonly scaled: (sums: number, factor: number, out: number) => void
  readonly fill: (out: number, vectors: number, value: number) => void
  /** Where there is a gate, and where there is none. */
  readonly gate?: (gate: number, up: number, vectors: number) => void
  readonly activate?: (x: number, vectors: number) => void
  /** Where there are experts. */
  readonly addShare?: (y: number, x: number, share: number, vectors: number) => void
  /** Where there are biases. */
  readonly add?: (x: number, y: number, count: number) => void
  /** Where queries and keys pass norms: of rows one behind the other. */
  readonly 'norm.queries'?: RowNorms
  readonly 'norm.keys'?: RowNorms
  /** Where layers are short convolutions, by their length. */
  readonly [name: `convolve.${number}`]: (...addresses: number[]) => void
  /** Where scores are capped, and where logits are or have a factor. */
  readonly capScores?: InPlace
  readonly capLogits?: InPlace
}

/** What queries are multiplied with. */
export function queryFactor({ headDim, attention }: Pick<ModelConfig, 'headDim' | 'attention'>): number {
  return attention?.scale ?? 1 / Math.sqrt(headDim)
}

/** Types of the matrices that a decoder's kernels multiply with. */
export function kernelTypes({ config, weights }: ModelShape): ReadonlySet<WeightType> {
  return config.experts === undefined ? typesIn(weights) : new Set([...typesIn(weights), routerType])
}

/** How a decoder's rows are rotated, by the name of the kernel. */
export function rotationKernel({ pairs, dims }: RotationForm): `rotate.${RotationForm['pairs']}.${number}` {
  return `rotate.${pairs}.${dims}`
}

/** Kernels that a decoder needs or does not: those of what it has beyond the plainest llama. */
function extraKernels(m: ModuleWriter, config: KernelsConfig): void {
  const { heads, kvHeads, headDim, normEpsilon: epsilon, norm, attention, feedForward, logitScale, logitCap } = config
  const { activation = 'silu', ungated, bias } = feedForward ?? {}
  if (ungated) activated(m, 'activate', activation)
  else gated(m, 'gate', activation)
  if (config.experts !== undefined) addedShare(m, 'addShare')
  if (bias || attention?.qkvBias || attention?.outputBias) added(m, 'add')
  if (attention?.headNorm !== undefined) {
    const width = (count: number): number => (attention.headNorm === 'head' ? headDim : count * headDim)
    rowNorms(m, 'norm.queries', { width: width(heads), epsilon, kind: norm?.kind })
    rowNorms(m, 'norm.keys', { width: width(kvHeads), epsilon, kind: norm?.kind })
  }
  for (const length of convolutionLengths(config)) convolved(m, `convolve.${length}`, { hidden: config.hidden, length })
  if (attention?.scoreCap !== undefined) capped(m, 'capScores', { cap: attention.scoreCap })
  if (logitScale !== undefined || logitCap !== undefined) capped(m, 'capLogits', { scale: logitScale, cap: logitCap })
}

/** The module's bytes. */
export function kernelModule({
  config,
  types,
  edge,
  forms,
  memory,
  attempt = 0
}: KernelsInit): Uint8Array<ArrayBuffer> {
  const { hidden, headDim, normEpsilon, residualScale } = config
  const width = headWidth(headDim)
  const m = new ModuleWriter(memory)
  for (const form of new Set([...types].filter(type => type !== 'f32').map(activationsOf))) {
    quantiser(m, `quantise.${form}.one`, form, 'spread')
    quantiser(m, `quantise.${form}.many`, form, severalLayout(form, forms))
  }
  for (const type of types) {
    productOfOne(m, `product.${type}.one`, type, forms)
    productOfMany(m, `product.${type}.many`, type, forms)
  }
  const factor = queryFactor(config)
  for (let rows = 1; rows <= attentionRows; rows++) {
    spreadQueries(m, `queries.f32.${rows}`, headDim, width, factor, rows)
    scores(m, `scores.f32.${rows}`, width, rows)
    mix(m, `mix.f32.${rows}`, width, rows)
    byteQueries(m, `queries.i8.${rows}`, headDim, width, factor, rows, forms)
    byteScores(m, `scores.i8.${rows}`, width, rows, forms)
    byteMix(m, `mix.i8.${rows}`, width, rows, forms)
  }
  norm(m, 'norm', { width: hidden, epsilon: normEpsilon, kind: config.norm?.kind })
  const { rotations } = layerForms(config)
  for (const [name, form] of new Map(rotations.map(form => [rotationKernel(form), form]))) {
    rotation(m, name, { headDim, ...form })
  }
  sumAtEdge(m, 'sum', undefined, residualScale)
  sumAtEdge(m, 'sumAtEdge', edge === 'f32' ? undefined : edge, residualScale)
  nonFinite(m, 'nonFinite')
  storeKeyValue(m, 'store.f32', headDim, width)
  storeBytes(m, 'store.i8', headDim, width)
  softmax(m, 'softmax')
  scaled(m, 'scaled', headDim)
  filled(m, 'fill')
  extraKernels(m, config)
  if (attempt > 0) m.function(`attempt.${attempt}`, [], () => {})
  return m.finish()
}

/** Rows that go through the layers together: the quantised activations of a longer prompt would not stay near. */
export const passRowsMax = attentionBlock

/** Rows whose logits are made together: 8 of a vocabulary of 49,152 are 1.6 MB, and more gain little (`bench/results`). */
export const headRowsMax = 8
