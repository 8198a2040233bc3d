/** Which experts a token takes, by what the router gives for it. Pure. */
import type { Experts } from '../../model/decoder.ts'

/** Rows that an expert is taken by, and where these are among all pairs of a row and an expert, which are in order of experts. */
export interface ExpertRows {
  readonly expert: number
  /** Index of its first pair. */
  readonly first: number
  /** Rows of the pass, in order. */
  readonly rows: readonly number[]
  /** With what share each of them takes it. */
  readonly shares: readonly number[]
}

/**
 * Finds the largest outputs of the router, of equal ones the first.
 *
 * @param outputs [experts]
 * @param chosen [used] their indices, the lowest first
 * @returns false where an output is not finite: it is the first experts then
 */
export function choose(outputs: Float32Array, chosen: Uint32Array): boolean {
  let count = 0
  for (let i = 0; i < outputs.length; i++) {
    const value = outputs[i]!
    if (!Number.isFinite(value)) {
      for (const n of chosen.keys()) chosen[n] = n
      return false
    }
    if (count === chosen.length && value <= outputs[chosen[count - 1]!]!) continue
    if (count < chosen.length) count++
    let at = count - 1
    for (; at > 0 && value > outputs[chosen[at - 1]!]!; at--) chosen[at] = chosen[at - 1]!
    chosen[at] = i
  }
  chosen.sort()
  return true
}

/** The rows of each expert that is taken by any. @param chosen [rows][used] @param shares [rows][used] */
export function rowsByExpert(
  chosen: Uint32Array,
  shares: Float32Array,
  { count, used }: Pick<Experts, 'count' | 'used'>
): ExpertRows[] {
  const pairs = Array.from({ length: count }, (): number[] => [])
  for (const [pair, expert] of chosen.entries()) pairs[expert]!.push(pair)
  let first = 0
  return pairs.flatMap((own, expert) => {
    if (own.length === 0) return []
    const group = {
      ...{ expert, first },
      rows: own.map(pair => Math.floor(pair / used)),
      shares: own.map(pair => shares[pair]!)
    }
    first += own.length
    return [group]
  })
}

/**
 * Shares of the experts that a row takes: of all of them, or of those alone.
 *
 * @param exponentials [experts] of what the router gives, less the largest
 * @param factor 1 over the sum of all of them
 * @param shares [used]
 */
export function sharesOf(
  { renormalised }: Pick<Experts, 'renormalised'>,
  exponentials: Float32Array,
  chosen: Uint32Array,
  factor: number,
  shares: Float32Array
): void {
  let sum = 0
  for (const expert of chosen) sum = Math.fround(exponentials[expert]! + sum)
  const own = renormalised === true ? Math.fround(1 / sum) : factor
  for (const [i, expert] of chosen.entries()) shares[i] = exponentials[expert]! * own
}
