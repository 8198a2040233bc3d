/**
 * Looking for a route: when one is asked for, and what is made of the answer. A stage without room is looked around first; where
 * there is room nowhere the session waits in line, or lets go of what it holds and comes again.
 */
import type { Hop } from '../route/view.ts'
import type { Frame } from '../stage/frame.ts'
import type { Terms } from '../stage/terms.ts'
import type { SessionEffect, SessionOutcome } from './event.ts'
import type { SessionInit } from './init.ts'
import { recoveriesMax, roomWaitMs, routeRetryMs, routeWaitMs } from './limits.ts'
import type { Recovery } from './recovery.ts'
import type { RoomSearch } from './room.ts'

export interface RouteSearchInit {
  readonly session: SessionInit
  readonly recovery: Recovery
  readonly room: RoomSearch
  readonly emit: (effect: SessionEffect) => void
  /** Sends a frame to the head of an epoch. */
  readonly send: (frame: Frame, epoch: number) => void
  /** Begins an epoch on a route. */
  readonly begin: (route: readonly Hop[], exact: boolean, terms: Pick<Terms, 'room'>) => void
  /** Ends the session. */
  readonly close: (outcome: SessionOutcome) => void
}

export class RouteSearch {
  readonly #init: RouteSearchInit
  #startMs = 0
  /** When a route is asked for again. */
  #retryMs: number | undefined
  /** The refused epoch whose stream to its head is still open: what its route holds is let go, or used by the next one. */
  #held: number | undefined
  /** Nothing has been computed that is not quickly computed again. */
  #isNew = true

  constructor(init: RouteSearchInit) {
    this.#init = init
  }

  start(nowMs: number): void {
    this.#startMs = nowMs
    this.ask(nowMs)
  }

  /** Asks for a route now. */
  ask(nowMs: number): void {
    const { recovery, room, emit } = this.#init
    this.#retryMs = undefined
    emit({ kind: 'route', ...recovery.avoidance(room.full, nowMs) })
  }

  /** A route gave no token, and asking at once may not help. */
  again(nowMs: number): void {
    const { recovery } = this.#init
    const again = recovery.again(nowMs)
    if (again === 'at-once') this.ask(nowMs)
    else if (again === 'later') this.#retryMs = nowMs + routeRetryMs
    else this.#fail(`${recoveriesMax} routes in a row gave no token; the last loss was ${recovery.lastLoss}`)
  }

  /** A stage on the route of an epoch has no room. Until the next route is known this one stays as it is. */
  refused(hop: Hop, epoch: number, nowMs: number): void {
    this.#init.room.refused(hop, nowMs)
    this.#held = epoch
    this.ask(nowMs)
  }

  routed(route: readonly Hop[], exact: boolean, nowMs: number): void {
    const { session, recovery, room, begin, emit } = this.#init
    if (recovery.turnsAt(route)) {
      this.ask(nowMs)
      return
    }
    const { self, keepsWaiting } = session
    const isAble = route.every(({ peer }) => peer === self || keepsWaiting?.(peer) === true)
    if (!room.isNowhere(route)) {
      this.letGo()
      begin(route, exact, { room: room.terms({ isAble }) })
      return
    }
    const wasFirst = room.isFirstRound
    if (room.anew({ isAble })) {
      this.letGo()
      begin(route, exact, { room: 'wait' })
    } else if (!this.#pauses(nowMs)) return
    if (wasFirst) emit({ kind: 'output', output: { kind: 'waiting', message: `no room yet: ${recovery.lastLoss}` } })
  }

  unroutable(error: Error, nowMs: number): void {
    const { lostMs, lastLoss } = this.#init.recovery
    const { waitMs = lostMs === undefined ? 0 : routeWaitMs } = this.#init.session
    if (nowMs - (lostMs ?? this.#startMs) < waitMs) this.#retryMs = nowMs + routeRetryMs
    else if (lostMs === undefined) this.#init.close({ kind: 'failed', message: error.message, error })
    else this.#fail(`no route was found within ${waitMs} ms of the loss of ${lastLoss}; ${error.message}`)
  }

  /** There is no room anywhere: lets go of what is held, to try again later. False where that has gone on for too long. */
  #pauses(nowMs: number): boolean {
    const { room, recovery, session } = this.#init
    const { waitMs = roomWaitMs } = session
    if (room.forMs(nowMs) >= waitMs) {
      this.#fail(`no room was found within ${waitMs} ms; the last refusal was by ${recovery.lastLoss}`)
      return false
    }
    this.letGo({ frees: this.#isNew })
    this.#retryMs = nowMs + room.pauseMs()
    return true
  }

  /** Ends the stream of a refused epoch. `frees`: and what the route has reserved. */
  letGo({ frees = false } = {}): void {
    const epoch = this.#held
    if (epoch === undefined) return
    this.#held = undefined
    if (frees) this.#init.send({ kind: 'close', epoch }, epoch)
    this.#init.emit({ kind: 'hang-up', epoch })
  }

  /** A token has come: the caches of its route are worth keeping. */
  token(): void {
    this.#isNew = false
    this.#init.room.found()
  }

  /** No route has come at once: somebody else may use what is held. */
  look(): void {
    this.letGo({ frees: this.#isNew })
  }

  /** Asks again where it is time to. */
  retry(nowMs: number): void {
    if (this.#retryMs !== undefined && nowMs >= this.#retryMs) this.ask(nowMs)
  }

  #fail(message: string): void {
    this.#init.close({ kind: 'failed', message, error: undefined })
  }
}
