/** The safetensors files of a Hugging Face directory as a source of decoded tensors. */
import type { OpenFile } from '../disk/files.ts'
import path from 'node:path'
import { shown } from '../base/shown.ts'
import { ImportError } from '../errors.ts'
import type { CheckpointTensor, HeldRows } from './architectures/tensors.ts'
import { decodeBF16, decodeF16 } from './half.ts'
import { openFile, readAt, readJson } from './import-files.ts'
import type { SourceTensor, TensorSource } from './import-writer.ts'
import { importChunkBytes, safetensorsFilesMax } from './limits.ts'
import { elementBytes, headerBytes, parseHeader, parseIndex, type SafetensorsEntry } from './safetensors.ts'

interface Place {
  readonly file: string
  readonly handle: OpenFile
  readonly entry: SafetensorsEntry
}

/** Rows of a tensor of the checkpoint that are rows of one of ours. */
interface Piece extends Pick<HeldRows, 'at' | 'from' | 'rows'> {
  readonly place: Place
}

/** The tensors of a directory's safetensors files, read by rows. */
export class Checkpoint implements TensorSource {
  readonly #source: string
  readonly #handles: OpenFile[] = []
  readonly #tensors = new Map<string, Place>()
  /** What holds (tensor, layer). */
  readonly #held = new Map<string, Piece[]>()
  #raw = new ArrayBuffer(0)

  private constructor(source: string) {
    this.#source = source
  }

  /** @throws {ImportError} when there is no safetensors file, or one is truncated or malformed */
  static async open(source: string): Promise<Checkpoint> {
    const checkpoint = new Checkpoint(source)
    try {
      const indexFile = path.join(source, 'model.safetensors.index.json')
      const single = path.join(source, 'model.safetensors')
      const index = await readJson(indexFile)
      if (index !== undefined) {
        const map = parseIndex(index, indexFile)
        const files = new Set(map.values())
        if (files.size > safetensorsFilesMax) {
          throw new ImportError(`${indexFile} names ${files.size} files, at most ${safetensorsFilesMax} are read`)
        }
        for (const file of files) await checkpoint.#add(path.join(source, file), indexFile)
        for (const [name, file] of map) {
          const place = checkpoint.#tensors.get(name)
          if (place?.file !== path.join(source, file)) {
            throw new ImportError(`${indexFile} says that ${shown(name)} is in ${file}, but it is not`)
          }
        }
      } else {
        await checkpoint.#add(single, undefined)
      }
      return checkpoint
    } catch (err) {
      await checkpoint.close()
      throw err
    }
  }

  async #add(file: string, index: string | undefined): Promise<void> {
    const opened = await openFile(file)
    if (opened === undefined) {
      throw new ImportError(
        index === undefined
          ? `there is no ${file} and no model.safetensors.index.json beside it; only safetensors can be imported`
          : `${index} names ${path.basename(file)}, but that file is not there`
      )
    }
    const { handle, size } = opened
    this.#handles.push(handle)
    const first = new Uint8Array(8)
    await readAt(handle, first.subarray(0, Math.min(8, size)), 0, file)
    const header = new Uint8Array(headerBytes(first, size, file))
    await readAt(handle, header, 8, file)
    for (const [name, entry] of parseHeader(header, size, file)) {
      if (this.#tensors.has(name)) throw new ImportError(`${file}: tensor ${shown(name)} is in another file as well`)
      this.#tensors.set(name, { file, handle, entry })
    }
  }

  has(name: string): boolean {
    return this.#tensors.has(name)
  }

