/**
 * Which connected peers are neighbours: those with a records channel. Each passes on every record, so there are only so many;
 * any number of others may be connected for a question of the DHT. Pure.
 *
 * Who has enough takes one more in two cases, and lets one go for it: somebody who has few, so that whoever comes to a swarm
 * that is full finds its way in, and somebody who needs this peer in particular. As in HyParView's active view, but who goes
 * is not drawn: it is who has most neighbours itself, so that numbers even out and the exchange comes to an end; and one that
 * another neighbour has, too, so that the swarm stays in one piece.
 */
import type { PeerId } from '../base/ids.ts'
import { meshMax } from '../limits.ts'
import { neighboursEnough, neighboursKept, neighboursSoughtRatio } from './limits.ts'
import type { Place } from './live-records.ts'

export interface NeighbourhoodInit {
  readonly neighboursMax: number
  /** How many neighbours a peer has, as its record says; undefined where that is not known. */
  readonly neighboursOf: (peer: PeerId) => number | undefined
  /** Whether another neighbour says that a peer is its neighbour. */
  readonly isReachedOtherwise: (peer: PeerId) => boolean
  /** Whether something depends on a peer, or something of it on this one: it does not go. */
  readonly isInUse: (peer: PeerId) => boolean
}

/** Somebody who would be a neighbour. */
export interface Suitor {
  /** How many it has. */
  readonly neighbours: number
  /** One of the two needs the other. */
  readonly wanted: boolean
}

/** Neighbours that stay for nothing but records, of so many. */
export function keptOf(neighboursMax: number): number {
  return Math.min(neighboursKept, Math.floor(neighboursMax / 4))
}

interface Neighbour {
  /** Needed by this peer; needed by it. */
  wantedHere: boolean
  wantedThere: boolean
}

export class Neighbourhood {
  readonly #init: NeighbourhoodInit
  readonly #neighbours = new Map<PeerId, Neighbour>()

  constructor(init: NeighbourhoodInit) {
    this.#init = init
  }

  get size(): number {
    return this.#neighbours.size
  }

  get peers(): Iterable<PeerId> {
    return this.#neighbours.keys()
  }

  has(peer: PeerId): boolean {
    return this.#neighbours.has(peer)
  }

  /** Where a peer fits in, and who goes for it; undefined when nowhere. */
  placeFor(peer: PeerId, { neighbours, wanted }: Suitor): Place | undefined {
    const { neighboursMax } = this.#init
    if (this.has(peer) || this.size < neighboursMax) return { victim: undefined }
    const ordinary = [...this.#neighbours].flatMap(([candidate, { wantedHere, wantedThere }]) =>
      wantedHere || wantedThere || this.#init.isInUse(candidate) ? [] : [candidate]
    )
    // Without neighbours that are there for nothing but records, groups that need one another would be islands.
    const spare = ordinary.filter(this.#init.isReachedOtherwise)
    if (wanted) {
      if (ordinary.length <= keptOf(neighboursMax)) return undefined
      return this.#richest(spare, 0) ?? this.#richest(ordinary, 0)
    }
    if (neighbours >= Math.min(neighboursEnough, neighboursMax / 2)) return undefined
    // Who has nobody does not wait for a triangle.
    return this.#richest(neighbours === 0 && spare.length === 0 ? ordinary : spare, neighbours + 2)
  }

  /** The one with the most neighbours, if it has so many. */
  #richest(candidates: readonly PeerId[], least: number): Place | undefined {
    let victim: PeerId | undefined
    let most = least - 1
    for (const candidate of candidates) {
      const count = this.#init.neighboursOf(candidate) ?? 0
      if (count > most) {
        victim = candidate
        most = count
      }
    }
    return victim === undefined ? undefined : { victim }
  }

  /** A peer is a neighbour from now on. */
  add(peer: PeerId, { wantedHere, wantedThere }: { wantedHere: boolean; wantedThere: boolean }): void {
    this.#neighbours.set(peer, { wantedHere, wantedThere })
  }

  delete(peer: PeerId): void {
    this.#neighbours.delete(peer)
  }

  /** Whether this peer needs a neighbour, and whether that needs this one. */
  wantedHere(peer: PeerId): boolean {
    return this.#neighbours.get(peer)?.wantedHere === true
  }

  want(peer: PeerId, change: { wantedHere?: boolean; wantedThere?: boolean }): void {
    const neighbour = this.#neighbours.get(peer)
    if (neighbour !== undefined) Object.assign(neighbour, change)
  }
}

/** How many neighbours a peer looks for that may have so many. */
export function soughtOf(linksMax: number | undefined): number {
  return linksMax === undefined ? meshMax : Math.max(1, Math.floor(linksMax * neighboursSoughtRatio))
}
