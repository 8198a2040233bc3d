/** Kernels of what is not linear in the feed-forward part, in scores and in logits. */
import type { FeedForwardExtras } from '../../model/decoder.ts'
import type { FunctionWriter, Local, ModuleWriter, Value } from './emit.ts'
import { Exponential } from './exponential.ts'
import { f32x4, plus, v128 } from './ops.ts'

type V = Local<'v128'>

/** Of the gate. */
export type Activation = 'silu' | NonNullable<FeedForwardExtras['activation']>

/** exp takes what lies between them. */
export const [expLowest, expHighest] = [-87, 88]
/** Of gelu by tanh: x³'s factor, and -2 √(2/π), since ½ (1 + tanh u) = 1 / (1 + exp(-2u)). */
export const geluTanh = { cube: 0.044715, factor: -1.5957691216 } as const
/**
 * Of erfc(z) = t · exp(polynomial(t) - z²) with t = 1 / (1 + z / 2), the highest power first (Numerical Recipes, `erfcc`:
 * relative error below 1.2e-7).
 */
export const erfcCoefficients = [
  0.17087277, -0.82215223, 1.48851587, -1.13520398, 0.27886807, -0.18628806, 0.09678418, 0.37409196, 1.00002368,
  -1.26551223
] as const
// biome-ignore lint/suspicious/noApproximativeNumericConstant: the arithmetic's own digits
export const halfRoot = 0.70710678
/** tanh x by a polynomial in x² below a size, the highest power first (Cephes, `tanhf`); by exp above it. */
export const tanhCoefficients = [
  -5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1
] as const
export const tanhSmall = 0.625
/** tanh is ±1 long before. */
export const tanhMost = 20

/** Two vectors at a time, so that neither waits for its own last result. */
class Pair {
  readonly #f: FunctionWriter
  readonly #exponential: Exponential
  readonly #constants = new Map<number, V>()
  readonly #x: readonly V[]
  readonly #p: readonly V[]
  readonly #spare: readonly (readonly [V, V])[]

  constructor(f: FunctionWriter) {
    this.#f = f
    this.#exponential = new Exponential(f)
    this.#x = f.locals('v128', 2)
    this.#p = f.locals('v128', 2)
    this.#spare = this.#x.map(() => f.locals('v128', 2) as [V, V])
  }

