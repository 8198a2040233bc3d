/**
 * How an epoch gets on: when its hops are asked how far they have come, whether a token is late, which hop is slow
 * (`pace.ts`) and which one keeps the answer waiting (`patience.ts`).
 */
import type { StandingFrame } from '../stage/frame.ts'
import type { Hop } from '../route/view.ts'
import { askAfterMs, askAliveMs, askEveryMs } from './limits.ts'
import { Pace } from './pace.ts'
import { type Delay, Patience, type AnnouncedSpeed } from './patience.ts'

export interface WatchInit {
  /** By hop, as they were announced; undefined where nobody knows. */
  readonly speeds: readonly (AnnouncedSpeed | undefined)[]
  /** Of one token's hidden state between two hops. */
  readonly stepBytes: number | undefined
  /** Hops that were left out before, in vain so far, because they were stuck. */
  readonly tries: number
}

export class Watch {
  readonly #pace: Pace
  readonly #patience: Patience
  /** When something last came back from the route. */
  #progressMs: number
  /** When the epoch began, or its last token came. */
  #tokenMs: number
  /** When the last step of what is known was sent. */
  #stepMs = 0
  /** The awaited token is one of those that show what the route needs. */
  #isLap = false
  /** A token of this epoch has come. */
  #hasLapped = false
  /** This peer ran all the time since that step was sent. */
  #isFair = true
  /** Drafts of the step that was sent last. */
  #drafts = 0
  #askedMs = Number.NEGATIVE_INFINITY

  constructor(route: readonly Hop[], { speeds, stepBytes, tries }: WatchInit, nowMs: number) {
    this.#pace = new Pace(route.length)
    this.#patience = new Patience(route, { speeds, stepBytes, tries }, nowMs)
    this.#progressMs = nowMs
    this.#tokenMs = nowMs
  }

  /** A token of this epoch has come. */
  get hasLapped(): boolean {
    return this.#hasLapped
  }

  /** The route has needed less for every token so far than it has needed for this one already. */
  isLate(nowMs: number): boolean {
    const { deadlineMs } = this.#pace
    return this.#isLap && deadlineMs !== undefined && nowMs - this.#stepMs >= deadlineMs
  }

  /** A step of so many tokens has gone to the head; the last of them are drafts. */
  stepped(tokens: number, drafts: number, nowMs: number): void {
    this.#stepMs = nowMs
    this.#isLap = this.#hasLapped && tokens - drafts === 1
    this.#isFair = true
    this.#drafts = drafts
    this.#pace.stepped(drafts > 0)
  }

  /** How long the awaited token has taken, once it has come; undefined where that does not show what laps take. */
  lapMs(nowMs: number): number | undefined {
    return this.#isLap && this.#isFair ? nowMs - this.#stepMs : undefined
  }

  /** The head has got something done. */
  acked(nowMs: number): void {
    this.#progressMs = nowMs
    this.#patience.acked(nowMs)
  }

  /** Tokens have come. Returns the round to ask the hops in, if it is time for one. */
  token(nowMs: number): number | undefined {
    this.#progressMs = nowMs
    this.#tokenMs = nowMs
    this.#patience.token(nowMs)
    const round = this.#isLap ? this.#pace.token(nowMs - this.#stepMs, this.#isFair) : undefined
    this.#isLap = false
    this.#hasLapped = true
    return round
  }

  /** The round to ask the hops in because time has passed; undefined while there is no reason to. */
  question(nowMs: number): number | undefined {
    if (nowMs - this.#askedMs < askEveryMs) return undefined
    if (this.isLate(nowMs)) return this.#pace.late()
    if (nowMs - this.#progressMs >= askAfterMs) return this.#pace.round()
    // Hops far down may not have a step for long while those before them get on: they hear that one will come (S27).
    return nowMs - Math.max(this.#askedMs, this.#tokenMs) >= askAliveMs ? this.#pace.round() : undefined
  }

  /** The hops have been asked. */
  asked(nowMs: number): void {
    this.#askedMs = nowMs
    this.#patience.asked(nowMs)
  }

  /** A hop says how far it has come. Returns the hop that is slow, once it is known. `end`: of what is known. */
  standing(frame: StandingFrame, end: number, nowMs: number): number | undefined {
    this.#patience.standing(frame, nowMs)
    const awaited = this.isLate(nowMs) ? { end, ms: nowMs - this.#stepMs } : undefined
    return this.#pace.standing(frame, awaited)
  }

  /** What this route needs is learnt anew: there is no way around who is slow. */
  accept(): void {
    this.#pace.accept()
  }

  /** Who keeps the driver waiting, which has `end` tokens and has sent `sent` of them. */
  delay({ end, sent }: { readonly end: number; readonly sent: number | undefined }, nowMs: number): Delay | undefined {
    return this.#patience.delay({ end, sent, hasLapped: this.#hasLapped, drafts: this.#drafts }, nowMs)
  }

  /** This peer itself did not run for so long: that is no fault of the route. */
  paused(ms: number): void {
    this.#isFair = false
    this.#stepMs += ms
    this.#progressMs += ms
    this.#patience.paused(ms)
  }
}
