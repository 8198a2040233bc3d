/** Kernels that make levels: of keys and values for a cache of int8, and of what multiplies these (`byte-page.ts`). */
import { keyTile } from './attention.ts'
import { lanesSum, roundingBias, smallestMax } from './activations.ts'
import { byteSlice, byteTile, queryScales, valueBlock } from './byte-page.ts'
import type { FunctionWriter, Local, ModuleWriter, Value } from './emit.ts'
import { f32, f32x4, i16x8, i32, i32x4, i8x16, plus, v128 } from './ops.ts'
import type { ProductForms } from './products.ts'

type V = Local<'v128'>
type I = Local<'i32'>

/** The largest level of a key or a value, of a query, and of a weight, which is never below 0. */
const [levelMax, queryMax, weightMax] = [127, 8191, 16_383]
/** What queries have more, so that both halves are 0 to 127: 64 · 128. */
const queryZero = 8192
/** The largest number of float32. */
const largestFloat = (2 - 2 ** -23) * 2 ** 127

/** Dimensions [4i, 4i + 4) of a row, zeros behind its end: rows have an even number of them. */
function four(row: I, i: number, headDim: number): Value<'v128'> {
  const rest = headDim - 4 * i
  return rest >= 4 ? v128.load(row, 16 * i) : rest > 0 ? v128.load64Zero(row, 16 * i) : v128.zero()
}

/** The largest of four lanes; not a number where one is none. */
function lanesMax(most: V): Value<'f32'> {
  return [1, 2, 3].reduce((all, lane) => f32.max(all, f32x4.extractLane(most, lane)), f32x4.extractLane(most, 0))
}

/** `levels / largest`, or 0 where that could overflow. */
function factorOf(largest: Local<'f32'>, levels: number): Value<'v128'> {
  const inverse = f32.div(f32.const(levels), largest)
  return f32x4.splat(f32.select(inverse, f32.const(0), f32.gt(largest, f32.const(smallestMax))))
}

/** Four whole numbers of 32 bits each as 16 bytes. */
function narrowed([a, b, c, d]: readonly Value<'v128'>[]): Value<'v128'> {
  return i8x16.narrowI16x8S(i16x8.narrowI32x4S(a!, b!), i16x8.narrowI32x4S(c!, d!))
}

/**
 * Quantises one row of a head: m = max |x|, scale = m / levels, level = round(x · (levels / m)). Returns the scale, after
 * `use` has had the levels of each four dimensions, 16 dimensions at a time.
 *
 * @param value of dimensions [4i, 4i + 4)
 */
function quantiseHead(
  f: FunctionWriter,
  width: number,
  levels: number,
  value: (i: number) => Value<'v128'>,
  use: (y: readonly V[], chunk: number) => void
): Local<'f32'> {
  const y = f.locals('v128', 4)
  const [most, factor] = f.locals('v128', 2) as [V, V]
  const bias = f.local('v128', f32x4.const(roundingBias))
  const largest = f.local('f32')
  f.set(most, v128.zero())
  for (let i = 0; i < width / 4; i++) f.set(most, f32x4.max(most, f32x4.abs(value(i))))
  f.set(largest, lanesMax(most))
  f.set(factor, factorOf(largest, levels))
  for (let chunk = 0; chunk < width / 16; chunk++) {
    for (const [j, each] of y.entries()) {
      f.set(each, i32x4.sub(f32x4.add(f32x4.mul(value(4 * chunk + j), factor), bias), bias))
    }
    use(y, chunk)
  }
  f.set(largest, f32.div(largest, f32.const(levels)))
  return largest
}

/**
 * `(key, value, keys at, values at, scale of values at)`: writes one kv head of one position into a page. `keys at`: the
 * position's lane of its tile; `values at`: its byte in its block.
 */
export function storeBytes(m: ModuleWriter, name: string, headDim: number, width: number) {
  return m.function(name, ['i32', 'i32', 'i32', 'i32', 'i32'], f => {
    const [key, value, keysAt, valuesAt, scaleAt] = f.parameters
    const bytes = f.local('v128')
    const sum = f.local('v128', v128.zero())
    const keyScale = quantiseHead(
      f,
      width,
      levelMax,
      i => four(key, i, headDim),
      (y, chunk) => {
        for (const each of y) f.set(sum, i32x4.add(sum, each))
        f.set(bytes, narrowed(y))
        for (let g = 0; g < 4; g++) f.do(i32.store(keysAt, 4 * keyTile * (4 * chunk + g), i32x4.extractLane(bytes, g)))
      }
    )
    f.do(f32.store(keysAt, keyTile * width, keyScale))
    f.do(i32.store(keysAt, keyTile * (width + 4), i32.mul(lanesSum(sum), i32.const(-queryZero / 128))))
    const valueScale = quantiseHead(
      f,
      width,
      levelMax,
      i => four(value, i, headDim),
      (y, chunk) => {
        f.set(bytes, narrowed(y))
        for (let lane = 0; lane < 16; lane++) {
          const d = 16 * chunk + lane
          f.do(v128.store8Lane(valuesAt, valueBlock * (d - (d % byteSlice)) + 4 * (d % byteSlice), bytes, lane))
        }
      }
    )
    // Of values that are not finite: what has a weight of 0 stays 0, and all else overflows.
    const inRange = f32.gt(f32.const(Number.POSITIVE_INFINITY), valueScale)
    f.do(f32.store(scaleAt, 0, f32.select(valueScale, f32.const(largestFloat), inRange)))
  })
}

