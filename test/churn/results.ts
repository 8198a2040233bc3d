/** What came of one answer and of each loss in it. */
import type { AnswerPlan, Way } from './plan.ts'

/** One loss as it went. */
export interface Injection {
  readonly way: Way
  /** Place on the route. */
  readonly hop: number
  /** `single`, one of a `pair` that was lost at once, or `again`: in the middle of another's recovery. */
  readonly shape: 'single' | 'pair' | 'again'
  readonly atMs: number
  /** From the fault to the first token of a route without that peer; undefined when the session had no need of one. */
  pauseMs: number | undefined
  /**
   * The longest time between two tokens from the fault until the session had recovered, or to its end. Of one who left
   * in order, times in which the session recovered from a sudden loss do not count; undefined where there are no others.
   */
  gapMs: number | undefined
  /** The session said that it waited for layers, while it had not recovered from this. */
  told: boolean
}

export interface AnswerResult {
  readonly plan: AnswerPlan
  readonly injections: readonly Injection[]
  readonly identical: boolean
  readonly exact: boolean
  /** Tokens of the undisturbed answer that did not come. */
  readonly tokensLost: number
  readonly tokens: number
  /** From the request to the end, in ms. */
  readonly ms: number
  /** Losses that the session charged to peers that nobody had hurt and that had not said so themselves. */
  readonly blamed: readonly string[]
  /** Refusals by peers that nobody had hurt, as for want of room: their own word, not an accusation. */
  readonly refusals: readonly string[]
  readonly recoveries: readonly { readonly ms: number; readonly replayedTokens: number }[]
  readonly tokensPerSecond: number
  /** Median time between two tokens, in ms; 0 for an answer of one token. */
  readonly tokenMs: number
  /** Why there is no answer. */
  readonly failure: string | undefined
}

/**
 * How long the person who reads waited, in ms, or undefined where nothing was to be noticed. Who leaves in order hands
 * over: what counts there is how late a token was, not when the route changed.
 */
export function pauseOf({ way, pauseMs, gapMs }: Injection): number | undefined {
  return way === 'left' || way === 'drain' ? gapMs : pauseMs
}
