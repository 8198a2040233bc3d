/**
 * The live records of a swarm, and who gives way when there are too many. Anybody with the swarm's secret can make
 * identities at no cost, so what counts is who is connected with one: this peer, then a peer that is connected with this
 * one and names it as its neighbour, then nobody that can be asked. Pure.
 */
import type { PeerId } from '../base/ids.ts'
import { recordsMax } from '../limits.ts'
import { connectionsMax, recordsHearsayMax, recordsHearsayShareMax } from './limits.ts'
import { peerHint, type SwarmRecord } from './record.ts'

/** One live record. */
export interface LiveRecord {
  readonly record: SwarmRecord
  /** Its bytes, as they are passed on. */
  readonly value: Uint8Array
  readonly receivedMs: number
  /** The neighbour that first passed its peer on, the peer itself included; undefined when it is from the DHT. */
  readonly via: PeerId | undefined
}

/** How near a peer is: it has a records channel with this one; it had one, or such a peer names it; or neither. */
const connected = 2
const named = 1
const hearsay = 0
type Nearness = typeof connected | typeof named | typeof hearsay

/** Who must go so that another one may come; `undefined` when there is room for both. */
export interface Place {
  readonly victim: PeerId | undefined
}

export class LiveRecords {
  readonly #self: PeerId
  readonly #max: number
  readonly #live = new Map<PeerId, LiveRecord & { readonly hint: number }>()
  /** Peers with a records channel, with their hints. */
  readonly #neighbours = new Map<PeerId, number>()
  /** Live peers that have had a channel with this one: a connection that breaks does not make them strangers. */
  readonly #met = new Set<PeerId>()
  /** Hints that connected peers name; undefined when it has to be put together anew. */
  #named: Set<number> | undefined

  constructor(self: PeerId, max = recordsMax) {
    this.#self = self
    this.#max = max
  }

  get size(): number {
    return this.#live.size
  }

  get(peer: PeerId): LiveRecord | undefined {
    return this.#live.get(peer)
  }

  has(peer: PeerId): boolean {
    return this.#live.has(peer)
  }

  [Symbol.iterator](): IterableIterator<[PeerId, LiveRecord]> {
    return this.#live[Symbol.iterator]()
  }

  set(peer: PeerId, record: LiveRecord): void {
    if (this.#neighbours.has(peer)) this.#named = undefined
    this.#live.set(peer, { ...record, hint: this.hint(peer) })
    if (this.#neighbours.has(peer)) this.#met.add(peer)
  }

  delete(peer: PeerId): boolean {
    if (this.#neighbours.has(peer)) this.#named = undefined
    this.#met.delete(peer)
    return this.#live.delete(peer)
  }

  /** There is a records channel with a peer, or no longer. */
  connect(peer: PeerId): void {
    this.#neighbours.set(peer, this.hint(peer))
    if (this.#live.has(peer)) this.#met.add(peer)
    this.#named = undefined
  }

  disconnect(peer: PeerId): void {
    this.#neighbours.delete(peer)
    this.#named = undefined
  }

  /** Whether a peer is or was connected with this one, or is named by a peer that is. */
  isLinked(peer: PeerId): boolean {
    return this.#nearness(peer) !== hearsay
  }

  /** Live peers that are linked, other than this one. */
  linked(): Set<PeerId> {
    return new Set([...this.#live.keys()].filter(peer => peer !== this.#self && this.isLinked(peer)))
  }

  /**
   * Where somebody new fits in, passed on by `from`; undefined when there is no place. Hearsay gives way first, the
   * oldest of the neighbour that passed on the most of it; so no number of invented identities keeps out who is connected.
   */
  placeFor(peer: PeerId, from: PeerId | undefined): Place | undefined {
    const nearness = this.#nearness(peer)
    const isFull = this.#live.size >= this.#max
    if (nearness !== hearsay && !isFull) return { victim: undefined }
    const told = this.#byTeller(hearsay)
    if (nearness !== hearsay) {
      const victim = oldestOfMost(told) ?? (nearness === connected ? oldestOfMost(this.#byTeller(named)) : undefined)
      return victim === undefined ? undefined : { victim }
    }
    const own = told.get(from) ?? []
    if (own.length >= recordsHearsayShareMax) return { victim: oldest(own) }
    const count = [...told.values()].reduce((sum, { length }) => sum + length, 0)
    if (count < recordsHearsayMax && !isFull) return { victim: undefined }
    const victim = oldestOfMost(told)
    return victim === undefined ? undefined : { victim }
  }

  /** Short for a peer's id, in records. */
  hint(peer: PeerId): number {
    return this.#neighbours.get(peer) ?? this.#live.get(peer)?.hint ?? peerHint(peer)
  }

  #nearness(peer: PeerId): Nearness {
    if (peer === this.#self || this.#neighbours.has(peer)) return connected
    return this.#met.has(peer) || this.#allNamed().has(this.hint(peer)) ? named : hearsay
  }

  #allNamed(): Set<number> {
    if (this.#named !== undefined) return this.#named
    this.#named = new Set()
    for (const neighbour of this.#neighbours.keys()) {
      let count = 0
      for (const hint of this.#live.get(neighbour)?.record.neighbours ?? []) {
        // Nobody has more connections; who names more is not believed beyond that.
        if (++count > connectionsMax) break
        this.#named.add(hint)
      }
    }
    return this.#named
  }

  /** Live peers of one nearness by the neighbour that passed them on. */
  #byTeller(nearness: Nearness): Map<PeerId | undefined, LiveRecord[]> {
    const told = new Map<PeerId | undefined, LiveRecord[]>()
    for (const [peer, live] of this.#live) {
      if (this.#nearness(peer) !== nearness) continue
      const list = told.get(live.via)
      if (list === undefined) told.set(live.via, [live])
      else list.push(live)
    }
    return told
  }
}

function oldestOfMost(told: ReadonlyMap<PeerId | undefined, readonly LiveRecord[]>): PeerId | undefined {
  let most: readonly LiveRecord[] = []
  for (const list of told.values()) if (list.length > most.length) most = list
  return oldest(most)
}

function oldest(list: readonly LiveRecord[]): PeerId | undefined {
  let found: LiveRecord | undefined
  for (const live of list) if (found === undefined || live.receivedMs < found.receivedMs) found = live
  return found?.record.peer
}