/**
 * `(query row ×rows, out)`: queries · factor, quantised: words by four dimensions, [width / 4][rows][4], or so the high halves
 * and then the low ones; then the scales [rows].
 */
export function byteQueries(
  m: ModuleWriter,
  name: string,
  headDim: number,
  width: number,
  factor: number,
  rows: number,
  { attention }: ProductForms
) {
  const one = m.function(undefined, ['i32', 'i32', 'i32'], f => {
    const [query, out, scaleAt] = f.parameters
    const times = f.local('v128', f32x4.const(factor))
    const zero = f.local('v128', i32x4.const(queryZero))
    const low7 = f.local('v128', i32x4.const(127))
    const bytes = f.local('v128')
    const scale = quantiseHead(
      f,
      width,
      queryMax,
      i => f32x4.mul(four(query, i, headDim), times),
      (y, chunk) => {
        if (attention === 'words') {
          for (const half of [0, 1] as const) {
            f.set(bytes, i16x8.narrowI32x4S(y[2 * half]!, y[2 * half + 1]!))
            for (const lane of [0, 1] as const) {
              f.do(v128.store64Lane(out, 8 * rows * (4 * chunk + 2 * half + lane), bytes, lane))
            }
          }
          return
        }
        for (const each of y) f.set(each, i32x4.add(each, zero))
        const halves = [y.map(each => i32x4.shrU(each, 7)), y.map(each => v128.and(each, low7))]
        for (const [half, each] of halves.entries()) {
          f.set(bytes, narrowed(each))
          for (let g = 0; g < 4; g++) {
            const at = half * width * rows + 4 * rows * (4 * chunk + g)
            f.do(i32.store(out, at, i32x4.extractLane(bytes, g)))
          }
        }
      }
    )
    f.do(f32.store(scaleAt, 0, scale))
  })
  const parameters = Array.from({ length: rows + 1 }, () => 'i32' as const)
  return m.function(name, parameters, f => {
    const out = f.parameters[rows] as I
    for (let t = 0; t < rows; t++) {
      const at = plus(out, attention === 'words' ? 8 * t : 4 * t)
      f.call(one, f.parameters[t] as I, at, plus(out, queryScales(width, rows) + 4 * t))
    }
  })
}

/**
 * `(exponentials, scales of values, tiles of 8 positions, out, scale at)`: weights of one row in one block:
 * w = e · scale, m = max w, level = round(w · (16383 / m)), as words or in halves; scale = m / 16383.
 */
export function weigh(m: ModuleWriter, { attention }: ProductForms) {
  return m.function(undefined, ['i32', 'i32', 'i32', 'i32', 'i32'], f => {
    const [e, scales, tiles, out, scaleAt] = f.parameters
    const w = f.locals('v128', 4)
    const most = f.locals('v128', 4)
    const factor = f.local('v128')
    const bias = f.local('v128', f32x4.const(roundingBias))
    const low7 = f.local('v128', i32x4.const(127))
    const largest = f.local('f32')
    const [from, by, left] = f.locals('i32', 3) as [I, I, I]
    const each16 = (use: () => void): void => {
      f.set(from, e)
      f.set(by, scales)
      f.set(left, i32.divU(tiles, i32.const(byteTile / keyTile)))
      f.countdown(left, () => {
        for (const [i, each] of w.entries()) f.set(each, f32x4.mul(v128.load(from, 16 * i), v128.load(by, 16 * i)))
        use()
        f.set(from, plus(from, 4 * byteTile))
        f.set(by, plus(by, 4 * byteTile))
      })
    }
    each16(() => {
      for (const [i, each] of w.entries()) f.set(most[i]!, f32x4.pmax(most[i]!, each))
    })
    const both = [0, 1].map(i => f32x4.pmax(most[i]!, most[i + 2]!))
    f.set(most[0]!, f32x4.pmax(both[0]!, both[1]!))
    f.set(largest, lanesMax(most[0]!))
    f.set(factor, factorOf(largest, weightMax))
    f.do(f32.store(scaleAt, 0, f32.div(largest, f32.const(weightMax))))
    each16(() => {
      for (const each of w) f.set(each, i32x4.sub(f32x4.add(f32x4.mul(each, factor), bias), bias))
      if (attention === 'words') {
        for (const i of [0, 1]) f.do(v128.store(out, 16 * i, i16x8.narrowI32x4S(w[2 * i]!, w[2 * i + 1]!)))
        f.set(out, plus(out, 2 * byteTile))
      } else {
        f.do(v128.store(out, 0, narrowed(w.map(each => i32x4.shrU(each, 7)))))
        f.do(v128.store(out, valueBlock, narrowed(w.map(each => v128.and(each, low7)))))
        f.set(out, plus(out, byteTile))
      }
    })
  })
}
