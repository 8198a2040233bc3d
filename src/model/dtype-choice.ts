/** What the weights of a checkpoint are converted to at import, where it is not one type for all of them. Pure. */
import { ImportError } from '../errors.ts'
import type { ModelConfig } from './decoder.ts'
import {
  type Dtype,
  dtypes,
  embeddingType,
  type LayerPart,
  layerParts,
  type MixedWeights,
  partsOfLayer,
  type Weights,
  type WeightType
} from './weight-types.ts'

export type WeightName = LayerPart | 'embedding' | 'output'

/** Groups of matrices that are named together: by what they are for; a short convolution is in the place of attention. */
const groups = {
  attention: ['q', 'k', 'v', 'o', 'convIn', 'convOut'],
  'feed-forward': ['gate', 'up', 'down'],
  head: ['output']
} as const satisfies Record<string, readonly WeightName[]>

const groupNames = ['attention', 'feed-forward', 'head'] as const satisfies readonly (keyof typeof groups)[]

/** What may be given a type of its own. */
export type WeightKind = keyof typeof groups | 'embedding' | LayerPart

/** In the order in which people are told of them. */
export const weightKinds: readonly WeightKind[] = ['attention', 'feed-forward', 'embedding', 'head', ...layerParts]

/**
 * A type for each kind that is named; a matrix counts more than its group. `rest` is that of all others, as {@link Dtype}
 * is by itself: its embedding and output matrix have 8 bits where it is `q4`.
 */
export type DtypeMix = Readonly<Partial<Record<WeightKind | 'rest', Dtype>>>

/** One type for all weights, or types by kind. */
export type DtypeChoice = Dtype | DtypeMix

/**
 * What a matrix is converted to; undefined where nothing is said of it.
 *
 * @param model of which embedding and output matrix are one where they are tied
 * @throws {ImportError} when that one matrix is given two types
 */
export function chosenType(
  choice: DtypeChoice,
  name: WeightName,
  { tiedEmbeddings }: Pick<ModelConfig, 'tiedEmbeddings'>
): WeightType | undefined {
  const mix: DtypeMix = typeof choice === 'string' ? { rest: choice } : choice
  const isTable = name === 'embedding' || name === 'output'
  const said = isTable && tiedEmbeddings ? tiedType(mix) : saidOf(mix, name)
  if (said !== undefined) return dtypes[said]
  if (mix.rest === undefined) return undefined
  return isTable ? embeddingType(dtypes[mix.rest]) : dtypes[mix.rest]
}

function saidOf(mix: DtypeMix, name: WeightName): Dtype | undefined {
  const own = name === 'output' ? undefined : mix[name]
  const group = groupNames.find(each => (groups[each] as readonly string[]).includes(name))
  return own ?? (group === undefined ? undefined : mix[group])
}

function tiedType({ embedding, head }: DtypeMix): Dtype | undefined {
  if (embedding === undefined || head === undefined || embedding === head) return embedding ?? head
  throw new ImportError(
    `embedding and head are one matrix in this model: it cannot be ${embedding} as one and ${head} as the other`
  )
}

/**
 * The types of all matrices of a model.
 *
 * @param otherwise of one of which the choice says nothing
 * @throws {ImportError} as {@link chosenType}
 */
export async function chosenWeights(
  choice: DtypeChoice,
  config: Pick<ModelConfig, 'layers' | 'tiedEmbeddings' | 'kinds'>,
  otherwise: (name: WeightName, layer: number | null) => WeightType | Promise<WeightType>
): Promise<Weights> {
  const typeFor = async (name: WeightName, layer: number | null): Promise<WeightType> =>
    chosenType(choice, name, config) ?? otherwise(name, layer)
  const embedding = await typeFor('embedding', null)
  const output = config.tiedEmbeddings ? undefined : await typeFor('output', null)
  const layers: MixedWeights['layers'][number][] = []
  for (let layer = 0; layer < config.layers; layer++) {
    const types: Partial<Record<LayerPart, WeightType>> = {}
    for (const part of partsOfLayer(config, layer)) types[part] = await typeFor(part, layer)
    layers.push(types)
  }
  return inOneWord({ embedding, ...(output === undefined ? {} : { output }), layers })
}

/** One type where that says the same. */
function inOneWord(mixed: MixedWeights): Weights {
  const { embedding, output = embedding, layers } = mixed
  const all = new Set(layers.flatMap(types => Object.values(types)))
  const [only] = all
  const plain = all.size === 1 && embedding === embeddingType(only!) && output === embedding
  return plain ? only! : mixed
}
