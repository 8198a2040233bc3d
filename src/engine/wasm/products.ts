/**
 * Kernels that multiply a lone row of activations with a matrix in tiles, and what all kernels that multiply share. What they compute is in
 * `protocols/arithmetic.md`; every form of them gives the same bits.
 */
import type { Callee, FunctionWriter, Local, ModuleWriter, Value } from './emit.ts'
import { f32x4, i16x8, i32, i32x4, i8x16, plus, v128 } from './ops.ts'
import { groupBytes, groupRecords, recordBytes, tileRows } from '../../model/tiles.ts'
import { type QuantisedType, quantisedTypes, type StoredAs, type WeightType } from '../../model/weight-types.ts'
import { type ActivationForm, activationBytes, activationsOf, scaleAt } from './activations.ts'
import { blocksOfRecord, ScaleReader } from './scales.ts'

/**
 * How sums of four products of bytes are computed, both with the same result: by the one instruction of relaxed SIMD for it, or
 * by those that all machines have.
 */
export type DotForm = 'relaxed' | 'plain'

export interface ProductForms {
  readonly dot: DotForm
  /**
   * Where products of levels of 4 bits are summed within a block: in 16 bits, two instructions of relaxed SIMD do where
   * sums of four take five on x64 without AVX-VNNI. @default i32
   */
  readonly nibbles?: 'i32' | 'i16'
  /** How several rows meet levels that are signed bytes: `words` widens these once for all of them. @default bytes */
  readonly signed?: 'bytes' | 'words'
  /** Row ranges that a lone token's product reads at once: one stream alone leaves memory waiting. */
  readonly streams: number
  /**
   * How caches of int8 are read, with the same result: bytes with halves of 7 bits, or as words. @default halves
   */
  readonly attention?: 'halves' | 'words'
}

/** How activations of several rows lie. */
export function severalLayout(form: ActivationForm, { signed }: ProductForms): 'compact' | 'words' {
  return form === 'sized' && signed === 'words' ? 'words' : 'compact'
}

type V = Local<'v128'>
type I = Local<'i32'>

export const vectors = tileRows / 4

/** How levels become an operand: signed bytes meet masks, those of 4 bits are taken apart, those of 7 are taken as they are. */
type Levels = 'i8' | 'u7' | 'u4'

export function levelsOf(type: QuantisedType): Levels {
  const { bits, zero }: StoredAs = quantisedTypes[type]
  if (bits === 4) return 'u4'
  return zero === 'signed' ? 'i8' : 'u7'
}

/** Groups of four columns whose activations fill a vector each, that stand in the low halves of bytes or in whole ones. */
export function groupsOf(type: QuantisedType, block: number): readonly number[] {
  const all = levelsOf(type) === 'u4' ? 4 : 8
  const each = all / blocksOfRecord(type)
  return Array.from({ length: each }, (_, g) => block * each + g)
}

