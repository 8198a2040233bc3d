/**
 * How often what a peer says of itself is believed anew and passed on (protocols/records.md, R27): a swarm hears of each change of somebody who has a few of
 * them, and of the newest one, a few times a second, of somebody who has hundreds. Pure: time comes in as an argument.
 */
import { PeerBudgets } from '../base/budget.ts'
import type { PeerId } from '../base/ids.ts'
import { recordChangesBurstMax, recordChangesPerSecondMax } from './limits.ts'

export class RecordPace<T> {
  readonly #budgets = new PeerBudgets({ perSecond: recordChangesPerSecondMax, burst: recordChangesBurstMax })
  /** The newest of each that has to wait. */
  readonly #waiting = new Map<PeerId, T>()

  /** Whether a new record of a peer counts at once; else it waits, in place of an older one that does. */
  take(peer: PeerId, record: T, nowMs: number): boolean {
    this.#waiting.delete(peer)
    if (this.#budgets.take(peer, nowMs)) return true
    this.#waiting.set(peer, record)
    return false
  }

  /** What waited for a peer counts no more. */
  drop(peer: PeerId): void {
    this.#waiting.delete(peer)
  }

  /** Those whose time has come. */
  due(nowMs: number): T[] {
    const due: T[] = []
    for (const [peer, record] of this.#waiting) {
      if (!this.#budgets.take(peer, nowMs)) continue
      this.#waiting.delete(peer)
      due.push(record)
    }
    return due
  }
}
