/**
 * The GGUF format (ggml, docs/gguf.md): a magic number and a version, counts, pairs of metadata, descriptions of tensors, and
 * after padding their data. Versions 2 and 3, little-endian. It is read in order through one buffer, and every count and length
 * is checked against what is left of the file before anything is made of it: the file may be from anybody.
 */
import { shown } from '../../base/shown.ts'
import { ImportError } from '../../errors.ts'
import { ggufArrayMax, ggufHeaderBytesMax, ggufPairsMax, ggufStringBytesMax, ggufTensorsMax } from '../limits.ts'
import { type GgufType, ggufTypes } from './gguf-types.ts'

/** A file to read from. */
export interface GgufBytes {
  /** Its path, for messages. */
  readonly file: string
  /** Its size in bytes. */
  readonly size: number
  /** Fills `into` from an offset within the file. */
  read(offset: number, into: Uint8Array): Promise<void>
}

/** A value of metadata; numbers of 64 bits are rounded to float64, booleans in arrays are 0 and 1. */
export type GgufValue = number | boolean | string | readonly string[] | GgufNumbers
export type GgufNumbers =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array

export interface GgufTensor {
  readonly name: string
  readonly type: GgufType
  /** Outermost dimension first, as elsewhere; the file has them the other way round. */
  readonly shape: readonly number[]
  /** From the start of the file, in bytes. */
  readonly offset: number
  readonly bytes: number
}

export interface GgufHeader {
  readonly file: string
  readonly metadata: ReadonlyMap<string, GgufValue>
  readonly tensors: readonly GgufTensor[]
}

/** `GGUF` as a little-endian number. */
const magic = 0x46554747

/** Numbers of values by their type's number: their size and how one is read. */
const scalars: ReadonlyMap<number, readonly [bytes: number, make: (length: number) => GgufNumbers, read: Reading]> =
  new Map<number, [number, (length: number) => GgufNumbers, Reading]>([
    [0, [1, length => new Uint8Array(length), (view, at) => view.getUint8(at)]],
    [1, [1, length => new Int8Array(length), (view, at) => view.getInt8(at)]],
    [2, [2, length => new Uint16Array(length), (view, at) => view.getUint16(at, true)]],
    [3, [2, length => new Int16Array(length), (view, at) => view.getInt16(at, true)]],
    [4, [4, length => new Uint32Array(length), (view, at) => view.getUint32(at, true)]],
    [5, [4, length => new Int32Array(length), (view, at) => view.getInt32(at, true)]],
    [6, [4, length => new Float32Array(length), (view, at) => view.getFloat32(at, true)]],
    [7, [1, length => new Uint8Array(length), (view, at) => view.getUint8(at)]],
    [10, [8, length => new Float64Array(length), (view, at) => Number(view.getBigUint64(at, true))]],
    [11, [8, length => new Float64Array(length), (view, at) => Number(view.getBigInt64(at, true))]],
    [12, [8, length => new Float64Array(length), (view, at) => view.getFloat64(at, true)]]
  ])
type Reading = (view: DataView, at: number) => number
const booleanType = 7
const stringType = 8
const arrayType = 9

/** What an array element takes at least, in bytes. */
const elementBytesMin = (type: number): number => (type === stringType ? 8 : (scalars.get(type)?.[0] ?? 1))

/**
 * Reads metadata and descriptions of tensors.
 *
 * @throws {ImportError} in one sentence that says what is wrong, and where
 */
export async function readGgufHeader(bytes: GgufBytes): Promise<GgufHeader> {
  const cursor = new Cursor(bytes)
  if (bytes.size < 24) {
    cursor.refuse(`is truncated: it has ${bytes.size} bytes, a GGUF file has at least 24`)
  }
  if ((await cursor.u32()) !== magic)
    cursor.refuse('is no GGUF file; of a Hugging Face model give the folder with its config.json')
  const version = await cursor.u32()
  if (version !== 0 && (version & 0xffff) === 0)
    cursor.refuse('is big-endian; only little-endian GGUF files can be imported')
  if (version !== 2 && version !== 3) cursor.refuse(`has GGUF version ${version}; versions 2 and 3 can be imported`)
  const tensorCount = await cursor.count('tensors', ggufTensorsMax, 24)
  const pairCount = await cursor.count('pairs of metadata', ggufPairsMax, 13)
  const metadata = new Map<string, GgufValue>()
  for (let i = 0; i < pairCount; i++) {
    const key = await cursor.text(`the name of its pair ${i}`, ggufNameBytesMax)
    if (metadata.has(key)) cursor.refuse(`has ${shown(key)} twice`)
    metadata.set(key, await value(cursor, key))
  }
  const tensors: Described[] = []
  for (let i = 0; i < tensorCount; i++) tensors.push(await describedTensor(cursor, i))
  return { file: bytes.file, metadata, tensors: placed(cursor, tensors, metadata) }
}

