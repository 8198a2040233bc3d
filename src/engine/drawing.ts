/** The tokens that one step draws, a row after the other. Pure. */
import type { Sampling } from './engine.ts'
import type { TokenMask } from './mask.ts'
import { sample } from './sampler.ts'
import { scoreOf, type TokenScore } from './scores.ts'
import type { PartReply, ThreadStep } from './thread-messages.ts'

/** Index of the first row of a step after which a token is drawn; the number of its tokens where there is none. */
export function firstDrawn({ sample, tokens, drafts }: ThreadStep): number {
  return sample ? tokens - 1 - drafts.length : tokens
}

export class Drawing {
  readonly #drafts: readonly number[]
  readonly #sampling: Sampling
  readonly #text: Int32Array | undefined
  readonly #masks: readonly TokenMask[] | undefined
  readonly #ids: number[] = []
  readonly #scores: TokenScore[] = []

  /** @param text ids of all tokens up to the step's last, where tokens are drawn by them */
  constructor({ drafts, masks }: ThreadStep, sampling: Sampling, text: Int32Array | undefined) {
    this.#drafts = drafts
    this.#sampling = sampling
    this.#text = text
    this.#masks = masks
  }

  /**
   * Draws the token at a position, as long as what was drawn is the draft that follows.
   *
   * @param row of those after which tokens are drawn, in turn @throws {EngineError} when a logit is not finite
   */
  draw(row: number, logits: Float32Array, position: number): void {
    const ids = this.#ids
    if (row > 0 && (ids.length !== row || ids[row - 1] !== this.#drafts[row - 1])) return
    const id = sample(logits, this.#sampling, position, this.#text?.subarray(0, position), this.#masks?.[row])
    ids.push(id)
    const { logprobs } = this.#sampling
    if (logprobs !== undefined) this.#scores.push(scoreOf(logits, id, logprobs))
  }

  get reply(): PartReply {
    const scores = this.#sampling.logprobs === undefined ? {} : { scores: this.#scores }
    return { kind: 'tokens', ids: this.#ids, ...scores }
  }
}
