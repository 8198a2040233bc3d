/**
 * Kernels of attention over keys and values of int8 (`protocols/arithmetic.md`). A page is as large as one of float32 and
 * holds more positions, a whole number of blocks of {@link valueBlock}. By kv head:
 *
 *   keys    tiles of 8 positions: [width / 4][8 positions][4 dims] i8, scales [8] f32, -64 · sums of levels [8] i32
 *   values  blocks of 128 positions: [width / 8][32][8 dims][4 positions] i8, scales [128] f32
 *
 * So lanes are positions where scores are made, and dimensions where values are mixed. Queries and weights have 14 bits:
 * two halves of 7, each of which is an operand of the byte product; their sums are whole numbers and exact.
 */
import { attentionRows, keyTile, pageHalfBytes } from './attention.ts'
import { lanesSum, roundingBias, smallestMax } from './activations.ts'
import type { Callee, FunctionWriter, Local, ModuleWriter, Value } from './emit.ts'
import { f32, f32x4, i16x8, i32, i32x4, i8x16, plus, v128 } from './ops.ts'
import { addDot, type DotForm } from './products.ts'

type V = Local<'v128'>
type I = Local<'i32'>

/** Positions whose weights share a scale. */
export const valueBlock = 128
/** Positions that scores and weights are made for at a time. */
export const byteTile = 16
/** Dimensions of a slice of values. */
const slice = 8
/** The largest level of a key or a value, of a query, and of a weight, which is never below 0. */
const [levelMax, queryMax, weightMax] = [127, 8191, 16_383]
/** What queries have more, so that both halves are 0 to 127: 64 · 128. */
const queryZero = 8192
/** Bytes of a block's weights of one row: the high halves, then the low ones. */
const rowHalves = 2 * valueBlock

/** Bytes of the weights of {@link attentionRows} rows in one block, with their scales behind them. */
export const weightScratchBytes = attentionRows * (rowHalves + 4)

/** Where everything of a page is. */
export interface BytePage {
  readonly positions: number
  /** Of one kv head. */
  readonly headBytes: number
  /** Where a head's values begin. */
  readonly values: number
  readonly keyTileBytes: number
  readonly valueBlockBytes: number
}

/** Pages for heads of a width: as many positions as fit where the keys and values of float32 pages are. */
export function bytePage(width: number): BytePage {
  const keyTileBytes = keyTile * (width + 8)
  const valueBlockBytes = valueBlock * (width + 4)
  const blockBytes = (valueBlock / keyTile) * keyTileBytes + valueBlockBytes
  const blocks = Math.floor((2 * pageHalfBytes(width)) / blockBytes)
  const values = ((blocks * valueBlock) / keyTile) * keyTileBytes
  return { positions: blocks * valueBlock, headBytes: blocks * blockBytes, values, keyTileBytes, valueBlockBytes }
}

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
          f.do(v128.store8Lane(valuesAt, valueBlock * (d - (d % slice)) + 4 * (d % slice), bytes, lane))
        }
      }
    )
    f.do(f32.store(scaleAt, 0, valueScale))
  })
}

/** Where the scales of queries stand, after both halves of them. */
function queryScales(width: number, rows: number): number {
  return 2 * width * rows
}

/**
 * `(query row ×rows, out)`: queries · factor, quantised: the high halves by four dimensions, [width / 4][rows][4], the low
 * ones likewise, then the scales [rows].
 */
export function byteQueries(
  m: ModuleWriter,
  name: string,
  headDim: number,
  width: number,
  factor: number,
  rows: number
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
      f.call(one, f.parameters[t] as I, plus(out, 4 * t), plus(out, queryScales(width, rows) + 4 * t))
    }
  })
}

