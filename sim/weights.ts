/**
 * The files of a simulated model, byte for byte, and who has them. Bytes are made when somebody asks for them and are
 * the same in every world, so that nothing is kept and everything can be checked.
 */
import { hash } from 'node:crypto'
import type { Range } from '../src/base/ids.ts'
import { ChunkSet, chunkCount, chunkLength } from '../src/model/chunks.ts'
import { rangesWhere } from '../src/route/coverage.ts'
import type { Holding, ModelShape } from '../src/route/view.ts'
import type { WantedFile } from '../src/supply/event.ts'
import type { FileId } from '../src/supply/frame.ts'

export interface WeightsFile extends WantedFile {
  readonly role: 'layer' | 'embedding' | 'head'
  /** Of a layer's file. */
  readonly layer: number
  /** The digests of its chunks, 32 bytes each. */
  readonly list: Uint8Array
}

/** Chunk lists by what they are of: the same sizes have the same bytes in every world. */
const lists = new Map<string, Uint8Array>()

/** What a model's files are of. */
export type Parts = Pick<ModelShape, 'layers' | 'layerBytes' | 'embeddingBytes' | 'headBytes' | 'tiedEmbeddings'>

export class Weights {
  readonly layers: number
  readonly #tied: boolean
  readonly files: readonly WeightsFile[]
  readonly #byId: ReadonlyMap<FileId, WeightsFile>

  constructor(shape: Parts) {
    this.layers = shape.layers
    this.#tied = shape.tiedEmbeddings
    this.files = [
      ...shape.layerBytes.map((bytes, layer) => fileOf('layer', layer, bytes)),
      // A model without them says so by their size.
      ...(shape.embeddingBytes > 0 ? [fileOf('embedding', -1, shape.embeddingBytes)] : []),
      ...(shape.headBytes > 0 ? [fileOf('head', -2, shape.headBytes)] : [])
    ]
    this.#byId = new Map(this.files.map(entry => [entry.file, entry]))
  }

  get(file: FileId): WeightsFile | undefined {
    return this.#byId.get(file)
  }

  /** What a stage is made of, as `stageShards` has it of a manifest. */
  of({ start, end }: Range): WeightsFile[] {
    return this.files.filter(({ role, layer }) => {
      if (role === 'layer') return layer >= start && layer < end
      if (role === 'head') return end === this.layers
      return start === 0 || (end === this.layers && this.#tied)
    })
  }

  /** `layers 3-6, head`, the end not included. */
  names(files: readonly WeightsFile[]): string {
    const found = new Set(files.map(({ layer }) => layer))
    const ranges = rangesWhere(this.layers, layer => found.has(layer)).map(({ start, end }) =>
      end === start + 1 ? `layer ${start}` : `layers ${start}-${end}`
    )
    return [...ranges, ...files.flatMap(({ role }) => (role === 'layer' ? [] : [role]))].join(', ')
  }

  /** What a record says of files on a disk. */
  holding(has: (file: FileId) => boolean): Holding {
    const isThere = (role: WeightsFile['role']): boolean =>
      this.files.every(each => each.role !== role || has(each.file))
    return {
      held: rangesWhere(this.layers, layer => has(this.files[layer]!.file)),
      holdsEmbedding: isThere('embedding'),
      holdsHead: isThere('head')
    }
  }
}

function fileOf(role: WeightsFile['role'], layer: number, bytes: number): WeightsFile {
  const number = layer + 2
  const key = `${number} ${bytes}`
  let list = lists.get(key)
  if (list === undefined) {
    list = new Uint8Array(32 * chunkCount(bytes))
    for (let chunk = 0; chunk < chunkCount(bytes); chunk++) list.set(sha256(bytesOf(number, bytes, chunk)), 32 * chunk)
    if (lists.size >= 2_000) lists.clear()
    lists.set(key, list)
  }
  const chunks = hash('sha256', list, 'hex')
  // A file of one chunk is called by that chunk's digest; of others only the list's is ever looked at.
  const file = chunkCount(bytes) === 1 ? hash('sha256', bytesOf(number, bytes, 0), 'hex') : chunks
  return { file, bytes, chunks, role, layer, list }
}

export function sha256(bytes: Uint8Array): Uint8Array {
  return hash('sha256', bytes, 'buffer')
}

/** One chunk of a file: numbers that belong to no other place. */
export function chunkOf(file: WeightsFile, chunk: number): Uint8Array {
  return bytesOf(file.layer + 2, file.bytes, chunk)
}

function bytesOf(number: number, fileBytes: number, chunk: number): Uint8Array {
  const length = chunkLength(fileBytes, chunk)
  const words = new Uint32Array(Math.ceil(length / 4))
  const first = Math.imul(number * 40_503 + chunk, 0x9e3779b1)
  for (let i = 0; i < words.length; i++) words[i] = first + Math.imul(i, 0x85ebca6b)
  return new Uint8Array(words.buffer, 0, length)
}

/** A disk outlives the process that writes to it. */
export class Disk {
  readonly #files = new Map<FileId, ChunkSet>()

  put(file: WeightsFile): void {
    this.#files.set(file.file, ChunkSet.all(chunkCount(file.bytes)))
  }

  write(file: WeightsFile, chunk: number): void {
    this.chunks(file).add(chunk)
  }

  /** The chunks of a file that are here. */
  chunks(file: WeightsFile): ChunkSet {
    let chunks = this.#files.get(file.file)
    if (chunks === undefined) {
      chunks = new ChunkSet(chunkCount(file.bytes))
      this.#files.set(file.file, chunks)
    }
    return chunks
  }

  readonly has = (file: FileId): boolean => {
    const chunks = this.#files.get(file)
    return chunks !== undefined && chunks.size === chunks.chunks
  }
}
