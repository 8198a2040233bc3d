/**
 * How a matrix lies in a shard, and so in an engine's memory: from K to N features, it is cut into tiles of 8 rows. A tile is
 * one stream of records of 32 columns, so that a product reads memory in order, and its rows are the lanes of two vectors, so
 * that each output is a plain chain of sums over blocks (`protocols/arithmetic.md`). A record is, in this order:
 *
 *   levels    8 bits: 8 × [8 rows][4 columns], signed or with the type's zero added
 *             4 bits: 4 × [8 rows][4 columns], column 4g + j in the low half of a byte and 16 + 4g + j in the high half, with
 *             the type's zero added
 *             f32: 32 × [8 rows] f32, and nothing else
 *   scales    [blocks of the record][8 rows]: f32, f16 in {@link halfUnit}, or i8
 *   minima    [blocks of the record][8 rows], where the type has them: f16 in {@link minimumUnit}, or i8
 *
 * Where bytes scale, [8 rows] f16 in {@link halfUnit} stand before every eighth record, from the first on, and as many for the minima: what the
 * bytes of the next eight are multiplied with. Numbers are little-endian. Rows and columns that fill up a tile or a record
 * are zeros.
 */
import { quantisedTypes, type StoredAs, type WeightType } from './weight-types.ts'

/** Rows of a tile. */
export const tileRows = 8
/** Columns of a record. */
export const tileColumns = 32
/** Records that share the float16 factor of their scales, where bytes scale. */
export const groupRecords = 8

/** Where the levels of a record end. */
export function levelBytes(type: WeightType): number {
  if (type === 'f32') return 4 * tileRows * tileColumns
  return (tileRows * tileColumns * quantisedTypes[type].bits) / 8
}

/** Bytes of a record, without what stands before groups of them. */
export function recordBytes(type: WeightType): number {
  if (type === 'f32') return levelBytes(type)
  const { block, scale, hasMinimum }: StoredAs = quantisedTypes[type]
  const each = { f32: 4, f16: 2, f16i8: 1 }[scale]
  return levelBytes(type) + each * (tileColumns / block) * tileRows * (hasMinimum ? 2 : 1)
}

/** Bytes before a group of records. */
export function groupBytes(type: WeightType): number {
  if (type === 'f32') return 0
  const { scale, hasMinimum }: StoredAs = quantisedTypes[type]
  return scale === 'f16i8' ? 2 * tileRows * (hasMinimum ? 2 : 1) : 0
}

export function roundUp(value: number, to: number): number {
  return Math.ceil(value / to) * to
}

/** A matrix in tiles. */
export interface TileShape {
  readonly type: WeightType
  /** Rows, those that fill up tiles included. */
  readonly rows: number
  /** Records of a tile. */
  readonly blocks: number
}

/** Bytes of one tile. */
export function tileStride({ type, blocks }: Pick<TileShape, 'type' | 'blocks'>): number {
  return blocks * recordBytes(type) + Math.ceil(blocks / groupRecords) * groupBytes(type)
}

export function tileBytes(shape: TileShape): number {
  return (shape.rows / tileRows) * tileStride(shape)
}

/** A vector of float32, filled up with zeros: a whole number of records' columns. */
export function vectorBytes(length: number): number {
  return 4 * roundUp(length, tileColumns)
}
