/**
 * The newest epoch of every session at every stage, for some time after it is gone: terms open a seat once. Whoever was
 * the hop before in an older route could else open it again, at the cost of that session's driver.
 */
import type { PeerId } from '../base/ids.ts'
import { sessionMarksMax } from './limits.ts'
import type { SeatId } from './event.ts'

export class EpochMarks {
  /** Of each driver, the least recently used first. */
  readonly #marks = new Map<PeerId, Map<SeatId, number>>()
  #size = 0

  /** Notes an epoch. Returns the one that was noted before it when that is as new, and then notes nothing. */
  take(driver: PeerId, seat: SeatId, epoch: number): number | undefined {
    const marks = this.#marks.get(driver) ?? new Map<SeatId, number>()
    this.#marks.set(driver, marks)
    const before = marks.get(seat)
    if (before !== undefined && before >= epoch) return before
    if (marks.delete(seat)) this.#size -= 1
    marks.set(seat, epoch)
    this.#size += 1
    if (this.#size > sessionMarksMax) this.#forget()
    return undefined
  }

  /** Of the driver that has most of them: nobody can have those of others forgotten. */
  #forget(): void {
    let most: [PeerId, Map<SeatId, number>] | undefined
    for (const entry of this.#marks) if (most === undefined || entry[1].size > most[1].size) most = entry
    const [driver, marks] = most!
    for (const seat of marks.keys()) {
      marks.delete(seat)
      this.#size -= 1
      break
    }
    if (marks.size === 0) this.#marks.delete(driver)
  }
}
