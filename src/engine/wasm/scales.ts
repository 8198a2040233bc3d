/** Scales and minima of a tile's records as float32, in kernels that multiply. */
import { groupBytes, groupRecords, levelBytes, tileColumns, tileRows } from '../../model/tiles.ts'
import { halfUnit, minimumUnit, type QuantisedType, quantisedTypes, type StoredAs } from '../../model/weight-types.ts'
import type { FunctionWriter, Local, Value } from './emit.ts'
import { f32x4, i16x8, i32, i32x4, plus, v128 } from './ops.ts'

type V = Local<'v128'>
type I = Local<'i32'>

const vectors = tileRows / 4
/** What sets the exponent of a float16 right that stands where float32 has its own. */
const exponents = 2 ** (127 - 15)

/**
 * Reads them four rows at a time. Those of 16 bits become float32 by their bits: the sign stays at the top, exponent and
 * fraction move to where float32 has them, and a product with a power of two sets the exponent right. Where bytes scale, the
 * numbers of 16 bits stand before groups of records.
 */
export class ScaleReader {
  readonly #f: FunctionWriter
  readonly #type: QuantisedType
  readonly #stored: StoredAs
  readonly #mask: V | undefined
  readonly #factor: V | undefined
  /** Of minima that are numbers of 16 bits. */
  readonly #minimumFactor: V | undefined
  /** By stream: factors of scales, four rows in each, and then of minima. */
  readonly #factors: readonly (readonly V[])[]

  /** @param streams that are read at once */
  constructor(f: FunctionWriter, type: QuantisedType, streams: number) {
    this.#f = f
    this.#type = type
    this.#stored = quantisedTypes[type]
    const { scale, hasMinimum } = this.#stored
    const each = scale === 'f16i8' ? vectors * (hasMinimum ? 2 : 1) : 0
    this.#factors = Array.from({ length: streams }, () => f.locals('v128', each))
    if (scale === 'f32') return
    // A number in the place of an instruction would be put together anew at each turn.
    this.#mask = f.local('v128', i32x4.const(0x8fffffff))
    this.#factor = f.local('v128', f32x4.const(halfUnit * exponents))
    if (scale === 'f16' && hasMinimum) this.#minimumFactor = f.local('v128', f32x4.const(minimumUnit * exponents))
  }

  /** Runs `record` for as many records as `left` says, which counts down to 0. @param streams stand at the first of them */
  records(left: I, streams: readonly I[], record: () => void): void {
    const f = this.#f
    const before = groupBytes(this.#type)
    if (before === 0) {
      f.countdown(left, record)
      return
    }
    const now = f.local('i32')
    const group = (): void => {
      for (const [s, factors] of this.#factors.entries()) {
        for (const [i, factor] of factors.entries()) f.set(factor, this.#half(streams[s]!, 8 * i, this.#factor!))
      }
      for (const stream of streams) f.set(stream, plus(stream, before))
      f.set(now, left)
      f.when(i32.gtU(left, i32.const(groupRecords)), () => f.set(now, i32.const(groupRecords)))
      f.set(left, i32.sub(left, now))
      f.countdown(now, record)
    }
    f.loop(group, () => left)
  }

  /** Scales of rows 4v to 4v + 3 in the block of the record at an address. */
  scale(stream: number, record: I, v: number, block: number): Value<'v128'> {
    return this.#number(stream, record, v, block, this.#factor)
  }

  /** The minima. */
  minimum(stream: number, record: I, v: number): Value<'v128'> {
    return this.#number(stream, record, v + vectors, 0, this.#minimumFactor)
  }

  /**
   * @param v vectors before it, those of minima after all of scales
   * @param factor of numbers of 16 bits
   */
  #number(stream: number, record: I, v: number, block: number, factor: V | undefined): Value<'v128'> {
    const at = levelBytes(this.#type)
    const { scale } = this.#stored
    const index = block * vectors + v
    if (scale === 'f32') return v128.load(record, at + 16 * index)
    if (scale === 'f16') return this.#half(record, at + 8 * index, factor!)
    const bytes = i16x8.extendLowI8x16S(v128.load32Zero(record, at + 4 * index))
    return f32x4.mul(f32x4.convertI32x4S(i32x4.extendLowI16x8S(bytes)), this.#factors[stream]![v]!)
  }

  #half(address: I, offset: number, factor: V): Value<'v128'> {
    const bits = i32x4.shl(v128.load16x4S(address, offset), 23 - 10)
    return f32x4.mul(v128.and(bits, this.#mask!), factor)
  }
}

/** Blocks of a record. */
export function blocksOfRecord(type: QuantisedType): number {
  return tileColumns / quantisedTypes[type].block
}
