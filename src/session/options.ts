/** What may be asked of an answer. Pure. */
import { type CacheType, cacheTypes, usualCache } from '../base/cache-type.ts'
import type { Sampling } from '../engine/engine.ts'
import { whyNoFilters } from '../engine/logit-bias.ts'
import { hasPenalties, needsText, whyNoPenalties } from '../engine/penalties.ts'
import { whyNotScored } from '../engine/scores.ts'
import { InvalidOptionError, PromptTooLongError } from '../errors.ts'
import { answerTokensDefault, routeWaitMsMax } from './limits.ts'

export interface SessionOptions extends Partial<Omit<Sampling, 'promptTokens' | 'masked'>> {
  /** Tokens to generate at most; with `promptLogprobs` it may be 0. @default 256, or what the context leaves */
  maxTokens?: number
  /** Where the context leaves fewer tokens than `maxTokens`, the answer gets these. @default it is refused */
  fit?: boolean
  /**
   * How long to wait for a route, from the start or from a loss, in ms: up to a day.
   * @default 30 s after a loss; before the first token, until no more peers are to be expected
   */
  waitMs?: number
  /**
   * In what every hop holds the keys and values of the session: `f32`, as they are computed, or `i8`, bytes, which take a
   * half to a third of the memory and give another answer, nearly as good. @default `f32`
   */
  cache?: CacheType
  /** Control tokens that the prompt spells (`</s>`) become those tokens. @default false: they are text */
  special?: boolean
  /**
   * Propose tokens that the text so far suggests, and have several verified in one lap, where that makes the answer faster.
   * It is the same either way. @default true
   */
  speculate?: boolean
  /** Have every hop say where the time of each token goes: events `trace`. @default false */
  trace?: boolean
  /** Cancels the answer and frees every cache on its route. */
  signal?: AbortSignal
  /** Ends the answer with its reason's message: the driver itself goes. The text so far is kept. */
  ending?: AbortSignal
}

/** What a session is run with. */
export interface SessionSettings {
  readonly maxTokens: number
  readonly cache: CacheType
  readonly sampling: Sampling
}

/** Checks what the caller asked for and fills in the defaults. @param model the context that it holds, and its ids' number */
export function settings(
  options: SessionOptions,
  promptTokens: number,
  { contextMax, vocab }: { readonly contextMax: number; readonly vocab: number }
): SessionSettings {
  const { maxTokens, waitMs, temperature = 0, topP = 1, topK = 0, seed = 1, cache = usualCache } = options
  const { fit = false, presencePenalty = 0, frequencyPenalty = 0, repetitionPenalty = 0 } = options
  const penalties = { presencePenalty, frequencyPenalty, repetitionPenalty }
  const { minP = 0, logitBias = {}, logprobs, promptLogprobs } = options
  if (typeof logitBias !== 'object' || logitBias === null) {
    throw new InvalidOptionError(`logitBias must be an object of amounts by token id, not ${logitBias}`)
  }
  const filters = { ...(minP === 0 ? {} : { minP }), ...(Object.keys(logitBias).length === 0 ? {} : { logitBias }) }
  const rule = (holds: boolean, sentence: string): void => {
    if (!holds) throw new InvalidOptionError(sentence)
  }
  rule(Number.isFinite(temperature) && temperature >= 0, `temperature must be 0 or more, not ${temperature}`)
  rule(topP > 0 && topP <= 1, `topP must be above 0 and at most 1, not ${topP}`)
  rule(Number.isSafeInteger(topK) && topK >= 0 && topK < 2 ** 31, `topK must be a whole number from 0, not ${topK}`)
  rule(Number.isSafeInteger(seed) && seed >= 0, `seed must be a whole number from 0, not ${seed}`)
  const wrong = whyNoPenalties(penalties) ?? whyNoFilters(filters, vocab) ?? whyNotScored(options)
  rule(wrong === undefined, wrong ?? '')
  checkWait(waitMs)
  rule(cacheTypes.includes(cache), `cache must be ${cacheTypes.join(' or ')}, not ${cache}`)
  const left = contextMax - promptTokens
  const tokens = maxTokens ?? Math.min(answerTokensDefault, left)
  // Who asks what the model makes of the prompt may want nothing else.
  const least = promptLogprobs === undefined ? 1 : 0
  rule(Number.isSafeInteger(tokens) && tokens >= least, `maxTokens must be a whole number from ${least}, not ${tokens}`)
  if (fit && left >= 1 && tokens > left) {
    return settings({ ...options, maxTokens: left }, promptTokens, { contextMax, vocab })
  }
  // The token that is drawn after a prompt of which nothing but that is asked takes no place.
  if (tokens > left) {
    throw new PromptTooLongError(
      `the prompt has ${promptTokens} tokens, so the model's context of ${contextMax} leaves ${left} for the answer, not ${tokens}`
    )
  }
  const plain = {
    ...{ temperature, topP, topK, seed, ...filters },
    ...(logprobs === undefined ? {} : { logprobs }),
    ...(promptLogprobs === undefined ? {} : { promptLogprobs })
  }
  const text = needsText({ ...penalties, ...plain }) ? { promptTokens } : {}
  const sampling = { ...plain, ...(hasPenalties(penalties) ? penalties : {}), ...text }
  return { maxTokens: tokens, cache, sampling }
}

/** @throws {InvalidOptionError} when nobody can wait so long, in ms */
export function checkWait(waitMs: number | undefined): void {
  if (waitMs === undefined || (Number.isSafeInteger(waitMs) && waitMs >= 0 && waitMs <= routeWaitMsMax)) return
  throw new InvalidOptionError(`waitMs must be a whole number from 0 to ${routeWaitMsMax}, not ${waitMs}`)
}
