/**
 * `protocols/arithmetic.md` in plain JavaScript, one number after the other: what kernels are checked against. Every float32
 * operation is one on float64 numbers and one rounding (`Math.fround`), which gives the same for + - · / and √.
 */
import type { Experts, Norms } from '../../model/decoder.ts'
import type { EdgeType } from '../../model/manifest.ts'
import { expCoefficients, ln2, log2e } from './exponential.ts'
import {
  type Activation,
  type Capping,
  erfcCoefficients,
  expHighest,
  expLowest,
  geluTanh,
  halfRoot,
  tanhCoefficients,
  tanhMost,
  tanhSmall
} from './gates.ts'
import { type RotationForm, turnsBy } from './rotary.ts'

const f = Math.fround
const sum = (a: number, b: number): number => f(a + b)
const times = (a: number, b: number): number => f(a * b)

/** A matrix as rows: of float32, or of whole numbers in blocks with a scale each, and perhaps a minimum. */
export interface Rows {
  readonly rows: readonly (readonly number[])[]
  /** Columns of a block. @default 32 */
  readonly block?: number
  /** [row][block]; undefined for float32. */
  readonly scales?: readonly (readonly number[])[]
  /** [row][block]; undefined where there are none. */
  readonly minima?: readonly (readonly number[])[] | undefined
}

/** The nearest whole number, ties to even. */
function nearest(value: number): number {
  const low = Math.floor(value)
  const rest = value - low
  return rest < 0.5 || (rest === 0.5 && low % 2 === 0) ? low : low + 1
}

/** Whole numbers, and what they are times. */
export interface Levels {
  readonly a: readonly number[]
  readonly scale: number
}

/** Numbers as whole ones of at most `levels`. */
export function quantised(x: readonly number[], levels = 127): Levels {
  const largest = Math.max(...x.map(Math.abs))
  const factor = largest > 2 ** -100 ? f(levels / largest) : 0
  return { a: x.map(value => nearest(times(value, factor))), scale: f(largest / levels) }
}

export function product({ rows, block = 32, scales, minima }: Rows, x: readonly number[]): number[] {
  if (scales === undefined) {
    return rows.map(row => row.reduce((total, weight, k) => sum(times(weight, x[k]!), total), 0))
  }
  const records = Array.from({ length: Math.ceil(x.length / 32) }, (_, r) => quantised(x.slice(32 * r, 32 * r + 32)))
  const blocks = records.flatMap(({ a, scale }) =>
    Array.from({ length: 32 / block }, (_, i) => ({ a: a.slice(i * block, (i + 1) * block), scale }))
  )
  return rows.map((row, n) =>
    blocks.reduce((total, { a, scale }, b) => {
      const dot = a.reduce((all, value, k) => all + value * row[block * b + k]!, 0)
      const scaled = sum(times(dot, times(scales[n]![b]!, scale)), total)
      if (minima === undefined) return scaled
      const all = a.reduce((total, value) => total + value, 0)
      return sum(times(all, times(minima[n]![b]!, scale)), scaled)
    }, 0)
  )
}

/** 16 sums over k mod 16, and their sum, over the length. */
function meanOf(x: readonly number[], value: (x: number) => number): number {
  const lanes = new Array<number>(16).fill(0)
  for (const [k, each] of x.entries()) lanes[k % 16] = sum(value(each), lanes[k % 16]!)
  const four = [0, 1, 2, 3].map(i => sum(sum(lanes[i]!, lanes[4 + i]!), sum(lanes[8 + i]!, lanes[12 + i]!)))
  return f(sum(sum(four[0]!, four[2]!), sum(four[1]!, four[3]!)) / f(x.length))
}

export function norm(
  values: readonly number[],
  weight: readonly number[],
  epsilon: number,
  kind?: Norms['kind']
): number[] {
  const mean = kind === 'mean' ? meanOf(values, value => value) : 0
  const x = values.map(value => f(value - mean))
  const factor = f(
    1 /
      f(
        Math.sqrt(
          sum(
            meanOf(x, value => times(value, value)),
            f(epsilon)
          )
        )
      )
  )
  return x.map((value, k) => times(times(value, factor), weight[k]!))
}

