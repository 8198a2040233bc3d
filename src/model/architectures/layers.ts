/** Layers that differ: how far back each sees and how it is rotated, as kinds of layers of a decoder. */
import { shown } from '../../base/shown.ts'
import type { LayerKind, ModelConfig, ShortConvolution } from '../decoder.ts'
import type { CommonFields } from './fields.ts'
import { type LayerType, layerTypeNames, type Rope, type Ropes } from './rope.ts'

/** One layer. */
export interface LayerForm {
  readonly type: LayerType
  /** What it has in the place of attention: nothing else here is of it then. */
  readonly convolution?: ShortConvolution | undefined
  /** A token sees so many positions; undefined: all. */
  readonly window?: number | undefined
  /** False: queries and keys are not rotated. @default true */
  readonly rotates?: boolean | undefined
  /** True: one feed-forward part, where the decoder has experts. @default false */
  readonly isDense?: boolean | undefined
}

type Refuse = (what: string) => never

/** Layers that all see so many positions; undefined: all. */
export function alikeLayers(c: Pick<CommonFields, 'num_hidden_layers'>, window: number | undefined): LayerForm[] {
  const type = window === undefined ? 'full_attention' : 'sliding_attention'
  return Array.from({ length: c.num_hidden_layers }, () => ({ type, window }))
}

/** `layer_types` as the file has it, checked, or what stands in its place. */
export function layerTypesOf(
  c: Pick<CommonFields, 'num_hidden_layers'> & { readonly layer_types?: readonly string[] | null | undefined },
  otherwise: (layer: number) => LayerType,
  refuse: Refuse
): LayerType[] {
  const { num_hidden_layers: layers, layer_types: given } = c
  if (given === null || given === undefined) return Array.from({ length: layers }, (_, layer) => otherwise(layer))
  if (given.length !== layers) return refuse(`layer_types names ${given.length} layers, num_hidden_layers is ${layers}`)
  return given.map(name => {
    const type = layerTypeNames.find(each => each === name)
    return type ?? refuse(`layer_types has ${shown(name)}, which cannot be computed, only ${layerTypeNames.join(', ')}`)
  })
}

/** Layers of which those of sliding attention see so many positions. */
export function windowed(types: readonly LayerType[], window: number | null | undefined, refuse: Refuse): LayerForm[] {
  return types.map(type => {
    if (type === 'full_attention') return { type }
    return { type, window: window ?? refuse('layer_types has sliding_attention, and there is no sliding_window') }
  })
}

/** The fields of a decoder that say how its layers differ, or what all have alike. */
export function kindsOf(
  layers: readonly LayerForm[],
  ropes: Ropes,
  contextMax: number,
  refuse: Refuse
): Pick<ModelConfig, 'ropeTheta' | 'rotation' | 'kinds'> {
  const ropeOf = (type: LayerType): Rope => ropes[type] ?? refuse(`nothing is said of the rotation of ${type} layers`)
  const rotated = layers.filter(({ rotates = true, convolution }) => rotates && convolution === undefined)
  const own = new Set(rotated.map(({ type }) => JSON.stringify(ropeOf(type).rotation ?? {})))
  const differ = own.size > 1
  const usual = ropeOf(layers.some(({ type }) => type === 'full_attention') ? 'full_attention' : 'sliding_attention')
  const of: LayerKind[] = []
  const indices = new Map<string, number>()
  const kinds = layers.map(({ type, convolution, window, rotates = true, isDense = false }) => {
    const { theta, rotation } = ropeOf(type)
    const attends = {
      ...(isDense ? { experts: 'none' as const } : {}),
      // One as long as the context hides nothing.
      ...(window === undefined || window >= contextMax ? {} : { window }),
      ...(rotates && theta !== usual.theta ? { ropeTheta: theta } : {}),
      ...(rotates ? (differ && rotation !== undefined ? { rotation } : {}) : { rotation: 'none' as const })
    }
    const kind: LayerKind =
      convolution === undefined ? attends : { ...(isDense ? { experts: 'none' as const } : {}), convolution }
    const key = JSON.stringify(kind)
    const index = indices.get(key) ?? of.push(kind) - 1
    indices.set(key, index)
    return index
  })
  const isAlike = of.length === 1 && Object.keys(of[0]!).length === 0
  return {
    ropeTheta: usual.theta,
    ...(differ || usual.rotation === undefined ? {} : { rotation: usual.rotation }),
    ...(isAlike ? {} : { kinds: { of, layers: kinds } })
  }
}
