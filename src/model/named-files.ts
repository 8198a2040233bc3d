/** Models and their files by name: what people call a model, and what messages call its files. */
import { CorruptShardError } from '../errors.ts'
import { unreadable } from './hash-messages.ts'
import { type ShardEntry, shardName } from './manifest.ts'
import { meantBy } from './names.ts'
import type { AnyManifest } from './manifest.ts'
import type { AnyModel, Stored } from './store.ts'

/** A file of the model with what messages call it. */
export interface NamedFile {
  readonly label: string
  readonly bytes: number
  readonly sha256: string
  readonly chunks: string
}

export function namedShard(shard: ShardEntry): NamedFile {
  const { bytes, sha256, chunks } = shard
  return { label: `${shardName(shard)} shard`, bytes, sha256, chunks }
}

/** None for a graph that takes no text. */
export function namedTokenizer({ manifest }: Stored<AnyManifest>): NamedFile[] {
  return manifest.tokenizer === null ? [] : [{ label: 'tokenizer', ...manifest.tokenizer }]
}

export function files(model: Stored<AnyManifest>): NamedFile[] {
  return [...model.manifest.shards.map(namedShard), ...namedTokenizer(model)]
}

export function corrupt(model: Stored<AnyManifest>, file: NamedFile, at: string, actual: string): CorruptShardError {
  const what = `the ${file.label} of ${model.manifest.name} is damaged: ${at}`
  if (actual === unreadable) return new CorruptShardError(`${what} does not open, its seal is broken`)
  return new CorruptShardError(`${what} has the SHA-256 ${actual}, the manifest says ${file.sha256}`)
}

/** Those that have that name, id, or beginning of an id. */
export function meant(models: readonly AnyModel[], nameOrId: string): AnyModel[] {
  const named = models.map(model => ({ id: model.id, name: model.manifest.name, model }))
  return meantBy(nameOrId, named).map(({ model }) => model)
}
