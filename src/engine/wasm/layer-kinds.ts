/** What decoders the engine computes, and what their layers have of their own: rotation, and how far back a token sees. Pure. */
import type { ModelConfig } from '../../model/decoder.ts'
import type { Computes } from '../computable.ts'
import type { RotationForm } from './rotary.ts'

/** All fields of a decoder's description that there are; one that comes later is refused until it stands here. */
export const computed: Computes = {
  fields: new Set([
    ...['norm.kind', 'norm.offset', 'norm.place', 'kinds'],
    ...['rotation.dims', 'rotation.pairs', 'rotation.divisors', 'rotation.gain'],
    ...['attention.qkvBias', 'attention.outputBias', 'attention.headNorm', 'attention.scale', 'attention.scoreCap'],
    ...['feedForward.activation', 'feedForward.ungated', 'feedForward.bias'],
    ...['experts.count', 'experts.used', 'experts.intermediate', 'experts.renormalised'],
    ...['embeddingScale', 'residualScale', 'logitScale', 'logitCap']
  ])
}

export interface LayerForm {
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
    const own = kind.rotation ?? rotation ?? {}
    if (own === 'none') return { rotation: undefined, window: kind.window }
    const { dims = headDim, pairs = 'halves', divisors, gain = 1 } = own
    const form: RotationForm = { theta: kind.ropeTheta ?? ropeTheta, dims, pairs, divisors, gain }
    const key = JSON.stringify(form)
    const index = indices.get(key) ?? rotations.push(form) - 1
    indices.set(key, index)
    return { rotation: index, window: kind.window }
  })
  return { rotations, kinds: forms }
}

/** Index of a layer's kind. */
export function kindOf({ kinds }: Pick<ModelConfig, 'kinds'>, layer: number): number {
  return kinds?.layers[layer] ?? 0
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
