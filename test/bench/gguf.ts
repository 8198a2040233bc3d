/**
 * Writes GGUF version 3 (ggml's `docs/gguf.md`): a header, typed metadata, tensor descriptions and, from the next
 * multiple of 32 on, the tensors. Tensors are streamed, so a model is never in memory as a whole.
 */
import { closeSync, openSync, writeSync } from 'node:fs'

const alignment = 32
/** ggml's numbers for the types that are written here. */
const tensorTypes = { f32: 0, q4_0: 2, q8_0: 8 } as const
/** GGUF's numbers for metadata values. */
const valueTypes = { u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9 } as const

export type GgufTensorType = keyof typeof tensorTypes

export type GgufValue =
  | { readonly u32: number }
  | { readonly f32: number }
  | { readonly string: string }
  | { readonly strings: readonly string[] }
  | { readonly floats: readonly number[] }
  | { readonly ints: readonly number[] }

export interface GgufTensor {
  readonly name: string
  readonly type: GgufTensorType
  /** [rows, columns], or [length]: the other way round than GGUF writes them. */
  readonly shape: readonly number[]
  /** Its bytes in ggml's layout; called when its turn comes. */
  readonly bytes: () => Uint8Array
}

/** @throws {RangeError} when a tensor's bytes are not as many as its shape and type need. */
export function writeGguf(
  file: string,
  metadata: Readonly<Record<string, GgufValue>>,
  tensors: readonly GgufTensor[]
): void {
  const out = new ByteWriter()
  out.raw(Buffer.from('GGUF'))
  out.u32(3)
  out.u64(tensors.length)
  out.u64(Object.keys(metadata).length)
  for (const [key, value] of Object.entries(metadata)) {
    out.string(key)
    writeValue(out, value)
  }
  let offset = 0
  for (const { name, type, shape } of tensors) {
    out.string(name)
    out.u32(shape.length)
    for (const dimension of shape.toReversed()) out.u64(dimension)
    out.u32(tensorTypes[type])
    out.u64(offset)
    offset = align(offset + tensorBytes(type, shape))
  }
  out.pad()
  const handle = openSync(file, 'w')
  try {
    writeWhole(handle, out.finish())
    for (const { name, type, shape, bytes } of tensors) {
      const data = bytes()
      const size = tensorBytes(type, shape)
      if (data.length !== size) throw new RangeError(`${name} has ${data.length} bytes, its shape needs ${size}`)
      writeWhole(handle, data)
      writeWhole(handle, new Uint8Array(align(size) - size))
    }
  } finally {
    closeSync(handle)
  }
}

function tensorBytes(type: GgufTensorType, shape: readonly number[]): number {
  const count = shape.reduce((a, b) => a * b, 1)
  return type === 'f32' ? 4 * count : (count / 32) * (type === 'q8_0' ? 34 : 18)
}

function writeValue(out: ByteWriter, value: GgufValue): void {
  const array = (type: number, length: number): void => {
    out.u32(valueTypes.array)
    out.u32(type)
    out.u64(length)
  }
  if ('u32' in value) {
    out.u32(valueTypes.u32)
    out.u32(value.u32)
  } else if ('f32' in value) {
    out.u32(valueTypes.f32)
    out.f32(value.f32)
  } else if ('string' in value) {
    out.u32(valueTypes.string)
    out.string(value.string)
  } else if ('strings' in value) {
    array(valueTypes.string, value.strings.length)
    for (const text of value.strings) out.string(text)
  } else if ('floats' in value) {
    array(valueTypes.f32, value.floats.length)
    for (const number of value.floats) out.f32(number)
  } else {
    array(valueTypes.i32, value.ints.length)
    for (const number of value.ints) out.u32(number)
  }
}

function align(offset: number): number {
  return Math.ceil(offset / alignment) * alignment
}

function writeWhole(handle: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(handle, bytes, done)
}

class ByteWriter {
  readonly #parts: Buffer[] = []
  #length = 0

  raw(bytes: Buffer): void {
    this.#parts.push(bytes)
    this.#length += bytes.length
  }

  u32(value: number): void {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32LE(value)
    this.raw(bytes)
  }

  u64(value: number): void {
    const bytes = Buffer.alloc(8)
    bytes.writeBigUInt64LE(BigInt(value))
    this.raw(bytes)
  }

  f32(value: number): void {
    const bytes = Buffer.alloc(4)
    bytes.writeFloatLE(value)
    this.raw(bytes)
  }

  string(text: string): void {
    const bytes = Buffer.from(text)
    this.u64(bytes.length)
    this.raw(bytes)
  }

  pad(): void {
    this.raw(Buffer.alloc(align(this.#length) - this.#length))
  }

  finish(): Buffer {
    return Buffer.concat(this.#parts)
  }
}
