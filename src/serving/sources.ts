/** Who offers what, read from live records: where a model's weights may be fetched from. Pure. */
import type { ModelId, PeerId } from '../base/ids.ts'
import type { SwarmRecord } from '../swarm/record.ts'

/** A live peer as far as this goes. */
export interface Heard {
  readonly record: SwarmRecord
  readonly connected: boolean
  /** It is or was connected, or is named by a peer that is. @default true */
  readonly linked?: boolean
}

/** Other peers that offer a model: connected ones first, those known by hearsay last, then those that hold more of it. */
export function sourcesOf(heard: readonly Heard[], self: PeerId, model: ModelId): PeerId[] {
  return heard
    .flatMap(({ record, connected, linked = true }) => {
      const offer = record.models.find(each => each.model === model)
      if (offer === undefined || record.peer === self) return []
      const layers = offer.held.reduce((sum, { start, end }) => sum + end - start, 0)
      return [{ peer: record.peer, rank: (connected ? 2e6 : linked ? 1e6 : 0) + layers }]
    })
    .sort((a, b) => b.rank - a.rank || (a.peer < b.peer ? -1 : 1))
    .map(({ peer }) => peer)
}

/** Models that live peers offer under a name, an id, or the beginning of an id (at least 6 digits). No id twice. */
export function offersOf(heard: readonly Heard[], nameOrId: string): { readonly id: ModelId; readonly name: string }[] {
  const offers = new Map(heard.flatMap(({ record }) => record.models.map(({ model, name }) => [model, name] as const)))
  const all = [...offers].map(([id, name]) => ({ id, name })).sort((a, b) => (a.id < b.id ? -1 : 1))
  const named = all.filter(({ name }) => name === nameOrId)
  if (named.length > 0 || !/^[0-9a-f]{6,64}$/.test(nameOrId)) return named
  return all.filter(({ id }) => id.startsWith(nameOrId))
}
