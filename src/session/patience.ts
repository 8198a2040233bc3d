/**
 * How long a driver waits for its route, and for whom. While nothing comes it asks all hops how far they have come (rule
 * S22). The first hop, in route order, that does not answer keeps the answer from all behind it; where all answer, the
 * hop that has the awaited step and does not get on with it does. How long that may take follows from what the hop has
 * announced about its speed, and begins anew with all that it gets done: no number of tokens makes a deadline longer.
 */
import type { Range } from '../base/ids.ts'
import { attentionBlock } from '../model/limits.ts'
import { stepBytesDefault } from '../route/limits.ts'
import {
  muteHeadMs,
  muteTellMs,
  slowLinkBytesPerMs,
  stepTokenMs,
  stuckDoublingsMax,
  stuckFactor,
  stuckMs
} from './limits.ts'
import { creditTokensMax, stageOpenMs } from '../stage/limits.ts'
import type { StandingFrame } from '../stage/frame.ts'

/** What a peer has announced about its speed, and how busy it is. */
export interface AnnouncedSpeed {
  /** One visit of n layers takes `visitMs + n · layerMs` per token. */
  readonly visitMs: number
  readonly layerMs: number
  /** Sessions that share its processor. */
  readonly sessions: number
}

/** What the driver waits for. */
export interface Awaited {
  /** Tokens that are known: the hops are to compute all of them. */
  readonly end: number
  /** So many have been sent to the head; undefined until it has said what it holds. */
  readonly sent: number | undefined
  /** A token of this route has come: each step has one token and its drafts, and nothing waits on the links. */
  readonly hasLapped: boolean
  /** Of the awaited step. @default 0 */
  readonly drafts?: number
}

export type Delay =
  /** This hop has not answered for `ms`; `isOver`: for longer than it may. */
  | { readonly kind: 'mute'; readonly hop: number; readonly ms: number; readonly isOver: boolean }
  /**
   * This hop answers, and has got nothing done for `ms`, which is longer than it may take. `saysSo`: it says itself that
   * it has had a step all the while. `share`: of the time that it may take so many times have passed.
   */
  | {
      readonly kind: 'stuck'
      readonly hop: number
      readonly ms: number
      readonly saysSo: boolean
      readonly share: number
    }
  /** This hop has no room yet, and keeps the session waiting in line; `ms`: since its place there last got on. */
  | {
      readonly kind: 'line'
      readonly hop: number
      readonly ms: number
      readonly place: number
      readonly placeMs: number
    }

interface HopState {
  /** Since when it owes an answer; undefined when it owes none. */
  owedMs: number | undefined
  /** When it last answered. */
  answeredMs: number
  /** Its last answer; undefined when it has given none since the last token. */
  last: StandingFrame | undefined
  /** The furthest that it has come in this epoch, and when it got there. */
  arrived: number
  length: number
  movedMs: number
  /** Its length when it first answered in this epoch; undefined before. */
  begun: number | undefined
  /** It has got a step of this epoch done. */
  hasDone: boolean
  /** Its best place in the line for room so far, and since when; undefined while it has room. */
  line: { readonly place: number; readonly sinceMs: number } | undefined
}

export class Patience {
  readonly #hops: readonly HopState[]
  readonly #stepMs: (hop: number, tokens: number) => number
  readonly #stepBytes: number
  readonly #factor: number

