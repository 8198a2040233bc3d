/**
 * Kernels that multiply: rows of activations with a matrix in tiles. What they compute is in
 * `protocols/arithmetic.md`; every form of them gives the same bits.
 */
import type { Callee, FunctionWriter, Local, ModuleWriter, Value } from './emit.ts'
import { f32, f32x4, i16x8, i32, i32x4, i8x16, plus, v128 } from './ops.ts'
import { levelBytes, recordBytes, tileRows } from '../../model/tiles.ts'
import { halfUnit, quantisedTypes } from '../../model/weight-types.ts'
import type { PlainType } from '../../model/pack.ts'
import type { ComputedType } from '../computable.ts'

/**
 * How sums of four products of bytes are computed, all with the same result: by the one instruction of relaxed SIMD for
 * it, by that for sums of two (faster on x64 without AVX-VNNI, where the other takes five instructions), or by those that
 * all machines have.
 */
export type DotForm = 'relaxed' | 'relaxed-pairs' | 'plain'

export interface ProductForms {
  readonly dot: DotForm
  /** Row ranges that a lone token's product reads at once: one stream alone leaves memory waiting. */
  readonly streams: number
}

type V = Local<'v128'>
type I = Local<'i32'>

/**
 * Bytes of one block of 32 quantised activations. Spread, for a lone token: each 4 of them (and their masks) fill a vector.
 *
 *   q8 spread   8 × ([|a|] × 4, [mask] × 4), scale × 4, start × 4      q4 spread   8 × [a] × 4, scale × 4, start × 4
 *   q8 compact  |a| [32], mask [32], scale, start                       q4 compact  a [32], scale, start
 */
export const activationBytes = {
  q8: { spread: 288, compact: 72 },
  q4: { spread: 160, compact: 40 }
} as const

/** Which of {@link activationBytes} a product with such weights takes. */
export function activationsOf(type: PlainType): 'q8' | 'q4' {
  return quantisedTypes[type].bits === 8 ? 'q8' : 'q4'
}

const vectors = tileRows / 4
/** Quantised activations are at most that, so that their sizes fit the 7 bits of the relaxed product. */
const activationMax = 127
/** 1.5 · 2²³: added to a float of at most 2²², it leaves its nearest integer in the lowest bits, ties to even. */
export const roundingBias = 12_582_912
/** Blocks whose largest value is no larger are zeros: 127 divided by less could overflow. */
const smallestMax = 2 ** -100

/** Adds four products of bytes to each lane of `sum`. `a` has bytes in 0 to 127 in each or is signed where `b` has. */
function addDot(
  f: FunctionWriter,
  dot: DotForm,
  signedBytes: Value<'v128'>,
  smallBytes: Value<'v128'>,
  sum: V,
  spare: readonly V[]
): void {
  if (dot === 'relaxed') {
    f.set(sum, i32x4.relaxedDotI8x16I7x16AddS(signedBytes, smallBytes, sum))
    return
  }
  if (dot === 'relaxed-pairs') {
    f.set(sum, i32x4.add(i32x4.extaddPairwiseI16x8S(i16x8.relaxedDotI8x16I7x16S(signedBytes, smallBytes)), sum))
    return
  }
  const [a, b, low, high] = spare as [V, V, V, V]
  f.set(a, signedBytes)
  f.set(b, smallBytes)
  f.set(low, i32x4.dotI16x8S(i16x8.extendLowI8x16S(a), i16x8.extendLowI8x16S(b)))
  f.set(high, i32x4.dotI16x8S(i16x8.extendHighI8x16S(a), i16x8.extendHighI8x16S(b)))
  const even = [0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27]
  const pairs = i32x4.add(
    i8x16.shuffle(low, high, even),
    i8x16.shuffle(
      low,
      high,
      even.map(lane => lane + 4)
    )
  )
  f.set(sum, i32x4.add(pairs, sum))
}

/**
 * Reads the scales of a record, four rows at a time. Those of 16 bits become float32 by their bits: the sign stays at the
 * top, exponent and fraction move to where float32 has them, and a product with a power of two sets the exponent right.
 */
