/**
 * How weights lie in the engine's memory. A matrix from K to N features is cut into tiles of 8 rows; a tile is one stream
 * of blocks of 32 columns, so that a product reads memory in order, and its rows are the lanes of two vectors, so that
 * each output is a plain chain of sums over blocks (`protocols/arithmetic.md`).
 *
 *   q8   8 × [8 rows][4 columns] i8, then 8 scales f32: 288 bytes a block
 *   q4   4 × [8 rows][4 columns] u8, column 4g + j in the low half and 16 + 4g + j in the high half, then 8 scales f32:
 *        160 bytes a block
 *   f32  32 × [8 rows] f32: 1,024 bytes a block
 *
 * Rows and columns that fill up a tile or a block are zeros.
 */
import { assert } from '../../base/assert.ts'
import type { WeightType } from '../../model/manifest.ts'

/** Rows of a tile. */
export const tileRows = 8
/** Columns of a block. */
export const tileColumns = 32

/** Bytes of one block of a tile. */
export const tileBlockBytes = { q8: 288, q4: 160, f32: 1024 } as const satisfies Record<WeightType, number>

/** Where a block's scales begin. */
export const tileScales = { q8: 256, q4: 128 } as const

export function roundUp(value: number, to: number): number {
  return Math.ceil(value / to) * to
}

/** A matrix in tiles. */
export interface TileShape {
  readonly type: WeightType
  /** Rows, those that fill up tiles included. */
  readonly rows: number
  /** Blocks of 32 columns. */
  readonly blocks: number
}

export function tileBytes({ type, rows, blocks }: TileShape): number {
  return (rows / tileRows) * blocks * tileBlockBytes[type]
}

/** Rows [from, from + count) of a matrix as they lie in a shard (`model/layout.ts`). */
export interface ShardRows {
  readonly count: number
  /** Row of the shard's matrix that comes first. */
  readonly from: number
}

/**
 * Writes quantised rows into tiles.
 *
 * @param q u8 [N, blocks, 32 at q8, 16 at q4] as in a shard
 * @param s f32 [N, blocks]
 * @param memory takes the tiles at `offset`, a multiple of 4; zeros where nothing is written
 * @param at the row of the tiles that the first one becomes, a multiple of 8
 */
export function packQuantised(
  type: 'q8' | 'q4',
  { q, s }: { readonly q: Uint8Array; readonly s: Float32Array },
  { count, from }: ShardRows,
  blocks: number,
  memory: ArrayBufferLike,
  offset: number,
  at: number
): void {
  assert(at % tileRows === 0 && offset % 4 === 0, 'tiles begin at whole tiles')
  const width = type === 'q8' ? 8 : 4
  const words = aligned(q, Uint32Array)
  const blockWords = tileBlockBytes[type] / 4
  const out = new Uint32Array(memory, offset)
  const scales = new Float32Array(memory, offset)
  const scaleWords = tileScales[type] / 4
  for (let n = 0; n < count; n++) {
    const row = at + n
    const lane = row % tileRows
    let to = Math.floor(row / tileRows) * blocks * blockWords
    let source = (from + n) * blocks * width
    for (let b = 0; b < blocks; b++, to += blockWords, source += width) {
      if (type === 'q8') for (let g = 0; g < 8; g++) out[to + g * tileRows + lane] = words[source + g]! ^ 0x80808080
      else {
        for (let g = 0; g < 4; g++) {
          const low = nibbles(words[source + (g >> 1)]! >>> (16 * (g & 1)))
          const high = nibbles(words[source + 2 + (g >> 1)]! >>> (16 * (g & 1)))
          out[to + g * tileRows + lane] = low | (high << 4)
        }
      }
      scales[to + scaleWords + lane] = s[(from + n) * blocks + b]!
    }
  }
}

/** Four nibbles, the lowest first, as four bytes. */
function nibbles(word: number): number {
  return (word & 0xf) | ((word & 0xf0) << 4) | ((word & 0xf00) << 8) | ((word & 0xf000) << 12)
}

/**
 * Writes float32 rows into tiles.
 *
 * @param values f32, where weight (row, column) is at row · rowStride + column · columnStride
 */
export function packFloats(
  values: Float32Array,
  { rowStride, columnStride, columns }: { rowStride: number; columnStride: number; columns: number },
  { count, from }: ShardRows,
  blocks: number,
  memory: ArrayBufferLike,
  offset: number,
  at: number
): void {
  assert(at % tileRows === 0 && offset % 4 === 0, 'tiles begin at whole tiles')
  const out = new Float32Array(memory, offset)
  const tile = blocks * tileColumns * tileRows
  for (let n = 0; n < count; n++) {
    const row = at + n
    const to = Math.floor(row / tileRows) * tile + (row % tileRows)
    const source = (from + n) * rowStride
    for (let k = 0; k < columns; k++) out[to + k * tileRows] = values[source + k * columnStride]!
  }
}

/** One row of tiles as float32: what an embedding looks up. */
export function unpackRow(
  { type, blocks }: TileShape,
  memory: ArrayBufferLike,
  offset: number,
  row: number,
  out: Float32Array
): void {
  assert(type !== 'q4', 'embeddings have 8 bits or are float32')
  const lane = row % tileRows
  const tile = offset + Math.floor(row / tileRows) * blocks * tileBlockBytes[type]
  if (type === 'f32') {
    const values = new Float32Array(memory, tile, blocks * tileColumns * tileRows)
    for (let k = 0; k < out.length; k++) out[k] = values[k * tileRows + lane]!
    return
  }
  const bytes = new Int8Array(memory, tile, blocks * tileBlockBytes.q8)
  const scales = new Float32Array(memory, tile, (blocks * tileBlockBytes.q8) / 4)
  for (let k = 0; k < out.length; k++) {
    const block = (k >> 5) * tileBlockBytes.q8
    const column = k & 31
    const weight = bytes[block + (column >> 2) * 4 * tileRows + lane * 4 + (column & 3)]!
    // Exact in float64, so that this is rounded once, to float32.
    out[k] = weight * scales[(block + tileScales.q8) / 4 + lane]!
  }
}

/** The same bytes as elements of 4 bytes; a copy where they do not begin at a multiple of 4. */
function aligned<T>(bytes: Uint8Array, View: new (buffer: ArrayBufferLike, offset: number, length: number) => T): T {
  const whole = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice()
  return new View(whole.buffer, whole.byteOffset, whole.byteLength / 4)
}