/** `(queries, keys, tiles of 8 positions, out, bytes from row to row)`: scores of `rows` rows. */
export function byteScores(m: ModuleWriter, name: string, width: number, rows: number, dot: DotForm) {
  return m.function(name, ['i32', 'i32', 'i32', 'i32', 'i32'], f => {
    const [queries, keys, tiles, out, stride] = f.parameters
    const to = f.spaced(out, stride, rows)
    const dots = to.map(() => f.locals('v128', 2))
    const key = f.locals('v128', 2)
    const query = f.local('v128')
    const [q, k, left] = f.locals('i32', 3) as [I, I, I]
    const spare = dot === 'plain' ? f.locals('v128', 4) : []
    const groups = width / 4
    const unrolled = groups % 16 === 0 ? 16 : 4
    /** Adds the products with one half of the queries. */
    const half = (): void => {
      f.set(k, keys)
      f.set(left, i32.const(groups / unrolled))
      f.countdown(left, () => {
        for (let g = 0; g < unrolled; g++) {
          for (const [v, each] of key.entries()) f.set(each, v128.load(k, 4 * keyTile * g + 16 * v))
          for (const [t, row] of dots.entries()) {
            f.set(query, v128.load32Splat(q, 4 * (g * rows + t)))
            for (const [v, each] of row.entries()) addDot(f, dot, key[v]!, query, each, spare)
          }
        }
        f.set(k, plus(k, 4 * keyTile * unrolled))
        f.set(q, plus(q, 4 * rows * unrolled))
      })
    }
    f.countdown(tiles, () => {
      f.set(q, queries)
      for (const row of dots) {
        for (const [v, each] of row.entries()) f.set(each, v128.load(keys, keyTile * (width + 4) + 16 * v))
      }
      half()
      for (const each of dots.flat()) f.set(each, i32x4.shl(each, 7))
      half()
      for (const [v, each] of key.entries()) f.set(each, v128.load(keys, keyTile * width + 16 * v))
      for (const [t, row] of dots.entries()) {
        f.set(query, v128.load32Splat(queries, queryScales(width, rows) + 4 * t))
        for (const [v, each] of row.entries()) {
          f.set(each, f32x4.mul(f32x4.convertI32x4S(each), f32x4.mul(key[v]!, query)))
        }
      }
      for (const [t, each] of to.entries()) {
        for (const [v, score] of dots[t]!.entries()) f.do(v128.store(each, 16 * v, score))
        f.set(each, plus(each, 4 * keyTile))
      }
      f.set(keys, plus(keys, keyTile * (width + 8)))
    })
  })
}

/**
 * `(exponentials, scales of values, tiles of 8 positions, halves, scale at)`: weights of one row in one block:
 * w = e · scale, m = max w, level = round(w · (16383 / m)), in halves; scale = m / 16383.
 */
function weigh(m: ModuleWriter) {
  return m.function(undefined, ['i32', 'i32', 'i32', 'i32', 'i32'], f => {
    const [e, scales, tiles, out, scaleAt] = f.parameters
    const w = f.locals('v128', 4)
    const [most, factor] = f.locals('v128', 2) as [V, V]
    const bias = f.local('v128', f32x4.const(roundingBias))
    const low7 = f.local('v128', i32x4.const(127))
    const largest = f.local('f32')
    const [from, by, left] = f.locals('i32', 3) as [I, I, I]
    const perTile = byteTile / keyTile
    const weights = (): void => {
      for (const [i, each] of w.entries()) f.set(each, f32x4.mul(v128.load(from, 16 * i), v128.load(by, 16 * i)))
    }
    const each16 = (use: () => void): void => {
      f.set(from, e)
      f.set(by, scales)
      f.set(left, i32.divU(tiles, i32.const(perTile)))
      f.countdown(left, () => {
        weights()
        use()
        f.set(from, plus(from, 4 * byteTile))
        f.set(by, plus(by, 4 * byteTile))
      })
    }
    each16(() => {
      for (const each of w) f.set(most, f32x4.max(most, each))
    })
    f.set(largest, lanesMax(most))
    f.set(factor, factorOf(largest, weightMax))
    f.do(f32.store(scaleAt, 0, f32.div(largest, f32.const(weightMax))))
    each16(() => {
      for (const each of w) f.set(each, i32x4.sub(f32x4.add(f32x4.mul(each, factor), bias), bias))
      f.do(v128.store(out, 0, narrowed(w.map(each => i32x4.shrU(each, 7)))))
      f.do(v128.store(out, valueBlock, narrowed(w.map(each => v128.and(each, low7)))))
      f.set(out, plus(out, byteTile))
    })
  })
}

