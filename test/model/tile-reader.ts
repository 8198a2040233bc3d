/**
 * Matrices read out of a shard one number at a time, by the words of `src/model/tiles.ts` and with none of its code: what
 * packs and computes is held against it.
 */
import type { MatrixEntry } from '../../src/model/layout.ts'
import { quantisedTypes, type StoredAs, type WeightType } from '../../src/model/weight-types.ts'

export interface ReadMatrix {
  readonly inputs: number
  /** Rows of all parts, one after another: those that fill up are left out. */
  readonly outputs: number
  readonly level: (row: number, column: number) => number
  /** 1 for float32. */
  readonly scale: (row: number, column: number) => number
  /** 0 where the type has none. */
  readonly minimum: (row: number, column: number) => number
}

const unit = 1 / 16_384
/** Of a minimum of its own. */
const minimumUnit = 1 / 1_024

export function readMatrix(entry: MatrixEntry, shard: Uint8Array): ReadMatrix {
  const { type, parts, inputs, blocks, offset } = entry
  const view = new DataView(shard.buffer, shard.byteOffset + offset, entry.bytes)
  const rowsOf = parts.flatMap(({ rows, at }) => Array.from({ length: rows }, (_, i) => at + i))
  const half = (at: number, each = unit): number => view.getFloat16(at, true) * each
  /** Where the record of a weight begins, and the bytes before its group. */
  const record = (row: number, column: number): { at: number; group: number } => {
    const [bytes, before] = sizes(type)
    const [tile, index] = [Math.floor(rowsOf[row]! / 8), Math.floor(column / 32)]
    const groups = Math.ceil(blocks / 8)
    const start = tile * (blocks * bytes + groups * before)
    const group = start + Math.floor(index / 8) * (8 * bytes + before)
    return { at: group + before + (index % 8) * bytes, group }
  }
  const lane = (row: number): number => rowsOf[row]! % 8
  const common = { inputs, outputs: rowsOf.length }
  if (type === 'f32') {
    const level = (row: number, k: number): number =>
      view.getFloat32(record(row, k).at + 32 * (k % 32) + 4 * lane(row), true)
    return { ...common, level, scale: () => 1, minimum: () => 0 }
  }
  const { bits, zero, block, scale, hasMinimum }: StoredAs = quantisedTypes[type]
  const level = (row: number, k: number): number => {
    const { at } = record(row, k)
    if (bits === 8) {
      const from = at + 32 * Math.floor((k % 32) / 4) + 4 * lane(row) + (k % 4)
      return zero === 'signed' ? view.getInt8(from) : view.getUint8(from) - zero
    }
    const pair = view.getUint8(at + 32 * Math.floor((k % 16) / 4) + 4 * lane(row) + (k % 4))
    return (k % 32 < 16 ? pair % 16 : Math.floor(pair / 16)) - (zero as number)
  }
  const perRecord = 32 / block
  /** Of scales (0) or minima (1). */
  const number =
    (which: 0 | 1) =>
    (row: number, k: number): number => {
      const { at, group } = record(row, k)
      const index = which * 8 * perRecord + 8 * Math.floor((k % 32) / block) + lane(row)
      const from = at + 32 * bits
      if (scale === 'f32') return view.getFloat32(from + 4 * index, true)
      if (scale === 'f16') return half(from + 2 * index, which === 0 ? unit : minimumUnit)
      return half(group + 2 * (8 * which + lane(row))) * view.getInt8(from + index)
    }
  return { ...common, level, scale: number(0), minimum: hasMinimum ? number(1) : () => 0 }
}

/** Bytes of a record, and of what stands before eight of them. */
function sizes(type: WeightType): [record: number, before: number] {
  if (type === 'f32') return [1024, 0]
  const { bits, block, scale, hasMinimum }: StoredAs = quantisedTypes[type]
  const numbers = (hasMinimum ? 2 : 1) * 8 * (32 / block)
  const bytes = { f32: 4, f16: 2, f16i8: 1 }[scale]
  return [32 * bits + bytes * numbers, scale === 'f16i8' ? 16 * (hasMinimum ? 2 : 1) : 0]
}
