/**
 * Amounts that who asks adds to the logits of tokens, by id, whatever the text so far; and what else a tail draws by without the ids
 * of a text. With them terms need `filters`. Pure.
 */
import { InvalidStepError } from '../errors.ts'
import type { Sampling } from './engine.ts'
import { biasMax, biasesMax } from './limits.ts'

export type Filters = Pick<Sampling, 'minP' | 'logitBias'>

/** Whether there are any: peers of before there were draw without them. */
export function hasFilters({ minP = 0, logitBias }: Filters): boolean {
  return minP !== 0 || hasBias(logitBias)
}

export function hasBias(logitBias: Sampling['logitBias']): logitBias is NonNullable<Sampling['logitBias']> {
  return logitBias !== undefined && Object.keys(logitBias).length > 0
}

/** Ids with what is added to their logits, the lowest id first. */
export function biasesOf(logitBias: Sampling['logitBias']): { readonly id: number; readonly bias: number }[] {
  const all = Object.entries(logitBias ?? {}).map(([id, bias]) => ({ id: Number(id), bias }))
  return all.sort((a, b) => a.id - b.id)
}

/** What is wrong with them, in a sentence; undefined where nothing is. @param vocab @default any id may be one */
export function whyNoFilters({ minP = 0, logitBias }: Filters, vocab = 2 ** 31): string | undefined {
  if (!(minP >= 0 && minP <= 1)) return `minP must be from 0 to 1, not ${minP}`
  const all = biasesOf(logitBias)
  if (all.length > biasesMax) return `logitBias must be of at most ${biasesMax} tokens, not of ${all.length}`
  for (const { id, bias } of all) {
    if (!(Number.isSafeInteger(id) && id >= 0 && id < vocab)) {
      return `logitBias must be of token ids from 0 to ${vocab - 1}, and one is ${id}`
    }
    if (!(Math.abs(bias) <= biasMax))
      return `logitBias must be from -${biasMax} to ${biasMax}, and that of ${id} is ${bias}`
  }
  return undefined
}

/** @throws {InvalidStepError} when one of them is out of range. */
export function checkFilters(filters: Filters): void {
  const why = whyNoFilters(filters)
  if (why !== undefined) throw new InvalidStepError(why)
}

/**
 * Logits with what is added to them, each sum rounded to float32 once.
 *
 * @param logits [vocab] left as they are; ids beyond them are ignored
 * @returns [vocab] the caller's own
 */
export function biased(logits: Float32Array, logitBias: NonNullable<Sampling['logitBias']>): Float32Array {
  const out = logits.slice()
  for (const { id, bias } of biasesOf(logitBias)) out[id]! += bias
  return out
}
