/**
 * Memory for frames that have not wholly arrived, of all channels of one host (promise P10): a frame of some size is begun
 * only when there is room for all of it, else its channel reads no further until there is. So every frame that was begun
 * can be finished, and whoever begins many and finishes none keeps out nobody but itself. Pure.
 */
import type { PeerId } from '../base/ids.ts'
import { unfinishedFreeBytes, unfinishedHostBytesMax, unfinishedPeerBytesMax, unfinishedWaitingMax } from './limits.ts'

/** One channel, as this account knows it. */
export interface Reader {
  readonly remote: PeerId
  /** There is room now for what it waited for, and it is booked: it reads on. */
  resume(): void
  /** Too many others of its peer wait, and none has stood unfinished for longer: it is to end. */
  evict(): void
}

export class UnfinishedFrames {
  /** What is booked, the oldest first. */
  readonly #booked = new Map<Reader, number>()
  /** Readers that wait, and for how much, the first to come first. */
  readonly #waiting = new Map<Reader, number>()
  readonly #peers = new Map<PeerId, number>()
  #bytes = 0

  /** Bytes that are booked, of one peer or of all. */
  bytes(peer?: PeerId): number {
    return peer === undefined ? this.#bytes : (this.#peers.get(peer) ?? 0)
  }

  /** Books room for a frame. False when its reader has to wait until `resume`. */
  begin(reader: Reader, bytes: number): boolean {
    if (bytes <= unfinishedFreeBytes) return true
    if (this.#fits(reader.remote, bytes) && !this.#isBehind(reader.remote)) {
      this.#book(reader, bytes)
      return true
    }
    this.#waiting.set(reader, bytes)
    const waiting = [...this.#waiting.keys()].filter(({ remote }) => remote === reader.remote).length
    if (waiting > unfinishedWaitingMax) this.#oldest(reader.remote)?.evict()
    // What was ended may have made room for it.
    return !this.#waiting.has(reader)
  }

  /** A frame is whole, or its reader has ended. */
  end(reader: Reader): void {
    this.#waiting.delete(reader)
    const bytes = this.#booked.get(reader)
    if (bytes !== undefined) {
      this.#booked.delete(reader)
      this.#add(reader.remote, -bytes)
    }
    for (const [next, needed] of [...this.#waiting]) {
      if (!this.#waiting.has(next) || !this.#fits(next.remote, needed)) continue
      this.#waiting.delete(next)
      this.#book(next, needed)
      next.resume()
    }
  }

  #book(reader: Reader, bytes: number): void {
    this.#booked.set(reader, bytes)
    this.#add(reader.remote, bytes)
  }

  #add(peer: PeerId, bytes: number): void {
    this.#bytes += bytes
    const sum = this.bytes(peer) + bytes
    if (sum === 0) this.#peers.delete(peer)
    else this.#peers.set(peer, sum)
  }

  /** One frame of any size fits where nothing else is booked. */
  #fits(peer: PeerId, bytes: number): boolean {
    const own = this.bytes(peer)
    return (
      (own === 0 || own + bytes <= unfinishedPeerBytesMax) &&
      (this.#bytes === 0 || this.#bytes + bytes <= unfinishedHostBytesMax)
    )
  }

  /** Others of its peer wait already: no small frame keeps a large one waiting for ever. */
  #isBehind(peer: PeerId): boolean {
    for (const { remote } of this.#waiting.keys()) if (remote === peer) return true
    return false
  }

  #oldest(peer: PeerId): Reader | undefined {
    for (const reader of this.#booked.keys()) if (reader.remote === peer) return reader
    return undefined
  }
}
