/**
 * Compares a model that has been written with its weights as they were: layer after layer is written once more in float32, for as long
 * as it is looked at.
 */
import path from 'node:path'
import type { Addition, PendingFile } from './addition.ts'
import type { DtypeChoice } from './dtype-choice.ts'
import { shardBytes } from './layout.ts'
import { comparedTokensMin, comparedWorkMax } from './limits.ts'
import { type Manifest, shardName, type ShardPlace } from './manifest.ts'
import {
  dtypes,
  type MixedWeights,
  partsOfLayer,
  quantisedTypes,
  typeOf,
  type Weights,
  type WeightType
} from './weight-types.ts'

/** What is to be compared. */
export interface ComparedModel {
  readonly manifest: Manifest
  /** How its weights are stored in what it is compared with. */
  readonly reference: Weights
  /** A folder that holds the shards of the model, each under its digest. */
  readonly shardDirectory: string
  /** Ids [tokens] of each text. */
  readonly texts: readonly (readonly number[])[]
}

/** Who compares it. What these throw ends the comparison; whether it ends the import is theirs to say. */
export interface Comparer {
  begin(compared: ComparedModel): Promise<void>
  /** @param files the reference's shards in the folder, by their names, where they are others than the model's own */
  layer(layer: number, files: ReadonlyMap<string, string>): Promise<void>
  /** However it ended. @param failure why no more layers come, where not all have; the import goes on */
  end(failure: string | undefined): Promise<void>
}

/** Whether a choice converts matrices to a type that may cost much: 8 bits cost less than 1 % of perplexity wherever it was looked. */
export function isWorthComparing(choice: DtypeChoice | undefined): boolean {
  if (choice === undefined) return false
  const types = typeof choice === 'string' ? [choice] : Object.values(choice)
  return types.some(type => isSmall(dtypes[type]))
}

function isSmall(type: WeightType | undefined): boolean {
  return type !== undefined && type !== 'f32' && quantisedTypes[type].bits === 4
}

/** Layers in float32; embedding and output matrix as they are, unless they were made as small as may cost much. */
function referenceOf({ weights, config }: Manifest, tables: readonly Table[]): Weights {
  const table = (name: Table): WeightType => (tables.includes(name) ? 'q8-f16' : typeOf(weights, name, null))
  const layerOf = (layer: number): MixedWeights['layers'][number] =>
    Object.fromEntries(partsOfLayer(config, layer).map(part => [part, 'f32']))
  return {
    embedding: table('embedding'),
    ...(config.tiedEmbeddings ? {} : { output: table('output') }),
    layers: Array.from({ length: config.layers }, (_, layer) => layerOf(layer))
  }
}

/** The texts, or as much of their beginnings as is computed in a minute or two where the model is large. */
function fitting(texts: ComparedModel['texts'], { shards }: Manifest): number[][] {
  const bytes = shards.reduce((sum, shard) => sum + shard.bytes, 0)
  const each = Math.max(comparedTokensMin, Math.floor(comparedWorkMax / (texts.length * bytes)))
  return texts.map(ids => ids.slice(0, each)).filter(ids => ids.length > 1)
}

/** A matrix that no layer has. */
type Table = 'embedding' | 'output'

export interface CompareWrittenInit {
  readonly manifest: Manifest
  readonly shardDirectory: string
  readonly texts: ComparedModel['texts']
  readonly comparer: Comparer
  readonly addition: Addition
  /** Whether a matrix is as its source has it. */
  readonly keeps: (name: Table) => boolean
  /** Fills a shard of other types than the model has. */
  readonly write: (file: PendingFile, place: ShardPlace, weights: Weights) => Promise<void>
  readonly signal: AbortSignal
}

/** @throws the signal's reason, and what {@link Comparer} throws at its beginning or end */
export async function compareWritten(init: CompareWrittenInit): Promise<void> {
  const { manifest, shardDirectory, comparer, signal } = init
  const { weights } = manifest
  const isMade = (name: Table): boolean => isSmall(typeOf(weights, name, null)) && !init.keeps(name)
  const tables = (['embedding', 'output'] as const).filter(isMade)
  const reference = referenceOf(manifest, tables)
  await comparer.begin({ manifest, reference, shardDirectory, texts: fitting(init.texts, manifest) })
  const failure = await layers(init, reference, tables).then(
    () => undefined,
    (error: Error) => error.message
  )
  signal.throwIfAborted()
  await comparer.end(failure)
}

async function layers(
  { manifest, comparer, addition, write, signal }: CompareWrittenInit,
  reference: Weights,
  tables: readonly Table[]
): Promise<void> {
  const { config } = manifest
  const pending: PendingFile[] = []
  const written = async (place: ShardPlace): Promise<PendingFile> => {
    const file = await addition.create(shardBytes({ config, weights: reference }, place))
    pending.push(file)
    await write(file, place, reference)
    return file
  }
  const nameOf = ({ file }: PendingFile): string => path.basename(file)
  try {
    const others = new Map<string, string>()
    for (const table of tables) {
      const place = { role: table === 'output' ? 'head' : table, layer: null } as const
      others.set(shardName(place), nameOf(await written(place)))
    }
    for (let layer = 0; layer < config.layers; layer++) {
      signal.throwIfAborted()
      const place = { role: 'layer', layer } as const
      const file = await written(place)
      await comparer.layer(layer, new Map([...others, [shardName(place), nameOf(file)]]))
      await file.discard()
    }
  } finally {
    for (const file of pending) await file.discard()
  }
}
