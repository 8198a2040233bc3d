/**
 * Weights into blocks of 32 along the input dimension, with one scale each, and a minimum where their type has one: what `pack.ts` puts
 * into tiles.
 *
 * Loops work on flat typed arrays and allocate nothing, so that a whole model passes at memory speed.
 */
import { assert } from '../base/assert.ts'
import { type Blocks, halfMax, heldMinimum, heldNumber, isPlain, minimumMax, type PlainType } from './pack.ts'
import { tileColumns as blockSize } from './tiles.ts'
import { quantisedTypes } from './weight-types.ts'

/** Largest magnitude of an 8-bit level: 1 to 255 around the zero at 128, so that the range is symmetric. */
const levelMax8 = 127
/** The 4-bit level that the block's largest weight takes: 0 to 15 around the zero at 8 reach down to -8. */
const levelMin4 = -8
/** Levels of 4 bits where the least of them is the block's minimum. */
const levelMax4 = 15

/** What weights are converted to. */
export type ConvertedType = PlainType | 'q4-f16-min'

export function isConverted(type: string): type is ConvertedType {
  return type === 'q4-f16-min' || isPlain(type)
}

/** The largest weight that a type holds. */
export function weightMax(type: ConvertedType): number {
  const { bits, scale } = quantisedTypes[type]
  // All weights of a block may be so large, of either sign.
  if (type === 'q4-f16-min') return Math.min(minimumMax, (halfMax * levelMax4) / 2)
  if (scale === 'f32') return Number.MAX_VALUE
  return halfMax * (bits === 8 ? levelMax8 : -levelMin4)
}

/**
 * Quantises rows.
 *
 * @param rows [count, inputs] float32, finite and at most {@link weightMax}
 * @param blocks levels and scales, and minima where the type has them, written
 */
export function quantise(type: ConvertedType, rows: Float32Array, inputs: number, { q, s, m }: Blocks): void {
  const { bits, scale } = quantisedTypes[type]
  if (type === 'q4-f16-min') quantiseFromMinimum(rows, inputs, q, s, m!)
  else if (bits === 8) quantise8(scale, rows, inputs, q, s)
  else quantise4(scale, rows, inputs, q, s)
}

/** Blocks in a row of `inputs` weights; the last one may be short and is padded with zero weights. */
function blocksPerRow(inputs: number): number {
  return Math.ceil(inputs / blockSize)
}

/**
 * Quantises rows to 8 bits: a weight becomes q with (q - 128)·s nearest to it, where s maps the block's
 * largest magnitude to 127. The error of a weight is at most s / 2.
 *
 * @param q [count, blocks, 32] levels, written
 * @param s [count, blocks] scales, written; 0 for a block of zeros
 */
function quantise8(kind: 'f32' | 'f16', rows: Float32Array, inputs: number, q: Uint8Array, s: Float32Array): void {
  const blocks = blocksPerRow(inputs)
  const count = checkShape(rows, inputs, q, s, blockSize)
  for (let row = 0; row < count; row++) {
    for (let block = 0; block < blocks; block++) {
      const from = row * inputs + block * blockSize
      const length = Math.min(blockSize, inputs - block * blockSize)
      const to = (row * blocks + block) * blockSize
      let largest = 0
      for (let i = from; i < from + length; i++) {
        const magnitude = Math.abs(rows[i]!)
        if (magnitude > largest) largest = magnitude
      }
      const scale = heldNumber(kind, largest / levelMax8)
      // The scale of magnitudes below about 1e-43 is zero in float32: such a block is a block of zeros.
      const inverse = scale === 0 ? 0 : 1 / scale
      s[row * blocks + block] = scale
      for (let i = 0; i < length; i++) {
        // Truncation after adding 128.5 rounds to nearest. A subnormal scale may be rounded down far enough
        // for its block's largest weight to pass 255.
        const level = (rows[from + i]! * inverse + 128.5) | 0
        q[to + i] = level > 255 ? 255 : level < 0 ? 0 : level
      }
      for (let i = length; i < blockSize; i++) q[to + i] = 128
    }
  }
}

/**
 * Quantises rows to 4 bits: a weight becomes q with (q - 8)·s nearest to it, where s maps the weight of
 * largest magnitude, with its sign, to -8 (llama.cpp's Q4_0). So s may be negative. The error of a weight is
 * at most |s| / 2, but |s| for one as large as the block's largest and of the other sign, which is cut at +7.
 *
 * @param q [count, blocks, 16] pairs of levels, low nibble first, written
 * @param s [count, blocks] scales, written; 0 for a block of zeros
 */