/** Adds four products of bytes to each lane of `sum`. `a` has bytes in 0 to 127 in each or is signed where `b` has. */
export function addDot(
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
 * Adds two products of signed bytes and levels of 4 bits to each lane of 16 bits, which holds all of a block: two lanes share a
 * row's 32 products, and 16 of at most 127 · 15 are 30,480.
 */
export function addPairs(f: FunctionWriter, signedBytes: Value<'v128'>, levels: Value<'v128'>, sum: V): void {
  f.set(sum, i16x8.add(i16x8.relaxedDotI8x16I7x16S(signedBytes, levels), sum))
}

/** Adds a block to the float sums: sum + float(dot) · (weight scale · activation scale). */
export function addBlock(f: FunctionWriter, sum: V, dot: V, weightScale: Value<'v128'>, activationScale: V): void {
  f.set(sum, f32x4.add(f32x4.mul(f32x4.convertI32x4S(dot), f32x4.mul(weightScale, activationScale)), sum))
}

/** Adds what a block's minimum gives: sum + (sum of activations) · (minimum · activation scale). */
export function addMinimum(
  f: FunctionWriter,
  sum: V,
  minimum: Value<'v128'>,
  activations: V,
  activationScale: V
): void {
  f.set(sum, f32x4.add(f32x4.mul(activations, f32x4.mul(minimum, activationScale)), sum))
}

/** Of a block's start, which is -8 times the sum of its activations. */
export const sumOfStart = -1 / 8

/** Bytes of a tile of so many records. */
export function tileBytes(type: WeightType, blocks: Value<'i32'>): Value<'i32'> {
  const records = i32.mul(blocks, i32.const(recordBytes(type)))
  const before = groupBytes(type)
  if (before === 0) return records
  const groups = i32.divU(i32.add(blocks, i32.const(groupRecords - 1)), i32.const(groupRecords))
  return i32.add(records, i32.mul(groups, i32.const(before)))
}

/** Writes a tile's sums to each output, and moves it on to the next tile. */
function storeTiles(f: FunctionWriter, to: readonly I[], sums: readonly (readonly V[])[]): void {
  for (const [s, stream] of to.entries()) {
    for (const [v, sum] of sums[s]!.entries()) f.do(v128.store(stream, 16 * v, sum))
    f.set(stream, plus(stream, 4 * tileRows))
  }
}

/** What multiplies one tile with several rows. */
export type TileCallee = Callee<readonly ['i32', 'i32', 'i32', 'i32', 'i32', 'i32']>

type ProductCallee = Callee<readonly ['i32', 'i32', 'i32', 'i32', 'i32']>

/** `(w, blocks, tiles, spread activations, out)`: one row of activations with `tiles · streams` tiles. */
function oneRow(m: ModuleWriter, type: QuantisedType, { dot, nibbles }: ProductForms, streams: number): ProductCallee {
  const form = activationsOf(type)
  const levels = levelsOf(type)
  const { hasMinimum }: StoredAs = quantisedTypes[type]
  return m.function(undefined, ['i32', 'i32', 'i32', 'i32', 'i32'], f => {
    const [w, blocks, tiles, activations, out] = f.parameters
    const weightBytes = recordBytes(type)
    const valueBytes = activationBytes[form].spread
    const scale = scaleAt(form, 'spread')
    const scales = new ScaleReader(f, type, streams)
    const tileStride = f.local('i32', i32.mul(tiles, tileBytes(type, blocks)))
    const outStride = f.local('i32', i32.mul(tiles, i32.const(4 * tileRows)))
    const from = f.spaced(w, tileStride, streams)
    const to = f.spaced(out, outStride, streams)
    const a = f.local('i32')
    const left = f.local('i32')
    const dots = from.map(() => f.locals('v128', vectors))
    const sums = from.map(() => f.locals('v128', vectors))
    const [first, second, low4] = f.locals('v128', 3) as [V, V, V]
    const weight = f.local('v128')
    const eighth = f.local('v128')
    const ones = f.local('v128')
    const spare = dot === 'plain' ? f.locals('v128', 4) : []
    const inWords = levels === 'u4' && nibbles === 'i16'
    const each = (visit: (stream: I, v: number, dot: V, sum: V, s: number) => void): void => {
      for (const [s, stream] of from.entries()) {
        for (let v = 0; v < vectors; v++) visit(stream, v, dots[s]![v]!, sums[s]![v]!, s)
      }
    }
    const group = (g: number): void => {
      f.set(first, v128.load(a, levels === 'i8' ? 32 * g : 16 * g))
      if (levels !== 'u7') f.set(second, v128.load(a, levels === 'i8' ? 32 * g + 16 : 64 + 16 * g))
      each((stream, v, sum) => {
        const loaded = v128.load(stream, 16 * (g * vectors + v))
        if (levels === 'i8') addDot(f, dot, v128.xor(loaded, second), first, sum, spare)
        else if (levels === 'u7') addDot(f, dot, first, loaded, sum, spare)
        else {
          f.set(weight, loaded)
          const [low, high] = [v128.and(weight, low4), v128.and(i16x8.shrU(weight, 4), low4)]
          if (inWords) {
            addPairs(f, first, low, sum)
            addPairs(f, second, high, sum)
          } else {
            addDot(f, dot, first, low, sum, spare)
            addDot(f, dot, second, high, sum, spare)
          }
        }
      })
    }
    const record = (): void => {
      for (let block = 0; block < blocksOfRecord(type); block++) {
        const start = hasMinimum ? v128.zero() : v128.load(a, scale + 16 * (1 + block))
        f.set(dots[0]![0]!, inWords ? v128.zero() : start)
        each((_, __, each) => {
          if (each !== dots[0]![0]) f.set(each, dots[0]![0]!)
        })
        for (const g of groupsOf(type, block)) group(g)
        if (inWords) {
          f.set(first, start)
          each((_, __, dot) => f.set(dot, i32x4.add(i32x4.dotI16x8S(dot, ones), first)))
        }
        f.set(first, v128.load(a, scale))
        each((stream, v, dot, sum, s) => addBlock(f, sum, dot, scales.scale(s, stream, v, block), first))
        if (!hasMinimum) continue
        f.set(second, f32x4.mul(f32x4.convertI32x4S(v128.load(a, scale + 16)), eighth))
        each((stream, v, _, sum, s) => addMinimum(f, sum, scales.minimum(s, stream, v), second, first))
      }
      for (const stream of from) f.set(stream, plus(stream, weightBytes))
      f.set(a, plus(a, valueBytes))
    }
    if (levels === 'u4') f.set(low4, i32x4.const(0x0f0f0f0f))
    if (inWords) f.set(ones, i32x4.const(0x00010001))
    if (hasMinimum) f.set(eighth, f32x4.const(sumOfStart))
    f.countdown(tiles, () => {
      each((_, __, ___, sum) => f.set(sum, v128.zero()))
      f.set(a, activations)
      f.set(left, blocks)
      scales.records(left, from, record)
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
export function productOfOne(m: ModuleWriter, name: string, type: WeightType, forms: ProductForms) {
  const make = (streams: number): ProductCallee =>
    type === 'f32' ? oneFloatRow(m, streams) : oneRow(m, type, forms, streams)
  const several = make(forms.streams)
  const one = make(1)
  return m.function(name, ['i32', 'i32', 'i32', 'i32', 'i32'], f => {
    const [w, blocks, tiles, activations, out] = f.parameters
    const each = f.local('i32', i32.divU(tiles, i32.const(forms.streams)))
    const done = f.local('i32', i32.mul(each, i32.const(forms.streams)))
    f.when(each, () => f.call(several, w, blocks, each, activations, out))
    f.set(tiles, i32.sub(tiles, done))
    f.when(tiles, () => {
      const at = i32.add(w, i32.mul(done, tileBytes(type, blocks)))
      f.call(one, at, blocks, tiles, activations, i32.add(out, i32.mul(done, i32.const(4 * tileRows))))
    })
  })
}
