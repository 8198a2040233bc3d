/**
 * Kernels that multiply several rows of activations with a matrix in tiles: each tile stays near while rows pass by. What they
 * compute is in `protocols/arithmetic.md`; every form of them gives the same bits.
 */
import type { Local, ModuleWriter, Value } from './emit.ts'
import { f32x4, i16x8, i32, i32x4, plus, v128 } from './ops.ts'
import { recordBytes, tileRows } from '../../model/tiles.ts'
import { type QuantisedType, quantisedTypes, type StoredAs, type WeightType } from '../../model/weight-types.ts'
import { activationBytes, activationsOf, scaleAt } from './activations.ts'
import {
  addBlock,
  addDot,
  addMinimum,
  addPairs,
  groupsOf,
  levelsOf,
  type ProductForms,
  severalLayout,
  sumOfStart,
  type TileCallee,
  tileBytes,
  vectors
} from './products.ts'
import { blocksOfRecord, ScaleReader } from './scales.ts'
import { wordTileOf } from './word-products.ts'

type V = Local<'v128'>
type I = Local<'i32'>

/** `(w, blocks, compact activations, bytes from row to row, out, bytes from row to row)`: one tile with `rows` rows. */
function byteTileOf(m: ModuleWriter, type: QuantisedType, { dot, nibbles }: ProductForms, rows: number): TileCallee {
  const form = activationsOf(type)
  const levels = levelsOf(type)
  const { hasMinimum }: StoredAs = quantisedTypes[type]
  return m.function(undefined, ['i32', 'i32', 'i32', 'i32', 'i32', 'i32'], f => {
    const [w, blocks, activations, activationStride, out, outStride] = f.parameters
    const valueBytes = activationBytes[form].compact
    const scale = scaleAt(form, 'compact')
    const scales = new ScaleReader(f, type, 1)
    const a = f.spaced(activations, activationStride, rows)
    const dots = a.map(() => f.locals('v128', vectors))
    const sums = a.map(() => f.locals('v128', vectors))
    const low = f.locals('v128', vectors)
    const high = f.locals('v128', vectors)
    const [value, mask, low4] = f.locals('v128', 3) as [V, V, V]
    const eighth = f.local('v128')
    const ones = f.local('v128')
    const spare = dot === 'plain' ? f.locals('v128', 4) : []
    const inWords = levels === 'u4' && nibbles === 'i16'
    const group = (g: number): void => {
      for (let v = 0; v < vectors; v++) {
        f.set(low[v]!, v128.load(w, 16 * (g * vectors + v)))
        if (levels !== 'u4') continue
        f.set(high[v]!, v128.and(i16x8.shrU(low[v]!, 4), low4))
        f.set(low[v]!, v128.and(low[v]!, low4))
      }
      for (const [t, each] of a.entries()) {
        f.set(value, v128.load32Splat(each, 4 * g))
        if (levels !== 'u7') f.set(mask, v128.load32Splat(each, levels === 'i8' ? 32 + 4 * g : 16 + 4 * g))
        for (let v = 0; v < vectors; v++) {
          if (inWords) addPairs(f, value, low[v]!, dots[t]![v]!)
          else if (levels === 'i8') addDot(f, dot, v128.xor(low[v]!, mask), value, dots[t]![v]!, spare)
          else addDot(f, dot, value, low[v]!, dots[t]![v]!, spare)
        }
        if (levels !== 'u4') continue
        for (let v = 0; v < vectors; v++) {
          if (inWords) addPairs(f, mask, high[v]!, dots[t]![v]!)
          else addDot(f, dot, mask, high[v]!, dots[t]![v]!, spare)
        }
      }
    }
    const record = (): void => {
      for (let block = 0; block < blocksOfRecord(type); block++) {
        const start = (row: I): Value<'v128'> =>
          hasMinimum ? v128.zero() : v128.load32Splat(row, scale + 4 * (1 + block))
        for (const [t, each] of a.entries()) {
          f.set(dots[t]![0]!, inWords ? v128.zero() : start(each))
          for (let v = 1; v < vectors; v++) f.set(dots[t]![v]!, dots[t]![0]!)
        }
        for (const g of groupsOf(type, block)) group(g)
        for (const [t, each] of inWords ? a.entries() : []) {
          f.set(value, start(each))
          for (const dot of dots[t]!) f.set(dot, i32x4.add(i32x4.dotI16x8S(dot, ones), value))
        }
        for (let v = 0; v < vectors; v++) f.set(low[v]!, scales.scale(0, w, v, block))
        if (hasMinimum) for (let v = 0; v < vectors; v++) f.set(high[v]!, scales.minimum(0, w, v))
        for (const [t, each] of a.entries()) {
          f.set(value, v128.load32Splat(each, scale))
          for (let v = 0; v < vectors; v++) addBlock(f, sums[t]![v]!, dots[t]![v]!, low[v]!, value)
          if (!hasMinimum) continue
          f.set(mask, f32x4.mul(f32x4.convertI32x4S(v128.load32Splat(each, scale + 4)), eighth))
          for (let v = 0; v < vectors; v++) addMinimum(f, sums[t]![v]!, high[v]!, mask, value)
        }
      }
      f.set(w, plus(w, recordBytes(type)))
      for (const each of a) f.set(each, plus(each, valueBytes))
    }
    for (const sum of sums.flat()) f.set(sum, v128.zero())
    if (levels === 'u4') f.set(low4, i32x4.const(0x0f0f0f0f))
    if (inWords) f.set(ones, i32x4.const(0x00010001))
    if (hasMinimum) f.set(eighth, f32x4.const(sumOfStart))
    scales.records(blocks, [w], record)
    for (const [t, row] of sums.entries()) {
      for (const [v, sum] of row.entries()) f.do(v128.store(out, 16 * v, sum))
      if (t + 1 < rows) f.set(out, i32.add(out, outStride))
    }
  })
}

