/**
 * Rows of weights into tiles (`tiles.ts`), and out of them. Quantised rows come as blocks along the input dimension: levels
 * u8, at 8 bits with 128 added, at 4 two in a byte, the first in the low half; and a float32 scale for each block, which
 * the type must hold exactly.
 */
import { assert } from '../base/assert.ts'
import { halfBits, halfValue } from './half.ts'
import { levelBytes, recordBytes, type TileShape, tileColumns, tileRows, tileStride } from './tiles.ts'
import { halfUnit, type QuantisedType, quantisedTypes, type StoredAs } from './weight-types.ts'

/** Quantised rows. */
export interface Blocks {
  /** u8 [rows, blocks, 32 at 8 bits, 16 at 4]. */
  readonly q: Uint8Array
  /** f32 [rows, blocks]. */
  readonly s: Float32Array
}

/** Rows [from, from + count) of what is packed. */
export interface RowRange {
  readonly from: number
  readonly count: number
}

/** Types that are packed here: blocks of 32, without minima. */
export type PlainType = { [T in QuantisedType]: (typeof quantisedTypes)[T] extends Plain ? T : never }[QuantisedType]
interface Plain {
  readonly block: 32
  readonly scale: 'f32' | 'f16'
  readonly hasMinimum: false
}

export function isPlain(type: string): type is PlainType {
  const stored: StoredAs | undefined = (quantisedTypes as Record<string, StoredAs>)[type]
  return stored !== undefined && stored.block === 32 && stored.scale !== 'f16i8' && !stored.hasMinimum
}

/**
 * Writes quantised rows.
 *
 * @param blocks of a row
 * @param tiles the matrix, zeros where nothing is written, at a multiple of 4 of its buffer
 * @param at the row of the tiles that the first one becomes
 */
export function packBlocks(
  type: PlainType,
  { q, s }: Blocks,
  { from, count }: RowRange,
  blocks: number,
  tiles: Uint8Array,
  at: number
): void {
  const { bits } = quantisedTypes[type]
  const width = bits
  const words = wordsOf(q)
  const out = wordsOf(tiles)
  const scales = scalesOf(type, tiles)
  const stride = tileStride({ type, blocks }) / 4
  const recordWords = recordBytes(type) / 4
  for (let n = 0; n < count; n++) {
    const row = at + n
    const lane = row % tileRows
    let to = Math.floor(row / tileRows) * stride
    let source = (from + n) * blocks * width
    for (let b = 0; b < blocks; b++, to += recordWords, source += width) {
      if (bits === 8) for (let g = 0; g < 8; g++) out[to + g * tileRows + lane] = words[source + g]! ^ 0x80808080
      else {
        for (let g = 0; g < 4; g++) {
          const low = nibbles(words[source + (g >> 1)]! >>> (16 * (g & 1)))
          const high = nibbles(words[source + 2 + (g >> 1)]! >>> (16 * (g & 1)))
          out[to + g * tileRows + lane] = low | (high << 4)
        }
      }
      scales.set(4 * to, lane, s[(from + n) * blocks + b]!)
    }
  }
}

/** Reads one quantised row: the reverse of {@link packBlocks}. @param to row of `out` */
export function unpackBlocks(
  shape: TileShape & { readonly type: PlainType },
  tiles: Uint8Array,
  row: number,
  out: Blocks,
  to: number
): void {
  const { type, blocks } = shape
  const { bits } = quantisedTypes[type]
  const lane = row % tileRows
  const words = wordsOf(tiles)
  const target = wordsOf(out.q)
  const scales = scalesOf(type, tiles)
  const recordWords = recordBytes(type) / 4
  let from = (Math.floor(row / tileRows) * tileStride(shape)) / 4
  let at = to * blocks * bits
  for (let b = 0; b < blocks; b++, from += recordWords, at += bits) {
    if (bits === 8) for (let g = 0; g < 8; g++) target[at + g] = words[from + g * tileRows + lane]! ^ 0x80808080
    else {
      for (let g = 0; g < 4; g += 2) {
        const [first, second] = [words[from + g * tileRows + lane]!, words[from + (g + 1) * tileRows + lane]!]
        target[at + (g >> 1)] = pairs(first) | (pairs(second) << 16)
        target[at + 2 + (g >> 1)] = pairs(first >>> 4) | (pairs(second >>> 4) << 16)
      }
    }
    out.s[to * blocks + b] = scales.get(4 * from, lane)
  }
}

