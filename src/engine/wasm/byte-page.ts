/**
 * Pages of caches of int8 (`protocols/arithmetic.md`). A page is as large as one of float32 and holds more positions, a whole
 * number of blocks of {@link valueBlock}. By kv head:
 *
 *   keys    tiles of 8 positions: [width / 4][8 positions][4 dims] i8, scales [8] f32, -64 · sums of levels [8] i32
 *   values  blocks of 128 positions: [width / 8][32][8 dims][4 positions] i8, scales [128] f32
 *
 * So lanes are positions where scores are made, and dimensions where values are mixed. And what stands beside them while they
 * are read: queries and weights have 14 bits. Where the processor multiplies bytes in one instruction, they are two halves of 7
 * bits, which are operands of it; elsewhere they are words of 16 bits, and bytes are widened to these. Sums are of whole
 * numbers and exact, so that both give the same.
 */
import { attentionRows, keyTile, pageHalfBytes } from './attention.ts'

/** Positions whose weights share a scale. */
export const valueBlock = 128
/** Positions that scores and weights are made for at a time. */
export const byteTile = 16
/** Dimensions of a slice of values. */
export const byteSlice = 8
/** Bytes of a block's weights of one row: words, or the high halves and then the low ones. */
export const rowBytes = 2 * valueBlock

/**
 * Bytes of a row's sums of words, each of which is of half the positions or dimensions that it has in the end. They are stored
 * and read again, since V8 makes 256 bits of neighbouring vectors where these are stored side by side.
 */
export const pairBytes = 64

/** Bytes of the weights of {@link attentionRows} rows in one block, with their scales and sums behind them. */
export const weightScratchBytes = attentionRows * (rowBytes + 4 + pairBytes)
/** Bytes of as many queries, likewise. */
export function queryScratchBytes(width: number): number {
  return attentionRows * (2 * width + 4 + pairBytes)
}

/** Where everything of a page is. */
export interface BytePage {
  readonly positions: number
  /** Of one kv head. */
  readonly headBytes: number
  /** Where a head's values begin. */
  readonly values: number
  readonly keyTileBytes: number
  readonly valueBlockBytes: number
}

/** Pages for heads of a width: as many positions as fit where the keys and values of float32 pages are. */
export function bytePage(width: number): BytePage {
  const keyTileBytes = keyTile * (width + 8)
  const valueBlockBytes = valueBlock * (width + 4)
  const blockBytes = (valueBlock / keyTile) * keyTileBytes + valueBlockBytes
  const blocks = Math.floor((2 * pageHalfBytes(width)) / blockBytes)
  const values = ((blocks * valueBlock) / keyTile) * keyTileBytes
  return { positions: blocks * valueBlock, headBytes: blocks * blockBytes, values, keyTileBytes, valueBlockBytes }
}

/** Where the scales of so many queries stand, behind these. */
export function queryScales(width: number, rows: number): number {
  return 2 * width * rows
}
