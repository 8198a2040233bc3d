/** What each neighbour may still send of records, refilled with time (protocols/records.md, R15). Pure. */
import type { PeerId } from '../base/ids.ts'
import { recordsMax } from '../limits.ts'
import { recordsBurstMax, recordsHearsayPerSecondMax, recordsHearsayShareMax, recordsPerSecondMax } from './limits.ts'

interface Credit {
  /** Records. */
  records: number
  /** Those of them that may be of peers that nobody here has heard of and no connected peer names. */
  hearsay: number
  atMs: number
}

/** The neighbours with whom a records channel is open, each with its credit. */
export class RecordCredits {
  readonly #open = new Map<PeerId, Credit>()
  /** Of neighbours that are gone: a channel that is opened again is no new start. In order of their end. */
  readonly #gone = new Map<PeerId, Credit>()

  get size(): number {
    return this.#open.size
  }

  get peers(): IterableIterator<PeerId> {
    return this.#open.keys()
  }

  has(peer: PeerId): boolean {
    return this.#open.has(peer)
  }

  opened(peer: PeerId, nowMs: number): void {
    const before = this.#open.get(peer) ?? this.#gone.get(peer)
    if (before !== undefined) refill(before, nowMs)
    this.#open.set(peer, before ?? { records: recordsBurstMax, hearsay: recordsHearsayShareMax, atMs: nowMs })
  }

  closed(peer: PeerId): void {
    const credit = this.#open.get(peer)
    this.#open.delete(peer)
    this.#gone.delete(peer)
    if (credit !== undefined) this.#gone.set(peer, credit)
    for (const oldest of this.#gone.keys()) if (this.#gone.size > recordsMax) this.#gone.delete(oldest)
  }

  /** Takes so many records out of a neighbour's credit; false, and nothing taken, where it has no more that many. */
  spend(peer: PeerId, records: number, nowMs: number): boolean {
    const credit = this.#open.get(peer)
    if (credit === undefined) return false
    refill(credit, nowMs)
    if (credit.records < records) return false
    credit.records -= records
    return true
  }

  /** The same for one record of somebody whom nobody here has heard of; who is no neighbour any more spends nothing. */
  spendHearsay(peer: PeerId): boolean {
    const credit = this.#open.get(peer)
    if (credit === undefined) return true
    if (credit.hearsay < 1) return false
    credit.hearsay -= 1
    return true
  }
}

function refill(credit: Credit, nowMs: number): void {
  const seconds = (nowMs - credit.atMs) / 1000
  credit.records = Math.min(recordsBurstMax, credit.records + seconds * recordsPerSecondMax)
  credit.hearsay = Math.min(recordsHearsayShareMax, credit.hearsay + seconds * recordsHearsayPerSecondMax)
  credit.atMs = nowMs
}
