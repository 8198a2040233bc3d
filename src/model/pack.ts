/**
 * Rows of weights into tiles (`tiles.ts`), and out of them. Quantised rows come as blocks along the input dimension, with
 * numbers that their type holds exactly.
 */
import { halfBits, halfValue } from './half.ts'
import {
  groupBytes,
  groupRecords,
  levelBytes,
  recordBytes,
  type TileShape,
  tileColumns,
  tileRows,
  tileStride
} from './tiles.ts'
import { halfUnit, minimumUnit, type QuantisedType, quantisedTypes, type StoredAs } from './weight-types.ts'

/** Quantised rows. */
export interface Blocks {
  /**
   * u8 [rows, records, 32 at 8 bits, 16 at 4]: levels with their type's zero added, signed ones with 128; of 4 bits two in a
   * byte, the first in the low half.
   */
  readonly q: Uint8Array
  /** f32 [rows, records, blocks of a record]: scales; where bytes scale, the bytes. */
  readonly s: Float32Array
  /** The minima, where the type has them. */
  readonly m?: Float32Array
  /** f32 [rows, groups]: where bytes scale, what those of scales and of minima are multiplied with. */
  readonly sFactors?: Float32Array
  readonly mFactors?: Float32Array
}

/** Rows [from, from + count) of what is packed. */
export interface RowRange {
  readonly from: number
  readonly count: number
}

/** Rows of zeros. @param inputs columns of a row, which are filled up to whole records */
export function emptyBlocks(type: QuantisedType, rows: number, inputs: number): Blocks {
  const { bits, zero, block, scale, hasMinimum }: StoredAs = quantisedTypes[type]
  const records = Math.ceil(inputs / tileColumns)
  const numbers = (rows * records * tileColumns) / block
  const factors = rows * Math.ceil(records / groupRecords)
  const isShared = scale === 'f16i8'
  const none = zero === 'signed' ? 128 : bits === 4 ? zero | (zero << 4) : zero
  return {
    q: new Uint8Array(rows * records * 4 * bits).fill(none),
    s: new Float32Array(numbers),
    ...(hasMinimum ? { m: new Float32Array(numbers) } : {}),
    ...(isShared ? { sFactors: new Float32Array(factors) } : {}),
    ...(isShared && hasMinimum ? { mFactors: new Float32Array(factors) } : {})
  }
}

/** Some of `rows` rows, in the same memory. */
export function rowsOf({ q, s, m, sFactors, mFactors }: Blocks, rows: number, { from, count }: RowRange): Blocks {
  const part = <T extends Uint8Array | Float32Array>(all: T): T => {
    const each = all.length / rows
    return all.subarray(from * each, (from + count) * each) as T
  }
  return {
    q: part(q),
    s: part(s),
    ...(m === undefined ? {} : { m: part(m) }),
    ...(sFactors === undefined ? {} : { sFactors: part(sFactors) }),
    ...(mFactors === undefined ? {} : { mFactors: part(mFactors) })
  }
}

/** Blocks of 32, each with a scale of its own and no minimum. */
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
 * @param records of a row
 * @param tiles the matrix, zeros where nothing is written, at a multiple of 4 of its buffer
 * @param at the row of the tiles that the first one becomes
 */
export function packBlocks(
  type: QuantisedType,
  { q, s, m, sFactors, mFactors }: Blocks,
  { from, count }: RowRange,
  records: number,
  tiles: Uint8Array,
  at: number
): void {
  const { bits, zero, block }: StoredAs = quantisedTypes[type]
  const perRecord = tileColumns / block
  const flip = zero === 'signed' ? 0x80808080 : 0
  const words = wordsOf(q)
  const out = wordsOf(tiles)
  const numbers = new Numbers(type, tiles)
  for (let n = 0; n < count; n++) {
    const row = from + n
    const place = new RowPlace(type, records, at + n)
    let source = row * records * bits
    for (let b = 0; b < records; b++, source += bits) {
      const to = place.record(b) / 4 + place.lane
      if (bits === 8) for (let g = 0; g < 8; g++) out[to + g * tileRows] = words[source + g]! ^ flip
      else {
        for (let g = 0; g < 4; g++) {
          const low = nibbles(words[source + (g >> 1)]! >>> (16 * (g & 1)))
          const high = nibbles(words[source + 2 + (g >> 1)]! >>> (16 * (g & 1)))
          out[to + g * tileRows] = low | (high << 4)
        }
      }
      for (let i = 0; i < perRecord; i++) {
        const index = (row * records + b) * perRecord + i
        numbers.set(place, b, i, 'scale', s[index]!)
        if (m !== undefined) numbers.set(place, b, i, 'minimum', m[index]!)
      }
    }
    for (let g = 0; g < place.groups; g++) {
      numbers.setFactor(place, g, 'scale', sFactors![row * place.groups + g]!)
      if (mFactors !== undefined) numbers.setFactor(place, g, 'minimum', mFactors[row * place.groups + g]!)
    }
  }
}

