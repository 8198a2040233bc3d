/**
 * GGUF's blocks of quantised weights as levels, scales and minima (ggml-common.h, ggml-quants.c `dequantize_row_*`), which is
 * how our tiles hold them: nothing is rounded. What tiles have no type for comes out as float32.
 *
 * In all of them d and m are float16, nibbles are pairs of a low and a high half, and a weight is computed in float32.
 */
import { assert } from '../../base/assert.ts'
import { decodeBF16, decodeF16, halfAt } from '../half.ts'
import { type Blocks, emptyBlocks, halfMax, minimumMax } from '../pack.ts'
import { groupRecords, tileColumns } from '../tiles.ts'
import { type QuantisedType, quantisedTypes, type StoredAs } from '../weight-types.ts'
import type { GgufType } from './gguf-types.ts'

/** Blocks of a matrix as they are in the file. */
interface Raw {
  readonly bytes: Uint8Array
  readonly view: DataView
}

/** Writes the block at byte `from`, which begins at record `record` of all rows, one after another. */
type ToBlocks = (raw: Raw, from: number, out: Blocks, record: number) => void

interface Kept {
  readonly type: QuantisedType
  readonly read: ToBlocks
  /** Where the float16 numbers of a block are, and what is the largest that the type holds there. */
  readonly numbers: readonly (readonly [at: number, largest: number])[]
}

const half = ({ view }: Raw, at: number): number => halfAt(view.getUint16(at, true))

/** 32 nibbles, element j in the low half of byte j and 16 + j in the high half, into pairs (2i, 2i + 1). */
function repaired({ bytes }: Raw, from: number, q: Uint8Array, at: number): void {
  for (let i = 0; i < 8; i++) {
    const [first, second] = [bytes[from + 2 * i]!, bytes[from + 2 * i + 1]!]
    q[at + i] = (first & 15) | ((second & 15) << 4)
    q[at + 8 + i] = (first >> 4) | (second & 0xf0)
  }
}

/** The same with a fifth bit of each element in 4 bytes, as bytes. @param plus added to a level */
function fiveBits({ bytes, view }: Raw, high: number, from: number, plus: number, q: Uint8Array, at: number): void {
  const bits = view.getUint32(high, true)
  for (let i = 0; i < 16; i++) {
    const byte = bytes[from + i]!
    q[at + i] = ((byte & 15) | (((bits >>> i) & 1) << 4)) + plus
    q[at + 16 + i] = ((byte >> 4) | (((bits >>> (i + 16)) & 1) << 4)) + plus
  }
}

/** The scale and the minimum of block `j` of eight, of 6 bits each, in 12 bytes (`get_scale_min_k4`). */
function sixBits({ bytes }: Raw, from: number, j: number): [scale: number, minimum: number] {
  const byte = (i: number): number => bytes[from + i]!
  if (j < 4) return [byte(j) & 63, byte(j + 4) & 63]
  return [(byte(j + 4) & 15) | ((byte(j - 4) >> 6) << 4), (byte(j + 4) >> 4) | ((byte(j) >> 6) << 4)]
}

/** Scales and minima of Q4_K and Q5_K: a weight is d · scale · level - dmin · minimum. */
function superBlock(raw: Raw, from: number, out: Blocks, record: number): void {
  const group = record / groupRecords
  out.sFactors![group] = half(raw, from)
  out.mFactors![group] = half(raw, from + 2)
  for (let j = 0; j < groupRecords; j++) {
    const [scale, minimum] = sixBits(raw, from + 4, j)
    out.s[record + j] = scale
    out.m![record + j] = -minimum
  }
}

