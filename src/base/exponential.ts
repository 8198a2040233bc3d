/**
 * Powers of e and logarithms, in float64. Of additions, multiplications and divisions alone, in one order: what `Math.exp` and its
 * like give may differ between JavaScript engines and processors, and a token that is drawn, or the id of a model, would with it.
 */

/** ln 2 in two parts; products of the first with whole numbers up to 2¹¹ are exact (fdlibm, e_exp). */
const ln2 = { high: 0.6931471803691238, low: 1.9082149292705877e-10 } as const
// biome-ignore lint/suspicious/noApproximativeNumericConstant: no engine's word for it is taken
const ln2Whole = 0.6931471805599453
const log2e = 1 / ln2Whole
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

/** e to the power of x. @param x at most 0 */
export function exponential(x: number): number {
  const n = Math.round(-x * log2e)
  if (!(n < powers.length)) return 0
  const r = x + n * ln2.high + n * ln2.low
  let sum = coefficients[0]!
  for (let k = 1; k < coefficients.length; k++) sum = sum * r + coefficients[k]!
  return sum * powers[n]!
}

/** Terms of the series below: enough for the last bit of float64 at the end of its range. */
const logarithmTerms = 24

/** Natural logarithm of a positive number. */
export function logarithm(value: number): number {
  let exponent = 0
  let rest = value
  while (rest >= 2) {
    rest /= 2
    exponent++
  }
  while (rest < 1) {
    rest *= 2
    exponent--
  }
  // ln rest = 2 atanh((rest - 1) / (rest + 1)), and that is at most 1/3.
  const ratio = (rest - 1) / (rest + 1)
  let sum = 0
  for (let k = logarithmTerms; k >= 0; k--) sum = sum * ratio * ratio + 1 / (2 * k + 1)
  return exponent * ln2Whole + 2 * ratio * sum
}

/** A positive number to any power. */
export function power(base: number, exponent: number): number {
  const x = exponent * logarithm(base)
  return x <= 0 ? exponential(x) : 1 / exponential(-x)
}
