/**
 * e to the power of a number of at most 0, in float64. Of additions and multiplications alone, in one order: what
 * `Math.exp` gives may differ between JavaScript engines and processors, and a token that is drawn would with it.
 */

/** ln 2 in two parts; products of the first with whole numbers up to 2¹¹ are exact (fdlibm, e_exp). */
const ln2 = { high: 0.6931471803691238, low: 1.9082149292705877e-10 } as const
// biome-ignore lint/suspicious/noApproximativeNumericConstant: no engine's word for it is taken
const log2e = 1 / 0.6931471805599453
/** 1 / k!, the highest first: enough for the last bit at ln 2 / 2. */
const coefficients = (() => {
  const all = [1]
  for (let k = 1; k <= 14; k++) all.push(all[k - 1]! / k)
  return Float64Array.from(all.reverse())
})()
/** 2⁻ⁿ, down to 0. */
const powers = (() => {
  const all = [1]
  while (all.at(-1)! > 0) all.push(all.at(-1)! / 2)
  return Float64Array.from(all)
})()

/** @param x at most 0 */
export function exponential(x: number): number {
  const n = Math.round(-x * log2e)
  if (!(n < powers.length)) return 0
  const r = x + n * ln2.high + n * ln2.low
  let sum = coefficients[0]!
  for (let k = 1; k < coefficients.length; k++) sum = sum * r + coefficients[k]!
  return sum * powers[n]!
}
