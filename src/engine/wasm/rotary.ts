/**
 * Rotary position embedding: cos and sin of position · theta^(-2i / dims) / divisor, rounded to float32. Of float64 additions,
 * multiplications and divisions alone: `Math.cos` and its like may differ between JavaScript engines, and the bits of
 * an answer would with them.
 */

import { exponential, logarithm } from '../../base/exponential.ts'

/** π / 2 in three parts; products of the first two with whole numbers below 2²⁰ are exact (fdlibm, e_rem_pio2). */
const quarterTurn = [1.5707963267341256, 6.077100506303966e-11, 2.0222662487959506e-21] as const
/** Terms of the series below: enough for the last bit of float64 at the ends of their ranges. */
const terms = 24

/** How the heads of a layer are rotated. */
export interface RotationForm {
  readonly theta: number
  /** Dimensions of a head that are rotated, the first ones. */
  readonly dims: number
  /** (i, i + dims / 2), or (2i, 2i + 1). */
  readonly pairs: 'halves' | 'neighbours'
  /** [dims / 2]; undefined: all are 1. */
  readonly divisors: readonly number[] | undefined
  /** Factor of cosines and sines. */
  readonly gain: number
}

/** Radians per position of the pairs 0 to dims / 2. */
function frequencies({ theta, dims, divisors }: RotationForm): Float64Array {
  const log = logarithm(theta)
  return Float64Array.from({ length: dims / 2 }, (_, i) => {
    const power = (-2 * i * log) / dims
    const frequency = power <= 0 ? exponential(power) : 1 / exponential(-power)
    return frequency / (divisors?.[i] ?? 1)
  })
}

export interface Turn {
  readonly cos: number
  readonly sin: number
}

/** Gives, for a position, what each pair is turned by: [dims / 2], in float64, the gain in it. */
export function turnsBy(form: RotationForm): (position: number) => Turn[] {
  const each = frequencies(form)
  return position =>
    Array.from(each, frequency => {
      const { cos, sin } = cosSin(position * frequency)
      return { cos: cos * form.gain, sin: sin * form.gain }
    })
}

/** Cosine and sine of an angle in [0, 2²⁰ · π / 2). */
function cosSin(angle: number): Turn {
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
