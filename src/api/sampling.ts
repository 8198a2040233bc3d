/** How a request has its tokens drawn, as a peer is told it. */
import { createHash, randomInt } from 'node:crypto'
import type { GenerateOptions } from '../index.ts'
import type { SamplingRequest } from './schema.ts'

/** What all answers of a request have in common. */
export interface Asked {
  readonly options: GenerateOptions
  /** Safe and not negative: what was asked for, or what that became, or one that was drawn. */
  readonly seed: number
  readonly stops: readonly string[]
  readonly choices: number
  readonly isStreamed: boolean
  /** Whether a stream says at its end what it took. */
  readonly tellsUsage: boolean
}

/** @param usualTokens tokens of an answer where the request names no limit */
export function askedOf(request: SamplingRequest, usualTokens: number): Asked {
  const { presence_penalty = 0, frequency_penalty = 0, repetition_penalty = 1, top_p = 1, top_k = 0 } = request
  const { min_p = 0, logit_bias = {} } = request
  const limit = request.max_completion_tokens ?? request.max_tokens
  const seed = request.seed === undefined ? randomInt(2 ** 48 - 1) : usableSeed(request.seed)
  return {
    options: {
      temperature: request.temperature ?? 1,
      // The most likely token alone is what a share of nothing leaves.
      ...(top_p === 0 ? { topK: 1 } : { topP: top_p, topK: Math.max(0, top_k) }),
      // Not every peer knows these: what does nothing is left out.
      ...(presence_penalty === 0 ? {} : { presencePenalty: presence_penalty }),
      ...(frequency_penalty === 0 ? {} : { frequencyPenalty: frequency_penalty }),
      ...(repetition_penalty === 1 ? {} : { repetitionPenalty: repetition_penalty }),
      ...(request.skein?.scrub === true ? { scrub: true } : {}),
      ...(min_p === 0 ? {} : { minP: min_p }),
      ...(Object.keys(logit_bias).length === 0 ? {} : { logitBias: logit_bias }),
      ...(limit === undefined ? { maxTokens: usualTokens, fit: true } : { maxTokens: limit })
    },
    seed,
    stops: request.stop ?? [],
    choices: request.n ?? 1,
    isStreamed: request.stream ?? false,
    tellsUsage: request.stream_options?.include_usage === true
  }
}

/** A seed that peers take: itself where it is safe and not negative, else its lowest 53 bits. */
export function usableSeed(seed: number): number {
  return Number(BigInt.asUintN(53, BigInt(seed)))
}

/** The seed of one of several answers: the first has the request's own. */
export function choiceSeed(seed: number, index: number): number {
  if (index === 0) return seed
  const digest = createHash('sha256').update(`${seed}:${index}`).digest()
  return Number(digest.readBigUInt64BE() >> 11n)
}