export function rotated(head: readonly number[], position: number, form: RotationForm): number[] {
  const { dims, pairs } = form
  const out = [...head]
  for (const [i, { cos, sin }] of turnsBy(form)(position).entries()) {
    const [c, s] = [f(cos), f(sin)]
    const [at, to] = pairs === 'halves' ? [i, i + dims / 2] : [2 * i, 2 * i + 1]
    const [a, b] = [head[at]!, head[to]!]
    out[at] = f(times(a, c) - times(b, s))
    out[to] = sum(times(b, c), times(a, s))
  }
  return out
}

export function exponential(x: number): number {
  const n = nearest(times(x, f(log2e)))
  const r = f(f(x - times(n, f(ln2.high))) - times(n, f(ln2.low)))
  const polynomial = expCoefficients.slice(1).reduce((p, c) => sum(times(p, r), f(c)), f(expCoefficients[0]))
  return sum(sum(times(polynomial, times(r, r)), r), 1) * 2 ** n
}

/** Exponentials of scores, and 1 over their sum. */
function exponentials(scores: readonly number[]): { readonly weights: number[]; readonly factor: number } {
  const most = Math.max(...scores)
  const weights = scores.map(score => {
    const x = f(score - most)
    return x >= -80 ? exponential(x) : 0
  })
  const lanes = new Array<number>(8).fill(0)
  for (const [p, weight] of weights.entries()) lanes[p % 8] = sum(weight, lanes[p % 8]!)
  const four = [0, 1, 2, 3].map(i => sum(lanes[i]!, lanes[4 + i]!))
  return { weights, factor: f(1 / sum(sum(four[0]!, four[2]!), sum(four[1]!, four[3]!))) }
}

/** The experts that a row takes, the lowest first, with their shares. @param outputs of the router */
export function routed(
  outputs: readonly number[],
  { used, renormalised }: Pick<Experts, 'used' | 'renormalised'>
): { readonly expert: number; readonly share: number }[] {
  const { weights, factor } = exponentials(outputs)
  const chosen = outputs
    .map((_, expert) => expert)
    .sort((a, b) => outputs[b]! - outputs[a]! || a - b)
    .slice(0, used)
    .sort((a, b) => a - b)
  const own = renormalised === true ? f(1 / chosen.reduce((total, i) => sum(weights[i]!, total), 0)) : factor
  return chosen.map(expert => ({ expert, share: times(weights[expert]!, own) }))
}

/** What a row gets of its experts: of each what it gives, and its share. */
export function shared(parts: readonly { readonly y: readonly number[]; readonly share: number }[]): number[] {
  return parts[0]!.y.map((_, k) => parts.reduce((total, { y, share }) => sum(times(y[k]!, share), total), 0))
}

export interface Seen {
  /** Keys and values before that position are not seen. @default 0 */
  readonly from?: number
  /** Of scores. @default they are not capped */
  readonly cap?: number | undefined
}

/** Scores of all keys, of those that are not seen -∞. */
function seenScores(scores: readonly number[], { from = 0, cap }: Seen): number[] {
  return scores.map((score, p) => (p < from ? Number.NEGATIVE_INFINITY : capped(score, { cap })))
}

/** One query over keys and values [position][headDim], `query` already multiplied with its factor. */
export function attend(
  query: readonly number[],
  keys: readonly number[][],
  values: readonly number[][],
  seen: Seen = {}
): number[] {
  const products = keys.map(key => key.reduce((total, k, d) => sum(times(k, query[d]!), total), 0))
  const scores = seenScores(products, seen)
  const { weights, factor } = exponentials(scores)
  return query.map((_, d) =>
    times(
      weights.reduce((total, weight, p) => sum(times(values[p]![d]!, weight), total), 0),
      factor
    )
  )
}

