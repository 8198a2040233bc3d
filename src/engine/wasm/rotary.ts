/**
 * Rotary position embedding: cos and sin of position · theta^(-2i / headDim), rounded to float32. Of float64 additions,
 * multiplications and divisions alone: `Math.cos` and its like may differ between JavaScript engines, and the bits of
 * an answer would with them.
 */

import { exponential, logarithm } from '../../base/exponential.ts'

/** π / 2 in three parts; products of the first two with whole numbers below 2²⁰ are exact (fdlibm, e_rem_pio2). */
const quarterTurn = [1.5707963267341256, 6.077100506303966e-11, 2.0222662487959506e-21] as const
/** Terms of the series below: enough for the last bit of float64 at the ends of their ranges. */
const terms = 24

/** Radians per position of the pairs 0 to headDim / 2. */
export function frequencies(headDim: number, theta: number): Float64Array {
  const log = logarithm(theta)
  return Float64Array.from({ length: headDim / 2 }, (_, i) => {
    const power = (-2 * i * log) / headDim
    return power <= 0 ? exponential(power) : 1 / exponential(-power)
  })
}

/** Cosine and sine of an angle in [0, 2²⁰ · π / 2). */
export function cosSin(angle: number): { readonly cos: number; readonly sin: number } {
  const turns = Math.round(angle / quarterTurn[0])
  const rest = angle - turns * quarterTurn[0] - turns * quarterTurn[1] - turns * quarterTurn[2]
  const square = rest * rest
  let cos = 1
  let sin = 1
  for (let k = terms; k >= 2; k -= 2) {
    cos = 1 - (cos * square) / (k * (k - 1))
    sin = 1 - (sin * square) / (k * (k + 1))
  }
  sin *= rest
  switch (turns % 4) {
    case 0:
      return { cos, sin }
    case 1:
      return { cos: -sin, sin: cos }
    case 2:
      return { cos: -cos, sin: -sin }
    default:
      return { cos: sin, sin: -cos }
  }
}
