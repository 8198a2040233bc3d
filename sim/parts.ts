/**
 * What each driver has of an engine's time while others wait there: a judge of its own, which knows of passes and of who waits, and of nothing else.
 * Whoever has had more than an equal part in a while, by more than a prompt may take, had it from others.
 */
import type { PeerId } from '../src/base/ids.ts'
import { debtMaxMs } from '../src/engine/limits.ts'

/** So far back it looks. */
const windowMs = 15_000

interface Had {
  readonly atMs: number
  /** Beyond an equal part of a pass, by driver; below 0 of who had less. */
  readonly beyondMs: ReadonlyMap<PeerId, number>
  readonly passMs: number
}

export class Parts {
  readonly #had: Had[] = []

  /**
   * A pass begins. @param rows of each driver in it. @param waiting drivers that have a step here, in the pass or not
   * @returns who has had too much, and how much beyond its part
   */
  pass(
    ms: number,
    rows: ReadonlyMap<PeerId, number>,
    waiting: ReadonlySet<PeerId>,
    nowMs: number
  ): { readonly driver: PeerId; readonly beyondMs: number } | undefined {
    while (this.#had.length > 0 && nowMs - this.#had[0]!.atMs > windowMs) this.#had.shift()
    const all = [...rows.values()].reduce((sum, count) => sum + count, 0)
    if (waiting.size < 2 || all === 0) return undefined
    const beyondMs = new Map(
      [...waiting].map(driver => [driver, (ms * (rows.get(driver) ?? 0)) / all - ms / waiting.size])
    )
    this.#had.push({ atMs: nowMs, beyondMs, passMs: ms })
    const longestMs = Math.max(...this.#had.map(({ passMs }) => passMs))
    for (const driver of waiting) {
      const sum = this.#had.reduce((total, had) => total + (had.beyondMs.get(driver) ?? 0), 0)
      if (sum > debtMaxMs + 2 * longestMs) return { driver, beyondMs: sum }
    }
    return undefined
  }
}
