/**
 * Which of the drivers that share an engine have had more of its time than their share. Whoever is alone may have all of it, and a prompt is no offence:
 * only who has had so much more than an equal part, while others had sessions here, waits behind those. Pure.
 */
import { debtAwayMs, debtBurstMs, debtHalfLifeMs, debtMaxMs } from './limits.ts'

interface Owner {
  /** Time that it has had beyond its part. */
  debtMs: number
  /** When a step of it was here last. */
  seenMs: number
}

export class OwnerDebts {
  readonly #owners = new Map<string, Owner>()
  #fadedMs = 0

  /** A step of an owner is here. */
  seen(owner: string, nowMs: number): void {
    const known = this.#owners.get(owner)
    if (known === undefined) this.#owners.set(owner, { debtMs: 0, seenMs: nowMs })
    else known.seenMs = nowMs
  }

  /** A pass is over. @param rows that were computed, by owner. @param waiting owners that have a step here, which may have waited for long */
  took(ms: number, rows: ReadonlyMap<string, number>, waiting: Iterable<string>, nowMs: number): void {
    for (const owner of waiting) this.seen(owner, nowMs)
    this.#fade(nowMs)
    const here = [...this.#owners.values()].filter(({ seenMs }) => nowMs - seenMs <= debtAwayMs).length
    const all = [...rows.values()].reduce((sum, count) => sum + count, 0)
    if (all === 0) return
    for (const [owner, known] of this.#owners) {
      if (nowMs - known.seenMs > debtAwayMs) continue
      const hadMs = (ms * (rows.get(owner) ?? 0)) / all
      known.debtMs = Math.min(debtMaxMs, Math.max(0, known.debtMs + hadMs - ms / here))
    }
  }

  /** Whether an owner has had so much more than its part that others come first. */
  isOver(owner: string): boolean {
    return (this.#owners.get(owner)?.debtMs ?? 0) > debtBurstMs
  }

  /** When another owner that has not had more than its part had a step here last; undefined where that is long ago. */
  othersSeenMs(nowMs: number): number | undefined {
    let lastMs: number | undefined
    for (const [other, { seenMs }] of this.#owners)
      if (nowMs - seenMs <= debtAwayMs && !this.isOver(other)) lastMs = Math.max(lastMs ?? seenMs, seenMs)
    return lastMs
  }

  /** What was long ago counts for little: who has a little more than others all the time is no offence either. */
  #fade(nowMs: number): void {
    const left = 0.5 ** (Math.max(0, nowMs - this.#fadedMs) / debtHalfLifeMs)
    this.#fadedMs = nowMs
    for (const [owner, known] of this.#owners) {
      known.debtMs *= left
      if (nowMs - known.seenMs > debtAwayMs && known.debtMs < 1) this.#owners.delete(owner)
    }
  }
}
