/** What decoders the engine computes, and what their layers have of their own: rotation, and how far back a token sees. Pure. */
import { convolutionOf, type ModelConfig, type ShortConvolution } from '../../model/decoder.ts'
import { vectorBytes } from '../../model/tiles.ts'
import type { Computes } from '../computable.ts'
import type { RotationForm } from './rotary.ts'

/** All fields of a decoder's description that there are; one that comes later is refused until it stands here. */
export const computed: Computes = {
  fields: new Set([
    ...['norm.kind', 'norm.offset', 'norm.place', 'kinds', 'kinds.convolution'],
    ...['rotation.dims', 'rotation.pairs', 'rotation.divisors', 'rotation.gain'],
    ...['attention.qkvBias', 'attention.outputBias', 'attention.headNorm', 'attention.scale', 'attention.scoreCap'],
    ...['feedForward.activation', 'feedForward.ungated', 'feedForward.bias'],
    ...['experts.count', 'experts.used', 'experts.intermediate', 'experts.renormalised'],
    ...['embeddingScale', 'residualScale', 'logitScale', 'logitCap']
  ])
}

export interface LayerForm {
  /** In the place of attention. */
  readonly convolution: ShortConvolution | undefined
  /** Index of its rotation among those of the decoder; undefined: queries and keys are not rotated. */
  readonly rotation: number | undefined
  /** Positions that a token sees, its own the last of them; undefined: all. */
  readonly window: number | undefined
}

export interface LayerForms {
  /** All that differ. */
  readonly rotations: readonly RotationForm[]
  /** By kind; one where the decoder has no kinds. */
  readonly kinds: readonly LayerForm[]
}

type KindsConfig = Pick<ModelConfig, 'headDim' | 'ropeTheta' | 'rotation' | 'kinds'>

export function layerForms({ headDim, ropeTheta, rotation, kinds }: KindsConfig): LayerForms {
  const rotations: RotationForm[] = []
  const indices = new Map<string, number>()
  const forms = (kinds?.of ?? [{}]).map((kind): LayerForm => {
    const { convolution, window } = kind
    const own = convolution === undefined ? (kind.rotation ?? rotation ?? {}) : 'none'
    if (own === 'none') return { convolution, rotation: undefined, window }
    const { dims = headDim, pairs = 'halves', divisors, gain = 1 } = own
    const form: RotationForm = { theta: kind.ropeTheta ?? ropeTheta, dims, pairs, divisors, gain }
    const key = JSON.stringify(form)
    const index = indices.get(key) ?? rotations.push(form) - 1
    indices.set(key, index)
    return { convolution, rotation: index, window }
  })
  return { rotations, kinds: forms }
}

/** Index of a layer's kind. */
export function kindOf({ kinds }: Pick<ModelConfig, 'kinds'>, layer: number): number {
  return kinds?.layers[layer] ?? 0
}

/** Lengths of a decoder's short convolutions. */
export function convolutionLengths({ kinds }: Pick<ModelConfig, 'kinds'>): ReadonlySet<number> {
  return new Set(kinds?.of.flatMap(({ convolution }) => (convolution === undefined ? [] : [convolution.length])))
}

/** What a layer's short convolution keeps of each position: a row of float32. Undefined where it has none. */
export function convolutionRowBytes(config: Pick<ModelConfig, 'kinds' | 'hidden'>, layer: number): number | undefined {
  return convolutionOf(config, layer) === undefined ? undefined : vectorBytes(config.hidden)
}

/** The rotations of a decoder; those that none of layers [start, end) has are undefined. */
export function rotationsIn(
  config: KindsConfig,
  { start, end }: { readonly start: number; readonly end: number }
): (RotationForm | undefined)[] {
  const { rotations, kinds } = layerForms(config)
  const used = new Set<number | undefined>()
  for (let layer = start; layer < end; layer++) used.add(kinds[kindOf(config, layer)]!.rotation)
  return rotations.map((form, i) => (used.has(i) ? form : undefined))
}
