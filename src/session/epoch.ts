/** One epoch of a session: its route, and what goes to the head of it: steps as far as that has credit, and questions. */
import { scoredStepTokens } from './limits.ts'
import { attentionBlock } from '../model/limits.ts'
import type { TokenMask } from '../engine/mask.ts'
import { SendCredit } from '../stage/credit.ts'
import type { AckFrame, Frame, StepFrame } from '../stage/frame.ts'
import { SentMasks } from '../stage/masks.ts'
import type { SignedTerms } from '../stage/terms.ts'
import type { Hop } from '../route/view.ts'
import type { Watch } from './watch.ts'

/** What goes with the step that samples. */
export interface Allowed {
  /** Drafts that follow the last of the known tokens. @default none */
  readonly drafts?: readonly number[] | undefined
  /** [1 + drafts] of a session that is masked: the step waits where they are not known. @default not known */
  readonly masks?: readonly TokenMask[] | undefined
}

export class Epoch {
  readonly number: number
  readonly route: readonly Hop[]
  /** As they are given out to its hops. */
  readonly terms: SignedTerms
  readonly watch: Watch
  /** Its stream to the head is open. */
  isConnected = false
  /** Tokens that a hop of this route has to be sent again before it can go on; the most of any hop. */
  replayedTokens: number
  /** What the one who asked was last told that the answer waits for. */
  toldOf: string | undefined
  /** First position that has not been sent; undefined until the head's length is known. */
  #cursor: number | undefined
  /** Those that the last step had that samples. */
  #drafts: readonly number[] = []
  readonly #credit = new SendCredit()
  /** What its tail has of masks. */
  readonly #masks = new SentMasks()
  readonly #send: (frame: Frame) => void

  constructor(init: {
    readonly route: readonly Hop[]
    readonly terms: SignedTerms
    readonly watch: Watch
    readonly replayedTokens: number
    /** Sends a frame to the head. */
    readonly send: (frame: Frame) => void
  }) {
    this.number = init.terms.epoch
    this.route = init.route
    this.terms = init.terms
    this.watch = init.watch
    this.replayedTokens = init.replayedTokens
    this.#cursor = init.terms.keep === 0 ? 0 : undefined
    this.#send = init.send
  }

  /** Index of the last hop. */
  get tail(): number {
    return this.route.length - 1
  }

  /** So many tokens have been sent to the head, without drafts; undefined until it has said what it holds. */
  get sent(): number | undefined {
    return this.#cursor
  }

  /** Drafts that are to be verified with the awaited token. */
  get drafts(): readonly number[] {
    return this.#drafts
  }

  /** The stream to the head is open. */
  connected(): void {
    this.isConnected = true
    this.#send({ kind: 'open', hop: 0, terms: this.terms })
  }

  /** Sends what has not been sent, as far as the head has credit, in steps that end at attention block borders. */
  pump(ids: readonly number[], nowMs: number, { drafts, masks }: Allowed = {}): void {
    if (!this.isConnected) return
    for (let step = this.#next(ids, drafts, masks); step !== undefined; step = this.#next(ids, drafts, masks)) {
      this.watch.stepped(step.tokens, this.#drafts.length, nowMs)
      this.#send(step)
    }
  }

  /**
   * Takes tokens that have come from the tail: drafts that are right, and one token more (rule S32). `invalid`: they are
   * not what was awaited; `others`: they follow drafts that this driver has not sent.
   */
  takes(position: number, ids: readonly number[], vocab: number): 'taken' | 'invalid' | 'others' {
    const right = ids.length - 1
    if (this.#cursor !== position || right < 0 || right > this.#drafts.length || ids[right]! >= vocab) return 'invalid'
    if (ids.some((id, i) => i < right && id !== this.#drafts[i])) return 'others'
    // All caches have the right ones already.
    this.#cursor += right
    this.#masks.came(ids.length)
    return 'taken'
  }

  #next(ids: readonly number[], proposed: readonly number[] = [], masks?: readonly TokenMask[]): StepFrame | undefined {
    const position = this.#cursor
    if (position === undefined || position >= ids.length) return undefined
    const border = (Math.floor(position / attentionBlock) + 1) * attentionBlock
    const isScored = this.terms.sampling.promptLogprobs !== undefined
    const end = Math.min(border, ids.length, isScored ? position + scoredStepTokens : border)
    const sample = end === ids.length
    const isMasked = sample && this.terms.sampling.masked === true
    if (isMasked && masks === undefined) return undefined
    const drafts = sample ? proposed : []
    const tokens = end - position + drafts.length
    if (!this.#credit.allows(tokens)) return undefined
    this.#cursor = end
    this.#drafts = drafts
    this.#credit.sent(tokens)
    const input = { kind: 'ids', ids: Int32Array.from([...ids.slice(position, end), ...drafts]) } as const
    const step = { kind: 'step', epoch: this.number, position, tokens, sample, input } as const
    const drafted = drafts.length === 0 ? step : { ...step, drafts }
    return isMasked ? { ...drafted, masks: this.#masks.send(masks!) } : drafted
  }

  /** Asks all hops how far they have come, if there is a round to ask them in. */
  ask(round: number | undefined, nowMs: number): void {
    if (round === undefined || !this.isConnected) return
    this.watch.asked(nowMs)
    this.#send({ kind: 'ask', epoch: this.number, round })
  }

  /** The session has ended. @param commitTo tokens that hops are to commit to (rule S41); 0 where they are not asked */
  close(commitTo: number): void {
    this.#send({ kind: 'close', epoch: this.number, ...(commitTo > 0 ? { commitTo } : {}) })
  }

  /** The head gives credit, or says for the first time what it holds. False when it contradicts what was sent. */
  acked({ length, steps, tokens }: AckFrame): boolean {
    const { keep } = this.terms
    if (!this.#credit.acked(steps, tokens) || (this.#cursor === undefined && length > keep)) return false
    if (this.#cursor === undefined) {
      this.#cursor = length
      this.replayedTokens = Math.max(this.replayedTokens, keep - length)
    }
    return true
  }
}
