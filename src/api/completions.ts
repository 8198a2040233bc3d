/** One completion as it comes, with the prompt before it where that is repeated. Pure. */
import type { Finish, Piece } from './answer.ts'
import { type CompletionLogprobs, CompletionScores, type ToldToken } from './logprobs.ts'

/** What a client is told next. */
export interface CompletionPart {
  readonly text: string
  /** Of the tokens of this text, as far as they are asked for. */
  readonly logprobs: CompletionLogprobs | null
  readonly finish: Finish | null
}

export interface CompletionInit {
  /** The prompt's text, where it is repeated. @default it is not */
  readonly echo?: string | undefined
  /** Whether an id is a control token that has no text in it. */
  readonly isControl: (id: number) => boolean
  /** Log-probabilities are asked for. */
  readonly isScored: boolean
}

export class Completion {
  readonly #init: CompletionInit
  readonly #scores: CompletionScores
  #next: ToldToken[] = []
  #isBegun = false

  constructor(init: CompletionInit) {
    this.#init = init
    this.#scores = new CompletionScores(init.echo)
  }

  *add(piece: Piece): Generator<CompletionPart> {
    const { echo, isControl } = this.#init
    if (piece.kind === 'prompt') {
      this.#next.push(...piece.tokens.map(token => ({ ...token, isControl: isControl(token.id) })))
      return
    }
    if (!this.#isBegun && echo !== undefined) yield this.#part(echo)
    this.#isBegun = true
    if (piece.kind === 'scored') this.#next.push(piece.token)
    else if (piece.kind === 'text') yield this.#part(piece.text)
    else if (piece.kind === 'end') yield this.#part('', piece.finish)
  }

  #part(text: string, finish: Finish | null = null): CompletionPart {
    const tokens = this.#next
    this.#next = []
    const logprobs = this.#init.isScored && tokens.length > 0 ? this.#scores.take(tokens) : null
    return { text, logprobs, finish }
  }
}

/** The parts of a completion as one. */
export function wholeOf(parts: readonly CompletionPart[]): CompletionPart {
  const scored = parts.flatMap(({ logprobs }) => (logprobs === null ? [] : [logprobs]))
  return {
    text: parts.map(({ text }) => text).join(''),
    logprobs:
      scored.length === 0
        ? null
        : {
            tokens: scored.flatMap(({ tokens }) => tokens),
            token_logprobs: scored.flatMap(each => each.token_logprobs),
            top_logprobs: scored.flatMap(each => each.top_logprobs),
            text_offset: scored.flatMap(each => each.text_offset)
          },
    finish: parts.at(-1)?.finish ?? null
  }
}
