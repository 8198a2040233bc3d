/** Kernels of attention over pages of int8 (`byte-page.ts`). */
import { attentionRows, keyTile } from './attention.ts'
import { weigh } from './byte-levels.ts'
import { byteSlice, byteTile, pairBytes, queryScales, rowBytes, valueBlock } from './byte-page.ts'
import type { Callee, FunctionWriter, Local, ModuleWriter, Value } from './emit.ts'
import { f32x4, i32, i32x4, i8x16, plus, v128 } from './ops.ts'
import { addDot, type ProductForms } from './products.ts'

type V = Local<'v128'>
type I = Local<'i32'>

/** Sums of products that are words apart: those of lanes 2i and 2i + 1 of both vectors, four in all. */
function pairSums(a: V, b: V): Value<'v128'> {
  const even = [0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27]
  const odd = even.map(lane => lane + 4)
  return i32x4.add(i8x16.shuffle(a, b, even), i8x16.shuffle(a, b, odd))
}

/** `(queries, keys, tiles of 8 positions, out, bytes from row to row)`: scores of `rows` rows. */
export function byteScores(m: ModuleWriter, name: string, width: number, rows: number, forms: ProductForms) {
  return m.function(name, ['i32', 'i32', 'i32', 'i32', 'i32'], f => {
    const [queries, keys, tiles, out, stride] = f.parameters
    const to = f.spaced(out, stride, rows)
    const dots = to.map(() => f.locals('v128', 2))
    const key = f.locals('v128', 2)
    const query = f.local('v128')
    const [q, k, left] = f.locals('i32', 3) as [I, I, I]
    const groups = width / 4
    const unrolled = groups % 16 === 0 ? 16 : 4
    const products = dotter(f, forms)
    const queryBytes = products.isWide ? 8 : 4
    /** Adds the products of all dimensions, of 8 positions with one half of the queries or of 4 with all of them. */
    const pass = (from: number): void => {
      f.set(k, plus(keys, from))
      f.set(left, i32.const(groups / unrolled))
      f.countdown(left, () => {
        for (let g = 0; g < unrolled; g++) {
          for (const [v, each] of key.entries()) f.set(each, products.load(k, 4 * keyTile * g, v))
          for (const [t, row] of dots.entries()) {
            f.set(query, products.splat(q, queryBytes * (g * rows + t)))
            for (const [v, each] of row.entries()) products.add(key[v]!, query, each)
          }
        }
        f.set(k, plus(k, 4 * keyTile * unrolled))
        f.set(q, plus(q, queryBytes * rows * unrolled))
      })
    }
    const scale = (dot: Value<'v128'>, v: number): Value<'v128'> =>
      f32x4.mul(f32x4.convertI32x4S(dot), f32x4.mul(v128.load(keys, keyTile * width + 16 * v), query))
    const scaleAt = (t: number): void => f.set(query, v128.load32Splat(queries, queryScales(width, rows) + 4 * t))
    f.countdown(tiles, () => {
      f.set(q, queries)
      if (products.isWide) {
        const sumsAt = queryScales(width, rows) + 4 * attentionRows
        for (const v of [0, 1]) {
          f.set(q, queries)
          for (const each of dots.flat()) f.set(each, v128.zero())
          pass(16 * v)
          for (const [t, row] of dots.entries()) {
            for (const [i, each] of row.entries())
              f.do(v128.store(queries, sumsAt + pairBytes * t + 32 * v + 16 * i, each))
          }
        }
        const [a, b] = dots[0] as [V, V]
        for (const t of to.keys()) {
          scaleAt(t)
          for (const [v, each] of key.entries()) {
            f.set(a, v128.load(queries, sumsAt + pairBytes * t + 32 * v))
            f.set(b, v128.load(queries, sumsAt + pairBytes * t + 32 * v + 16))
            f.set(each, scale(pairSums(a, b), v))
          }
          for (const [v, each] of key.entries()) f.do(v128.store(to[t]!, 16 * v, each))
        }
      } else {
        for (const row of dots) {
          for (const [v, each] of row.entries()) f.set(each, v128.load(keys, keyTile * (width + 4) + 16 * v))
        }
        pass(0)
        for (const each of dots.flat()) f.set(each, i32x4.shl(each, 7))
        pass(0)
        for (const [t, row] of dots.entries()) {
          scaleAt(t)
          for (const [v, each] of row.entries()) f.set(each, scale(each, v))
        }
        for (const [t, each] of to.entries()) {
          for (const [v, score] of dots[t]!.entries()) f.do(v128.store(each, 16 * v, score))
        }
      }
      for (const each of to) f.set(each, plus(each, 4 * keyTile))
      f.set(keys, plus(keys, keyTile * (width + 8)))
    })
  })
}

/** How levels are multiplied: bytes with halves of 7 bits, or, widened to words, with words. */
function dotter(f: FunctionWriter, { dot, attention }: ProductForms) {
  const isWide = attention === 'words'
  const spare = !isWide && dot === 'plain' ? f.locals('v128', 4) : []
  return {
    isWide,
    /** The `v`-th of two neighbouring vectors: of 16 bytes each, or of 8. */
    load: (at: I, offset: number, v: number): Value<'v128'> =>
      isWide ? v128.load8x8S(at, offset + 8 * v) : v128.load(at, offset + 16 * v),
    splat: (at: I, offset: number): Value<'v128'> =>
      isWide ? v128.load64Splat(at, offset) : v128.load32Splat(at, offset),
    add: (levels: V, others: V, sum: V): void => {
      if (isWide) f.set(sum, i32x4.add(i32x4.dotI16x8S(levels, others), sum))
      else addDot(f, dot, levels, others, sum, spare)
    }
  }
}

