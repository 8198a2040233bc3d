/**
 * Keeps the DHT's table full around this peer's own id: asks who is closest to it, soon after the start and then less and less
 * often. In a swarm of neighbours alone nothing is asked: whoever connects enters the table at once.
 */
import { type Clock, systemClock } from '../base/clock.ts'
import { dhtQueryMs, closestFirstMs, closestMaxMs } from './limits.ts'

export interface ClosestServiceInit {
  /** Asks who is closest to this peer's id. */
  readonly ask: (options: { signal: AbortSignal }) => Promise<void>
  /** Whether the swarm is larger than the neighbourhood. */
  readonly isLarge: () => boolean
  /** @default the machine's */
  readonly clock?: Clock
}

export class ClosestService {
  readonly #init: ClosestServiceInit
  readonly #clock: Clock
  readonly #abort = new AbortController()
  /** Ends the wait for the next question. */
  #waiting = new AbortController()

  constructor(init: ClosestServiceInit) {
    this.#init = init
    this.#clock = init.clock ?? systemClock
  }

  start(): void {
    void this.#keepAsking()
  }

  stop(): void {
    this.#abort.abort(new Error('this peer is stopping'))
  }

  /** This peer was alone and is no longer: who is there may be others than before. */
  anew(): void {
    this.#waiting.abort(new Error('begun anew'))
  }

  async #keepAsking(): Promise<void> {
    const { signal } = this.#abort
    let waitMs = closestFirstMs
    while (!signal.aborted) {
      this.#waiting = new AbortController()
      const either = AbortSignal.any([signal, this.#waiting.signal])
      await this.#clock.sleep(waitMs, { signal: either, ref: false })
      if (this.#waiting.signal.aborted) waitMs = closestFirstMs
      else if (!signal.aborted && this.#init.isLarge()) {
        // What it has learnt when it takes too long counts, too.
        await this.#init.ask({ signal: AbortSignal.any([signal, this.#clock.deadline(dhtQueryMs)]) }).catch(() => {})
        // Whoever came while it asked may not have been named.
        waitMs = this.#waiting.signal.aborted ? closestFirstMs : Math.min(2 * waitMs, closestMaxMs)
      }
    }
  }
}
