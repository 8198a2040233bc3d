/** What the types of a model's weights cost, in numbers and in a sentence. Pure. */
import { type Divergence, perplexity } from '../engine/divergence.ts'
import type { Compared } from '../engine/factory.ts'

/** What storing the weights of a model in fewer bits costs in quality, as measured over a few texts. */
export interface WeightCost {
  /** How much higher the perplexity of a few texts is than with the weights as they were read: 0.05 is 5 %. */
  readonly perplexityRise: number
  /** Mean Kullback-Leibler divergence of the next token from what those weights predict, in nats. */
  readonly divergence: number
  /** Of all tokens, how many are followed by the same likeliest one. */
  readonly sameShare: number
  /** Tokens that this was measured over. */
  readonly tokens: number
}

/** Of perplexity: above it, one is told. */
export const perplexityRiseMax = 0.05
/** In nats a token: 8 bits give 0.005, and what costs 10 % of perplexity 0.2. It is surer than perplexity over so few tokens. */
export const divergenceMax = 0.05

export function costOf({ stored, reference }: Compared): WeightCost {
  const { kl, same, tokens }: Divergence = stored
  return {
    perplexityRise: perplexity(stored) / perplexity(reference) - 1,
    divergence: kl / tokens,
    sameShare: same / tokens,
    tokens
  }
}

/** A sentence for who imports, where the types cost much; else undefined. @param types what people call them */
export function costly(
  { perplexityRise, divergence, sameShare, tokens }: WeightCost,
  types: string
): string | undefined {
  if (perplexityRise <= perplexityRiseMax && divergence <= divergenceMax) return undefined
  const rise = Math.max(0, 100 * perplexityRise).toFixed(1)
  const others = Math.round(100 * (1 - sameShare))
  return `weights of ${types} cost this model ${rise} % in perplexity and change the likeliest token in ${others} of 100 places, by ${tokens} tokens of text: q8 costs most models less than 1 %`
}
