/**
 * A token bucket for bulk: while sessions run on this peer, weights move only as fast as it fills; otherwise they are
 * not held back here. What is taken may pass what is there, and is then waited for afterwards.
 */
import { supplyLiveBurstBytes, supplyLiveBytesPerMs } from '../limits.ts'

export class Pace {
  readonly #live: () => boolean
  #bytes = supplyLiveBurstBytes
  #atMs = 0

  /** @param live whether sessions run on this peer now */
  constructor(live: () => boolean) {
    this.#live = live
  }

  get live(): boolean {
    return this.#live()
  }

  /** Takes bytes for a send or a request that happens now. */
  take(bytes: number, nowMs: number): void {
    this.#fill(nowMs)
    this.#bytes -= bytes
    // Whoever hauled without a limit owes nothing once there is one.
    if (!this.live) this.#bytes = Math.max(this.#bytes, 0)
  }

  /** Time until the next bytes may be taken, in ms; 0 when they may be taken now. */
  waitMs(nowMs: number): number {
    this.#fill(nowMs)
    return !this.live || this.#bytes > 0 ? 0 : Math.ceil((1 - this.#bytes) / supplyLiveBytesPerMs)
  }

  #fill(nowMs: number): void {
    const passedMs = Math.max(0, nowMs - this.#atMs)
    this.#atMs = nowMs
    this.#bytes = Math.min(supplyLiveBurstBytes, this.#bytes + passedMs * supplyLiveBytesPerMs)
  }
}
