/**
 * Hidden states as bytes: the model's edge type, little-endian, row by row. The graph has already rounded
 * what leaves a stage, so encoding loses nothing (promise P1). What comes in was made by a peer and is
 * checked value by value (promise P10): an infinity or NaN would stay in the cache for the session's life.
 *
 * Typed arrays have the host's byte order; the package's platforms, x64 and arm64, are both little-endian.
 */
import { EngineError, InvalidStepError } from '../errors.ts'
import { decodeBF16, decodeF16, halfBits } from '../model/half.ts'
import type { EdgeType } from '../model/manifest.ts'

/** Node 22 has no Float16Array, Node 24 has. */
interface Float16Array_ {
  readonly buffer: ArrayBuffer
  readonly length: number
  readonly [index: number]: number
  set(values: Float32Array): void
}
type Float16Constructor = new (source: number | ArrayBuffer) => Float16Array_
const Native = (globalThis as { Float16Array?: Float16Constructor }).Float16Array

/** Which float16 conversion to use: the engine's own where there is one; tests compare both. */
export type Float16Path = 'native' | 'portable'
/** The faster path that this Node has. */
export const float16Path: Float16Path = Native === undefined ? 'portable' : 'native'

/**
 * [n] float32 to its bytes, rounded to the nearest, ties to even; beyond the type's range becomes an infinity.
 * The result owns its buffer.
 */
export function encodeEdge(values: Float32Array, edge: EdgeType, path: Float16Path = float16Path): Uint8Array {
  if (edge === 'f32') return new Uint8Array(values.slice().buffer)
  if (edge === 'bf16') return new Uint8Array(toBfloat16(values).buffer)
  if (path === 'native' && Native !== undefined) {
    const out = new Native(values.length)
    out.set(values)
    return new Uint8Array(out.buffer)
  }
  return new Uint8Array(toFloat16(values).buffer)
}

/**
 * The bytes of `count` values to float32 [count].
 * @throws {InvalidStepError} when there are more or fewer bytes, or a value is not finite.
 */
export function decodeEdge(
  bytes: Uint8Array,
  edge: EdgeType,
  count: number,
  path: Float16Path = float16Path
): Float32Array {
  const size = edge === 'f32' ? 4 : 2
  if (bytes.length !== count * size) {
    throw new InvalidStepError(
      `hidden states of ${count} values in ${edge} are ${count * size} bytes, but there are ${bytes.length}`
    )
  }
  // A view on a pooled buffer may start at any byte; typed arrays may not.
  const buffer =
    bytes.byteOffset % size === 0 && bytes.buffer instanceof ArrayBuffer
      ? bytes
      : (new Uint8Array(bytes) as Uint8Array<ArrayBuffer>)
  const from = buffer.byteOffset
  let out: Float32Array
  if (edge === 'f32') {
    out = new Float32Array(buffer.buffer as ArrayBuffer, from, count)
  } else {
    const raw = new Uint16Array(buffer.buffer, from, count)
    out = edge === 'bf16' ? fromBfloat16(raw) : path === 'native' ? fromNative(raw) : fromFloat16(raw)
  }
  const bad = firstNonFinite(out)
  if (bad >= 0) throw new InvalidStepError(`hidden states must be finite, but value ${bad} of ${count} is ${out[bad]}`)
  return out
}

/** Index of the first infinity or NaN, or -1. */
export function firstNonFinite(values: Float32Array): number {
  // x - x is 0 for every finite x and NaN for the others, and NaN stays: one pass without a branch.
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i]! - values[i]!
  return sum === 0 ? -1 : values.findIndex(value => !Number.isFinite(value))
}

function fromNative(raw: Uint16Array<ArrayBufferLike>): Float32Array {
  if (Native === undefined) return fromFloat16(raw)
  const half = new (Native as new (buffer: ArrayBufferLike, offset: number, length: number) => Float16Array_)(
    raw.buffer,
    raw.byteOffset,
    raw.length
  )
  const out = new Float32Array(raw.length)
  // A plain loop is 1.5 to 3 times as fast as `set` in this direction (Node 24).
  for (let i = 0; i < out.length; i++) out[i] = half[i]!
  return out
}

/** Each value's {@link halfBits}. */
function toFloat16(values: Float32Array): Uint16Array<ArrayBuffer> {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length)
  const out = new Uint16Array(values.length)
  for (let i = 0; i < out.length; i++) out[i] = halfBits(bits[i]!)
  return out
}

function fromFloat16(raw: Uint16Array): Float32Array {
  const out = new Float32Array(raw.length)
  decodeF16(raw, out)
  return out
}

/** bfloat16 is the upper half of binary32. */
function toBfloat16(values: Float32Array): Uint16Array<ArrayBuffer> {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length)
  const out = new Uint16Array(values.length)
  for (let i = 0; i < out.length; i++) {
    const u = bits[i]!
    out[i] = (u & 0x7fffffff) > 0x7f800000 ? (u >>> 16) | 0x40 : (u + 0x7fff + ((u >>> 16) & 1)) >>> 16
  }
  return out
}

function fromBfloat16(raw: Uint16Array): Float32Array {
  const out = new Float32Array(raw.length)
  decodeBF16(raw, out)
  return out
}

/**
 * What leaves layers [start, end) is finite: what is not would be NaN for ever.
 * @param values [tokens, width]
 * @throws {EngineError} that names the first value which is not.
 */
export function checkNoOverflow(values: Float32Array, width: number, start: number, end: number): void {
  const bad = firstNonFinite(values)
  if (bad < 0) return
  throw new EngineError(`layers ${start}-${end} overflow: hidden value ${bad % width} is ${values[bad]}`)
}
