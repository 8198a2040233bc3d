/** WebAssembly's instructions as far as kernels use them, typed: each function is one instruction after its operands. */
import { append, type Effect, type Local, signed, unsigned, type Value, type ValueType } from './emit.ts'

type I = Value<'i32'>
type F = Value<'f32'>
type V = Value<'v128'>

function op<T extends ValueType>(type: T, opcode: readonly number[], ...operands: readonly Value[]): Value<T> {
  const code: number[] = []
  for (const operand of operands) append(code, operand.code)
  append(code, opcode)
  return { type, code }
}

const simd = (opcode: number): number[] => [0xfd, ...unsigned(opcode)]
/** No alignment is promised: it changes no result, and no speed where the address happens to be aligned. */
const at = (offset: number): number[] => [0, ...unsigned(offset)]

function f32Bytes(value: number): number[] {
  return [...new Uint8Array(Float32Array.of(value).buffer)]
}

const binaryI =
  (opcode: number, code = [opcode]) =>
  (a: I, b: I) =>
    op('i32', code, a, b)
const binaryF =
  (opcode: number, code = [opcode]) =>
  (a: F, b: F) =>
    op('f32', code, a, b)
const binaryV =
  (opcode: number, code = simd(opcode)) =>
  (a: V, b: V) =>
    op('v128', code, a, b)
const unaryV =
  (opcode: number, code = simd(opcode)) =>
  (a: V) =>
    op('v128', code, a)
const shiftV =
  (opcode: number, code = simd(opcode)) =>
  (a: V, bits: number) =>
    op('v128', code, a, i32.const(bits))

export const i32 = {
  const: (value: number): I => ({ type: 'i32', code: [0x41, ...signed(value)] }),
  store: (address: I, offset: number, value: I): Effect => ({
    code: [...address.code, ...value.code, 0x36, ...at(offset)]
  }),
  gtU: binaryI(0x4b),
  add: binaryI(0x6a),
  sub: binaryI(0x6b),
  mul: binaryI(0x6c),
  divU: binaryI(0x6e),
  /** The first where the condition is not 0, else the second. */
  select: (a: I, b: I, condition: I) => op('i32', [0x1b], a, b, condition)
}

export const f32 = {
  const: (value: number): F => ({ type: 'f32', code: [0x43, ...f32Bytes(value)] }),
  load: (address: I, offset = 0) => op('f32', [0x2a, ...at(offset)], address),
  store: (address: I, offset: number, value: F): Effect => ({
    code: [...address.code, ...value.code, 0x38, ...at(offset)]
  }),
  gt: (a: F, b: F) => op('i32', [0x5e], a, b),
  sqrt: (a: F) => op('f32', [0x91], a),
  add: binaryF(0x92),
  sub: binaryF(0x93),
  mul: binaryF(0x94),
  div: binaryF(0x95),
  max: binaryF(0x97),
  /** The first where the condition is not 0, else the second. */
  select: (a: F, b: F, condition: I) => op('f32', [0x1b], a, b, condition)
}

export const v128 = {
  load: (address: I, offset = 0) => op('v128', [...simd(0), ...at(offset)], address),
  /** Eight signed bytes, each in a lane of 16. */
  load8x8S: (address: I, offset = 0) => op('v128', [...simd(1), ...at(offset)], address),
  /** Four signed numbers of 16 bits, each in a lane of 32. */
  load16x4S: (address: I, offset = 0) => op('v128', [...simd(3), ...at(offset)], address),
  /** Four bytes in the lowest lane, zeros in the others. */
  load32Zero: (address: I, offset = 0) => op('v128', [...simd(92), ...at(offset)], address),
  /** Eight bytes in the lowest lanes, zeros in the others. */
  load64Zero: (address: I, offset = 0) => op('v128', [...simd(93), ...at(offset)], address),
  load32Splat: (address: I, offset = 0) => op('v128', [...simd(9), ...at(offset)], address),
  load64Splat: (address: I, offset = 0) => op('v128', [...simd(10), ...at(offset)], address),
  store: (address: I, offset: number, value: V): Effect => ({
    code: [...address.code, ...value.code, ...simd(11), ...at(offset)]
  }),
  /** One byte of a vector. */
  store8Lane: (address: I, offset: number, value: V, lane: number): Effect => ({
    code: [...address.code, ...value.code, ...simd(88), ...at(offset), lane]
  }),
  /** One word of it. */
  store16Lane: (address: I, offset: number, value: V, lane: number): Effect => ({
    code: [...address.code, ...value.code, ...simd(89), ...at(offset), lane]
  }),
  /** Eight bytes of a vector, the lower or the higher ones. */
  store64Lane: (address: I, offset: number, value: V, lane: 0 | 1): Effect => ({
    code: [...address.code, ...value.code, ...simd(91), ...at(offset), lane]
  }),
  and: binaryV(78),
  or: binaryV(80),
  xor: binaryV(81),
  /** Bits of `a` where `mask` has ones, of `b` elsewhere. */
  bitselect: (a: V, b: V, mask: V) => op('v128', simd(82), a, b, mask),
  /** 1 where a bit is set. */
  anyTrue: (a: V) => op('i32', simd(83), a),
  zero: (): V => i32x4.const(0)
}

