/** Who offers what, read from live records: where a model's weights may be fetched from. Pure. */
import type { ModelId, PeerId } from '../base/ids.ts'
import type { Measured } from '../engine/factory.ts'
import type { ShardEntry } from '../model/manifest.ts'
import { meantBy, type NamedModel, nameWithId } from '../model/names.ts'
import type { SwarmRecord } from '../swarm/record.ts'
import { startingMaxMs } from './limits.ts'

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

/** Whether a record of another peer says that it has a shard of a model. */
export function isNamed(
  heard: readonly Heard[],
  self: PeerId,
  model: ModelId,
  { role, layer }: Pick<ShardEntry, 'role' | 'layer'>
): boolean {
  return heard.some(({ record }) => {
    const offer = record.models.find(each => each.model === model)
    if (offer === undefined || record.peer === self) return false
    if (role === 'embedding') return offer.embedding
    if (role === 'head') return offer.head
    return offer.held.some(({ start, end }) => layer !== null && layer >= start && layer < end)
  })
}

/** Timings that stand for this machine's until those are known: the mean of the others'. */
export function supposed(heard: readonly Heard[], model: ModelId): Measured {
  const offers = heard.flatMap(({ record }) => record.models.filter(offer => offer.model === model))
  const mean = (values: readonly number[]): number =>
    values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length)
  return {
    visitMs: mean(offers.map(({ visitMs }) => visitMs)),
    layerMs: mean(offers.map(({ layerMs }) => layerMs)),
    numericClass: ''
  }
}

/** A model that live peers offer. */
export interface Offered extends NamedModel {
  /** Who offers it, by id. */
  readonly peers: readonly PeerId[]
}

/** Models that live peers offer under a name, an id, or the beginning of an id (at least 6 digits). No id twice. */
export function offersOf(heard: readonly Heard[], nameOrId: string): Offered[] {
  return meantBy(
    nameOrId,
    offered(heard, () => true)
  )
}

/** Other models that live peers offer under a model's name: they are not that model, and cannot stand in for it. */
export function namesakesOf(heard: readonly Heard[], { id, name }: NamedModel): Offered[] {
  return offered(heard, each => each.name === name && each.id !== id)
}

function offered(heard: readonly Heard[], takes: (model: NamedModel) => boolean): Offered[] {
  const models = new Map<ModelId, { id: ModelId; name: string; peers: PeerId[] }>()
  for (const { record } of heard) {
    for (const { model: id, name } of record.models) {
      if (!takes({ id, name })) continue
      const known = models.get(id)
      if (known === undefined) models.set(id, { id, name, peers: [record.peer] })
      else known.peers.push(record.peer)
    }
  }
  for (const { peers } of models.values()) peers.sort()
  return [...models.values()].sort((a, b) => (a.id < b.id ? -1 : 1))
}

/** `random (0123456789ab) of …wxyzwxyz and 3 more`. */
export function describeOffer(offer: Offered): string {
  return `${nameWithId(offer)} of ${describePeers(offer.peers)}`
}

/** A live peer with how old its record is. */
export interface HeardLately extends Heard {
  readonly ageMs: number
}

/** Neighbours that may yet offer what nobody offers, by id. */
export interface Awaited {
  readonly peers: readonly PeerId[]
  /** They say that they will. */
  readonly isSaid: boolean
}

/**
 * Who may yet offer a model that nobody offers: neighbours that say so. Where none does, those of whom nobody knows: they say nothing
 * of what they are about to offer (as older versions, and whoever has only begun), give memory to models, have offered none, and have
 * not run for long.
 */
export function awaited(heard: readonly HeardLately[], self: PeerId, nameOrId: string): Awaited {
  const others = heard.filter(({ record, connected }) => connected && record.peer !== self && !record.leaving)
  const said = others.filter(({ record: { coming = [] } }) => {
    const models = coming.map(({ model, name }) => ({ id: model, name }))
    return meantBy(nameOrId, models).length > 0
  })
  const silent = others.filter(({ record: { coming, budgetBytes, models, life }, ageMs }) => {
    const isYoung = life !== undefined && life.upMs + ageMs < startingMaxMs
    return coming === undefined && isYoung && budgetBytes > 0 && models.length === 0
  })
  const peers = (said.length > 0 ? said : silent).map(({ record }) => record.peer).sort()
  return { peers, isSaid: said.length > 0 }
}

/** `…wxyzwxyz and 3 more have just started and may offer it`. */
export function describeAwaited({ peers, isSaid }: Awaited): string {
  const isOne = peers.length === 1
  const what = isSaid
    ? `${isOne ? 'is' : 'are'} about to offer it`
    : `${isOne ? 'has' : 'have'} just started and may offer it`
  return `${describePeers(peers)} ${what}`
}

function describePeers([first, ...rest]: readonly PeerId[]): string {
  return `…${first!.slice(-8)}${rest.length === 0 ? '' : ` and ${rest.length} more`}`
}
