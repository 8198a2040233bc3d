/**
 * What time it is, for certificates: machines in the field start in 1970, jump when a receiver finds its first satellite, and run backwards.
 * It is never earlier than what anybody who may sign has signed, nor than it was; while a peer runs, time goes on as its steady clock does, and
 * a wall clock that jumps ahead of that counts when others confirm it. Pure.
 */
import { clockToleranceMs } from './limits.ts'

export class TrustedTime {
  /** What the time was at a moment of the steady clock. */
  #at: { readonly timeMs: number; readonly steadyMs: number } | undefined
  #floorMs: number
  /** What members have last said that the time is, as their distance from ours when they said it. */
  readonly #others = new Map<string, number>()

  /** @param floorMs the latest signed moment known, or the time at which this peer ran last, in ms since 1970 */
  constructor(floorMs: number) {
    this.#floorMs = floorMs
  }

  /** Somebody who may sign has signed at this moment. */
  signed(timeMs: number): void {
    this.#floorMs = Math.max(this.#floorMs, timeMs)
  }

  /** A member says what its clock shows. One that others do not confirm counts for nothing. */
  heard(peer: string, theirMs: number, clocks: { readonly wallMs: number; readonly steadyMs: number }): void {
    if (this.#others.size >= 64 && !this.#others.has(peer)) this.#others.clear()
    this.#others.set(peer, theirMs - this.now(clocks))
  }

  /** The time in ms since 1970. `wallMs` is what this machine's clock shows, `steadyMs` a clock that never jumps. */
  now({ wallMs, steadyMs }: { readonly wallMs: number; readonly steadyMs: number }): number {
    const expected = this.#at === undefined ? undefined : this.#at.timeMs + (steadyMs - this.#at.steadyMs)
    let timeMs = Math.max(expected ?? wallMs, this.#floorMs)
    if (expected !== undefined && wallMs > expected) {
      // Small steps are those of a clock being set; a jump is believed when two members say the same.
      const ahead = wallMs - expected
      if (ahead <= clockToleranceMs || this.#confirms(ahead)) timeMs = Math.max(timeMs, wallMs)
    }
    if (this.#at === undefined || timeMs !== expected) {
      const moved = expected === undefined ? 0 : timeMs - expected
      if (moved !== 0) for (const [peer, apart] of this.#others) this.#others.set(peer, apart - moved)
      this.#at = { timeMs, steadyMs }
    }
    return timeMs
  }

  /**
   * A peer that has just started with a clock far ahead takes everybody for expired, and one without a clock chip that has been off for long
   * takes the expired for members: where two members or more agree on another time, more of them than say anything else, and it is no earlier than what is
   * signed, that is the time.
   */
  settle(clocks: { readonly wallMs: number; readonly steadyMs: number }): number {
    const nowMs = this.now(clocks)
    const apart = [...this.#others.values()].sort((a, b) => a - b)
    const middle = apart[Math.floor(apart.length / 2)]
    if (middle === undefined || Math.abs(middle) <= clockToleranceMs) return nowMs
    const agreeing = apart.filter(each => Math.abs(each - middle) <= clockToleranceMs).length
    if (agreeing < 2 || 2 * agreeing <= apart.length) return nowMs
    const timeMs = nowMs + middle
    if (timeMs < this.#floorMs) return nowMs
    for (const [peer, each] of this.#others) this.#others.set(peer, each - middle)
    this.#at = { timeMs, steadyMs: clocks.steadyMs }
    return timeMs
  }

  #confirms(aheadMs: number): boolean {
    return [...this.#others.values()].filter(apart => Math.abs(apart - aheadMs) <= clockToleranceMs).length >= 2
  }
}
