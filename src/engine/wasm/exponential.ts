/**
 * The exponential of kernels: 2ⁿ times a polynomial, of additions and multiplications alone, so that its bits are the
 * same everywhere. Coefficients: Cephes, `expf` (relative error below 2e-7 on [-ln 2 / 2, ln 2 / 2]).
 */
import type { FunctionWriter, Local, Value } from './emit.ts'
import { f32x4, i32x4 } from './ops.ts'
import { roundingBias } from './activations.ts'

type V = Local<'v128'>

// biome-ignore lint/suspicious/noApproximativeNumericConstant: the arithmetic's own digits
export const log2e = 1.44269504
/** ln 2 in two parts: products of the first with whole numbers up to 2⁹ are exact in float32. */
export const ln2 = { high: 0.693359375, low: -2.1219444e-4 } as const
/** The highest power first. */
export const expCoefficients = [
  1.98756915e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1
] as const

/** Constants in locals: V8 builds a constant anew at each use. */
export class Exponential {
  readonly #f: FunctionWriter
  readonly #bias: V
  readonly #log2e: V
  readonly #high: V
  readonly #low: V
  readonly #coefficients: readonly V[]
  readonly #one: V

  constructor(f: FunctionWriter) {
    const constant = (value: number): V => f.local('v128', f32x4.const(value))
    this.#f = f
    this.#bias = constant(roundingBias)
    this.#log2e = constant(log2e)
    this.#high = constant(ln2.high)
    this.#low = constant(ln2.low)
    this.#coefficients = expCoefficients.map(constant)
    this.#one = constant(1)
  }

  get one(): V {
    return this.#one
  }

  /**
   * Sets each `p` to exp of its `x`, which is in [-87, 88]: n = round(x · log₂ e), r = (x - n · high) - n · low,
   * p = ((polynomial(r) · r²) + r) + 1, times 2ⁿ by adding n to the exponent. The lanes of several vectors are computed
   * by turns, so that none waits for its own last result.
   *
   * @param spare two vectors for each of `x`
   */
  of(x: readonly V[], p: readonly V[], spare: readonly (readonly [V, V])[]): void {
    const f = this.#f
    const each = (visit: (x: V, p: V, t: V, r: V) => void): void => {
      for (const [i, xi] of x.entries()) visit(xi, p[i]!, spare[i]![0], spare[i]![1])
    }
    const times = (a: Value<'v128'>, b: Value<'v128'>): Value<'v128'> => f32x4.mul(a, b)
    each((x, _, t) => f.set(t, f32x4.add(times(x, this.#log2e), this.#bias)))
    each((_, __, t, r) => f.set(r, f32x4.sub(t, this.#bias)))
    each((x, _, __, r) => f.set(r, f32x4.sub(f32x4.sub(x, times(r, this.#high)), times(r, this.#low))))
    const [first, second, ...rest] = this.#coefficients as [V, V, ...V[]]
    each((_, p, __, r) => f.set(p, f32x4.add(times(first, r), second)))
    for (const coefficient of rest) each((_, p, __, r) => f.set(p, f32x4.add(times(p, r), coefficient)))
    each((_, p, __, r) => f.set(p, f32x4.add(f32x4.add(times(p, times(r, r)), r), this.#one)))
    // The bias's own bits are shifted out: what is left of t is n in two's complement.
    each((_, p, t) => f.set(p, i32x4.add(p, i32x4.shl(t, 23))))
  }
}
