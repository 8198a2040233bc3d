/**
 * What time it is, for certificates: machines in the field start in 1970, jump when a receiver finds its first satellite, and run backwards.
 * It is never earlier than what anybody who may sign has signed, nor than it was; while a peer runs, time goes on as its steady clock does, and
 * a wall clock that jumps ahead of that counts when others confirm it. Pure.
 */
import { clockHeardMs, clocksHeardMax, clockToleranceMs } from './limits.ts'

/** What somebody said that the time is. */
interface Said {
  readonly apartMs: number
  readonly steadyMs: number
  readonly isHere: boolean
}

export class TrustedTime {
  /** What the time was at a moment of the steady clock. */
  #at: { readonly timeMs: number; readonly steadyMs: number } | undefined
  /** The latest moment at which somebody who may sign has signed: it is no earlier. */
  #floorMs = 0
  readonly #startMs: number
  /** What members have last said that the time is, as their distance from ours, and when they said it. */
  readonly #others = new Map<string, Said>()

  /** @param startMs when this peer ran last, in ms since 1970: it begins there with a clock that is behind, and its clock may have been ahead then */
  constructor(startMs: number) {
    this.#startMs = startMs
  }

  /** Somebody who may sign has signed at this moment. */
  signed(timeMs: number): void {
    this.#floorMs = Math.max(this.#floorMs, timeMs)
  }

  /** A member says what its clock shows. One that others do not confirm counts for nothing. */
  heard(peer: string, theirMs: number, clocks: { readonly wallMs: number; readonly steadyMs: number }): void {
    if (this.#others.size >= clocksHeardMax && !this.#others.has(peer)) this.#others.clear()
    this.#others.set(peer, { apartMs: theirMs - this.now(clocks), steadyMs: clocks.steadyMs, isHere: false })
  }

  /** A member that has said so is connected, and counts for as long as it is; or no longer. */
  here(peer: string, isHere: boolean): void {
    const said = this.#others.get(peer)
    if (said === undefined) return
    if (isHere) this.#others.set(peer, { ...said, isHere })
    else this.#others.delete(peer)
  }

  /** The time in ms since 1970. `wallMs` is what this machine's clock shows, `steadyMs` a clock that never jumps. */
  now({ wallMs, steadyMs }: { readonly wallMs: number; readonly steadyMs: number }): number {
    const expected = this.#at === undefined ? undefined : this.#at.timeMs + (steadyMs - this.#at.steadyMs)
    let timeMs = Math.max(expected ?? Math.max(wallMs, this.#startMs), this.#floorMs)
    if (expected !== undefined && wallMs > expected) {
      // Small steps are those of a clock being set; a jump is believed when two members say the same.
      const ahead = wallMs - expected
      if (ahead <= clockToleranceMs || this.#confirms(ahead, steadyMs)) timeMs = Math.max(timeMs, wallMs)
    }
    if (this.#at === undefined || timeMs !== expected) {
      const moved = expected === undefined ? 0 : timeMs - expected
      if (moved !== 0) this.#moved(moved)
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
    const apart = this.#counted(clocks.steadyMs).sort((a, b) => a - b)
    const middle = apart[Math.floor(apart.length / 2)]
    if (middle === undefined || Math.abs(middle) <= clockToleranceMs) return nowMs
    const agreeing = apart.filter(each => Math.abs(each - middle) <= clockToleranceMs).length
    if (agreeing < 2 || 2 * agreeing <= apart.length) return nowMs
    const timeMs = nowMs + middle
    if (timeMs < this.#floorMs) return nowMs
    this.#moved(middle)
    this.#at = { timeMs, steadyMs: clocks.steadyMs }
    return timeMs
  }

  #confirms(aheadMs: number, steadyMs: number): boolean {
    return this.#counted(steadyMs).filter(apart => Math.abs(apart - aheadMs) <= clockToleranceMs).length >= 2
  }

  /** What those say who are connected, or have come to the door just now: who went long ago has no say. */
  #counted(steadyMs: number): number[] {
    const counted = [...this.#others.values()].filter(said => said.isHere || steadyMs - said.steadyMs < clockHeardMs)
    return counted.map(({ apartMs }) => apartMs)
  }

  #moved(byMs: number): void {
    for (const [peer, said] of this.#others) this.#others.set(peer, { ...said, apartMs: said.apartMs - byMs })
  }
}