const kept: Readonly<Record<string, Kept>> = {
  Q8_0: {
    type: 'q8-f16',
    numbers: [[0, halfMax]],
    read(raw, from, out, record) {
      out.s[record] = half(raw, from)
      for (let i = 0; i < 32; i++) out.q[32 * record + i] = raw.bytes[from + 2 + i]! ^ 0x80
    }
  },
  Q4_0: {
    type: 'q4-f16',
    numbers: [[0, halfMax]],
    read(raw, from, out, record) {
      out.s[record] = half(raw, from)
      repaired(raw, from + 2, out.q, 16 * record)
    }
  },
  Q4_1: {
    type: 'q4-f16-min',
    numbers: [
      [0, halfMax],
      [2, minimumMax]
    ],
    read(raw, from, out, record) {
      out.s[record] = half(raw, from)
      out.m![record] = half(raw, from + 2)
      repaired(raw, from + 4, out.q, 16 * record)
    }
  },
  Q5_0: {
    type: 'q8-f16',
    numbers: [[0, halfMax]],
    read(raw, from, out, record) {
      out.s[record] = half(raw, from)
      fiveBits(raw, from + 2, from + 6, 128 - 16, out.q, 32 * record)
    }
  },
  Q5_1: {
    type: 'q8-f16-min',
    numbers: [
      [0, halfMax],
      [2, minimumMax]
    ],
    read(raw, from, out, record) {
      out.s[record] = half(raw, from)
      out.m![record] = half(raw, from + 2)
      fiveBits(raw, from + 4, from + 8, 0, out.q, 32 * record)
    }
  },
  Q4_K: {
    type: 'q4-f16i8-min',
    numbers: [
      [0, halfMax],
      [2, halfMax]
    ],
    read(raw, from, out, record) {
      superBlock(raw, from, out, record)
      // 32 bytes are two blocks: the low halves of all, then the high ones.
      for (let j = 0; j < 4; j++) {
        const source = from + 16 + 32 * j
        const at = 16 * (record + 2 * j)
        for (let i = 0; i < 16; i++) {
          const [first, second] = [raw.bytes[source + 2 * i]!, raw.bytes[source + 2 * i + 1]!]
          out.q[at + i] = (first & 15) | ((second & 15) << 4)
          out.q[at + 16 + i] = (first >> 4) | (second & 0xf0)
        }
      }
    }
  },
  Q5_K: {
    type: 'q8-f16i8-min',
    numbers: [
      [0, halfMax],
      [2, halfMax]
    ],
    read(raw, from, out, record) {
      superBlock(raw, from, out, record)
      for (let j = 0; j < 4; j++) {
        const at = 32 * (record + 2 * j)
        for (let i = 0; i < 32; i++) {
          const high = raw.bytes[from + 16 + i]! >> (2 * j)
          const byte = raw.bytes[from + 48 + 32 * j + i]!
          out.q[at + i] = (byte & 15) | ((high & 1) << 4)
          out.q[at + 32 + i] = (byte >> 4) | ((high & 2) << 3)
        }
      }
    }
  },
  Q6_K: {
    type: 'q8-f16i8-16',
    numbers: [[208, halfMax]],
    read(raw, from, out, record) {
      out.sFactors![record / groupRecords] = half(raw, from + 208)
      for (let i = 0; i < 16; i++) out.s[2 * record + i] = raw.view.getInt8(from + 192 + i)
      // Halves of 128: four quarters from two rows of nibbles, and pairs of bits above them. Levels less 32, and 64 more.
      for (let n = 0; n < 2; n++) {
        const [low, high, at] = [from + 64 * n, from + 128 + 32 * n, 32 * record + 128 * n]
        for (let i = 0; i < 32; i++) {
          const [first, second, bits] = [raw.bytes[low + i]!, raw.bytes[low + 32 + i]!, raw.bytes[high + i]!]
          out.q[at + i] = ((first & 15) | ((bits & 3) << 4)) + 32
          out.q[at + 32 + i] = ((second & 15) | (((bits >> 2) & 3) << 4)) + 32
          out.q[at + 64 + i] = ((first >> 4) | (((bits >> 4) & 3) << 4)) + 32
          out.q[at + 96 + i] = ((second >> 4) | ((bits >> 6) << 4)) + 32
        }
      }
    }
  }
}

/** The type of our tiles that holds a GGUF type's weights as they are; undefined where there is none. */
export function keptAs(type: GgufType): QuantisedType | 'f32' | undefined {
  return type.columns === 1 ? (['F32', 'F16', 'BF16'].includes(type.name) ? 'f32' : undefined) : kept[type.name]?.type
}

/**
 * Reads whole rows into the form that tiles are made of.
 *
 * @param bytes rows of blocks
 * @param out of the type {@link keptAs} says, with as many rows
 */
export function readBlocks(type: GgufType, bytes: Uint8Array, out: Blocks): void {
  const { read } = kept[type.name]!
  const raw = { bytes, view: viewOf(bytes) }
  const records = type.columns / tileColumns
  for (let from = 0, record = 0; from < bytes.length; from += type.bytes, record += records)
    read(raw, from, out, record)
}

/** A scale or minimum that is no number, or that our type does not hold. */
export interface OddNumber {
  readonly value: number
  /** Of the block, among those given. */
  readonly index: number
}

/** The first scale or minimum, of blocks of a type that is kept, that is not finite; else the first that our type does not hold. */
export function oddNumber(type: GgufType, bytes: Uint8Array): OddNumber | undefined {
  const { numbers } = kept[type.name]!
  const view = viewOf(bytes)
  let odd: OddNumber | undefined
  for (let from = 0, index = 0; from < bytes.length; from += type.bytes, index++) {
    for (const [at, largest] of numbers) {
      const value = halfAt(view.getUint16(from + at, true))
      if (Math.abs(value) <= largest) continue
      if (!Number.isFinite(value)) return { value, index }
      odd ??= { value, index }
    }
  }
  return odd
}

/** Whether weights of this type can be made float32. */
export function isReadable(type: GgufType): boolean {
  return keptAs(type) !== undefined || type.name in others
}

/**
 * Whole blocks as float32.
 *
 * @param out as many weights as the blocks have
 */