  /**
   * @param route the hops' layers.
   * @param speeds by hop, as they were announced; undefined where nobody knows.
   * @param stepBytes of one token's hidden state between two hops.
   * @param tries hops that were left out before, in vain so far, because they were stuck: each doubles what one may take.
   */
  constructor(
    route: readonly Range[],
    {
      speeds = [],
      stepBytes = stepBytesDefault,
      tries = 0
    }: {
      readonly speeds?: readonly (AnnouncedSpeed | undefined)[]
      readonly stepBytes?: number
      readonly tries?: number
    },
    nowMs: number
  ) {
    this.#hops = route.map(() => ({
      owedMs: undefined,
      answeredMs: nowMs,
      last: undefined,
      arrived: 0,
      length: 0,
      movedMs: nowMs,
      begun: undefined,
      hasDone: false,
      line: undefined
    }))
    this.#stepBytes = stepBytes
    this.#factor = 2 ** Math.min(tries, stuckDoublingsMax)
    this.#stepMs = (hop, tokens) => {
      const speed = speeds[hop]
      if (speed === undefined) return stepTokenMs * tokens
      const { start, end } = route[hop]!
      return (speed.visitMs + speed.layerMs * (end - start) * tokens) * (1 + speed.sessions)
    }
  }

  /** A question has gone to the head. */
  asked(nowMs: number): void {
    const [head] = this.#hops
    if (head !== undefined) head.owedMs ??= nowMs
  }

  /** A hop has answered: it has passed the question on to the next one. */
  standing(frame: StandingFrame, nowMs: number): void {
    const state = this.#hops[frame.hop]
    if (state === undefined) return
    const { arrived, length, place } = frame
    const next = this.#hops[frame.hop + 1]
    if (place > 0) {
      if (state.line === undefined || place < state.line.place) state.line = { place, sinceMs: nowMs }
    } else if (state.line !== undefined) {
      state.line = undefined
      state.movedMs = nowMs
    }
    state.begun ??= length
    if (length > state.begun) state.hasDone = true
    if (arrived > state.arrived || length > state.length) state.movedMs = nowMs
    state.arrived = Math.max(state.arrived, arrived)
    state.length = Math.max(state.length, length)
    state.last = frame
    state.owedMs = undefined
    state.answeredMs = nowMs
    // Who waits for room has no next hop yet to pass the question on to.
    if (next !== undefined) next.owedMs = place > 0 ? undefined : (next.owedMs ?? nowMs)
  }

  /** The head has got something done. */
  acked(nowMs: number): void {
    const [head] = this.#hops
    if (head === undefined) return
    head.owedMs = undefined
    head.answeredMs = nowMs
    head.movedMs = nowMs
    head.hasDone = true
  }

  /** A token has come: every hop has done its part. */
  token(nowMs: number): void {
    for (const state of this.#hops) {
      state.owedMs = undefined
      state.last = undefined
      state.line = undefined
      state.movedMs = nowMs
      state.hasDone = true
    }
  }

  /** This peer itself did not run for so long: that is nobody's delay. */
  paused(ms: number): void {
    for (const state of this.#hops) {
      if (state.owedMs !== undefined) state.owedMs += ms
      state.answeredMs += ms
      state.movedMs += ms
      if (state.line !== undefined) state.line = { ...state.line, sinceMs: state.line.sinceMs + ms }
    }
  }

  /** Who keeps the driver waiting, once it is worth a word. */
  delay(awaited: Awaited, nowMs: number): Delay | undefined {
    return this.#mute(awaited, nowMs) ?? this.#inLine(nowMs) ?? this.#stuck(awaited, nowMs)
  }

  #inLine(nowMs: number): Delay | undefined {
    const hop = this.#hops.findIndex(({ line }) => line !== undefined)
    if (hop < 0) return undefined
    const { line, last } = this.#hops[hop]!
    return { kind: 'line', hop, ms: nowMs - line!.sinceMs, place: last!.place, placeMs: last!.placeMs }
  }

  #mute(awaited: Awaited, nowMs: number): Delay | undefined {
    for (const [hop, { owedMs }] of this.#hops.entries()) {
      if (owedMs === undefined) continue
      if (this.#isBeginning(hop - 1)) return undefined
      // Who does not hear the question any more cannot answer it: what counts is what the hop before has answered since.
      const ms = (hop === 0 ? nowMs : this.#hops[hop - 1]!.answeredMs) - owedMs
      // The hop before may still be opening its stream, and says itself when it cannot.
      const limitMs = hop === 0 ? muteHeadMs : stageOpenMs + muteTellMs + this.#linkMs(awaited)
      if (ms >= muteTellMs) return { kind: 'mute', hop, ms, isOver: ms >= limitMs }
    }
    return undefined
  }

  #stuck(awaited: Awaited, nowMs: number): Delay | undefined {
    const holder = this.#holder(awaited)
    if (holder === undefined) return undefined
    const { hop, saysSo } = holder
    const { movedMs } = this.#hops[hop]!
    const sinceMs = saysSo ? movedMs : Math.max(movedMs, this.#hops[hop - 1]?.movedMs ?? movedMs)
    const tokens = underWay(awaited, attentionBlock)
    const computeMs = Math.max(stuckMs, stuckFactor * this.#stepMs(hop, tokens))
    const limitMs = (computeMs + this.#linkMs(awaited)) * this.#factor
    const ms = nowMs - sinceMs
    return ms < limitMs ? undefined : { kind: 'stuck', hop, ms, saysSo, share: ms / limitMs }
  }

  /** Where the awaited step is: undefined while not all hops have said how far they have come. */
  #holder({ end, sent }: Awaited): { readonly hop: number; readonly saysSo: boolean } | undefined {
    const silent = this.#hops.findIndex(({ last }) => last === undefined)
    if (silent >= 0) return this.#isBeginning(silent - 1) ? { hop: silent - 1, saysSo: true } : undefined
    // Who has more to compute than the next one takes waits for it: the last one that has something is who is waited for.
    const busy = this.#hops.findLastIndex(({ last }) => last!.busyMs > 0)
    if (busy >= 0) return { hop: busy, saysSo: true }
    const owed = this.#hops.findIndex(({ last }, hop) => {
      const given = hop === 0 ? (sent ?? Number.POSITIVE_INFINITY) : this.#hops[hop - 1]!.last!.length
      return last!.arrived < (hop === 0 ? given : Math.min(given, end))
    })
    // Everybody has computed everything: the tail owes the token.
    return { hop: owed >= 0 ? owed : this.#hops.length - 1, saysSo: false }
  }

  /**
   * Whether a hop says that it has the epoch and has got nothing of it done: it may not have reserved its cache yet, and then
   * has no next hop to pass the question on to. That one's silence says nothing of it.
   */
  #isBeginning(hop: number): boolean {
    const state = this.#hops[hop]
    return state?.last !== undefined && state.last.busyMs > 0 && !state.hasDone
  }

  /** What hidden states that are under way between two hops take on a slow link: a question waits behind them. */
  #linkMs(awaited: Awaited): number {
    return (underWay(awaited, creditTokensMax) * this.#stepBytes) / slowLinkBytesPerMs
  }
}

/** Tokens that a hop may have before it, of `max` at most. */
function underWay({ end, hasLapped, drafts = 0 }: Awaited, max: number): number {
  return hasLapped ? 1 + drafts : Math.min(end, max)
}