function quantise4(kind: 'f32' | 'f16', rows: Float32Array, inputs: number, q: Uint8Array, s: Float32Array): void {
  const blocks = blocksPerRow(inputs)
  const width = blockSize / 2
  const count = checkShape(rows, inputs, q, s, width)
  for (let row = 0; row < count; row++) {
    for (let block = 0; block < blocks; block++) {
      const from = row * inputs + block * blockSize
      const length = Math.min(blockSize, inputs - block * blockSize)
      const to = (row * blocks + block) * width
      let magnitude = 0
      let largest = 0
      for (let i = from; i < from + length; i++) {
        const value = rows[i]!
        if (Math.abs(value) > magnitude) {
          magnitude = Math.abs(value)
          largest = value
        }
      }
      const scale = heldNumber(kind, largest / levelMin4)
      const inverse = scale === 0 ? 0 : 1 / scale
      s[row * blocks + block] = scale
      for (let i = 0; i < width; i++) {
        const even = 2 * i < length ? level4(rows[from + 2 * i]! * inverse) : 8
        const odd = 2 * i + 1 < length ? level4(rows[from + 2 * i + 1]! * inverse) : 8
        q[to + i] = even | (odd << 4)
      }
    }
  }
}

/**
 * Quantises rows to 4 bits from a minimum on: a weight becomes q with q·s + m nearest to it, where s maps the block's largest weight to
 * 15, and m is its smallest (llama.cpp's Q4_1). The error of a weight is at most s / 2, and what rounding s and m to 16 bits adds.
 *
 * @param q [count, blocks, 16] pairs of levels, low nibble first, written
 * @param s [count, blocks] scales, written; 0 for a block of equal weights
 * @param m [count, blocks] minima, written
 */
function quantiseFromMinimum(
  rows: Float32Array,
  inputs: number,
  q: Uint8Array,
  s: Float32Array,
  m: Float32Array
): void {
  const blocks = blocksPerRow(inputs)
  const width = blockSize / 2
  const count = checkShape(rows, inputs, q, s, width)
  for (let row = 0; row < count; row++) {
    for (let block = 0; block < blocks; block++) {
      const from = row * inputs + block * blockSize
      const length = Math.min(blockSize, inputs - block * blockSize)
      const to = (row * blocks + block) * width
      let [least, most] = [rows[from]!, rows[from]!]
      for (let i = from; i < from + length; i++) {
        const value = rows[i]!
        if (value < least) least = value
        if (value > most) most = value
      }
      const minimum = heldMinimum(least)
      const scale = heldNumber('f16', (most - least) / levelMax4)
      const inverse = scale === 0 ? 0 : 1 / scale
      s[row * blocks + block] = scale
      m[row * blocks + block] = minimum
      for (let i = 0; i < width; i++) {
        const even = 2 * i < length ? levelAbove((rows[from + 2 * i]! - minimum) * inverse) : 0
        const odd = 2 * i + 1 < length ? levelAbove((rows[from + 2 * i + 1]! - minimum) * inverse) : 0
        q[to + i] = even | (odd << 4)
      }
    }
  }
}

function levelAbove(scaled: number): number {
  const level = (scaled + 0.5) | 0
  return level > levelMax4 ? levelMax4 : level < 0 ? 0 : level
}

function level4(scaled: number): number {
  const level = (scaled + 8.5) | 0
  return level > 15 ? 15 : level < 0 ? 0 : level
}

function checkShape(rows: Float32Array, inputs: number, q: Uint8Array, s: Float32Array, width: number): number {
  const count = rows.length / inputs
  const blocks = blocksPerRow(inputs)
  assert(
    Number.isInteger(count) && q.length === count * blocks * width && s.length === count * blocks,
    `${rows.length} weights in rows of ${inputs} do not fill ${q.length} level bytes and ${s.length} scales`
  )
  return count
}

/** Index of the first NaN or infinity, or -1. */
export function firstNonFinite(values: Float32Array): number {
  // A finite number times 0 is 0; anything else is NaN and stays NaN in the sum.
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i]! * 0
  return sum === 0 ? -1 : values.findIndex(value => !Number.isFinite(value))
}