/** `(weights of rows, slice of values, tiles of 8 positions, sums, bytes from row to row)`: adds what one block gives. */
function mixSlice(
  m: ModuleWriter,
  rows: number,
  forms: ProductForms
): Callee<readonly ['i32', 'i32', 'i32', 'i32', 'i32']> {
  return m.function(undefined, ['i32', 'i32', 'i32', 'i32', 'i32'], f => {
    const [weights, values, tiles, sumsAt, sumStride] = f.parameters
    const to = f.spaced(sumsAt, sumStride, rows)
    const dots = to.map(() => f.locals('v128', byteSlice / 4))
    const value = f.locals('v128', byteSlice / 4)
    const weight = f.local('v128')
    const [w, v, left] = f.locals('i32', 3) as [I, I, I]
    const unrolled = byteTile / 4
    const products = dotter(f, forms)
    const weightBytes = products.isWide ? 8 : 4
    /** Adds the products of all positions, of 8 dimensions with one half of the weights or of 4 with all of them. */
    const pass = (weightsFrom: number, valuesFrom: number): void => {
      f.set(w, plus(weights, weightsFrom))
      f.set(v, plus(values, valuesFrom))
      f.set(left, i32.divU(tiles, i32.const(byteTile / keyTile)))
      f.countdown(left, () => {
        for (let g = 0; g < unrolled; g++) {
          for (const [i, each] of value.entries()) f.set(each, products.load(v, 4 * byteSlice * g, i))
          for (const [t, row] of dots.entries()) {
            f.set(weight, products.splat(w, rowBytes * t + weightBytes * g))
            for (const [i, each] of row.entries()) products.add(value[i]!, weight, each)
          }
        }
        f.set(w, plus(w, weightBytes * unrolled))
        f.set(v, plus(v, 4 * byteSlice * unrolled))
      })
    }
    const add = (dot: Value<'v128'>, t: number, i: number): Value<'v128'> =>
      f32x4.add(f32x4.mul(f32x4.convertI32x4S(dot), weight), v128.load(to[t]!, 16 * i))
    const scaleOf = (t: number): void => f.set(weight, v128.load32Splat(weights, attentionRows * rowBytes + 4 * t))
    if (products.isWide) {
      const pairsAt = attentionRows * (rowBytes + 4)
      for (const i of [0, 1]) {
        if (i > 0) for (const each of dots.flat()) f.set(each, v128.zero())
        pass(0, 16 * i)
        for (const [t, row] of dots.entries()) {
          for (const [j, each] of row.entries())
            f.do(v128.store(weights, pairsAt + pairBytes * t + 32 * i + 16 * j, each))
        }
      }
      const [a, b] = dots[0] as [V, V]
      for (const t of to.keys()) {
        scaleOf(t)
        for (const [i, each] of value.entries()) {
          f.set(a, v128.load(weights, pairsAt + pairBytes * t + 32 * i))
          f.set(b, v128.load(weights, pairsAt + pairBytes * t + 32 * i + 16))
          f.set(each, add(pairSums(a, b), t, i))
        }
        for (const [i, each] of value.entries()) f.do(v128.store(to[t]!, 16 * i, each))
      }
      return
    }
    pass(0, 0)
    for (const each of dots.flat()) f.set(each, i32x4.shl(each, 7))
    pass(valueBlock, 0)
    for (const [t, row] of dots.entries()) {
      scaleOf(t)
      for (const [i, each] of row.entries()) f.set(each, add(each, t, i))
    }
    for (const [t, row] of dots.entries()) {
      for (const [i, each] of row.entries()) f.do(v128.store(to[t]!, 16 * i, each))
    }
  })
}

/**
 * `(exponentials, bytes from row to row, values, tiles of 8 positions, sums, bytes from row to row, scratch)`: adds weight ·
 * value of one page to the sums [rows][width], block by block. An even number of tiles; the scratch has
 * `weightScratchBytes`.
 */
export function byteMix(m: ModuleWriter, name: string, width: number, rows: number, forms: ProductForms) {
  const weights = weigh(m, forms)
  const slices = mixSlice(m, rows, forms)
  return m.function(name, ['i32', 'i32', 'i32', 'i32', 'i32', 'i32', 'i32'], f => {
    const [exponentials, stride, values, tiles, sums, sumStride, scratch] = f.parameters
    const [e, at, to, left, here] = f.locals('i32', 5) as [I, I, I, I, I]
    const blockTiles = valueBlock / keyTile
    const block = (): void => {
      f.set(here, i32.select(tiles, i32.const(blockTiles), i32.gtU(i32.const(blockTiles), tiles)))
      f.set(e, exponentials)
      for (let t = 0; t < rows; t++) {
        const scales = plus(values, valueBlock * width)
        const scaleAt = plus(scratch, attentionRows * rowBytes + 4 * t)
        f.call(weights, e, scales, here, plus(scratch, rowBytes * t), scaleAt)
        if (t + 1 < rows) f.set(e, i32.add(e, stride))
      }
      f.set(at, values)
      f.set(to, sums)
      f.set(left, i32.const(width / byteSlice))
      f.countdown(left, () => {
        f.call(slices, scratch, at, here, to, sumStride)
        f.set(at, plus(at, valueBlock * byteSlice))
        f.set(to, plus(to, 4 * byteSlice))
      })
      f.set(exponentials, plus(exponentials, 4 * valueBlock))
      f.set(values, plus(values, valueBlock * (width + 4)))
      f.set(tiles, i32.sub(tiles, here))
    }
    f.while(() => tiles, block)
  })
}
