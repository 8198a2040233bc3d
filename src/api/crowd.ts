/** Whose connections stay open when there are too many: which one gives way to a new one. Decides and does nothing. */
import { isIP } from 'node:net'
import { isLoopback } from './doors.ts'

export interface CrowdBounds {
  /** Connections at a time. */
  readonly connectionsMax: number
  /** Of one remote place, and those of them without a request under way. Programs of this machine are not bounded so. */
  readonly perPlaceMax: number
  readonly silentPerPlaceMax: number
}

/** A connection, by its remote end. */
interface Member {
  readonly key: string
  readonly place: string
  /** Requests under way. */
  running: number
}

/** What becomes of a connection that has just come: `out` is closed, and may be the new one itself. */
export interface Entry {
  readonly out: string | undefined
}

/**
 * Where an address belongs to: itself, or the network of 2^64 addresses of IPv6 that one machine may have all of. Empty for this
 * machine's own.
 */
export function placeOf(address: string): string {
  const bare = address.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '')
  if (isLoopback(bare)) return ''
  if (isIP(bare) !== 6) return bare
  const [head = '', tail] = bare.toLowerCase().split('::')
  const [before, after] = [head, tail ?? ''].map(part => (part === '' ? [] : part.split(':')))
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - before!.length - after!.length)
  return [...before!, ...Array.from({ length: zeros }, () => '0'), ...after!]
    .slice(0, 4)
    .map(group => group.replace(/^0+(?=.)/, ''))
    .join(':')
}

export class Crowd {
  readonly #bounds: CrowdBounds
  /** By key, in the order in which they came or were last answered: the first has been silent for the longest. */
  readonly #members = new Map<string, Member>()

  constructor(bounds: CrowdBounds) {
    this.#bounds = bounds
  }

  get size(): number {
    return this.#members.size
  }

  /**
   * A connection has come. Where its place has too many, the one of that place that has been silent for the longest gives way;
   * where all have, one of the place with the most silent ones. Those with a request never do: then the new one goes.
   *
   * @param key names it among those that are open
   */
  enter(key: string, address: string): Entry {
    const place = placeOf(address)
    const { connectionsMax, perPlaceMax, silentPerPlaceMax } = this.#bounds
    const silent = this.#silentOf(place)
    const count = place === '' ? 0 : this.#count(place)
    const isFull = count >= perPlaceMax || (place !== '' && silent.length >= silentPerPlaceMax)
    let out: Member | undefined
    if (isFull || this.size >= connectionsMax) {
      out = isFull ? silent[0] : this.#most()
      if (out === undefined) return { out: key }
      this.#members.delete(out.key)
    }
    this.#members.set(key, { key, place, running: 0 })
    return { out: out?.key }
  }

  /** A request of it begins, or with -1 ends. */
  runs(key: string, change: 1 | -1): void {
    const member = this.#members.get(key)
    if (member === undefined) return
    member.running += change
    if (member.running > 0) return
    // It is silent from now on.
    this.#members.delete(key)
    this.#members.set(key, member)
  }

  leave(key: string): void {
    this.#members.delete(key)
  }

  #count(place: string): number {
    let count = 0
    for (const member of this.#members.values()) if (member.place === place) count++
    return count
  }

  #silentOf(place: string): Member[] {
    return [...this.#members.values()].filter(member => member.place === place && member.running === 0)
  }

  /** Of the place with the most silent ones, the one that has been so for the longest. */
  #most(): Member | undefined {
    const silent = Map.groupBy(
      [...this.#members.values()].filter(({ running }) => running === 0),
      ({ place }) => place
    )
    return [...silent.values()].sort((a, b) => b.length - a.length)[0]?.[0]
  }
}
