/** What of the manifest's format an engine computes: the rest is described there, and refused by name. Pure. */
import { beyondLlama } from '../model/decoder.ts'
import { type ModelShape, shardLayout } from '../model/layout.ts'
import { typesIn, type WeightType } from '../model/weight-types.ts'

/** How many parts a layer's matrices have where each stack is one matrix: `qkv`, `o`, `gateup`, `down`. */
const stacks = 4

/** What an engine computes of what a manifest may describe. */
export interface Computes {
  /** Fields of a decoder beyond llama, as {@link beyondLlama} names them. @default none */
  readonly fields?: ReadonlySet<string>
  /** Types of matrices. @default all */
  readonly takes?: (type: WeightType) => boolean
}

/** Why an engine does not compute a model, in one sentence; undefined when it does. */
export function whyNotComputable(
  { config, weights }: ModelShape,
  { fields = new Set(), takes = () => true }: Computes = {}
): string | undefined {
  if (config.experts !== undefined && !fields.has('experts.count')) return 'mixtures of experts are not computed yet'
  const field = beyondLlama(config).find(name => !fields.has(name))
  if (field !== undefined) return `what config.${field} describes is not computed yet`
  const type = [...typesIn(weights)].find(each => !takes(each))
  return type === undefined ? undefined : `weights of the type ${type} are not computed yet`
}

/** Why an engine that multiplies whole stacks (`qkv`, `gateup`) does not compute a model, or undefined. */
export function whyNotStacked({ config, weights }: ModelShape): string | undefined {
  if (typeof weights === 'string') return undefined
  const layer = weights.layers.findIndex(
    (_, layer) => shardLayout({ config, weights }, { role: 'layer', layer }).matrices.length > stacks
  )
  return layer < 0
    ? undefined
    : `layer ${layer} has q, k, v or gate, up of different types, which it does not compute together`
}
