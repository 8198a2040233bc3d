/** What a request took, as OpenAI's API has it, with what is ours as `skein` in it. Pure. */
import type { ScrubCounts, ScrubKind } from '../index.ts'
import type { Taken } from './answer.ts'

export interface Usage {
  readonly prompt_tokens: number
  readonly completion_tokens: number
  readonly total_tokens: number
  /** Absent where hops have not said in time what they knew of a prompt. */
  readonly prompt_tokens_details?: { readonly cached_tokens: number }
  readonly completion_tokens_details: { readonly reasoning_tokens: number }
  readonly skein: {
    /** Of all its answers together, after the first token of each; null where there are too few. */
    readonly tokens_per_second: number | null
    readonly first_token_ms: number
    /** Of the longest route. */
    readonly hops: number
    /** Times that an answer went on another way, after a loss. */
    readonly recoveries: number
    /** False when a loss may have changed the roundings of an answer. */
    readonly exact: boolean
    /** The same seed gives the same answer. */
    readonly seed: number
    /** How often each kind of personal data was replaced in all prompts; absent where nobody has asked for that. */
    readonly scrubbed?: ScrubCounts
  }
}

/**
 * @param prompts what one answer of each prompt took: a prompt is counted once, however many answers it has
 * @param all what all answers took
 */
export function usageOf(prompts: readonly Taken[], all: readonly Taken[], seed: number): Usage {
  const sum = (of: readonly Taken[], field: 'promptTokens' | 'tokens' | 'thoughts' | 'recoveries' | 'restMs'): number =>
    of.reduce((total, taken) => total + taken[field], 0)
  const [promptTokens, tokens, restMs] = [sum(prompts, 'promptTokens'), sum(all, 'tokens'), sum(all, 'restMs')]
  const known = prompts.map(({ knownTokens }) => knownTokens)
  const isKnown = known.every(tokens => tokens !== undefined)
  const cached_tokens = known.reduce<number>((total, tokens = 0) => total + tokens, 0)
  const gaps = all.reduce((total, taken) => total + Math.max(0, taken.tokens - 1), 0)
  return {
    prompt_tokens: promptTokens,
    completion_tokens: tokens,
    total_tokens: promptTokens + tokens,
    ...(isKnown ? { prompt_tokens_details: { cached_tokens } } : {}),
    completion_tokens_details: { reasoning_tokens: sum(all, 'thoughts') },
    skein: {
      tokens_per_second: restMs > 0 ? round((gaps * 1000) / restMs) : null,
      first_token_ms: round(Math.min(...all.map(({ firstMs }) => firstMs))),
      hops: Math.max(...all.map(({ hops }) => hops)),
      recoveries: sum(all, 'recoveries'),
      exact: all.every(({ exact }) => exact),
      seed,
      ...scrubbedIn(prompts)
    }
  }
}

function scrubbedIn(prompts: readonly Taken[]): { readonly scrubbed?: ScrubCounts } {
  const told = prompts.flatMap(({ scrubbed }) => scrubbed ?? [])
  if (told.length === 0) return {}
  const sums: Partial<Record<ScrubKind, number>> = {}
  for (const [kind, times] of told.flatMap(each => Object.entries(each) as [ScrubKind, number][])) {
    sums[kind] = (sums[kind] ?? 0) + times
  }
  return { scrubbed: sums }
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}
