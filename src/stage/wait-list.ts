/**
 * Who waits for room at one stage, and who comes next: the driver that has least there, then drivers in turn, and each driver's
 * sessions as they came (rule S30). Two kinds wait: seats, which are told when it is their turn, and sessions that were refused and
 * come again, whose place is kept for a while after each time. Others pass those by while they are not there, until they
 * have come so often that they are known to wait for this stage. Pure.
 */
import type { PeerId } from '../base/ids.ts'
import type { SeatId } from './event.ts'
import { callerGraceMs, callerHoldCalls, driverWaitersMax, stageWaitersMax, turnGuessMs } from './limits.ts'
import type { Seat } from './seat.ts'

interface Waiter {
  readonly id: SeatId
  readonly driver: PeerId
  /** undefined where it was refused and comes again. */
  seat: Seat | undefined
  /** It has come, or come again, at this time. */
  calledMs: number
  /** How often it was refused here. */
  calls: number
}

/** A place in the list, from 1 on, and how long until it has room, at a guess. */
export interface Place {
  readonly place: number
  readonly placeMs: number
}

export class WaitList {
  readonly #heldBy: () => ReadonlyMap<PeerId, number>
  /** By driver, in the order of their turns. */
  readonly #waiting = new Map<PeerId, Waiter[]>()
  /** Time between two that got room, smoothed, and when the last one did. */
  #meanMs = turnGuessMs
  #servedMs: number | undefined

  /** @param heldBy how many seats each driver has at the stage now */
  constructor(heldBy: () => ReadonlyMap<PeerId, number>) {
    this.#heldBy = heldBy
  }

  get isEmpty(): boolean {
    return this.#waiting.size === 0
  }

  /** Has a seat wait: at its place, or at the end. False when too many do. */
  add(seat: Seat, nowMs: number): boolean {
    return this.#enter({ id: seat.id, driver: seat.driver, seat, calledMs: nowMs, calls: 0 })
  }

  /** A session is refused that will come again. */
  call(id: SeatId, driver: PeerId, nowMs: number): void {
    this.#enter({ id, driver, seat: undefined, calledMs: nowMs, calls: 1 })
  }

  /** A session that has waited is not there any more, and may be back in a moment: its place is kept. */
  keep(id: SeatId, driver: PeerId, nowMs: number): void {
    this.#enter({ id, driver, seat: undefined, calledMs: nowMs, calls: 0 })
  }

  /** Who comes next, of those who are there or for whom room is kept. @param here a session that has come just now */
  next(nowMs: number, here?: SeatId): { readonly id: SeatId; readonly seat: Seat | undefined } | undefined {
    for (const waiter of this.#inTurn()) {
      if (waiter.seat !== undefined || waiter.id === here) return waiter
      if (nowMs - waiter.calledMs >= callerGraceMs) this.remove(waiter.id)
      else if (waiter.calls >= callerHoldCalls) return waiter
    }
    return undefined
  }

  /** It has room. */
  served(id: SeatId, driver: PeerId, nowMs: number): void {
    this.hadRoom(driver)
    if (!this.remove(id)) return
    if (this.#servedMs !== undefined) this.#meanMs += (nowMs - this.#servedMs - this.#meanMs) / 4
    // Time in which nobody waited says nothing of how long it takes.
    this.#servedMs = this.isEmpty ? undefined : nowMs
  }

  /** A driver's session gets room, or has had it: its next turn comes after everybody else's. */
  hadRoom(driver: PeerId): void {
    const queue = this.#waiting.get(driver)
    if (queue === undefined) return
    this.#waiting.delete(driver)
    this.#waiting.set(driver, queue)
  }

  /** It waits no longer. */
  remove(id: SeatId): boolean {
    for (const [driver, queue] of this.#waiting) {
      const at = queue.findIndex(waiter => waiter.id === id)
      if (at < 0) continue
      queue.splice(at, 1)
      if (queue.length === 0) this.#waiting.delete(driver)
      return true
    }
    return false
  }

  placeOf(id: SeatId): Place | undefined {
    const place = this.#inTurn().findIndex(waiter => waiter.id === id) + 1
    return place === 0 ? undefined : { place, placeMs: Math.round(place * this.#meanMs) }
  }

  #enter(waiter: Waiter): boolean {
    const queue = this.#waiting.get(waiter.driver) ?? []
    const known = queue.find(({ id }) => id === waiter.id)
    if (known !== undefined) {
      known.seat = waiter.seat
      known.calledMs = waiter.calledMs
      known.calls += waiter.calls
      return true
    }
    let waiters = 0
    for (const each of this.#waiting.values()) waiters += each.length
    if (queue.length >= driverWaitersMax || waiters >= stageWaitersMax) return false
    queue.push(waiter)
    this.#waiting.set(waiter.driver, queue)
    return true
  }

  /**
   * All of them in the order in which they get room. A driver's n-th one that waits comes as if it were its next seat beside those
   * that it has: whoever has least comes first, then whoever has waited longest for its turn.
   */
  #inTurn(): Waiter[] {
    const held = this.#heldBy()
    const queues = [...this.#waiting]
    return queues
      .flatMap(([driver, queue]) => queue.map((waiter, i) => ({ waiter, seats: (held.get(driver) ?? 0) + i })))
      .sort((a, b) => a.seats - b.seats)
      .map(({ waiter }) => waiter)
  }
}
