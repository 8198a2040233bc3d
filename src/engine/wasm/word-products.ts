/**
 * Products of several rows with weights in signed bytes, which are widened to words once for all rows that pass by: after that
 * a sum of four products takes four instructions, where one of bytes takes five on x64 without AVX-VNNI and a sixth for the sign.
 */
import type { ModuleWriter } from './emit.ts'
import { i16x8, i32, i32x4, plus, v128 } from './ops.ts'
import { recordBytes } from '../../model/tiles.ts'
import type { QuantisedType } from '../../model/weight-types.ts'
import { activationBytes, scaleAt } from './activations.ts'
import { addBlock, groupsOf, type TileCallee, vectors } from './products.ts'
import { ScaleReader } from './scales.ts'

/**
 * `(w, blocks, activations as words, bytes from row to row, out, bytes from row to row)`: one tile with `rows` rows. A word of
 * the levels holds two neighbouring columns of a row: the even ones are multiplied first, then the odd ones.
 */
export function wordTileOf(m: ModuleWriter, type: QuantisedType, rows: number): TileCallee {
  return m.function(undefined, ['i32', 'i32', 'i32', 'i32', 'i32', 'i32'], f => {
    const [w, blocks, activations, activationStride, out, outStride] = f.parameters
    const scales = new ScaleReader(f, type, 1)
    const a = f.spaced(activations, activationStride, rows)
    const dots = a.map(() => f.locals('v128', vectors))
    const sums = a.map(() => f.locals('v128', vectors))
    const [even, odd] = [f.locals('v128', vectors), f.locals('v128', vectors)]
    const value = f.local('v128')
    const group = (g: number): void => {
      for (let v = 0; v < vectors; v++) f.set(odd[v]!, v128.load(w, 16 * (g * vectors + v)))
      for (let v = 0; v < vectors; v++) f.set(even[v]!, i16x8.shrS(i16x8.shl(odd[v]!, 8), 8))
      for (let v = 0; v < vectors; v++) f.set(odd[v]!, i16x8.shrS(odd[v]!, 8))
      for (const [t, each] of a.entries()) {
        for (const [half, words] of [even, odd].entries()) {
          f.set(value, v128.load32Splat(each, 8 * g + 4 * half))
          for (const [v, dot] of dots[t]!.entries()) f.set(dot, i32x4.add(i32x4.dotI16x8S(words[v]!, value), dot))
        }
      }
    }
    const record = (): void => {
      for (const dot of dots.flat()) f.set(dot, v128.zero())
      for (const g of groupsOf(type, 0)) group(g)
      for (let v = 0; v < vectors; v++) f.set(even[v]!, scales.scale(0, w, v, 0))
      for (const [t, each] of a.entries()) {
        f.set(value, v128.load32Splat(each, scaleAt('sized', 'compact')))
        for (let v = 0; v < vectors; v++) addBlock(f, sums[t]![v]!, dots[t]![v]!, even[v]!, value)
      }
      f.set(w, plus(w, recordBytes(type)))
      for (const each of a) f.set(each, plus(each, activationBytes.sized.compact))
    }
    for (const sum of sums.flat()) f.set(sum, v128.zero())
    scales.records(blocks, [w], record)
    for (const [t, row] of sums.entries()) {
      for (const [v, sum] of row.entries()) f.do(v128.store(out, 16 * v, sum))
      if (t + 1 < rows) f.set(out, i32.add(out, outStride))
    }
  })
}
