/**
 * What the tail makes of one session's prompt, from step to step: each token is scored by the row before it, so that a step's last
 * row waits for the next step's first token. Pure.
 */
import type { Sampling } from './engine.ts'
import { type PromptScores, scoreOf, type TokenScore } from './scores.ts'

/** A hidden state [hidden] after the last layer, at its position. */
export interface ScoredRow {
  readonly at: number
  readonly hidden: Float32Array
}

export class PromptScoring {
  readonly #count: number
  readonly #promptTokens: number
  #step = { position: 0, tokens: 0 }
  /** Rows from here on are scored. */
  #from = Number.POSITIVE_INFINITY
  /** Its next token has not come. */
  #last: ScoredRow | undefined
  /** To be scored in this pass. */
  #rows: ScoredRow[] = []
  #scores: TokenScore[] = []
  /** Of the first of these. */
  #position = 0

  constructor({ promptLogprobs = 0, promptTokens = 0 }: Sampling) {
    this.#count = promptLogprobs
    this.#promptTokens = promptTokens
  }

  /** A step begins. What one before it has left, that failed, is void. */
  begins(step: { readonly position: number; readonly tokens: number; readonly scoresFrom?: number | undefined }): void {
    this.#step = step
    this.#from = step.scoresFrom ?? Number.POSITIVE_INFINITY
    this.#scores = []
    const last = this.#last
    this.#last = undefined
    this.#rows = last?.at === step.position - 1 && this.#isWanted(last.at) ? [last] : []
  }

  #isWanted(at: number): boolean {
    return at >= this.#from && at + 1 < this.#promptTokens
  }

  /** Index in the step of the first row that it needs; the number of its tokens where it needs none. */
  get first(): number {
    const { position, tokens } = this.#step
    const at = Math.max(this.#from, position)
    return this.#isWanted(at) ? Math.min(at - position, tokens) : tokens
  }

  /** A row of the step; `hidden` is valid in this pass alone. */
  computed(at: number, hidden: Float32Array): void {
    if (!this.#isWanted(at)) return
    const { position, tokens } = this.#step
    if (at === position + tokens - 1) this.#last = { at, hidden: hidden.slice() }
    else this.#rows.push({ at, hidden })
  }

  /** Rows that are to be scored now, in order. */
  takeRows(): ScoredRow[] {
    const rows = this.#rows
    this.#rows = []
    return rows
  }

  /** @param id of the token after this row @throws {EngineError} when a logit is not finite */
  score(at: number, logits: Float32Array, id: number): void {
    if (this.#scores.length === 0) this.#position = at + 1
    this.#scores.push(scoreOf(logits, id, this.#count))
  }

  /** What the step has said; undefined where that is nothing. */
  takeScores(): PromptScores | undefined {
    const scores = this.#scores
    this.#scores = []
    return scores.length === 0 ? undefined : { position: this.#position, scores }
  }
}