/** The same over a cache of int8: keys and values [position], {@link quantised}. */
export function attendBytes(
  query: readonly number[],
  keys: readonly Levels[],
  values: readonly Levels[],
  seen: Seen = {}
): number[] {
  const q = quantised(query, 8191)
  const products = keys.map(({ a, scale }) =>
    times(f(a.reduce((dot, level, d) => dot + level * q.a[d]!, 0)), times(scale, q.scale))
  )
  const scores = seenScores(products, seen)
  const { weights, factor } = exponentials(scores)
  const out = query.map(() => 0)
  for (let first = 0; first < values.length; first += 128) {
    const block = values.slice(first, first + 128)
    const w = quantised(
      block.map(({ scale }, p) => times(weights[first + p]!, scale)),
      16_383
    )
    for (const d of out.keys()) {
      const dot = block.reduce((all, { a }, p) => all + a[d]! * w.a[p]!, 0)
      out[d] = sum(times(f(dot), w.scale), out[d]!)
    }
  }
  return out.map(value => times(value, factor))
}

/**
 * A short convolution of one row.
 *
 * @param row [3 · hidden] B, C and x
 * @param kernel [length][hidden]
 * @param before [length - 1] B · x of the positions before it, the oldest first: zeros before the first
 */
export function convolved(
  row: readonly number[],
  kernel: readonly (readonly number[])[],
  before: readonly (readonly number[])[]
): { readonly own: number[]; readonly out: number[] } {
  const hidden = row.length / 3
  const [b, c, x] = [0, 1, 2].map(part => row.slice(part * hidden, (part + 1) * hidden)) as [
    number[],
    number[],
    number[]
  ]
  const own = b.map((value, d) => times(value, x[d]!))
  const rows = [...before, own]
  const out = c.map((value, d) =>
    times(
      value,
      kernel.reduce((total, part, j) => sum(times(part[d]!, rows[j]![d]!), total), 0)
    )
  )
  return { own, out }
}

/** exp of what is kept in its range. */
function bounded(x: number): number {
  return exponential(Math.min(Math.max(x, expLowest), expHighest))
}

function polynomial(coefficients: readonly number[], x: number): number {
  return coefficients.slice(1).reduce((p, c) => sum(times(p, x), f(c)), f(coefficients[0]!))
}

export function activated(x: number, kind: Activation): number {
  if (kind === 'silu') return f(x / sum(1, bounded(-x)))
  if (kind === 'gelu-tanh') {
    const third = times(times(times(x, x), f(geluTanh.cube)), x)
    return f(x / sum(1, bounded(times(sum(third, x), f(geluTanh.factor)))))
  }
  const z = times(Math.abs(x), f(halfRoot))
  const t = f(1 / sum(times(z, 0.5), 1))
  const half = times(times(t, 0.5), bounded(f(polynomial(erfcCoefficients, t) - times(z, z))))
  return times(x, x < 0 ? half : f(1 - half))
}

export function gated(gate: number, up: number, kind: Activation = 'silu'): number {
  return times(activated(gate, kind), up)
}

export function tanh(x: number): number {
  const size = Math.abs(x)
  if (!(size >= tanhSmall)) {
    const square = times(x, x)
    return sum(times(times(polynomial(tanhCoefficients, square), square), x), x)
  }
  const large = f(1 - f(2 / sum(bounded(times(Math.min(size, tanhMost), 2)), 1)))
  return x < 0 ? -large : large
}

/** A score or a logit with its factor, then capped: cap · tanh(x / cap). */
export function capped(x: number, { scale, cap }: Capping): number {
  const scaled = scale === undefined ? x : times(x, f(scale))
  return cap === undefined ? scaled : times(tanh(f(scaled / f(cap))), f(cap))
}

export function edged(value: number, edge: EdgeType): number {
  if (edge === 'f32') return value
  if (edge === 'f16') {
    const cut = Math.min(Math.abs(value), 65_504)
    const step = cut < 2 ** -14 ? 2 ** -24 : 2 ** (Math.floor(Math.log2(cut)) - 10)
    return Math.sign(value) * nearest(cut / step) * step
  }
  const bits = new Uint32Array(Float32Array.of(Math.abs(value)).buffer)
  const near = new Float32Array(Uint32Array.of(nearest(bits[0]! / 65_536) * 65_536).buffer)[0]!
  return Math.sign(value) * near
}