/** `(halves of rows, slice of values, tiles of 8 positions, sums, bytes from row to row)`: adds what one block gives. */
function mixSlice(m: ModuleWriter, rows: number, dot: DotForm): Callee<readonly ['i32', 'i32', 'i32', 'i32', 'i32']> {
  return m.function(undefined, ['i32', 'i32', 'i32', 'i32', 'i32'], f => {
    const [halves, values, tiles, sumsAt, sumStride] = f.parameters
    const to = f.spaced(sumsAt, sumStride, rows)
    const dots = to.map(() => f.locals('v128', slice / 4))
    const value = f.locals('v128', slice / 4)
    const weight = f.local('v128')
    const [w, v, left] = f.locals('i32', 3) as [I, I, I]
    const spare = dot === 'plain' ? f.locals('v128', 4) : []
    const unrolled = byteTile / 4
    const half = (offset: number): void => {
      f.set(w, plus(halves, offset))
      f.set(v, values)
      f.set(left, i32.divU(tiles, i32.const(byteTile / keyTile)))
      f.countdown(left, () => {
        for (let g = 0; g < unrolled; g++) {
          for (const [i, each] of value.entries()) f.set(each, v128.load(v, 4 * slice * g + 16 * i))
          for (const [t, row] of dots.entries()) {
            f.set(weight, v128.load32Splat(w, rowHalves * t + 4 * g))
            for (const [i, each] of row.entries()) addDot(f, dot, value[i]!, weight, each, spare)
          }
        }
        f.set(w, plus(w, 4 * unrolled))
        f.set(v, plus(v, 4 * slice * unrolled))
      })
    }
    half(0)
    for (const each of dots.flat()) f.set(each, i32x4.shl(each, 7))
    half(valueBlock)
    for (const [t, row] of dots.entries()) {
      f.set(weight, v128.load32Splat(halves, attentionRows * rowHalves + 4 * t))
      for (const [i, each] of row.entries()) {
        f.set(each, f32x4.add(f32x4.mul(f32x4.convertI32x4S(each), weight), v128.load(to[t]!, 16 * i)))
      }
    }
    for (const [t, row] of dots.entries()) {
      for (const [i, each] of row.entries()) f.do(v128.store(to[t]!, 16 * i, each))
    }
  })
}

/**
 * `(exponentials, bytes from row to row, values, tiles of 8 positions, sums, bytes from row to row, scratch)`: adds weight ·
 * value of one page to the sums [rows][width], block by block. An even number of tiles; the scratch has
 * {@link weightScratchBytes}.
 */
export function byteMix(m: ModuleWriter, name: string, width: number, rows: number, dot: DotForm) {
  const weights = weigh(m)
  const slices = mixSlice(m, rows, dot)
  return m.function(name, ['i32', 'i32', 'i32', 'i32', 'i32', 'i32', 'i32'], f => {
    const [exponentials, stride, values, tiles, sums, sumStride, scratch] = f.parameters
    const [e, at, to, left, here] = f.locals('i32', 5) as [I, I, I, I, I]
    const blockTiles = valueBlock / keyTile
    const block = (): void => {
      f.set(here, i32.select(tiles, i32.const(blockTiles), i32.gtU(i32.const(blockTiles), tiles)))
      f.set(e, exponentials)
      for (let t = 0; t < rows; t++) {
        const scales = plus(values, valueBlock * width)
        const scaleAt = plus(scratch, attentionRows * rowHalves + 4 * t)
        f.call(weights, e, scales, here, plus(scratch, rowHalves * t), scaleAt)
        if (t + 1 < rows) f.set(e, i32.add(e, stride))
      }
      f.set(at, values)
      f.set(to, sums)
      f.set(left, i32.const(width / slice))
      f.countdown(left, () => {
        f.call(slices, scratch, at, here, to, sumStride)
        f.set(at, plus(at, valueBlock * slice))
        f.set(to, plus(to, 4 * slice))
      })
      f.set(exponentials, plus(exponentials, 4 * valueBlock))
      f.set(values, plus(values, valueBlock * (width + 4)))
      f.set(tiles, i32.sub(tiles, here))
    }
    f.while(() => tiles, block)
  })
}
