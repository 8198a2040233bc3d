/**
 * Log-probabilities of tokens in the model's own distribution: before amounts, penalties, temperature and filters, as OpenAI's and
 * vLLM's are. Of additions, multiplications and divisions alone, in one order, in float64, and rounded to float32 once: the same bits
 * on every machine. Pure.
 */
import { exponential, logarithm } from '../base/exponential.ts'
import { InvalidStepError } from '../errors.ts'
import type { Sampling } from './engine.ts'
import { argmax, mostLikely } from './likeliest.ts'
import { logprobsMax } from './limits.ts'

/** A token and the natural logarithm of its probability, a float32 of 0 or less. */
export interface IdLogprob {
  readonly id: number
  readonly logprob: number
}

/** What a model makes of a token that follows a text. */
export interface TokenScore {
  /** Natural logarithm of its probability, a float32 of 0 or less. */
  readonly logprob: number
  /** The likeliest tokens there, as many as were asked for, the likeliest first and ties by the lower id. */
  readonly top: readonly IdLogprob[]
}

/** The same of tokens of a prompt, one after the other. */
export interface PromptScores {
  /** Of the first of them. */
  readonly position: number
  readonly scores: readonly TokenScore[]
}

export type Scored = Pick<Sampling, 'logprobs' | 'promptLogprobs'>

/** What is wrong with how many are asked for, in a sentence; undefined where nothing is. */
export function whyNotScored({ logprobs, promptLogprobs }: Scored): string | undefined {
  for (const [name, count] of Object.entries({ logprobs, promptLogprobs })) {
    if (count === undefined || (Number.isSafeInteger(count) && count >= 0 && count <= logprobsMax)) continue
    return `${name} must be a whole number from 0 to ${logprobsMax}, not ${count}`
  }
  return undefined
}

/** @throws {InvalidStepError} when more are asked for than there may be. */
export function checkScored(scored: Scored): void {
  const why = whyNotScored(scored)
  if (why !== undefined) throw new InvalidStepError(why)
}

/** The lowest float32: what is less likely still is said to be so likely. */
const lowest = -3.4028234663852886e38

/**
 * What logits say of a token.
 *
 * @param logits [vocab]
 * @param id below vocab
 * @param count of the likeliest tokens that are wanted; no more than vocab are given
 * @throws {EngineError} when a logit is not finite.
 */
export function scoreOf(logits: Float32Array, id: number, count: number): TokenScore {
  const max = logits[argmax(logits)]!
  let sum = 0
  for (let each = 0; each < logits.length; each++) sum += exponential(logits[each]! - max)
  const all = logarithm(sum)
  const logprob = (of: number): number => Math.fround(Math.max(lowest, logits[of]! - max - all))
  const top = count === 0 ? [] : mostLikely(logits, Math.min(count, logits.length))
  return { logprob: logprob(id), top: top.map(each => ({ id: each, logprob: logprob(each) })) }
}
