/**
 * Which session has a seat at a stage: who finds room, who gives way to it, who waits in line and who is refused (rules S3,
 * S10, S27, S29 to S31).
 */
import type { ModelId, PeerId, Range } from '../base/ids.ts'
import { whatChanged } from './check.ts'
import type { SeatId, StageFacts } from './event.ts'
import type { RefuseReason } from './frame.ts'
import { stageSessionsMax } from './limits.ts'
import { EpochMarks } from './marks.ts'
import { byTurns, givingWay, type Measure } from './room.ts'
import { Seat } from './seat.ts'
import type { SeatHost } from './seat-host.ts'
import type { SignedTerms } from './terms.ts'
import { type Place, WaitList } from './wait-list.ts'

/** Why there is no seat; `length` of the cache that is there. */
export interface Refusal {
  readonly reason: RefuseReason
  readonly message: string
  readonly length?: number
}

export class Seating {
  /** Budget for what all sessions retain, in bytes. Lowering it takes nothing away from those that are open. */
  retainBytesMax: number
  readonly #host: SeatHost
  readonly #seats = new Map<SeatId, Seat>()
  /** Those of them that have reserved what they retain. */
  readonly #reserved = new Set<Seat>()
  /** The newest epoch of seats, those included that are gone. */
  readonly #marks = new EpochMarks()
  readonly #lines = new Map<StageFacts, WaitList>()
  /** First in their lines, and their engine is being asked for room: what was just asked for is not asked for again. */
  readonly #trying = new Set<Seat>()
  #retainBytes = 0
  /** Something has become free since those who wait were last looked at. */
  #isFreer = false

  constructor(init: { readonly host: SeatHost; readonly retainBytesMax: number }) {
    this.#host = init.host
    this.retainBytesMax = init.retainBytesMax
  }

