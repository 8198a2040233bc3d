/**
 * Feeds a stand-in while the session goes on: what a stage has sent so far, then what it computes, over a stream of
 * its own. The stand-in rebuilds its cache from it, so that the route can change to it between two tokens.
 */
import { feedLagTokens, retainBlockTokens } from './limits.ts'
import { SendCredit } from './credit.ts'
import type { AckFrame } from './frame.ts'
import type { SignedTerms } from './terms.ts'

/** States [position, position + tokens) to send to the stand-in. */
export interface FeedStep {
  readonly position: number
  readonly tokens: number
}

export class Feed {
  /** Which epoch is prepared, and for whom. */
  readonly terms: SignedTerms
  readonly #stepTokens: number
  readonly #credit = new SendCredit()
  /** What the stand-in had when it was opened; undefined until it has said so. */
  #start: number | undefined
  /** First position that has not been sent. */
  #at = 0
  /** End of what the stand-in has computed. */
  #done = 0
  #heard = false
  #told = false

  /** @param stepTokens what one step may hold at most */
  constructor(terms: SignedTerms, stepTokens = retainBlockTokens) {
    this.terms = terms
    this.#stepTokens = stepTokens
    // With keep 0 all lengths are 0 and nobody waits (rule S11).
    if (terms.keep === 0) this.#start = 0
  }

  /** The next step to send, where the feeding stage's cache ends at `length`; undefined when there is none now. */
  next(length: number): FeedStep | undefined {
    if (this.#start === undefined || this.#at >= length) return undefined
    const position = this.#at
    const border = (Math.floor(position / retainBlockTokens) + 1) * retainBlockTokens
    const tokens = Math.min(border, length, position + this.#stepTokens) - position
    if (!this.#credit.allows(tokens)) return undefined
    this.#credit.sent(tokens)
    this.#at += tokens
    return { position, tokens }
  }

  /**
   * The feeding stage has computed from here anew in its epoch: what follows is sent again. A step that only brings the
   * stage to where the stand-in is already is none (rule S13).
   */
  rollback(position: number): void {
    this.#at = Math.min(this.#at, position)
    this.#done = Math.min(this.#done, position)
  }

  /** Takes an Ack; false when it contradicts what was sent. */
  acked({ length, steps, tokens }: AckFrame): boolean {
    if (!this.#credit.acked(steps, tokens)) return false
    if (this.#start === undefined) {
      if (length > this.terms.keep) return false
      this.#start = length
      this.#at = length
    }
    // After a rollback an Ack may still speak of what was rolled back.
    this.#done = Math.min(length, this.#at)
    this.#heard = true
    return true
  }

  /** True, once, when so little is missing that one short step makes up for it. */
  takePrepared(length: number): boolean {
    if (this.#told || !this.#heard || length - this.#done > feedLagTokens) return false
    this.#told = true
    return true
  }
}