  /** Declares constants, before a loop: V8 builds one anew at each use. */
  constants(...values: readonly number[]): void {
    for (const value of values) {
      if (!this.#constants.has(value)) this.#constants.set(value, this.#f.local('v128', f32x4.const(value)))
    }
  }

  constant(value: number): V {
    return this.#constants.get(value)!
  }

  get one(): V {
    return this.#exponential.one
  }

  /** exp of each, kept in its range. */
  exp(of: (i: number) => Value<'v128'>): readonly V[] {
    for (const [i, x] of this.#x.entries()) {
      this.#f.set(x, f32x4.pmin(f32x4.pmax(of(i), this.constant(expLowest)), this.constant(expHighest)))
    }
    this.#exponential.of(this.#x, this.#p, this.#spare)
    return this.#p
  }

  /** A polynomial, the highest power first. */
  polynomial(coefficients: readonly number[], x: readonly V[], out: readonly V[]): void {
    const [first, second, ...rest] = coefficients
    for (const [i, each] of out.entries())
      this.#f.set(each, f32x4.add(f32x4.mul(this.constant(first!), x[i]!), this.constant(second!)))
    for (const coefficient of rest) {
      for (const [i, each] of out.entries())
        this.#f.set(each, f32x4.add(f32x4.mul(each, x[i]!), this.constant(coefficient)))
    }
  }
}

/** What an activation makes of two vectors, once its constants are set. */
function activation(f: FunctionWriter, kind: Activation): (g: readonly V[]) => (i: number) => Value<'v128'> {
  const pair = new Pair(f)
  pair.constants(expLowest, expHighest)
  if (kind === 'silu') {
    return g => {
      const p = pair.exp(i => f32x4.neg(g[i]!))
      return i => f32x4.div(g[i]!, f32x4.add(pair.one, p[i]!))
    }
  }
  if (kind === 'gelu-tanh') {
    const [cube, factor] = [geluTanh.cube, geluTanh.factor]
    pair.constants(cube, factor)
    return g => {
      const p = pair.exp(i => {
        const third = f32x4.mul(f32x4.mul(f32x4.mul(g[i]!, g[i]!), pair.constant(cube)), g[i]!)
        return f32x4.mul(f32x4.add(third, g[i]!), pair.constant(factor))
      })
      return i => f32x4.div(g[i]!, f32x4.add(pair.one, p[i]!))
    }
  }
  const [z, t, y] = [f.locals('v128', 2), f.locals('v128', 2), f.locals('v128', 2)]
  pair.constants(halfRoot, 0.5, 0, ...erfcCoefficients)
  return g => {
    for (const [i, each] of z.entries()) f.set(each, f32x4.mul(f32x4.abs(g[i]!), pair.constant(halfRoot)))
    for (const [i, each] of t.entries())
      f.set(each, f32x4.div(pair.one, f32x4.add(f32x4.mul(z[i]!, pair.constant(0.5)), pair.one)))
    pair.polynomial(erfcCoefficients, t, y)
    const p = pair.exp(i => f32x4.sub(y[i]!, f32x4.mul(z[i]!, z[i]!)))
    for (const [i, each] of y.entries()) f.set(each, f32x4.mul(f32x4.mul(t[i]!, pair.constant(0.5)), p[i]!))
    return i => {
      const isBelow = f32x4.lt(g[i]!, pair.constant(0))
      return f32x4.mul(g[i]!, v128.bitselect(y[i]!, f32x4.sub(pair.one, y[i]!), isBelow))
    }
  }
}

/** `(gate, up, vectors)`: gate = activation(gate) · up. Two vectors at a time: `vectors` is even. */
export function gated(m: ModuleWriter, name: string, kind: Activation) {
  return m.function(name, ['i32', 'i32', 'i32'], f => {
    const [gate, up, left] = f.parameters
    const of = activation(f, kind)
    const g = f.locals('v128', 2)
    f.countdown(
      left,
      () => {
        for (const [i, gi] of g.entries()) f.set(gi, v128.load(gate, 16 * i))
        const value = of(g)
        for (const i of g.keys()) f.do(v128.store(gate, 16 * i, f32x4.mul(value(i), v128.load(up, 16 * i))))
        for (const each of [gate, up]) f.set(each, plus(each, 32))
      },
      2
    )
  })
}

/** `(x, vectors)`: x = activation(x), of an even number of vectors. */
export function activated(m: ModuleWriter, name: string, kind: Activation) {
  return m.function(name, ['i32', 'i32'], f => {
    const [x, left] = f.parameters
    const of = activation(f, kind)
    inPlace(f, x, left, g => of(g))
  })
}

/** Sets pairs of vectors to what `of` makes of them. */
function inPlace(
  f: FunctionWriter,
  x: Local<'i32'>,
  left: Local<'i32'>,
  of: (g: readonly V[]) => (i: number) => Value<'v128'>
): void {
  const g = f.locals('v128', 2)
  f.countdown(
    left,
    () => {
      for (const [i, gi] of g.entries()) f.set(gi, v128.load(x, 16 * i))
      const value = of(g)
      for (const i of g.keys()) f.do(v128.store(x, 16 * i, value(i)))
      f.set(x, plus(x, 32))
    },
    2
  )
}

export interface Capping {
  /** @default 1 */
  readonly scale?: number | undefined
  /** c of c · tanh(x / c). @default it is not capped */
  readonly cap?: number | undefined
}

/** `(x, vectors)`: x = x · scale, then cap · tanh(x / cap), of an even number of vectors. */
export function capped(m: ModuleWriter, name: string, { scale, cap }: Capping) {
  return m.function(name, ['i32', 'i32'], f => {
    const [x, left] = f.parameters
    const pair = new Pair(f)
    const [y, a, z] = [f.locals('v128', 2), f.locals('v128', 2), f.locals('v128', 2)]
    const signs = f.local('v128', f32x4.const(-0))
    pair.constants(expLowest, expHighest, scale ?? 1, cap ?? 1, tanhMost, tanhSmall, 2, ...tanhCoefficients)
    inPlace(f, x, left, g => {
      if (scale !== undefined) for (const each of g) f.set(each, f32x4.mul(each, pair.constant(scale)))
      if (cap === undefined) return i => g[i]!
      for (const each of g) f.set(each, f32x4.div(each, pair.constant(cap)))
      for (const [i, each] of a.entries()) f.set(each, f32x4.abs(g[i]!))
      for (const [i, each] of z.entries()) f.set(each, f32x4.mul(g[i]!, g[i]!))
      pair.polynomial(tanhCoefficients, z, y)
      for (const [i, each] of y.entries()) f.set(each, f32x4.add(f32x4.mul(f32x4.mul(each, z[i]!), g[i]!), g[i]!))
      const p = pair.exp(i => f32x4.mul(f32x4.pmin(a[i]!, pair.constant(tanhMost)), pair.constant(2)))
      for (const [i, each] of z.entries())
        f.set(each, f32x4.sub(pair.one, f32x4.div(pair.constant(2), f32x4.add(p[i]!, pair.one))))
      return i => {
        const large = v128.bitselect(g[i]!, z[i]!, signs)
        // What is not a number is not large, and stays what it is.
        const tanh = v128.bitselect(large, y[i]!, f32x4.ge(a[i]!, pair.constant(tanhSmall)))
        return f32x4.mul(tanh, pair.constant(cap))
      }
    })
  })
}