  /** Whether any layer has a tensor of this name. */
  hasInLayer(part: string): boolean {
    return [...this.#tensors.keys()].some(name => name.endsWith(`.${part}`))
  }

  /**
   * Takes note of what each tensor holds.
   *
   * @param isIgnored whether it may have this tensor without our reading it
   * @param architecture for messages
   * @throws {ImportError} when a tensor is missing, unknown or has another shape than the config says
   */
  expect(
    expected: ReadonlyMap<string, CheckpointTensor>,
    isIgnored: (name: string) => boolean,
    architecture: string
  ): void {
    for (const [name, { shape, holds }] of expected) {
      const place = this.#tensors.get(name)
      if (place === undefined) throw new ImportError(`${this.#source} has no tensor ${name}`)
      const actual = place.entry.shape
      if (actual.length !== shape.length || actual.some((size, i) => size !== shape[i])) {
        throw new ImportError(
          `${place.file}: tensor ${name} has the shape [${actual.join(', ')}], the config needs [${shape.join(', ')}]`
        )
      }
      for (const { tensor, layer, at, from, rows } of holds) {
        const key = `${tensor} ${layer}`
        this.#held.set(key, [...(this.#held.get(key) ?? []), { place, at, from, rows }])
      }
    }
    for (const [name, { file }] of this.#tensors) {
      if (!expected.has(name) && !isIgnored(name)) {
        throw new ImportError(`${file} has a tensor ${shown(name)} that a ${architecture} of this config does not have`)
      }
    }
  }

  /** Whether two tensors have the same shape and the same numbers. @param signal ends the reading */
  async isSame(one: string, other: string, signal: AbortSignal): Promise<boolean> {
    const [a, b] = [this.#tensors.get(one)!, this.#tensors.get(other)!]
    const [shape, others] = [a.entry.shape, b.entry.shape]
    if (shape.length !== others.length || shape.some((size, i) => size !== others[i])) return false
    const count = shape.reduce((product, size) => product * size, 1)
    const values = [0, 1].map(() => new Float32Array(Math.min(count, importChunkBytes / 8))) as [
      Float32Array,
      Float32Array
    ]
    for (let at = 0; at < count; at += values[0].length) {
      signal.throwIfAborted()
      const [left, right] = values.map(each => each.subarray(0, count - at)) as [Float32Array, Float32Array]
      await this.#read(a, at, left)
      await this.#read(b, at, right)
      if (left.some((value, i) => !Object.is(value, right[i]))) return false
    }
    return true
  }

  async read(tensor: SourceTensor, layer: number | null, row: number, into: Float32Array): Promise<void> {
    const held = this.#held.get(`${tensor} ${layer}`)!
    // Of a vector, each number is a row.
    const { shape } = held[0]!.place.entry
    const inputs = shape.length === 1 ? 1 : shape.at(-1)!
    const end = row + into.length / inputs
    for (const { place, at, from, rows } of held) {
      const [first, last] = [Math.max(row, at), Math.min(end, at + rows)]
      if (first >= last) continue
      const part = into.subarray((first - row) * inputs, (last - row) * inputs)
      await this.#read(place, (from + first - at) * inputs, part)
    }
  }

  fileOf(tensor: SourceTensor, layer: number | null, row: number, at: number): string | undefined {
    const held = this.#held.get(`${tensor} ${layer}`)!
    const { shape } = held[0]!.place.entry
    const wanted = row + Math.floor(at / (shape.length === 1 ? 1 : shape.at(-1)!))
    return held.find(each => each.at <= wanted && wanted < each.at + each.rows)?.place.file
  }

  /** Numbers of one tensor, from the `first` on. */
  async #read({ file, handle, entry: { type, offset } }: Place, first: number, into: Float32Array): Promise<void> {
    const size = elementBytes[type]
    const bytes = into.length * size
    if (type === 'F32') {
      await readAt(handle, new Uint8Array(into.buffer, into.byteOffset, bytes), offset + first * size, file)
      return
    }
    if (this.#raw.byteLength < bytes) this.#raw = new ArrayBuffer(bytes)
    await readAt(handle, new Uint8Array(this.#raw, 0, bytes), offset + first * size, file)
    const bits = new Uint16Array(this.#raw, 0, into.length)
    if (type === 'F16') decodeF16(bits, into)
    else decodeBF16(bits, into)
  }

  async close(): Promise<void> {
    await Promise.all(this.#handles.splice(0).map(handle => handle.close()))
  }
}
