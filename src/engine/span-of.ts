/** Layers of a model as an engine's thread is told of them. */
import { EngineError } from '../errors.ts'
import { shardName, stageShards } from '../model/manifest.ts'
import type { EngineInit } from './factory.ts'
import type { SpanInit } from './thread-messages.ts'

/**
 * What a thread is told of layers [start, end) of a model whose shards lie in a folder.
 * @param init.threads @default 1
 * @throws {EngineError} when the range is none of the model's, or `threads` no number of them.
 */
export function spanOf({
  manifest,
  start,
  end,
  shardDirectory,
  threads = 1
}: Pick<EngineInit, 'manifest' | 'start' | 'end' | 'shardDirectory'> & { readonly threads?: number }): SpanInit {
  const { config, weights, edge } = manifest
  if (
    !(Number.isSafeInteger(start) && Number.isSafeInteger(end) && 0 <= start && start < end && end <= config.layers)
  ) {
    throw new EngineError(`layers ${start}-${end} are no range of ${manifest.name}, which has ${config.layers}`)
  }
  if (!(Number.isSafeInteger(threads) && threads >= 1)) {
    throw new EngineError(`threads must be a positive integer, not ${threads}`)
  }
  const shardLocations = new Map(
    stageShards(manifest, start, end).map(shard => [shardName(shard), shard.sha256 as string])
  )
  return {
    config,
    weights,
    edge,
    start,
    end,
    shardLocations,
    threads,
    source: { kind: 'folder', path: shardDirectory }
  }
}
