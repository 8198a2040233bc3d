/**
 * A token bucket for bulk: while sessions run on this peer, or its processor is being measured, weights move only as fast
 * as it fills; otherwise they are not held back here. What is taken may pass what is there, and is then waited for
 * afterwards.
 */
import { supplyGentleBytesPerMs, supplyLiveBurstBytes, supplyLiveBytesPerMs } from './limits.ts'

export class BulkRate {
  readonly #live: () => boolean
  readonly #gentle: () => boolean
  #bytes = supplyLiveBurstBytes
  #atMs = 0

  /**
   * @param live whether sessions run on this peer now
   * @param gentle whether something else here needs the processor to itself, as far as that goes
   */
  constructor(live: () => boolean, gentle: () => boolean = () => false) {
    this.#live = live
    this.#gentle = gentle
  }

  get live(): boolean {
    return this.#live()
  }

  /** Takes bytes for a send or a request that happens now. */
  take(bytes: number, nowMs: number): void {
    this.#fill(nowMs)
    this.#bytes -= bytes
    // Whoever hauled without a limit owes nothing once there is one.
    if (this.#rate === Number.POSITIVE_INFINITY) this.#bytes = Math.max(this.#bytes, 0)
  }

  /** Time until the next bytes may be taken, in ms; 0 when they may be taken now. */
  waitMs(nowMs: number): number {
    this.#fill(nowMs)
    const rate = this.#rate
    return rate === Number.POSITIVE_INFINITY || this.#bytes > 0 ? 0 : Math.ceil((1 - this.#bytes) / rate)
  }

  /** Bytes per ms. */
  get #rate(): number {
    if (this.#live()) return supplyLiveBytesPerMs
    return this.#gentle() ? supplyGentleBytesPerMs : Number.POSITIVE_INFINITY
  }

  #fill(nowMs: number): void {
    const passedMs = Math.max(0, nowMs - this.#atMs)
    this.#atMs = nowMs
    const rate = this.#rate
    this.#bytes =
      rate === Number.POSITIVE_INFINITY
        ? supplyLiveBurstBytes
        : Math.min(supplyLiveBurstBytes, this.#bytes + passedMs * rate)
  }
}
