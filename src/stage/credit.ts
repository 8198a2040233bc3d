/**
 * Credit of one stream, at both ends: how many steps and tokens may be under way without an Ack. Counts are
 * cumulative since the stream's Open, so a lost or merged Ack costs nothing.
 */
import { creditStepsMax, creditTokensMax } from './limits.ts'

/** The sender's end: what it may still send. */
export class SendCredit {
  #steps = 0
  #tokens = 0
  #stepsAcked = 0
  #tokensAcked = 0

  /** Whether a step of so many tokens may be sent now. */
  allows(tokens: number): boolean {
    return (
      this.#steps - this.#stepsAcked < creditStepsMax && this.#tokens - this.#tokensAcked + tokens <= creditTokensMax
    )
  }

  sent(tokens: number): void {
    this.#steps += 1
    this.#tokens += tokens
  }

  /** Takes an Ack's counts; false when they run backwards or pass what was sent, which only a defect can do. */
  acked(steps: number, tokens: number): boolean {
    if (steps < this.#stepsAcked || steps > this.#steps) return false
    if (tokens < this.#tokensAcked || tokens > this.#tokens) return false
    this.#stepsAcked = steps
    this.#tokensAcked = tokens
    return true
  }
}

/** The receiver's end: what it lets in, and when an Ack is due. */
export class ReceiveCredit {
  #arrivedSteps = 0
  #arrivedTokens = 0
  #stepsAcked = 0
  #tokensAcked = 0
  /** Steps and tokens that are computed and handed on. */
  steps = 0
  tokens = 0

  /** Counts a step in; false when the sender had no credit for it. */
  arrived(tokens: number): boolean {
    this.#arrivedSteps += 1
    this.#arrivedTokens += tokens
    return (
      this.#arrivedSteps - this.#stepsAcked <= creditStepsMax &&
      this.#arrivedTokens - this.#tokensAcked <= creditTokensMax
    )
  }

  done(tokens: number): void {
    this.steps += 1
    this.tokens += tokens
  }

  /**
   * True, once, when half the window is done: seldom enough to be cheap, soon enough that no sender stalls. With
   * `atOnce` it is true after every step.
   */
  takeAck(atOnce = false): boolean {
    const half = creditStepsMax / 2
    if (!atOnce && this.steps - this.#stepsAcked < half && this.tokens - this.#tokensAcked < creditTokensMax / 2) {
      return false
    }
    this.#stepsAcked = this.steps
    this.#tokensAcked = this.tokens
    return true
  }
}