/** The format says 64 for names of tensors; keys of metadata are as short. */
const ggufNameBytesMax = 1024
const dimensionsMax = 4

async function value(cursor: Cursor, key: string): Promise<GgufValue> {
  const type = await cursor.u32()
  if (type === stringType) return cursor.text(shown(key), ggufStringBytesMax)
  if (type === booleanType) return (await cursor.number(1, view => view.getUint8(0))) !== 0
  if (type === arrayType) return array(cursor, key)
  const scalar = scalars.get(type)
  if (scalar === undefined)
    return cursor.refuse(`${shown(key)} has a value of the type ${type}, which GGUF does not have`)
  return cursor.number(scalar[0], view => scalar[2](view, 0))
}

async function array(cursor: Cursor, key: string): Promise<GgufValue> {
  const type = await cursor.u32()
  const scalar = scalars.get(type)
  if (scalar === undefined && type !== stringType) {
    const what = type === arrayType ? 'is an array of arrays' : `is an array of the type ${type}`
    cursor.refuse(`${shown(key)} ${what}, which cannot be read`)
  }
  const count = await cursor.count(`elements of ${shown(key)}`, ggufArrayMax, elementBytesMin(type))
  if (scalar === undefined) {
    const texts: string[] = []
    for (let i = 0; i < count; i++) texts.push(await cursor.text(`${shown(key)}[${i}]`, ggufStringBytesMax))
    return texts
  }
  const [size, make, read] = scalar
  const numbers = make(count)
  await cursor.each(count, size, (view, at, i) => {
    numbers[i] = read(view, at)
  })
  return numbers
}

interface Described {
  readonly name: string
  readonly type: GgufType
  readonly shape: readonly number[]
  /** From the start of the data. */
  readonly offset: number
  readonly bytes: number
}

async function describedTensor(cursor: Cursor, index: number): Promise<Described> {
  const name = await cursor.text(`the name of its tensor ${index}`, ggufNameBytesMax)
  const dimensions = await cursor.u32()
  if (dimensions < 1 || dimensions > dimensionsMax) {
    cursor.refuse(`tensor ${shown(name)} has ${dimensions} dimensions; 1 to ${dimensionsMax} are possible`)
  }
  const shape: number[] = []
  for (let i = 0; i < dimensions; i++) shape.unshift(await cursor.u64())
  const number = await cursor.u32()
  const type = ggufTypes.get(number)
  if (type === undefined) return cursor.refuse(`tensor ${shown(name)} has the type ${number}, which is not known here`)
  const offset = await cursor.u64()
  const elements = shape.reduce((a, b) => a * b, 1)
  const columns = shape.at(-1)!
  // Products beyond 2^53 are not exact, and far beyond any file.
  if (!shape.every(size => size > 0) || !Number.isSafeInteger(elements)) {
    cursor.refuse(`tensor ${shown(name)} has the shape [${shape.join(', ')}], which no tensor has`)
  }
  if (columns % type.columns !== 0) {
    cursor.refuse(`tensor ${shown(name)} has rows of ${columns} weights in blocks of ${type.columns} (${type.name})`)
  }
  return { name, type, shape, offset, bytes: (elements / type.columns) * type.bytes }
}

/** The tensors with their places in the file; none twice, none outside, none over another. */
function placed(
  cursor: Cursor,
  described: readonly Described[],
  metadata: ReadonlyMap<string, GgufValue>
): GgufTensor[] {
  const alignment = metadata.get('general.alignment') ?? 32
  if (typeof alignment !== 'number' || alignment < 1 || alignment > 1 << 20 || (alignment & (alignment - 1)) !== 0) {
    return cursor.refuse(`has a general.alignment of ${shown(String(alignment))}, which must be a power of 2`)
  }
  const start = Math.ceil(cursor.offset / alignment) * alignment
  const seen = new Set<string>()
  const tensors = described.map(({ name, type, shape, offset, bytes }) => {
    if (seen.has(name)) cursor.refuse(`has the tensor ${shown(name)} twice`)
    seen.add(name)
    if (offset % alignment !== 0)
      cursor.refuse(`tensor ${shown(name)} begins at ${offset}, no multiple of ${alignment}`)
    const end = start + offset + bytes
    if (end > cursor.size) {
      cursor.refuse(`is truncated: it has ${cursor.size} bytes, its tensor ${shown(name)} ends at ${end}`)
    }
    return { name, type, shape, offset: start + offset, bytes }
  })
  const inOrder = [...tensors].sort((a, b) => a.offset - b.offset)
  for (const [i, next] of inOrder.entries()) {
    const before = inOrder[i - 1]
    if (before !== undefined && before.offset + before.bytes > next.offset) {
      cursor.refuse(`the tensors ${shown(before.name)} and ${shown(next.name)} overlap`)
    }
  }
  return tensors
}

