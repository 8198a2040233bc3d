/** What a tail may say of tokens beside their ids (rule S38). Pure. */
import type { TokenScore } from '../engine/scores.ts'
import type { SessionInit } from './init.ts'

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
