/** What of the manifest's format engines compute: the rest is described there, and refused by name. Pure. */
import { beyondLlama } from '../model/decoder.ts'
import { type ModelShape, shardLayout } from '../model/layout.ts'
import { isPlain, type PlainType } from '../model/pack.ts'
import { typesIn } from '../model/weight-types.ts'

/** Types of matrices that are computed. */
export type ComputedType = 'f32' | PlainType

export function isComputed(type: string): type is ComputedType {
  return type === 'f32' || isPlain(type)
}

/** How many parts a layer's matrices have where each stack is one matrix: `qkv`, `o`, `gateup`, `down`. */
const stacks = 4

/** Why no engine here computes a model, in one sentence; undefined when that is computed. */
export function whyNotComputable({ config, weights }: ModelShape): string | undefined {
  const [field] = beyondLlama(config)
  if (field !== undefined) return `what config.${field} describes is not computed yet`
  const type = [...typesIn(weights)].find(each => !isComputed(each))
  if (type !== undefined) return `weights of the type ${type} are not computed yet`
  if (typeof weights === 'string') return undefined
  const layer = weights.layers.findIndex(
    (_, layer) => shardLayout({ config, weights }, { role: 'layer', layer }).matrices.length > stacks
  )
  return layer < 0
    ? undefined
    : `layer ${layer} has q, k, v or gate, up of different types, which are not computed together yet`
}