class ScaleReader {
  readonly #type: PlainType
  readonly #mask: V | undefined
  readonly #factor: V | undefined

  constructor(f: FunctionWriter, type: PlainType) {
    this.#type = type
    if (quantisedTypes[type].scale === 'f32') return
    // A number in the place of an instruction would be put together anew at each turn.
    this.#mask = f.local('v128', i32x4.const(0x8fffffff))
    this.#factor = f.local('v128', f32x4.const(halfUnit * 2 ** (127 - 15)))
  }

  /** Rows 4v to 4v + 3 of the tile whose record begins at an address. */
  load(record: I, v: number): Value<'v128'> {
    const at = levelBytes(this.#type)
    if (this.#mask === undefined || this.#factor === undefined) return v128.load(record, at + 16 * v)
    const bits = i32x4.shl(v128.load16x4S(record, at + 8 * v), 23 - 10)
    return f32x4.mul(v128.and(bits, this.#mask), this.#factor)
  }
}

/** Adds a block to the float sums: sum + float(dot) · (weight scale · activation scale). */
function addBlock(f: FunctionWriter, sum: V, dot: V, weightScale: Value<'v128'>, activationScale: V): void {
  f.set(sum, f32x4.add(f32x4.mul(f32x4.convertI32x4S(dot), f32x4.mul(weightScale, activationScale)), sum))
}

/**
 * `(x, blocks, out)`: quantises a row of float32 activations. Per block of 32: m = max |x|, scale = m / 127,
 * a = round(x · (127 / m)), ties to even. Where 8-bit weights follow, their product is that of w XOR mask with |a|, since
 * -w = ~w + 1: mask is all ones where a < 0, and the sum starts at the sum of |a| over those. With 4-bit weights, which are
 * stored as w + 8, it starts at -8 · sum of a.
 */
export function quantiser(m: ModuleWriter, name: string, bits: 'q8' | 'q4', form: 'spread' | 'compact') {
  return m.function(name, ['i32', 'i32', 'i32'], f => {
    const [x, blocks, out] = f.parameters
    const y = f.locals('v128', 8)
    const h = f.locals('v128', 4)
    const q = f.locals('v128', 2)
    const mask = f.locals('v128', 2)
    const [most, bias, factor, ones] = f.locals('v128', 4) as [V, V, V, V]
    const largest = f.local('f32')
    const start = f.local('i32')
    f.set(bias, f32x4.const(roundingBias))
    f.set(ones, i32x4.const(0x00010001))
    const lanesSum = (sum: V): Value<'i32'> =>
      [1, 2, 3].reduce<Value<'i32'>>(
        (all, lane) => i32.add(all, i32x4.extractLane(sum, lane)),
        i32x4.extractLane(sum, 0)
      )
    f.countdown(blocks, () => {
      f.set(most, v128.zero())
      for (const [i, yi] of y.entries()) {
        f.set(yi, v128.load(x, 16 * i))
        f.set(most, f32x4.pmax(most, f32x4.abs(yi)))
      }
      f.set(largest, f32x4.extractLane(most, 0))
      for (const lane of [1, 2, 3]) f.set(largest, f32.max(largest, f32x4.extractLane(most, lane)))
      const inverse = f32.div(f32.const(activationMax), largest)
      f.set(factor, f32x4.splat(f32.select(inverse, f32.const(0), f32.gt(largest, f32.const(smallestMax)))))
      // The bits of two floats of the same exponent differ by their integers' difference.
      for (const yi of y) f.set(yi, i32x4.sub(f32x4.add(f32x4.mul(yi, factor), bias), bias))
      for (const [i, hi] of h.entries()) f.set(hi, i16x8.narrowI32x4S(y[2 * i]!, y[2 * i + 1]!))
      for (const [i, qi] of q.entries()) f.set(qi, i8x16.narrowI16x8S(h[2 * i]!, h[2 * i + 1]!))
      if (bits === 'q8') {
        for (const [i, qi] of q.entries()) {
          f.set(mask[i]!, i8x16.shrS(qi, 7))
          f.set(qi, i8x16.abs(qi))
        }
        const negative = q.map((qi, i) => i16x8.extaddPairwiseI8x16U(v128.and(qi, mask[i]!)))
        f.set(most, i32x4.dotI16x8S(i16x8.add(negative[0]!, negative[1]!), ones))
        f.set(start, lanesSum(most))
      } else {
        f.set(most, v128.zero())
        for (const hi of h) f.set(most, i32x4.add(i32x4.dotI16x8S(hi, ones), most))
        f.set(start, i32.mul(lanesSum(most), i32.const(-8)))
      }
      const scale = f32.div(largest, f32.const(activationMax))
      const bytes = activationBytes[bits][form]
      if (form === 'compact') {
        for (const [i, qi] of q.entries()) f.do(v128.store(out, 16 * i, qi))
        if (bits === 'q8') for (const [i, each] of mask.entries()) f.do(v128.store(out, 32 + 16 * i, each))
        f.do(f32.store(out, bytes - 8, scale))
        f.do(i32.store(out, bytes - 4, start))
      } else {
        f.do(v128.store(out, bytes - 32, f32x4.splat(scale)))
        f.do(v128.store(out, bytes - 16, i32x4.splat(start)))
        for (let g = 0; g < 8; g++) {
          const stride = bits === 'q8' ? 32 : 16
          f.do(v128.store(out, stride * g, i32x4.spread(q[g >> 2]!, g & 3)))
          if (bits === 'q8') f.do(v128.store(out, stride * g + 16, i32x4.spread(mask[g >> 2]!, g & 3)))
        }
      }
      f.set(x, plus(x, 128))
      f.set(out, plus(out, bytes))
    })
  })
}

/** Writes a tile's sums to each output, and moves it on to the next tile. */
function storeTiles(f: FunctionWriter, to: readonly I[], sums: readonly (readonly V[])[]): void {
  for (const [s, stream] of to.entries()) {
    for (const [v, sum] of sums[s]!.entries()) f.do(v128.store(stream, 16 * v, sum))
    f.set(stream, plus(stream, 4 * tileRows))
  }
}

type ProductCallee = Callee<readonly ['i32', 'i32', 'i32', 'i32', 'i32']>

/** `(w, blocks, tiles, spread activations, out)`: one row of activations with `tiles · streams` tiles. */
function oneRow(m: ModuleWriter, type: PlainType, dot: DotForm, streams: number): ProductCallee {
  const bits = activationsOf(type)
  return m.function(undefined, ['i32', 'i32', 'i32', 'i32', 'i32'], f => {
    const [w, blocks, tiles, activations, out] = f.parameters
    const weightBytes = recordBytes(type)
    const valueBytes = activationBytes[bits].spread
    const scales = new ScaleReader(f, type)
    const tileStride = f.local('i32', i32.mul(i32.mul(tiles, blocks), i32.const(weightBytes)))
    const outStride = f.local('i32', i32.mul(tiles, i32.const(4 * tileRows)))
    const from = f.spaced(w, tileStride, streams)
    const to = f.spaced(out, outStride, streams)
    const a = f.local('i32')
    const left = f.local('i32')
    const dots = from.map(() => f.locals('v128', vectors))
    const sums = from.map(() => f.locals('v128', vectors))
    const [first, second, low4] = f.locals('v128', 3) as [V, V, V]
    const weight = f.local('v128')
    const spare = dot === 'plain' ? f.locals('v128', 4) : []
    const each = (visit: (stream: I, v: number, dot: V, sum: V) => void): void => {
      for (const [s, stream] of from.entries()) {
        for (let v = 0; v < vectors; v++) visit(stream, v, dots[s]![v]!, sums[s]![v]!)
      }
    }
    if (bits === 'q4') f.set(low4, i32x4.const(0x0f0f0f0f))
    f.countdown(tiles, () => {
      each((_, __, ___, sum) => f.set(sum, v128.zero()))
      f.set(a, activations)
      f.set(left, blocks)
      f.countdown(left, () => {
        f.set(dots[0]![0]!, v128.load(a, valueBytes - 16))
        each((_, __, each) => {
          if (each !== dots[0]![0]) f.set(each, dots[0]![0]!)
        })
        for (let g = 0; g < (bits === 'q8' ? 8 : 4); g++) {
          f.set(first, v128.load(a, bits === 'q8' ? 32 * g : 16 * g))
          f.set(second, v128.load(a, bits === 'q8' ? 32 * g + 16 : 64 + 16 * g))
          each((stream, v, sum) => {
            const loaded = v128.load(stream, 16 * (g * vectors + v))
            if (bits === 'q8') addDot(f, dot, v128.xor(loaded, second), first, sum, spare)
            else {
              f.set(weight, loaded)
              addDot(f, dot, first, v128.and(weight, low4), sum, spare)
              addDot(f, dot, second, v128.and(i16x8.shrU(weight, 4), low4), sum, spare)
            }
          })
        }
        f.set(first, v128.load(a, valueBytes - 32))
        each((stream, v, dot, sum) => addBlock(f, sum, dot, scales.load(stream, v), first))
        for (const stream of from) f.set(stream, plus(stream, weightBytes))
        f.set(a, plus(a, valueBytes))
      })
      storeTiles(f, to, sums)
    })
  })
}

/** `(w, blocks, tiles, x, out)`: one row of float32 activations with `tiles · streams` float32 tiles. */
function oneFloatRow(m: ModuleWriter, streams: number): ProductCallee {
  return m.function(undefined, ['i32', 'i32', 'i32', 'i32', 'i32'], f => {
    const [w, blocks, tiles, x, out] = f.parameters
    const weightBytes = recordBytes('f32')
    const tileStride = f.local('i32', i32.mul(i32.mul(tiles, blocks), i32.const(weightBytes)))
    const outStride = f.local('i32', i32.mul(tiles, i32.const(4 * tileRows)))
    const from = f.spaced(w, tileStride, streams)
    const to = f.spaced(out, outStride, streams)
    const a = f.local('i32')
    const left = f.local('i32')
    const value = f.local('v128')
    const sums = from.map(() => f.locals('v128', vectors))
    f.countdown(tiles, () => {
      for (const sum of sums.flat()) f.set(sum, v128.zero())
      f.set(a, x)
      f.set(left, i32.mul(blocks, i32.const(4)))
      f.countdown(left, () => {
        for (let k = 0; k < 8; k++) {
          f.set(value, v128.load32Splat(a, 4 * k))
          for (const [s, stream] of from.entries()) {
            for (const [v, sum] of sums[s]!.entries()) {
              f.set(sum, f32x4.add(f32x4.mul(v128.load(stream, 16 * (k * vectors + v)), value), sum))
            }
          }
        }
        for (const stream of from) f.set(stream, plus(stream, weightBytes / 4))
        f.set(a, plus(a, 32))
      })
      storeTiles(f, to, sums)
    })
  })
}

/** `(w, blocks, tiles, activations, out)`: a lone row with a whole matrix, several ranges of it at once. */
export function productOfOne(m: ModuleWriter, name: string, type: ComputedType, forms: ProductForms) {
  const make = (streams: number): ProductCallee =>
    type === 'f32' ? oneFloatRow(m, streams) : oneRow(m, type, forms.dot, streams)
  const several = make(forms.streams)
  const one = make(1)
  return m.function(name, ['i32', 'i32', 'i32', 'i32', 'i32'], f => {
    const [w, blocks, tiles, activations, out] = f.parameters
    const each = f.local('i32', i32.divU(tiles, i32.const(forms.streams)))
    const done = f.local('i32', i32.mul(each, i32.const(forms.streams)))
    f.when(each, () => f.call(several, w, blocks, each, activations, out))
    f.set(tiles, i32.sub(tiles, done))
    f.when(tiles, () => {
      const at = i32.add(w, i32.mul(i32.mul(done, blocks), i32.const(recordBytes(type))))
      f.call(one, at, blocks, tiles, activations, i32.add(out, i32.mul(done, i32.const(4 * tileRows))))
    })
  })
}

type TileCallee = Callee<readonly ['i32', 'i32', 'i32', 'i32', 'i32', 'i32']>

/** `(w, blocks, compact activations, bytes from row to row, out, bytes from row to row)`: one tile with `rows` rows. */
function tileOf(m: ModuleWriter, type: PlainType, dot: DotForm, rows: number): TileCallee {
  const bits = activationsOf(type)
  return m.function(undefined, ['i32', 'i32', 'i32', 'i32', 'i32', 'i32'], f => {
    const [w, blocks, activations, activationStride, out, outStride] = f.parameters
    const valueBytes = activationBytes[bits].compact
    const scales = new ScaleReader(f, type)
    const a = f.spaced(activations, activationStride, rows)
    const dots = a.map(() => f.locals('v128', vectors))
    const sums = a.map(() => f.locals('v128', vectors))
    const low = f.locals('v128', vectors)
    const high = f.locals('v128', vectors)
    const [value, mask, low4] = f.locals('v128', 3) as [V, V, V]
    const spare = dot === 'plain' ? f.locals('v128', 4) : []
    for (const sum of sums.flat()) f.set(sum, v128.zero())
    if (bits === 'q4') f.set(low4, i32x4.const(0x0f0f0f0f))
    f.countdown(blocks, () => {
      for (const [t, each] of a.entries()) {
        f.set(dots[t]![0]!, v128.load32Splat(each, valueBytes - 4))
        for (let v = 1; v < vectors; v++) f.set(dots[t]![v]!, dots[t]![0]!)
      }
      for (let g = 0; g < (bits === 'q8' ? 8 : 4); g++) {
        for (let v = 0; v < vectors; v++) {
          f.set(low[v]!, v128.load(w, 16 * (g * vectors + v)))
          if (bits === 'q8') continue
          f.set(high[v]!, v128.and(i16x8.shrU(low[v]!, 4), low4))
          f.set(low[v]!, v128.and(low[v]!, low4))
        }
        for (const [t, each] of a.entries()) {
          f.set(value, v128.load32Splat(each, 4 * g))
          f.set(mask, v128.load32Splat(each, bits === 'q8' ? 32 + 4 * g : 16 + 4 * g))
          for (let v = 0; v < vectors; v++) {
            if (bits === 'q8') addDot(f, dot, v128.xor(low[v]!, mask), value, dots[t]![v]!, spare)
            else addDot(f, dot, value, low[v]!, dots[t]![v]!, spare)
          }
          if (bits === 'q4') {
            for (let v = 0; v < vectors; v++) addDot(f, dot, mask, high[v]!, dots[t]![v]!, spare)
          }
        }
      }
      for (let v = 0; v < vectors; v++) f.set(low[v]!, scales.load(w, v))
      for (const [t, each] of a.entries()) {
        f.set(value, v128.load32Splat(each, valueBytes - 8))
        for (let v = 0; v < vectors; v++) addBlock(f, sums[t]![v]!, dots[t]![v]!, low[v]!, value)
      }
      f.set(w, plus(w, recordBytes(type)))
      for (const each of a) f.set(each, plus(each, valueBytes))
    })
    for (const [t, row] of sums.entries()) {
      for (const [v, sum] of row.entries()) f.do(v128.store(out, 16 * v, sum))
      if (t + 1 < rows) f.set(out, i32.add(out, outStride))
    }
  })
}

/** {@link tileOf} for float32 weights and activations. */
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
export function productOfMany(m: ModuleWriter, name: string, type: ComputedType, { dot }: ProductForms) {
  const sizes = [4, 2, 1].map(rows => ({
    rows,
    tile: type === 'f32' ? floatTileOf(m, rows) : tileOf(m, type, dot, rows)
  }))
  return m.function(name, ['i32', 'i32', 'i32', 'i32', 'i32', 'i32', 'i32', 'i32'], f => {
    const [w, blocks, tiles, activations, activationStride, out, outStride, rows] = f.parameters
    const [a, to, left] = f.locals('i32', 3) as [I, I, I]
    const tileStride = f.local('i32', i32.mul(blocks, i32.const(recordBytes(type))))
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
