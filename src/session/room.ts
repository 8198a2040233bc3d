/**
 * Looking for room: who had none, and what a session does that found none anywhere (rules S24, S29). Where all hops of a route
 * can keep it waiting, it goes there and waits in line. Else, and after that, it lets go of what it holds, since sessions that
 * each hold a part of what others need would wait for one another, and tries again at another time than others.
 */
import type { PlaceId, SessionId } from '../base/ids.ts'
import { randomAt } from '../base/rng.ts'
import { type Hop, placeOf } from '../route/view.ts'
import { lineHoldMs, roomRetryMaxMs, roomRetryMs, roomWaitMaxMs, roomWaitMs } from './limits.ts'
import type { Delay } from './patience.ts'

/** What becomes of a session that waits in line. */
export type LineVerdict = 'wait' | 'let-go' | 'give-up'

export class RoomSearch {
  readonly #seed: number
  /** Stages that had no room for this session since it last began to look for some. */
  readonly #full = new Set<PlaceId>()
  /** Times that it found none anywhere since the last token, and when it began to look. */
  #rounds = 0
  #sinceMs: number | undefined
  /** It has gone to wait in line since it last tried without. */
  #hasLinedUp = false

  constructor(session: SessionId) {
    this.#seed = Number.parseInt(session.slice(0, 8), 16)
  }

  get full(): ReadonlySet<PlaceId> {
    return this.#full
  }

  /** It has not paused yet since the last token. */
  get isFirstRound(): boolean {
    return this.#rounds === 0 && !this.#hasLinedUp
  }

  /**
   * What a hop of the next route shall do that has no room. Where all hops can keep sessions waiting (`isAble`), this one waits in
   * line at one of them once it has found none; else it comes again after a pause, and says so.
   */
  terms({ isAble }: { readonly isAble: boolean }): 'refuse' | undefined {
    return this.#rounds === 0 || isAble ? 'refuse' : undefined
  }

  refused(hop: Hop, nowMs: number): void {
    this.#full.add(placeOf(hop))
    this.#sinceMs ??= nowMs
  }

  /** A route leads through a stage that has no room: there is none anywhere. */
  isNowhere(route: readonly Hop[]): boolean {
    return route.some(hop => this.#full.has(placeOf(hop)))
  }

  /** Begins to look anew: whether to wait in line now. `isAble`: all hops can keep it waiting. */
  anew({ isAble }: { readonly isAble: boolean }): boolean {
    this.#full.clear()
    this.#hasLinedUp = isAble && !this.#hasLinedUp
    return this.#hasLinedUp
  }

  /** How long it has looked, in ms. */
  forMs(nowMs: number): number {
    return nowMs - (this.#sinceMs ?? nowMs)
  }

  /** How long to pause before the next try, in ms: a random time that grows. */
  pauseMs(): number {
    const longestMs = Math.min(roomRetryMs * 2 ** this.#rounds, roomRetryMaxMs)
    this.#rounds += 1
    return longestMs * (0.5 + this.#share() / 2)
  }

  /** @param waitMs how long whoever asked would wait; undefined where nothing was said. */
  inLine({ hop, ms }: Delay & { kind: 'line' }, waitMs: number | undefined, nowMs: number): LineVerdict {
    const forMs = this.forMs(nowMs)
    if (waitMs === undefined ? ms >= roomWaitMs || forMs >= roomWaitMaxMs : forMs >= waitMs) return 'give-up'
    return hop > 0 && ms >= lineHoldMs * (1 + this.#share()) ? 'let-go' : 'wait'
  }

  /** A token has come: there was room. */
  found(): void {
    this.#full.clear()
    this.#rounds = 0
    this.#sinceMs = undefined
    this.#hasLinedUp = false
  }

  /** A number in [0, 1) that is another one in each session and round. */
  #share(): number {
    return randomAt(this.#seed, this.#rounds)
  }
}
