/** What a tail may say of tokens beside their ids (rules S38 and S39). Pure. */
import type { PromptScores, TokenScore } from '../engine/scores.ts'
import type { SessionInit } from './init.ts'

/** What has been told of a session's prompt. */
export class PromptTold {
  readonly #session: Pick<SessionInit, 'sampling' | 'vocab' | 'promptIds'>
  /** Of so many tokens of the prompt it is known what the model makes of them; of the first one there is nothing to know. */
  #tokens = 1

  constructor(session: Pick<SessionInit, 'sampling' | 'vocab' | 'promptIds'>) {
    this.#session = session
  }

  /** All of it that the session asks for. */
  get isAll(): boolean {
    const { sampling, promptIds } = this.#session
    return sampling.promptLogprobs === undefined || this.#tokens === promptIds.length
  }

  /** So many tokens of a text are as good as known to an epoch that begins: what is to be told must be computed again. */
  known(tokens: number): number {
    return this.isAll ? tokens : Math.min(tokens, this.#tokens)
  }

  /** Scores have come. False where they are not those that are to come next, in the form that the session asks for. */
  takes({ position, scores }: PromptScores): boolean {
    const { sampling, promptIds, vocab } = this.#session
    const { promptLogprobs } = sampling
    if (promptLogprobs === undefined || position !== this.#tokens) return false
    if (position + scores.length > promptIds.length) return false
    if (!scores.every(score => isScore(score, Math.min(promptLogprobs, vocab), vocab))) return false
    this.#tokens += scores.length
    return true
  }
}

/** Whether each id has the score that the session asks for, and none where it asks for none. */
export function areScored(
  ids: readonly number[],
  scores: readonly TokenScore[] | undefined,
  { sampling, vocab }: Pick<SessionInit, 'sampling' | 'vocab'>
): boolean {
  const { logprobs } = sampling
  if (logprobs === undefined || scores === undefined) return logprobs === scores
  return scores.length === ids.length && scores.every(score => isScore(score, Math.min(logprobs, vocab), vocab))
}

/** Whether a score has so many of the likeliest tokens, each once, the likeliest first. That it is right, nobody can see. */
function isScore({ top }: TokenScore, count: number, vocab: number): boolean {
  const isInOrder = top.every(({ id, logprob }, i) => id < vocab && (i === 0 || logprob <= top[i - 1]!.logprob))
  return isInOrder && new Set(top.map(({ id }) => id)).size === count && top.length === count
}