/** {@link byteTileOf} for float32 weights and activations. */
function floatTileOf(m: ModuleWriter, rows: number): TileCallee {
  return m.function(undefined, ['i32', 'i32', 'i32', 'i32', 'i32', 'i32'], f => {
    const [w, blocks, x, xStride, out, outStride] = f.parameters
    const a = f.spaced(x, xStride, rows)
    const sums = a.map(() => f.locals('v128', vectors))
    const weights = f.locals('v128', vectors)
    const value = f.local('v128')
    for (const sum of sums.flat()) f.set(sum, v128.zero())
    f.set(blocks, i32.mul(blocks, i32.const(4)))
    f.countdown(blocks, () => {
      for (let k = 0; k < 8; k++) {
        for (let v = 0; v < vectors; v++) f.set(weights[v]!, v128.load(w, 16 * (k * vectors + v)))
        for (const [t, each] of a.entries()) {
          f.set(value, v128.load32Splat(each, 4 * k))
          for (let v = 0; v < vectors; v++) {
            f.set(sums[t]![v]!, f32x4.add(f32x4.mul(weights[v]!, value), sums[t]![v]!))
          }
        }
      }
      f.set(w, plus(w, recordBytes('f32') / 4))
      for (const each of a) f.set(each, plus(each, 32))
    })
    for (const [t, row] of sums.entries()) {
      for (const [v, sum] of row.entries()) f.do(v128.store(out, 16 * v, sum))
      if (t + 1 < rows) f.set(out, i32.add(out, outStride))
    }
  })
}

/**
 * `(w, blocks, tiles, activations, bytes from row to row, out, bytes from row to row, rows)`: several rows with a whole
 * matrix: each tile is read once, and stays near while the rows pass by, four, two or one at a time.
 */
export function productOfMany(m: ModuleWriter, name: string, type: WeightType, forms: ProductForms) {
  const tileOf = (rows: number): TileCallee => {
    if (type === 'f32') return floatTileOf(m, rows)
    if (severalLayout(activationsOf(type), forms) === 'words') return wordTileOf(m, type, rows)
    return byteTileOf(m, type, forms, rows)
  }
  const sizes = [4, 2, 1].map(rows => ({ rows, tile: tileOf(rows) }))
  return m.function(name, ['i32', 'i32', 'i32', 'i32', 'i32', 'i32', 'i32', 'i32'], f => {
    const [w, blocks, tiles, activations, activationStride, out, outStride, rows] = f.parameters
    const [a, to, left] = f.locals('i32', 3) as [I, I, I]
    const tileStride = f.local('i32', tileBytes(type, blocks))
    f.countdown(tiles, () => {
      f.set(a, activations)
      f.set(to, out)
      f.set(left, rows)
      for (const size of sizes) {
        const run = (): void => {
          f.call(size.tile, w, blocks, a, activationStride, to, outStride)
          f.set(a, i32.add(a, i32.mul(activationStride, i32.const(size.rows))))
          f.set(to, i32.add(to, i32.mul(outStride, i32.const(size.rows))))
          f.set(left, plus(left, -size.rows))
        }
        f.while(() => i32.gtU(left, i32.const(size.rows - 1)), run)
      }
      f.set(w, i32.add(w, tileStride))
      f.set(out, plus(out, 4 * tileRows))
    })
  })
}
