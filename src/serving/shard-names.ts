/** Shards as records and people name them. */
import type { Range } from '../base/ids.ts'
import { type ShardEntry, shardName } from '../model/manifest.ts'
import { rangesWhere } from '../route/coverage.ts'

/** The layers among the shards. */
export function layersOf(shards: readonly ShardEntry[], layers: number): Range[] {
  const found = new Set(shards.map(({ layer }) => layer))
  return rangesWhere(layers, layer => found.has(layer))
}

/** `embedding, layers 0-3, head`, the end not included. */
export function namesOf(shards: readonly ShardEntry[], layers: number): string {
  const names = layersOf(shards, layers).map(({ start, end }) =>
    end === start + 1 ? `layer ${start}` : `layers ${start}-${end}`
  )
  const others = shards.filter(({ role }) => role !== 'layer').map(shardName)
  return [...names, ...others].join(', ')
}