function constant(bytes: readonly number[]): V {
  return { type: 'v128', code: [...simd(12), ...bytes] }
}

export const i8x16 = {
  /** Lanes of both, 0 to 15 of the first and 16 to 31 of the second. */
  shuffle: (a: V, b: V, lanes: readonly number[]) => op('v128', [...simd(13), ...lanes], a, b),
  abs: unaryV(96),
  narrowI16x8S: binaryV(101),
  narrowI16x8U: binaryV(102),
  shrS: shiftV(108)
}

export const i16x8 = {
  extaddPairwiseI8x16U: unaryV(125),
  narrowI32x4S: binaryV(133),
  /**
   * Sums of two products each, of signed bytes and of bytes in 0 to 127: exact, since they fit 16 bits. What relaxed SIMD
   * leaves open does not come up (see `i32x4.relaxedDotI8x16I7x16AddS`).
   */
  relaxedDotI8x16I7x16S: binaryV(0x112),
  extendLowI8x16S: unaryV(135),
  extendHighI8x16S: unaryV(136),
  shl: shiftV(139),
  shrS: shiftV(140),
  shrU: shiftV(141),
  add: binaryV(142)
}

export const i32x4 = {
  const: (value: number): V => {
    const bytes = [...new Uint8Array(Int32Array.of(value).buffer)]
    return constant([...bytes, ...bytes, ...bytes, ...bytes])
  },
  /** Four numbers, one in each lane. */
  lanes: (values: readonly number[]): V => constant([...new Uint8Array(Int32Array.from(values).buffer)]),
  splat: (a: I) => op('v128', simd(17), a),
  extractLane: (a: V, lane: number) => op('i32', [...simd(27), lane], a),
  extendLowI16x8S: unaryV(167),
  eq: binaryV(55),
  shl: shiftV(171),
  shrU: shiftV(173),
  add: binaryV(174),
  sub: binaryV(177),
  dotI16x8S: binaryV(186),
  /** One lane in all four. */
  spread: (a: V, lane: number) =>
    i8x16.shuffle(
      a,
      a,
      Array.from({ length: 16 }, (_, i) => 4 * lane + (i % 4))
    ),
  /**
   * `acc` plus the sums of four products each, of signed bytes and of bytes in 0 to 127. Relaxed SIMD leaves open what a
   * byte above 127 in `b` means and whether sums of two are cut at 16 bits; with bytes up to 127 neither comes up.
   */
  relaxedDotI8x16I7x16AddS: (a: V, b: V, acc: V) => op('v128', simd(0x113), a, b, acc)
}

export const f32x4 = {
  const: (value: number): V => {
    const bytes = f32Bytes(value)
    return constant([...bytes, ...bytes, ...bytes, ...bytes])
  },
  splat: (a: F) => op('v128', simd(19), a),
  extractLane: (a: V, lane: number) => op('f32', [...simd(31), lane], a),
  lt: binaryV(67),
  ge: binaryV(70),
  abs: unaryV(224),
  neg: unaryV(225),
  add: binaryV(228),
  sub: binaryV(229),
  mul: binaryV(230),
  div: binaryV(231),
  /** Not a number where one of both is none. */
  max: binaryV(233),
  /** `b < a ? b : a`. */
  pmin: binaryV(234),
  /** `a < b ? b : a`. */
  pmax: binaryV(235),
  convertI32x4S: unaryV(250)
}

/** A local moved on by so many bytes. */
export function plus(address: Local<'i32'>, bytes: number): I {
  return i32.add(address, i32.const(bytes))
}
