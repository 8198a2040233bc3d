/**
 * Kernels of attention over a paged cache. A page holds {@link pagePositions} positions of one layer, by kv head: keys in
 * tiles of 8 positions, [headDim][8], whose lanes are positions; then values in slices of 16 dimensions, [positions][16].
 * `width` is headDim filled up to a multiple of 16 with zeros. Whatever rows share a pass, each one's sums run over
 * dimensions and over positions in order.
 */
import type { Callee, Local, ModuleWriter, Value } from './emit.ts'
import { Exponential } from './exponential.ts'
import { f32, f32x4, i32, plus, v128 } from './ops.ts'

type V = Local<'v128'>
type I = Local<'i32'>

/** Positions of a page: long enough for a run in memory that costs nothing (`bench/results`), short enough to waste little. */
export const pagePositions = 128
/** Positions whose keys lie side by side. */
export const keyTile = 8
/** Dimensions of a slice of values. */
export const valueSlice = 16
/** Rows that share what is read of keys and values, at most. */
export const attentionRows = 4

/** Bytes of the keys, or the values, of one kv head in one page. */
export function pageHalfBytes(width: number): number {
  return 4 * pagePositions * width
}

/** `(key, value, keys at, values at)`: writes one kv head of one position into a page. `at`: for that position. */
export function storeKeyValue(m: ModuleWriter, name: string, headDim: number, width: number) {
  return m.function(name, ['i32', 'i32', 'i32', 'i32'], f => {
    const [key, value, keysAt, valuesAt] = f.parameters
    for (let d = 0; d < headDim; d++) {
      f.do(f32.store(keysAt, 4 * keyTile * d, f32.load(key, 4 * d)))
    }
    for (let slice = 0; slice < width / valueSlice; slice++) {
      for (let i = 0; i < valueSlice; i++) {
        const d = slice * valueSlice + i
        if (d < headDim) f.do(f32.store(valuesAt, 4 * (slice * valueSlice * pagePositions + i), f32.load(value, 4 * d)))
      }
    }
  })
}

/** `(query row ×rows, out)`: queries · factor, by dimension: [width][rows]. The factor is headDim^-½. */
export function spreadQueries(
  m: ModuleWriter,
  name: string,
  headDim: number,
  width: number,
  factor: number,
  rows: number
) {
  const parameters = Array.from({ length: rows + 1 }, () => 'i32' as const)
  return m.function(name, parameters, f => {
    const queries = f.parameters.slice(0, rows) as I[]
    const out = f.parameters[rows] as I
    const scale = f.local('f32', f32.const(factor))
    const left = f.local('i32', i32.const(headDim))
    f.countdown(left, () => {
      for (const [t, query] of queries.entries()) {
        f.do(f32.store(out, 4 * t, f32.mul(f32.load(query), scale)))
        f.set(query, plus(query, 4))
      }
      f.set(out, plus(out, 4 * rows))
    })
    for (let i = 0; i < rows * (width - headDim); i++) f.do(f32.store(out, 4 * i, f32.const(0)))
  })
}

/** `(queries, keys, key tiles, out, bytes from row to row)`: scores of `rows` rows with so many tiles of 8 positions. */
export function scores(m: ModuleWriter, name: string, width: number, rows: number) {
  return m.function(name, ['i32', 'i32', 'i32', 'i32', 'i32'], f => {
    const [queries, keys, tiles, out, stride] = f.parameters
    const to = f.spaced(out, stride, rows)
    const sums = to.map(() => f.locals('v128', 2))
    const key = f.locals('v128', 2)
    const query = f.local('v128')
    const q = f.local('i32')
    const left = f.local('i32')
    const unrolled = 16
    f.countdown(tiles, () => {
      for (const sum of sums.flat()) f.set(sum, v128.zero())
      f.set(q, queries)
      f.set(left, i32.const(width / unrolled))
      f.countdown(left, () => {
        for (let d = 0; d < unrolled; d++) {
          for (const [v, each] of key.entries()) f.set(each, v128.load(keys, 4 * keyTile * d + 16 * v))
          for (const [t, row] of sums.entries()) {
            f.set(query, v128.load32Splat(q, 4 * (d * rows + t)))
            for (const [v, sum] of row.entries()) f.set(sum, f32x4.add(f32x4.mul(key[v]!, query), sum))
          }
        }
        f.set(keys, plus(keys, 4 * keyTile * unrolled))
        f.set(q, plus(q, 4 * rows * unrolled))
      })
      for (const [t, each] of to.entries()) {
        for (const [v, sum] of sums[t]!.entries()) f.do(v128.store(each, 16 * v, sum))
        f.set(each, plus(each, 4 * keyTile))
      }
    })
  })
}

/** exp of less than that is 0. */
const expLeast = -80

/**
 * `(row, tiles of 8)` → f32: the largest value m, then row = exp(row - m), 0 where that is below {@link expLeast}; gives
 * 1 / sum, where the sum is of 8 lanes in order, p mod 8, then ((0+4)+(2+6)) + ((1+5)+(3+7)).
 */