export function dequantise(type: GgufType, bytes: Uint8Array, out: Float32Array): void {
  assert(
    bytes.length / type.bytes === out.length / type.columns,
    `${bytes.length} bytes of ${type.name} are not ${out.length} weights`
  )
  const read = others[type.name]
  if (type.columns === 1) decodePlain(type, bytes, out)
  else if (read === undefined) dequantiseKept(type, bytes, out)
  else eachBlock(type, bytes, read, out)
}

function eachBlock(type: GgufType, bytes: Uint8Array, read: ToFloats, out: Float32Array): void {
  const raw = { bytes, view: viewOf(bytes) }
  for (let from = 0, at = 0; from < bytes.length; from += type.bytes, at += type.columns) read(raw, from, out, at)
}

function decodePlain({ name }: GgufType, bytes: Uint8Array, out: Float32Array): void {
  if (name === 'F32') new Uint8Array(out.buffer, out.byteOffset, out.byteLength).set(bytes)
  else {
    const bits = new Uint16Array(bytes.length / 2)
    new Uint8Array(bits.buffer).set(bytes)
    if (name === 'F16') decodeF16(bits, out)
    else decodeBF16(bits, out)
  }
}

function dequantiseKept(type: GgufType, bytes: Uint8Array, out: Float32Array): void {
  const stored = kept[type.name]!.type
  const { bits, zero, block, hasMinimum }: StoredAs = quantisedTypes[stored]
  const blocks = emptyBlocks(stored, 1, out.length)
  readBlocks(type, bytes, blocks)
  const { q, s, m, sFactors, mFactors } = blocks
  const none = zero === 'signed' ? 128 : zero
  for (let i = 0; i < out.length; i++) {
    const level = (bits === 8 ? q[i]! : i % 2 === 0 ? q[i >> 1]! & 15 : q[i >> 1]! >> 4) - none
    const [index, group] = [Math.floor(i / block), Math.floor(i / (tileColumns * groupRecords))]
    const weight = Math.fround(level * s[index]! * (sFactors?.[group] ?? 1))
    out[i] = hasMinimum ? weight + m![index]! * (mFactors?.[group] ?? 1) : weight
  }
}

type ToFloats = (raw: Raw, from: number, out: Float32Array, at: number) => void

/** Levels of IQ4_NL and IQ4_XS, and of MXFP4 in halves (ggml-common.h). */
const uneven = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113]
const e2m1 = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12]

function byTable(
  raw: Raw,
  from: number,
  levels: readonly number[],
  scale: number,
  out: Float32Array,
  at: number
): void {
  for (let i = 0; i < 16; i++) {
    const byte = raw.bytes[from + i]!
    out[at + i] = scale * levels[byte & 15]!
    out[at + 16 + i] = scale * levels[byte >> 4]!
  }
}

/** Types that our tiles have none for. */
const others: Readonly<Record<string, ToFloats>> = {
  Q2_K(raw, from, out, at) {
    const [d, minimum] = [half(raw, from + 80), half(raw, from + 82)]
    for (let i = 0; i < 256; i++) {
      const numbers = raw.bytes[from + (i >> 4)]!
      const level = (raw.bytes[from + 16 + 32 * (i >> 7) + (i & 31)]! >> (2 * ((i >> 5) & 3))) & 3
      out[at + i] = Math.fround(d * (numbers & 15) * level) - minimum * (numbers >> 4)
    }
  },
  Q3_K(raw, from, out, at) {
    const d = half(raw, from + 108)
    const { bytes } = raw
    for (let i = 0; i < 256; i++) {
      const j = i >> 4
      const low = (bytes[from + 96 + (j & 7)]! >> (4 * (j >> 3))) & 15
      const high = (bytes[from + 104 + (j & 3)]! >> (2 * (j >> 2))) & 3
      const level = (bytes[from + 32 + 32 * (i >> 7) + (i & 31)]! >> (2 * ((i >> 5) & 3))) & 3
      const above = (bytes[from + (i & 31)]! >> (i >> 5)) & 1
      out[at + i] = d * ((low | (high << 4)) - 32) * (level - (above === 1 ? 0 : 4))
    }
  },
  IQ4_NL(raw, from, out, at) {
    byTable(raw, from + 2, uneven, half(raw, from), out, at)
  },
  IQ4_XS(raw, from, out, at) {
    const d = half(raw, from)
    const above = raw.view.getUint16(from + 2, true)
    for (let j = 0; j < 8; j++) {
      const low = (raw.bytes[from + 4 + (j >> 1)]! >> (4 * (j & 1))) & 15
      const scale = (low | (((above >> (2 * j)) & 3) << 4)) - 32
      byTable(raw, from + 8 + 16 * j, uneven, d * scale, out, at + 32 * j)
    }
  },
  MXFP4(raw, from, out, at) {
    byTable(raw, from + 1, e2m1, 2 ** (raw.bytes[from]! - 128), out, at)
  }
}

function viewOf({ buffer, byteOffset, length }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, length)
}
