/** Times in which this peer itself did not run, by the ticks that did not come. Pure. */
import { routeRetryMs, standstillMs } from './limits.ts'

export interface Pause {
  readonly pausedMs: number
  /** So long that others may have given it up meanwhile. */
  readonly isStandstill: boolean
}

export class Pauses {
  #tickedMs: number | undefined

  ticked(nowMs: number): void {
    this.#tickedMs = nowMs
  }

  /** Something happens. Returns the pause that it ends, if it ends one. */
  noticed(nowMs: number): Pause | undefined {
    if (this.#tickedMs === undefined) return undefined
    const gapMs = nowMs - this.#tickedMs
    const pausedMs = gapMs - 2 * routeRetryMs
    if (pausedMs <= 0) return undefined
    this.#tickedMs = nowMs
    return { pausedMs, isStandstill: gapMs >= standstillMs }
  }
}
