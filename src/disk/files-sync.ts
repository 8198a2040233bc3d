/** Reading files of a peer on a thread that waits for them: as they are or sealed, as `files.ts` does elsewhere. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { DamagedFileError } from '../errors.ts'
import { sealedChunkBytes, sealedChunksAtOnce } from './limits.ts'
import { placeOf } from './opened.ts'
import {
  boundOf,
  FileKey,
  type FolderKeys,
  headerBytes,
  type SealedKind,
  sealBytes,
  sizeWithin,
  slotAt,
  slotBytes
} from './sealed-bytes.ts'

/** What one call may read: Node takes less than 2 GiB. */
const readBytesMax = 1 << 30

export interface OpenFileSync {
  /** Bytes that it holds. */
  readonly size: number
  /**
   * Fills `into` from an offset, as far as the file goes.
   *
   * @returns how many bytes that were. @throws {DamagedFileError} where its seal is broken
   */
  read(into: Uint8Array, at: number): number
  close(): void
}

/** Opens one sealed file, in another process too, and no other file of its directory. */
export interface FileOpening {
  readonly real: string
  /** 32 bytes. */
  readonly key: Uint8Array
  readonly kind: SealedKind
  readonly place: string
}

/** What opens a file where its directory is not open; undefined where it is not sealed. @throws as {@link openFileSync} */
export function openingOf(path: string): FileOpening | undefined {
  const { real, sealed } = placeOf(path)
  if (sealed === undefined) return undefined
  const file = openSync(real, 'r')
  try {
    const { bytes: key, kind } = keyOf(file, sealed.keys)
    return { real, key, kind, place: sealed.within }
  } finally {
    closeSync(file)
  }
}

/**
 * @param opens what opens it, where its directory is not open here
 * @throws the file system's error, {DamagedFileError}
 */
export function openFileSync(path: string, opens?: FileOpening): OpenFileSync {
  const { real, sealed } = opens === undefined ? placeOf(path) : { real: opens.real, sealed: undefined }
  const file = openSync(real, 'r')
  try {
    const { size } = fstatSync(file)
    const close = (): void => closeSync(file)
    const sealedAs =
      opens !== undefined
        ? { key: new FileKey(opens.key, opens.kind), place: opens.place }
        : sealed !== undefined && size > 0
          ? { key: keyOf(file, sealed.keys), place: sealed.within }
          : undefined
    if (sealedAs === undefined) return { size, read: (into, at) => readAll(file, into, at), close }
    const reader = new SealedReader(file, sealedAs.key, { size: sizeWithin(size), place: sealedAs.place })
    return { size: reader.size, read: (into, at) => reader.read(into, at), close }
  } catch (error) {
    closeSync(file)
    throw error
  }
}

/** A file whole. */
export function readFileSync(path: string, opens?: FileOpening): Uint8Array {
  const file = openFileSync(path, opens)
  try {
    const bytes = new Uint8Array(file.size)
    return bytes.subarray(0, file.read(bytes, 0))
  } finally {
    file.close()
  }
}

function keyOf(file: number, keys: FolderKeys): FileKey {
  const header = new Uint8Array(headerBytes)
  return keys.file(header.subarray(0, readAll(file, header, 0)))
}

class SealedReader {
  readonly size: number
  readonly #file: number
  readonly #key: FileKey
  readonly #place: string
  readonly #slots: Uint8Array
  /** The chunk that was last read in part. */
  readonly #chunk = { index: -1, bytes: new Uint8Array(0) }

  constructor(file: number, key: FileKey, { size, place }: { readonly size: number; readonly place: string }) {
    this.#file = file
    this.#key = key
    this.size = size
    this.#place = place
    this.#slots = new Uint8Array(Math.min(sealedChunksAtOnce, Math.ceil(size / sealedChunkBytes)) * slotBytes)
  }

  read(into: Uint8Array, at: number): number {
    const bytes = Math.max(0, Math.min(into.length, this.size - at))
    for (let done = 0; done < bytes; ) {
      const index = Math.floor((at + done) / sealedChunkBytes)
      const within = at + done - index * sealedChunkBytes
      const length = Math.min(bytes - done, this.#lengthOf(index) - within)
      if (length === this.#lengthOf(index)) {
        done += this.#chunks(index, into.subarray(done, bytes))
        continue
      }
      into.set(this.#part(index).subarray(within, within + length), done)
      done += length
    }
    return bytes
  }

  #part(index: number): Uint8Array {
    if (this.#chunk.index !== index) {
      this.#chunk.index = -1
      this.#chunk.bytes = new Uint8Array(this.#lengthOf(index))
      this.#chunks(index, this.#chunk.bytes)
      this.#chunk.index = index
    }
    return this.#chunk.bytes
  }

  /** Whole chunks, as many as fit. */
  #chunks(first: number, into: Uint8Array): number {
    let end = first
    let bytes = 0
    while (end - first < sealedChunksAtOnce && end * sealedChunkBytes < this.size) {
      if (bytes + this.#lengthOf(end) > into.length) break
      bytes += this.#lengthOf(end++)
    }
    const slots = this.#slots.subarray(0, bytes + (end - first) * sealBytes)
    if (readAll(this.#file, slots, slotAt(first)) < slots.length)
      throw new DamagedFileError('it ended while it was read')
    for (let index = first; index < end; index++) {
      const length = this.#lengthOf(index)
      const from = (index - first) * slotBytes
      const to = (index - first) * sealedChunkBytes
      const isLast = (index + 1) * sealedChunkBytes >= this.size
      const slot = slots.subarray(from, from + length + sealBytes)
      this.#key.open(index, slot, into.subarray(to, to + length), boundOf(this.#key.kind, isLast, this.#place))
    }
    return bytes
  }

  #lengthOf(index: number): number {
    return Math.min(sealedChunkBytes, this.size - index * sealedChunkBytes)
  }
}

function readAll(file: number, into: Uint8Array, at: number): number {
  let done = 0
  while (done < into.length) {
    const read = readSync(file, into, done, Math.min(into.length - done, readBytesMax), at + done)
    if (read === 0) break
    done += read
  }
  return done
}