/** Reads one row of blocks with scales of their own: the reverse of {@link packBlocks}. @param to row of `out` */
export function unpackBlocks(
  { type, blocks }: TileShape & { readonly type: PlainType },
  tiles: Uint8Array,
  row: number,
  out: Blocks,
  to: number
): void {
  const { bits, zero }: StoredAs = quantisedTypes[type]
  const flip = zero === 'signed' ? 0x80808080 : 0
  const words = wordsOf(tiles)
  const target = wordsOf(out.q)
  const numbers = new Numbers(type, tiles)
  const place = new RowPlace(type, blocks, row)
  let at = to * blocks * bits
  for (let b = 0; b < blocks; b++, at += bits) {
    const from = place.record(b) / 4 + place.lane
    if (bits === 8) for (let g = 0; g < 8; g++) target[at + g] = words[from + g * tileRows]! ^ flip
    else {
      for (let g = 0; g < 4; g += 2) {
        const [first, second] = [words[from + g * tileRows]!, words[from + (g + 1) * tileRows]!]
        target[at + (g >> 1)] = pairs(first) | (pairs(second) << 16)
        target[at + 2 + (g >> 1)] = pairs(first >>> 4) | (pairs(second >>> 4) << 16)
      }
    }
    out.s[to * blocks + b] = numbers.get(place, b, 0, 'scale')
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

/** One row as float32, rounded after the product with the scale and after the sum with the minimum: what an embedding looks up. */
export function unpackRow({ type, blocks }: TileShape, tiles: Uint8Array, row: number, out: Float32Array): void {
  if (type === 'f32') {
    const values = floatsOf(tiles)
    const start = (Math.floor(row / tileRows) * tileStride({ type, blocks })) / 4 + (row % tileRows)
    for (let k = 0; k < out.length; k++) out[k] = values[start + k * tileRows]!
    return
  }
  const { bits, zero, block, hasMinimum }: StoredAs = quantisedTypes[type]
  const numbers = new Numbers(type, tiles)
  const place = new RowPlace(type, blocks, row)
  for (let k = 0; k < out.length; k++) {
    const [record, column] = [k >> 5, k & 31]
    const from = place.record(record) + 4 * place.lane
    let level: number
    if (bits === 8) {
      const byte = tiles[from + (column >> 2) * 4 * tileRows + (column & 3)]!
      level = zero !== 'signed' ? byte - zero : byte < 128 ? byte : byte - 256
    } else {
      const byte = tiles[from + ((column & 15) >> 2) * 4 * tileRows + (column & 3)]!
      level = (column < 16 ? byte & 15 : byte >> 4) - (zero as number)
    }
    const index = Math.floor(column / block)
    const weight = Math.fround(level * numbers.get(place, record, index, 'scale'))
    out[k] = hasMinimum ? weight + numbers.get(place, record, index, 'minimum') : weight
  }
}

/** Where a row's records are in the tiles, in bytes. */
class RowPlace {
  readonly lane: number
  /** Of records that share factors; none where no bytes scale. */
  readonly groups: number
  readonly #start: number
  readonly #record: number
  readonly #before: number

  constructor(type: QuantisedType, records: number, row: number) {
    this.lane = row % tileRows
    this.#start = Math.floor(row / tileRows) * tileStride({ type, blocks: records })
    this.#record = recordBytes(type)
    this.#before = groupBytes(type)
    this.groups = this.#before === 0 ? 0 : Math.ceil(records / groupRecords)
  }

  record(b: number): number {
    return this.#start + b * this.#record + (Math.floor(b / groupRecords) + 1) * this.#before
  }

  group(g: number): number {
    return this.#start + g * (groupRecords * this.#record + this.#before)
  }
}

/** Scales and minima in tiles. */
class Numbers {
  readonly #stored: StoredAs
  readonly #after: number
  readonly #minima: number
  readonly #view: DataView

  constructor(type: QuantisedType, { buffer, byteOffset, length }: Uint8Array) {
    this.#stored = quantisedTypes[type]
    this.#after = levelBytes(type)
    this.#minima = (tileColumns / this.#stored.block) * tileRows
    this.#view = new DataView(buffer, byteOffset, length)
  }

  /** What the block `i` of record `b` is scaled with, or its minimum. */
  get(place: RowPlace, b: number, i: number, which: 'scale' | 'minimum'): number {
    const index = this.#index(place, i, which)
    const at = place.record(b) + this.#after
    if (this.#stored.scale === 'f32') return this.#view.getFloat32(at + 4 * index, true)
    if (this.#stored.scale === 'f16') return this.#half(at + 2 * index, unitOf(which))
    const group = place.group(Math.floor(b / groupRecords))
    return this.#view.getInt8(at + index) * this.#half(group + this.#factorAt(place, which), halfUnit)
  }

  /** @param value the number, or where bytes scale the byte */
  set(place: RowPlace, b: number, i: number, which: 'scale' | 'minimum', value: number): void {
    const index = this.#index(place, i, which)
    const at = place.record(b) + this.#after
    if (this.#stored.scale === 'f32') this.#view.setFloat32(at + 4 * index, value, true)
    else if (this.#stored.scale === 'f16') this.#view.setUint16(at + 2 * index, halfOf(value / unitOf(which)), true)
    else this.#view.setInt8(at + index, value)
  }

  setFactor(place: RowPlace, g: number, which: 'scale' | 'minimum', value: number): void {
    this.#view.setUint16(place.group(g) + this.#factorAt(place, which), halfOf(value / halfUnit), true)
  }

  #index({ lane }: RowPlace, i: number, which: 'scale' | 'minimum'): number {
    return (which === 'scale' ? 0 : this.#minima) + i * tileRows + lane
  }

  #factorAt({ lane }: RowPlace, which: 'scale' | 'minimum'): number {
    return 2 * ((which === 'scale' ? 0 : tileRows) + lane)
  }

  #half(at: number, unit: number): number {
    return halfValue(this.#view.getUint16(at, true)) * unit
  }
}

/** What a number of 16 bits of a block counts in. */
function unitOf(which: 'scale' | 'minimum'): number {
  return which === 'scale' ? halfUnit : minimumUnit
}

/** The largest minimum of 16 bits. */
export const minimumMax = 65_504 * minimumUnit
/** The largest scale of 16 bits, and the smallest that is not subnormal there. */
export const halfMax = 65_504 * halfUnit
const halfMin = 2 ** -14 * halfUnit

/** What a minimum of 16 bits holds in the place of a number of at most {@link minimumMax}. */
export function heldMinimum(wanted: number): number {
  return halfValue(halfOf(wanted / minimumUnit)) * minimumUnit
}

/** What a scale of that kind holds in the place of a number of at most {@link halfMax}. 0 stays 0. */
export function heldNumber(kind: 'f32' | 'f16', wanted: number): number {
  if (kind === 'f32') return Math.fround(wanted)
  // Smaller ones would be subnormal, which is slow.
  const magnitude = Math.max(Math.abs(wanted), halfMin)
  return wanted === 0 ? 0 : Math.sign(wanted) * halfValue(halfOf(magnitude / halfUnit)) * halfUnit
}

const float = new Float32Array(1)
const floatBits = new Uint32Array(float.buffer)

/** The float16 nearest to a number, by way of float32. */
function halfOf(value: number): number {
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
