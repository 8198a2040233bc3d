/**
 * Weights into blocks of 32 and out of the 16-bit formats that checkpoints use. The blocks are those of
 * `layout.ts`: rows of blocks along the input dimension, one float32 scale per block, no zero points.
 *
 * Loops work on flat typed arrays and allocate nothing, so that a whole model passes at memory speed.
 */
import { assert } from '../base/assert.ts'
import { blockSize } from './layout.ts'

/** Largest magnitude of an 8-bit level: 1 to 255 around the zero at 128, so that the range is symmetric. */
const levelMax8 = 127
/** The 4-bit level that the block's largest weight takes: 0 to 15 around the zero at 8 reach down to -8. */
const levelMin4 = -8

/** Blocks in a row of `inputs` weights; the last one may be short and is padded with zero weights. */
export function blocksPerRow(inputs: number): number {
  return Math.ceil(inputs / blockSize)
}

/**
 * Quantises rows to 8 bits: a weight becomes q with (q - 128)·s nearest to it, where s maps the block's
 * largest magnitude to 127. The error of a weight is at most s / 2.
 *
 * @param rows [count, inputs] float32, finite
 * @param q [count, blocks, 32] levels, written
 * @param s [count, blocks] scales, written; 0 for a block of zeros
 */
export function quantise8(rows: Float32Array, inputs: number, q: Uint8Array, s: Float32Array): void {
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
      const scale = Math.fround(largest / levelMax8)
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
 * @param rows [count, inputs] float32, finite
 * @param q [count, blocks, 16] pairs of levels, low nibble first, written
 * @param s [count, blocks] scales, written; 0 for a block of zeros
 */
export function quantise4(rows: Float32Array, inputs: number, q: Uint8Array, s: Float32Array): void {
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
      const scale = Math.fround(largest / levelMin4)
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

/**
 * Turns rows [count, inputs] into columns: `to[i·count + r] = rows[r·inputs + i]`. Goes by tiles, so that
 * neither side strides through memory a cache line per element.
 */
export function transpose(rows: Float32Array, inputs: number, to: Float32Array): void {
  const count = rows.length / inputs
  assert(Number.isInteger(count) && to.length === rows.length, 'a transposed matrix has as many elements')
  const tile = 32
  for (let r0 = 0; r0 < count; r0 += tile) {
    const r1 = Math.min(count, r0 + tile)
    for (let i0 = 0; i0 < inputs; i0 += tile) {
      const i1 = Math.min(inputs, i0 + tile)
      for (let i = i0; i < i1; i++) {
        for (let r = r0; r < r1; r++) to[i * count + r] = rows[r * inputs + i]!
      }
    }
  }
}

/** Index of the first NaN or infinity, or -1. */
export function firstNonFinite(values: Float32Array): number {
  // A finite number times 0 is 0; anything else is NaN and stays NaN in the sum.
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i]! * 0
  return sum === 0 ? -1 : values.findIndex(value => !Number.isFinite(value))
}

let halfTable: Float32Array | undefined

/** All 65,536 float16 values as float32, which holds each of them exactly (IEEE 754 binary16). */
function halves(): Float32Array {
  if (halfTable !== undefined) return halfTable
  const table = new Float32Array(65536)
  for (let bits = 0; bits < 65536; bits++) {
    const exponent = (bits >> 10) & 31
    const fraction = bits & 1023
    const magnitude =
      exponent === 31
        ? fraction === 0
          ? Number.POSITIVE_INFINITY
          : Number.NaN
        : exponent === 0
          ? fraction * 2 ** -24
          : (1024 + fraction) * 2 ** (exponent - 25)
    table[bits] = bits >= 32768 ? -magnitude : magnitude
  }
  halfTable = table
  return table
}

/** Decodes float16 bit patterns; `to` has as many elements. */
export function decodeF16(bits: Uint16Array, to: Float32Array): void {
  const table = halves()
  for (let i = 0; i < bits.length; i++) to[i] = table[bits[i]!]!
}

/** Decodes bfloat16 bit patterns, the upper halves of float32 ones; `to` has as many elements. */
export function decodeBF16(bits: Uint16Array, to: Float32Array): void {
  const words = new Uint32Array(to.buffer, to.byteOffset, to.length)
  for (let i = 0; i < bits.length; i++) words[i] = bits[i]! << 16
}
