/**
 * Picks a token from logits. Everything here is a function of (logits, sampling, position, ids so far, mask), so a replayed
 * or retried step picks what the first one picked (promise P3).
 *
 * Order of the filters as in Hugging Face's generation: what is added to logits (`logit-bias.ts`), penalties (`penalties.ts`),
 * what may be drawn at all (`mask.ts`), temperature, then the k most likely, then the nucleus (Holtzman et al. 2020), then those that are likely enough beside the likeliest
 * (min-p, Nguyen et al. 2024). Ties go to the lower id everywhere.
 */
import { assert } from '../base/assert.ts'
import { randomAt } from '../base/rng.ts'
import { InvalidStepError } from '../errors.ts'
import type { Sampling } from './engine.ts'
import { exponential } from '../base/exponential.ts'
import { argmax, mostLikely } from './likeliest.ts'
import { biased, checkFilters, hasBias } from './logit-bias.ts'
import { idsThrough, type TokenMask } from './mask.ts'
import { checkPenalties, hasPenalties, penalised } from './penalties.ts'
import { checkScored } from './scores.ts'

/** @throws {InvalidStepError} when a field is outside the range that its docstring gives. */
export function checkSampling(sampling: Sampling): void {
  const { temperature, topP, topK, seed } = sampling
  if (!(temperature >= 0 && temperature < Number.POSITIVE_INFINITY)) {
    throw new InvalidStepError(`temperature must be a finite number of 0 or more, not ${temperature}`)
  }
  if (!(topP > 0 && topP <= 1)) throw new InvalidStepError(`topP must be above 0 and at most 1, not ${topP}`)
  if (!Number.isSafeInteger(topK) || topK < 0) {
    throw new InvalidStepError(`topK must be 0 or a positive integer, not ${topK}`)
  }
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw new InvalidStepError(`seed must be a safe non-negative integer, not ${seed}`)
  }
  checkFilters(sampling)
  checkPenalties(sampling)
  checkScored(sampling)
}

/**
 * @param given logits [vocab]
 * @param position the position that the picked token will have.
 * @param before [position] ids of the tokens before it; needed where there are penalties.
 * @param mask what may be drawn, one of [vocab] at least. @default all
 * @throws {EngineError} when a logit is not finite.
 */
export function sample(
  given: Float32Array,
  sampling: Sampling,
  position: number,
  before?: Int32Array,
  mask?: TokenMask
): number {
  const logits = adjusted(given, sampling, position, before)
  if (mask === undefined) return drawn(logits, sampling, position)
  // Among those that are let through alone it is as if the others had a logit of minus infinity: sums and ties are the same.
  const through = idsThrough(mask)
  argmax(logits)
  const kept = new Float32Array(through.length)
  // `Float32Array.from` takes 25 times as long: 8.5 ms of a processor for 152,000.
  for (let i = 0; i < kept.length; i++) kept[i] = logits[through[i]!]!
  return through[drawn(kept, sampling, position)]!
}

/** The id that is drawn by these logits. @throws {EngineError} when one is not finite. */
function drawn(logits: Float32Array, sampling: Sampling, position: number): number {
  const best = argmax(logits)
  const { temperature, topK, topP, minP = 0, seed } = sampling
  if (temperature === 0 || topK === 1) return best
  const max = logits[best]!
  /** Relative to the most likely token's, which is 1. */
  const weight = (id: number): number => exponential((logits[id]! - max) / temperature)
  const draw = randomAt(seed, position)

  if (topK > 0 && topK < logits.length) {
    const ids = mostLikely(logits, topK)
    const weights = ids.map(weight)
    const total = weights.reduce((a, b) => a + b)
    const count = topP === 1 ? ids.length : nucleus(weights, topP * total)
    return pick(ids, weights, likely(weights, minP, count), draw)
  }

  const weights = new Float64Array(logits.length)
  let total = 0
  for (let id = 0; id < logits.length; id++) {
    const w = weight(id)
    // Where a nucleus is cut out, it is of all.
    if (topP === 1 && w < minP) continue
    weights[id] = w
    total += w
  }
  if (topP === 1) return pickById(weights, total, draw)

  // The tokens above a threshold are the first of the sorted order. Lowering it until they hold enough
  // sorts a handful of tokens instead of the whole vocabulary.
  for (let threshold = 1 / 16; ; threshold /= 64) {
    // Below 1e-300 everything is taken, so the loop ends whatever rounding did to the sums.
    const least = threshold < 1e-300 ? 0 : threshold
    const ids: number[] = []
    let mass = 0
    for (let id = 0; id < weights.length; id++) {
      if (weights[id]! < least) continue
      ids.push(id)
      mass += weights[id]!
    }
    if (mass < topP * total && least > 0) continue
    // By logit, not by weight: far below the largest, different logits have the same weight.
    ids.sort((a, b) => logits[b]! - logits[a]! || a - b)
    const sorted = ids.map(id => weights[id]!)
    return pick(ids, sorted, likely(sorted, minP, nucleus(sorted, topP * total)), draw)
  }
}

/** Logits as tokens are drawn by them: those that were given where nothing changes them. */
function adjusted(given: Float32Array, sampling: Sampling, position: number, before?: Int32Array): Float32Array {
  const logits = hasBias(sampling.logitBias) ? biased(given, sampling.logitBias) : given
  return hasPenalties(sampling) ? penalised(logits, textOf(before, position), sampling) : logits
}

/** All tokens before a position. */
function textOf(before: Int32Array | undefined, position: number): Int32Array {
  assert(before?.length === position, () => `a token at ${position} follows as many, not ${before?.length}`)
  return before
}

/** How many of the sorted weights it takes to reach `mass`; all of them when rounding keeps them below. */
function nucleus(sorted: readonly number[], mass: number): number {
  let sum = 0
  for (let i = 0; i < sorted.length; i++) {
    sum += sorted[i]!
    if (sum >= mass) return i + 1
  }
  return sorted.length
}

/** How many of the first `count` sorted weights are at least `least`; the first of them is 1. */
function likely(sorted: readonly number[], least: number, count: number): number {
  let end = count
  while (end > 1 && sorted[end - 1]! < least) end--
  return end
}

/** The id at `draw` in [0, 1) of the first `count` weights' sum. */
function pick(ids: readonly number[], weights: readonly number[], count: number, draw: number): number {
  let total = 0
  for (let i = 0; i < count; i++) total += weights[i]!
  let rest = draw * total
  for (let i = 0; i < count; i++) {
    rest -= weights[i]!
    if (rest < 0) return ids[i]!
  }
  return ids[count - 1]!
}

function pickById(weights: Float64Array, total: number, draw: number): number {
  let rest = draw * total
  let last = 0
  for (let id = 0; id < weights.length; id++) {
    if (weights[id] === 0) continue
    rest -= weights[id]!
    last = id
    if (rest < 0) return id
  }
  return last
}