export function softmax(m: ModuleWriter, name: string) {
  return m.function(name, ['i32', 'i32'], f => {
    const [row, tiles] = f.parameters
    const exponential = new Exponential(f)
    const least = f.local('v128', f32x4.const(expLeast))
    const [x, p, sums] = [f.locals('v128', 2), f.locals('v128', 2), f.locals('v128', 2)]
    const spare = x.map(() => f.locals('v128', 2) as [V, V])
    const at = f.local('i32', row)
    const left = f.local('i32', tiles)
    const most = f.local('v128', f32x4.const(Number.NEGATIVE_INFINITY))
    f.countdown(left, () => {
      for (const v of [0, 1]) f.set(most, f32x4.pmax(most, v128.load(at, 16 * v)))
      f.set(at, plus(at, 32))
    })
    const largest = f.local('f32', f32x4.extractLane(most, 0))
    for (const lane of [1, 2, 3]) f.set(largest, f32.max(largest, f32x4.extractLane(most, lane)))
    f.set(most, f32x4.splat(largest))
    f.countdown(tiles, () => {
      for (const [v, each] of x.entries()) f.set(each, f32x4.sub(v128.load(row, 16 * v), most))
      exponential.of(x, p, spare)
      for (const [v, each] of p.entries()) {
        f.set(each, v128.and(each, f32x4.ge(x[v]!, least)))
        f.set(sums[v]!, f32x4.add(each, sums[v]!))
      }
      for (const [v, each] of p.entries()) f.do(v128.store(row, 16 * v, each))
      f.set(row, plus(row, 32))
    })
    f.set(most, f32x4.add(sums[0]!, sums[1]!))
    const lane = (i: number): Value<'f32'> => f32x4.extractLane(most, i)
    return f32.div(f32.const(1), f32.add(f32.add(lane(0), lane(2)), f32.add(lane(1), lane(3))))
  })
}

/** `(weights, bytes from row to row, slice of values, tiles of 8 positions, sums, bytes from row to row)`: adds to the sums. */
function mixSlice(m: ModuleWriter, rows: number): Callee<readonly ['i32', 'i32', 'i32', 'i32', 'i32', 'i32']> {
  return m.function(undefined, ['i32', 'i32', 'i32', 'i32', 'i32', 'i32'], f => {
    const [weights, weightStride, values, tiles, sumsAt, sumStride] = f.parameters
    const from = f.spaced(weights, weightStride, rows)
    const to = f.spaced(sumsAt, sumStride, rows)
    const sums = from.map(() => f.locals('v128', valueSlice / 4))
    const value = f.locals('v128', valueSlice / 4)
    const weight = f.local('v128')
    for (const [t, row] of sums.entries()) for (const [v, sum] of row.entries()) f.set(sum, v128.load(to[t]!, 16 * v))
    const unrolled = 4
    f.set(tiles, i32.mul(tiles, i32.const(keyTile / unrolled)))
    f.countdown(tiles, () => {
      for (let p = 0; p < unrolled; p++) {
        for (const [v, each] of value.entries()) f.set(each, v128.load(values, 4 * valueSlice * p + 16 * v))
        for (const [t, row] of sums.entries()) {
          f.set(weight, v128.load32Splat(from[t]!, 4 * p))
          for (const [v, sum] of row.entries()) f.set(sum, f32x4.add(f32x4.mul(value[v]!, weight), sum))
        }
      }
      for (const each of from) f.set(each, plus(each, 4 * unrolled))
      f.set(values, plus(values, 4 * valueSlice * unrolled))
    })
    for (const [t, row] of sums.entries()) for (const [v, sum] of row.entries()) f.do(v128.store(to[t]!, 16 * v, sum))
  })
}

/**
 * `(weights, bytes from row to row, values, tiles of 8 positions, sums, bytes from row to row)`: adds weight · value of
 * one page to the sums [rows][width].
 */
export function mix(m: ModuleWriter, name: string, width: number, rows: number) {
  const slice = mixSlice(m, rows)
  return m.function(name, ['i32', 'i32', 'i32', 'i32', 'i32', 'i32'], f => {
    const [weights, weightStride, values, tiles, sums, sumStride] = f.parameters
    const left = f.local('i32', i32.const(width / valueSlice))
    f.countdown(left, () => {
      f.call(slice, weights, weightStride, values, tiles, sums, sumStride)
      f.set(values, plus(values, 4 * valueSlice * pagePositions))
      f.set(sums, plus(sums, 4 * valueSlice))
    })
  })
}

/** `(sums, factor, out)`: out = sums · factor, headDim values. */
export function scaled(m: ModuleWriter, name: string, headDim: number) {
  return m.function(name, ['i32', 'f32', 'i32'], f => {
    const [sums, factor, out] = f.parameters
    const all = f.local('v128', f32x4.splat(factor))
    let d = 0
    for (; d + 4 <= headDim; d += 4) f.do(v128.store(out, 4 * d, f32x4.mul(v128.load(sums, 4 * d), all)))
    for (; d < headDim; d++) f.do(f32.store(out, 4 * d, f32.mul(f32.load(sums, 4 * d), factor)))
  })
}

/** `(out, vectors, value)`: fills with one float32. */
export function filled(m: ModuleWriter, name: string) {
  return m.function(name, ['i32', 'i32', 'f32'], f => {
    const [out, left, value] = f.parameters
    const all = f.local('v128', f32x4.splat(value))
    f.countdown(left, () => {
      f.do(v128.store(out, 0, all))
      f.set(out, plus(out, 16))
    })
  })
}