/** Writes float32 rows [from, from + count) of `values` [rows, columns]. `tiles` and `at` as with {@link packBlocks}. */
export function packFloats(
  values: Float32Array,
  columns: number,
  { from, count }: RowRange,
  blocks: number,
  tiles: Uint8Array,
  at: number
): void {
  const out = floatsOf(tiles)
  const tile = blocks * tileColumns * tileRows
  for (let n = 0; n < count; n++) {
    const row = at + n
    const to = Math.floor(row / tileRows) * tile + (row % tileRows)
    const source = (from + n) * columns
    for (let k = 0; k < columns; k++) out[to + k * tileRows] = values[source + k]!
  }
}

/** One row as float32, each weight rounded once: what an embedding looks up. */
export function unpackRow(shape: TileShape, tiles: Uint8Array, row: number, out: Float32Array): void {
  const { type } = shape
  const lane = row % tileRows
  const start = Math.floor(row / tileRows) * tileStride(shape)
  if (type === 'f32') {
    const values = floatsOf(tiles)
    for (let k = 0; k < out.length; k++) out[k] = values[start / 4 + k * tileRows + lane]!
    return
  }
  assert(isPlain(type), `${type} rows cannot be unpacked`)
  const { bits } = quantisedTypes[type]
  const scales = scalesOf(type, tiles)
  const record = recordBytes(type)
  for (let k = 0; k < out.length; k++) {
    const from = start + (k >> 5) * record
    const column = k & 31
    let level: number
    if (bits === 8) {
      const byte = tiles[from + (column >> 2) * 4 * tileRows + 4 * lane + (column & 3)]!
      level = byte < 128 ? byte : byte - 256
    } else {
      const byte = tiles[from + ((column & 15) >> 2) * 4 * tileRows + 4 * lane + (column & 3)]!
      level = (column < 16 ? byte & 15 : byte >> 4) - 8
    }
    // Exact in float64, so that this is rounded once, to float32.
    out[k] = level * scales.get(from, lane)
  }
}

/** Scales of a matrix: of the record that begins at a byte, in the lane of a row. */
function scalesOf(type: PlainType, tiles: Uint8Array) {
  const after = levelBytes(type)
  if (quantisedTypes[type].scale === 'f32') {
    const floats = floatsOf(tiles)
    return {
      get: (record: number, lane: number): number => floats[(record + after) / 4 + lane]!,
      set: (record: number, lane: number, scale: number): void => {
        floats[(record + after) / 4 + lane] = scale
      }
    }
  }
  const halves = new Uint16Array(tiles.buffer, tiles.byteOffset, tiles.length / 2)
  return {
    get: (record: number, lane: number): number => halfValue(halves[(record + after) / 2 + lane]!) * halfUnit,
    set: (record: number, lane: number, scale: number): void => {
      halves[(record + after) / 2 + lane] = halfOf(scale / halfUnit)
    }
  }
}

const float = new Float32Array(1)
const floatBits = new Uint32Array(float.buffer)

/** The float16 nearest to a number that float32 holds exactly. */
export function halfOf(value: number): number {
  float[0] = value
  return halfBits(floatBits[0]!)
}

/** Four nibbles, the lowest first, as four bytes. */
function nibbles(word: number): number {
  return (word & 0xf) | ((word & 0xf0) << 4) | ((word & 0xf00) << 8) | ((word & 0xf000) << 12)
}

/** The low halves of four bytes as two bytes: the reverse of {@link nibbles}. */
function pairs(word: number): number {
  return (word & 0xf) | ((word >>> 4) & 0xf0) | ((word >>> 8) & 0xf00) | ((word >>> 12) & 0xf000)
}

/** The same bytes as elements of 4 bytes; they begin at a multiple of 4 of their buffer. */
function wordsOf({ buffer, byteOffset, length }: Uint8Array): Uint32Array {
  return new Uint32Array(buffer, byteOffset, length >> 2)
}

function floatsOf({ buffer, byteOffset, length }: Uint8Array): Float32Array {
  return new Float32Array(buffer, byteOffset, length >> 2)
}