  get all(): readonly Seat[] {
    return [...this.#seats.values()]
  }

  get size(): number {
    return this.#seats.size
  }

  get(id: SeatId): Seat | undefined {
    return this.#seats.get(id)
  }

  /** Seats that wait for room. */
  get waiting(): number {
    let waiting = 0
    for (const seat of this.#seats.values()) if (seat.isInLine) waiting++
    return waiting
  }

  /** Seats at one stage that do not. */
  sessionsOf(model: ModelId, { start, end }: Range): number {
    let sessions = 0
    for (const { stage, isInLine } of this.#seats.values()) {
      if (stage.model === model && stage.start === start && stage.end === end && !isInLine) sessions++
    }
    return sessions
  }

  /** Bytes reserved for replay. */
  get retainBytes(): number {
    return this.#retainBytes
  }

  /** The same for the stages of one model. */
  retainBytesOf(model: ModelId): number {
    let bytes = 0
    for (const seat of this.#reserved) if (seat.stage.model === model) bytes += seat.retainedBytes
    return bytes
  }

  // ── Coming ──────────────────────────────────────────────────────────────────────────────────────

  /** The seat of a session, new or free for a newer epoch; or why there is none. */
  take(terms: SignedTerms, stage: StageFacts, nowMs: number): Seat | Refusal {
    const id = seatId(terms, stage)
    const before = this.#seats.get(id)
    return before === undefined ? this.#begin(id, stage, terms, nowMs) : this.#takeOver(before, terms)
  }

  #takeOver(seat: Seat, terms: SignedTerms): Seat | Refusal {
    const { length } = seat
    const changed = whatChanged(seat.terms, terms)
    // It was the driver that signed it, not the opener that wrote it.
    if (changed !== undefined) return { reason: 'invalid', message: `a session keeps ${changed}`, length }
    if (terms.epoch <= seat.epoch || seat.phase === 'closing') {
      return { reason: 'stale-epoch', message: `epoch ${seat.epoch} is open here`, length }
    }
    this.#marks.take(terms.driver, seat.id, terms.epoch)
    return seat
  }

  #begin(id: SeatId, stage: StageFacts, terms: SignedTerms, nowMs: number): Seat | Refusal {
    const newest = this.#marks.take(terms.driver, id, terms.epoch)
    if (newest !== undefined) return { reason: 'stale-epoch', message: `epoch ${newest} was open here` }
    const seat = new Seat(id, stage, terms, this.#host)
    if (this.#seats.size - this.waiting >= stageSessionsMax) {
      // A seat that ends is there until its cache is free: who comes again then finds a place.
      const isEnding = this.all.some(({ phase }) => phase === 'closing')
      if (!isEnding) this.#makeRoom(seat, { of: this.all, need: 1, measure: () => 1 }, nowMs)
      return { reason: 'no-room', message: `this peer serves ${stageSessionsMax} sessions already` }
    }
    const line = this.#lineOf(stage)
    const next = line.next(nowMs, id)
    if (next !== undefined && next.id !== id) {
      // Where its driver has less than those that wait it comes before them: whether there is room for it is looked at now.
      this.#isFreer = true
      return this.#wait(seat, nowMs, 'others wait for room already')
    }
    if (!this.#reserve(seat, nowMs)) {
      const left = this.retainBytesMax - this.#retainBytes
      return this.#wait(seat, nowMs, `keeping what the stage sends needs ${seat.retainedBytes} bytes, ${left} are left`)
    }
    this.#seats.set(id, seat)
    this.#openEngine(seat)
    return seat
  }

  /** A session that finds no room waits in line, if it may and the line is not full. */
  #wait(seat: Seat, nowMs: number, message: string): Seat | Refusal {
    const { id, terms, driver, stage } = seat
    const line = this.#lineOf(stage)
    if (terms.room === 'wait' && line.add(seat, nowMs)) {
      this.#seats.set(id, seat)
      seat.waits()
      return seat
    }
    if (terms.room === undefined && terms.stretch === undefined) line.call(id, driver, nowMs)
    return { reason: 'no-room', message }
  }

  #openEngine(seat: Seat): void {
    const { id, stage, cache, driver: owner, terms, cacheBytes: chargedBytes } = seat
    const { session, tokensMax, sampling, cache: cacheType } = terms
    seat.tries()
    this.#host.emit({
      kind: 'open-engine',
      seat: id,
      stage,
      session,
      cache,
      owner,
      tokensMax,
      sampling,
      cacheType,
      chargedBytes
    })
  }

  // ── Room ────────────────────────────────────────────────────────────────────────────────────────

  /** The engine has reserved a seat's cache, of so many tokens, which can be cut to `floor` at least, other than to nothing. */
  opened(seat: Seat, cache: { readonly length: number; readonly floor?: number }, nowMs: number): void {
    this.#trying.delete(seat)
    this.#lineOf(seat.stage).served(seat.id, seat.driver, nowMs)
    this.#isFreer = true
    seat.engineOpened(cache, nowMs)
  }

  /** It has not. */
  openFailed(
    seat: Seat,
    { noRoom, lacking = seat.cacheBytes, message }: { noRoom: boolean; lacking?: number; message: string },
    nowMs: number
  ): void {
    this.#trying.delete(seat)
    // One that is an orphan itself by now takes nobody's place.
    const isWanted = seat.phase !== 'closing' && seat.orphanedMs === undefined
    if (!noRoom || !isWanted) {
      seat.engineFailed(noRoom ? 'no-room' : 'engine', message, nowMs)
      return
    }
    const of = this.all.filter(each => each.stage === seat.stage && !each.isInLine)
    if (this.#makeRoom(seat, { of, need: lacking, measure: each => each.cacheBytes }, nowMs)) {
      if (seat.isInLine) this.#trying.add(seat)
      this.#openEngine(seat)
      return
    }
    const place = this.#wait(seat, nowMs, message)
    if (place === seat) this.#unreserve(seat)
    else seat.engineFailed('no-room', message, nowMs)
  }

  /** Looks whether those who are first in their lines have room now. */
  look(nowMs: number): void {
    this.#isFreer = false
    for (const [stage, line] of this.#lines) {
      const seat = line.next(nowMs)?.seat
      if (line.isEmpty) this.#lines.delete(stage)
      if (seat === undefined || this.#trying.has(seat) || !this.#reserve(seat, nowMs)) continue
      this.#trying.add(seat)
      this.#openEngine(seat)
    }
  }

  /** Does so where something has become free. */
  lookAgain(nowMs: number): void {
    if (this.#isFreer) this.look(nowMs)
  }

  placeOf({ id, stage, isInLine }: Seat): Place | undefined {
    return isInLine ? this.#lines.get(stage)?.placeOf(id) : undefined
  }

  #lineOf(stage: StageFacts): WaitList {
    const line = this.#lines.get(stage) ?? new WaitList(() => this.#heldBy(stage))
    this.#lines.set(stage, line)
    return line
  }

  /** How many seats each driver has at a stage. */
  #heldBy(at: StageFacts): ReadonlyMap<PeerId, number> {
    const held = new Map<PeerId, number>()
    for (const { stage, driver, isInLine, isGoing } of this.#seats.values()) {
      if (stage === at && !isInLine && !isGoing) held.set(driver, (held.get(driver) ?? 0) + 1)
    }
    return held
  }

  /** Reserves what a seat retains. False where there is no room for it. */
  #reserve(seat: Seat, nowMs: number): boolean {
    const need = (): number => seat.retainedBytes - (this.retainBytesMax - this.#retainBytes)
    const measure: Measure = each => each.retainedBytes
    if (need() > 0) this.#makeRoom(seat, { of: [...this.#reserved], need: need(), measure }, nowMs)
    if (need() > 0) return false
    this.#retainBytes += seat.retainedBytes
    this.#reserved.add(seat)
    return true
  }

  #unreserve(seat: Seat): void {
    if (this.#reserved.delete(seat)) this.#retainBytes -= seat.retainedBytes
  }

  /**
   * Ends sessions, of those that hold what is scarce, that give way to one that needs so much more of what `measure` says. True
   * where there is room for it then; false where there are none, or where a step of theirs still runs.
   */
  #makeRoom(
    wanting: Seat,
    { of, need, measure }: { readonly of: readonly Seat[]; readonly need: number; readonly measure: Measure },
    nowMs: number
  ): boolean {
    const going = givingWay(of, wanting, { need, measure, nowMs })
    for (const seat of going) seat.giveWay(nowMs, 'it gave way to a new session')
    // Who has not been elsewhere yet, or only prepares, waits for nobody's turn to end.
    if (going.length > 0 || wanting.terms.room === 'refuse' || wanting.terms.stretch !== undefined)
      return going.length > 0
    // What gives way already, or is being freed, is for whoever comes next, too.
    const coming = of.reduce((sum, seat) => sum + (seat.isGoing && seat !== wanting ? measure(seat) : 0), 0)
    const others = byTurns(of, wanting, { need: need - coming, measure, nowMs })
    const areGone = others.map(seat => seat.giveWayBetweenSteps(nowMs, 'its turn is over: others wait for room'))
    return others.length > 0 && areGone.every(isGone => isGone)
  }

  // ── Going ───────────────────────────────────────────────────────────────────────────────────────

  /** What a seat retained is gone, and it waits no longer. */
  release(seat: Seat, nowMs: number): void {
    const { id, driver, stage, isInLine, orphanedMs, terms } = seat
    this.#unreserve(seat)
    // One that the route was led around, or whose hop before is gone, may be back in a moment: its place is kept for it.
    const line = this.#lines.get(stage)
    if (seat.turn.hasBegun) line?.hadRoom(driver)
    else if (isInLine && (orphanedMs !== undefined || terms.room !== 'wait')) line?.keep(id, driver, nowMs)
    else if (isInLine) line?.remove(id)
    this.#trying.delete(seat)
    this.#isFreer = true
  }

  /** A seat is free. */
  leave(seat: Seat): void {
    this.#seats.delete(seat.id)
    this.#isFreer = true
  }
}

/** One session at one stage: its driver chose the id, and another driver may choose the same. */
function seatId({ driver, session }: SignedTerms, { start, end }: StageFacts): SeatId {
  return `${driver}/${session}/${start}-${end}`
}