/** Holds the longest text with its length. */
const bufferBytes = Math.max(1 << 20, ggufStringBytesMax + 8)

/** Reads a file from its start on. */
class Cursor {
  readonly #bytes: GgufBytes
  readonly #buffer: Uint8Array
  readonly #view: DataView
  /** A byte-order mark is part of a token and stays. */
  readonly #decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  /** In the buffer. */
  #at = 0
  #end = 0
  /** Where the buffer's end is in the file. */
  #read = 0

  constructor(bytes: GgufBytes) {
    this.#bytes = bytes
    this.#buffer = new Uint8Array(Math.min(bufferBytes, bytes.size))
    this.#view = new DataView(this.#buffer.buffer)
  }

  get size(): number {
    return this.#bytes.size
  }

  get offset(): number {
    return this.#read - (this.#end - this.#at)
  }

  /** @throws {ImportError} that begins with the file */
  refuse(what: string): never {
    const ownVerb = /^(is|has|does) /.test(what)
    throw new ImportError(ownVerb ? `${this.#bytes.file} ${what}` : `${this.#bytes.file}: ${what}`)
  }

  /** Has so many bytes in the buffer. */
  async #need(count: number): Promise<void> {
    if (this.#end - this.#at >= count) return
    if (this.offset + count > this.size) {
      this.refuse(`is truncated: it has ${this.size} bytes, and its header goes on`)
    }
    if (this.offset + count > ggufHeaderBytesMax) {
      this.refuse(`has a header of more than the ${ggufHeaderBytesMax} bytes that are read`)
    }
    this.#buffer.copyWithin(0, this.#at, this.#end)
    this.#end -= this.#at
    this.#at = 0
    const more = Math.min(this.#buffer.length - this.#end, this.size - this.#read)
    await this.#bytes.read(this.#read, this.#buffer.subarray(this.#end, this.#end + more))
    this.#end += more
    this.#read += more
  }

  #take(count: number): number {
    const at = this.#at
    this.#at += count
    return at
  }

  async u32(): Promise<number> {
    await this.#need(4)
    return this.#view.getUint32(this.#take(4), true)
  }

  /** Above 2^53 it is rounded, and refused by who asks. */
  async u64(): Promise<number> {
    await this.#need(8)
    return Number(this.#view.getBigUint64(this.#take(8), true))
  }

  async number(bytes: number, read: (view: DataView) => number): Promise<number> {
    await this.#need(bytes)
    return read(new DataView(this.#buffer.buffer, this.#take(bytes), bytes))
  }

  /** A count of what takes at least so many bytes each, which the rest of the file must have. */
  async count(what: string, most: number, bytesEach: number): Promise<number> {
    const count = await this.u64()
    if (count > most) this.refuse(`has ${count} ${what}, at most ${most} are read`)
    if (count * bytesEach > this.size - this.offset) {
      this.refuse(`is truncated: it has ${this.size} bytes, too few for its ${count} ${what}`)
    }
    return count
  }

  async text(what: string, bytesMax: number): Promise<string> {
    const length = await this.u64()
    if (length > bytesMax) this.refuse(`${what} has ${length} bytes, at most ${bytesMax} are read`)
    await this.#need(length)
    const at = this.#take(length)
    try {
      return this.#decoder.decode(this.#buffer.subarray(at, at + length))
    } catch {
      return this.refuse(`${what} is not UTF-8`)
    }
  }

  /** Tells where each of `count` values of so many bytes is. */
  async each(count: number, bytes: number, use: (view: DataView, at: number, index: number) => void): Promise<void> {
    for (let i = 0; i < count; ) {
      const part = Math.min(count - i, Math.floor(this.#buffer.length / bytes))
      await this.#need(part * bytes)
      for (const end = i + part; i < end; i++) use(this.#view, this.#take(bytes), i)
    }
  }
}
