/**
 * Penalties: tokens that a text has already become less likely, or more. They are all that a tail needs the ids of a text for:
 * what is drawn is a function of (logits, sampling, position, ids so far).
 *
 * As in vLLM: the repetition penalty (Keskar et al. 2019, CTRL) is for tokens of prompt and answer, the other two (OpenAI's) are
 * for those of the answer alone, and come after it.
 */
import { InvalidStepError } from '../errors.ts'
import type { Sampling } from './engine.ts'
import { penaltyMax, repetitionPenaltyMax, repetitionPenaltyMin } from './limits.ts'

export type Penalties = Pick<Sampling, 'presencePenalty' | 'frequencyPenalty' | 'repetitionPenalty'>

/** Whether there are any: what is drawn then depends on the ids so far. */
export function hasPenalties({ presencePenalty = 0, frequencyPenalty = 0, repetitionPenalty = 0 }: Penalties): boolean {
  return presencePenalty !== 0 || frequencyPenalty !== 0 || (repetitionPenalty !== 0 && repetitionPenalty !== 1)
}

/** Whether the last layers need the ids of the text: to draw by them, or to say what the model makes of the prompt's. */
export function needsText(sampling: Penalties & Pick<Sampling, 'promptLogprobs'>): boolean {
  return hasPenalties(sampling) || sampling.promptLogprobs !== undefined
}

/** Bytes of the ids that the last layers hold of a text of so many tokens: 4 each, where they need them. */
export function textBytes(sampling: Parameters<typeof needsText>[0], tokensMax: number): number {
  return needsText(sampling) ? Int32Array.BYTES_PER_ELEMENT * tokensMax : 0
}

/** What is wrong with them, in a sentence; undefined where nothing is. */
export function whyNoPenalties(penalties: Penalties): string | undefined {
  for (const name of ['presencePenalty', 'frequencyPenalty'] as const) {
    const value = penalties[name] ?? 0
    if (!(Math.abs(value) <= penaltyMax)) return `${name} must be from -${penaltyMax} to ${penaltyMax}, not ${value}`
  }
  const { repetitionPenalty: value = 0 } = penalties
  if (value === 0 || (value >= repetitionPenaltyMin && value <= repetitionPenaltyMax)) return undefined
  return `repetitionPenalty must be 0 (none), or from ${repetitionPenaltyMin} to ${repetitionPenaltyMax}, not ${value}`
}

/** @throws {InvalidStepError} when one of them, or the length of the prompt, is out of range. */
export function checkPenalties(sampling: Sampling): void {
  const why = whyNoPenalties(sampling)
  if (why !== undefined) throw new InvalidStepError(why)
  const { promptTokens = 0 } = sampling
  if (!Number.isSafeInteger(promptTokens) || promptTokens < 0) {
    throw new InvalidStepError(`promptTokens must be 0 or a positive integer, not ${promptTokens}`)
  }
}

/**
 * Logits with penalties, of the token after `ids`. Each token's is computed in float64, in the order written here, and rounded to
 * float32 once; tokens that are not in `ids` keep their bits.
 *
 * @param logits [vocab] left as they are
 * @param ids [tokens so far] of prompt and answer, each in [0, vocab)
 * @returns [vocab] the caller's own
 */
export function penalised(logits: Float32Array, ids: Int32Array, sampling: Sampling): Float32Array {
  const { presencePenalty = 0, frequencyPenalty = 0, repetitionPenalty = 0, promptTokens = 0 } = sampling
  const repetition = repetitionPenalty === 0 ? 1 : repetitionPenalty
  const out = logits.slice()
  /** [vocab] 0 for tokens that are not in the text; else 1, and how often the answer has them. */
  const seen = new Int32Array(logits.length)
  // A driver may say anything: then all of it is the prompt's.
  for (let i = 0; i < Math.min(promptTokens, ids.length); i++) seen[ids[i]!] = 1
  for (let i = promptTokens; i < ids.length; i++) {
    const id = ids[i]!
    seen[id] = (seen[id] || 1) + 1
  }
  for (let id = 0; id < seen.length; id++) {
    const times = seen[id]! - 1
    if (times < 0) continue
    const logit = logits[id]!
    let value = logit > 0 ? logit / repetition : logit * repetition
    if (times > 0) {
      value -= frequencyPenalty * times
      value -= presencePenalty
    }
    out[id] = value
  }
  return out
}
