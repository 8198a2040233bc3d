/**
 * An open file of a sealed directory, read and written at any offset as if it lay there as it is. What is in memory of it is one chunk
 * that was written in part, or read in small bites; what reaches the disk is sealed.
 */
import type { FileHandle } from 'node:fs/promises'
import { assert } from '../base/assert.ts'
import { sealedChunkBytes, sealedChunksAtOnce } from './limits.ts'
import {
  boundOf,
  type FileKey,
  type FolderKeys,
  headerBytes,
  sealBytes,
  sizeOnDisk,
  sizeWithin,
  slotAt,
  slotBytes
} from './sealed-bytes.ts'

/** What of an open file is used here; a `FileHandle` of Node has it. */
export interface OpenFile {
  /** @param position where to read; null: where the last such read ended */
  read(into: Uint8Array, offset: number, length: number, position: number | null): Promise<{ bytesRead: number }>
  /** @param position where to write; null: where the last such write ended */
  write(bytes: Uint8Array, offset: number, length: number, position: number | null): Promise<{ bytesWritten: number }>
  truncate(bytes: number): Promise<void>
  sync(): Promise<void>
  close(): Promise<void>
}

/** A chunk in memory, as it is to be on the disk. */
interface Held {
  readonly index: number
  /** A whole chunk of room, of which the file may have less. */
  readonly bytes: Uint8Array
  changed: boolean
}

export class SealedFile implements OpenFile {
  readonly #handle: FileHandle
  readonly #key: FileKey
  readonly #place: string
  #size: number
  #held: Held | undefined
  #position = 0
  /** What whole chunks are read into before they are opened. */
  #slots = new Uint8Array(0)
  /** One thing at a time: two writes into one chunk would each seal it without the other. */
  #last: Promise<unknown> = Promise.resolve()

  private constructor(handle: FileHandle, key: FileKey, place: string, size: number) {
    this.#handle = handle
    this.#key = key
    this.#place = place
    this.#size = size
  }

  /**
   * Of a file that is open on the disk; one of no bytes is begun where it may be written.
   *
   * @throws {DamagedFileError} when it is not sealed by this directory's key
   */
  static async open(
    handle: FileHandle,
    { keys, place, writes }: { readonly keys: FolderKeys; readonly place: string; readonly writes: boolean }
  ): Promise<SealedFile> {
    const { size } = await handle.stat()
    if (size === 0) {
      const { header, key } = keys.begin('pieces')
      if (writes) await writeAll(handle, header, 0)
      return new SealedFile(handle, key, place, 0)
    }
    const header = new Uint8Array(headerBytes)
    const key = keys.file(header.subarray(0, await readSome(handle, header, 0)))
    assert(!writes || key.kind === 'pieces', 'a file that is bound to its place and length is written whole')
    return new SealedFile(handle, key, place, sizeWithin(size))
  }

  /** Bytes that it holds. */
  get size(): number {
    return this.#size
  }

  read(into: Uint8Array, offset: number, length: number, position: number | null): Promise<{ bytesRead: number }> {
    return this.#alone(async () => {
      const at = position ?? this.#position
      const bytesRead = Math.max(0, Math.min(length, this.#size - at))
      await this.#read(into.subarray(offset, offset + bytesRead), at)
      if (position === null) this.#position += bytesRead
      return { bytesRead }
    })
  }

  write(bytes: Uint8Array, offset: number, length: number, position: number | null): Promise<{ bytesWritten: number }> {
    return this.#alone(async () => {
      const at = position ?? this.#position
      await this.#write(bytes.subarray(offset, offset + length), at)
      if (position === null) this.#position += length
      return { bytesWritten: length }
    })
  }

  truncate(bytes: number): Promise<void> {
    return this.#alone(async () => {
      if (bytes === this.#size) return
      // The last chunk is sealed anew: it gets longer, or shorter.
      const index = Math.floor(Math.min(bytes, this.#size) / sealedChunkBytes)
      if (Math.min(bytes, this.#size) % sealedChunkBytes > 0) {
        const held = await this.#hold(index)
        if (bytes < this.#size) held.bytes.fill(0, bytes - index * sealedChunkBytes)
        held.changed = true
      }
      if (this.#held !== undefined && this.#held.index * sealedChunkBytes >= bytes) this.#held = undefined
      this.#size = bytes
      await this.#handle.truncate(sizeOnDisk(bytes))
      await this.#flush()
    })
  }

  sync(): Promise<void> {
    return this.#alone(async () => {
      await this.#flush()
      await this.#handle.sync()
    })
  }

  close(): Promise<void> {
    return this.#alone(async () => {
      try {
        await this.#flush()
      } finally {
        await this.#handle.close()
      }
    })
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work)
    this.#last = done.catch(() => {})
    return done
  }

  async #read(into: Uint8Array, from: number): Promise<void> {
    for (let done = 0; done < into.length; ) {
      const at = from + done
      const index = Math.floor(at / sealedChunkBytes)
      const within = at - index * sealedChunkBytes
      const rest = into.length - done
      if (within > 0 || rest < this.#lengthOf(index) || this.#held?.index === index) {
        const { bytes } = await this.#hold(index)
        const length = Math.min(rest, this.#lengthOf(index) - within)
        into.set(bytes.subarray(within, within + length), done)
        done += length
      } else {
        done += await this.#readChunks(index, into.subarray(done))
      }
    }
  }

  /** Whole chunks, many at once, as far as they fit and are not in memory. */
  async #readChunks(index: number, into: Uint8Array): Promise<number> {
    let end = index
    let bytes = 0
    while (end - index < sealedChunksAtOnce && end !== this.#held?.index && end * sealedChunkBytes < this.#size) {
      if (bytes + this.#lengthOf(end) > into.length) break
      bytes += this.#lengthOf(end++)
    }
    const slotsBytes = bytes + (end - index) * sealBytes
    if (this.#slots.length < slotsBytes) this.#slots = new Uint8Array(slotsBytes)
    const slots = this.#slots.subarray(0, slotsBytes)
    const read = await readSome(this.#handle, slots, slotAt(index))
    slots.fill(0, read)
    for (let each = index; each < end; each++) {
      const at = (each - index) * slotBytes
      const slot = slots.subarray(at, at + this.#lengthOf(each) + sealBytes)
      const to = (each - index) * sealedChunkBytes
      this.#open(each, slot, into.subarray(to, to + this.#lengthOf(each)))
    }
    return bytes
  }

  async #write(bytes: Uint8Array, from: number): Promise<void> {
    // What lies between its end and what is written has zeros, and its last chunk gets longer.
    if (bytes.length > 0 && from + bytes.length > this.#size) await this.#grow(from + bytes.length)
    for (let done = 0; done < bytes.length; ) {
      const at = from + done
      const index = Math.floor(at / sealedChunkBytes)
      const within = at - index * sealedChunkBytes
      const length = Math.min(bytes.length - done, sealedChunkBytes - within)
      const part = bytes.subarray(done, done + length)
      if (length === this.#lengthOf(index)) {
        if (this.#held?.index === index) this.#held = undefined
        await this.#put(index, part)
      } else {
        const held = await this.#hold(index)
        held.bytes.set(part, within)
        held.changed = true
      }
      done += length
    }
  }

  /**
   * The last chunk gets longer, and is written when it is let go of; chunks that nobody writes are holes. On the disk the file grows with what
   * is written: who comes after a crash finds no length for what was in memory.
   */
  async #grow(size: number): Promise<void> {
    if (this.#size % sealedChunkBytes > 0) (await this.#hold(Math.floor(this.#size / sealedChunkBytes))).changed = true
    this.#size = size
  }

  /** Brings a chunk into memory, and lets go of the one that was there. */
  async #hold(index: number): Promise<Held> {
    if (this.#held?.index === index) return this.#held
    await this.#flush()
    const bytes = this.#held?.bytes.fill(0) ?? new Uint8Array(sealedChunkBytes)
    this.#held = undefined
    const length = this.#lengthOf(index)
    const slot = new Uint8Array(length + sealBytes)
    const read = length === 0 ? 0 : await readSome(this.#handle, slot, slotAt(index))
    if (read > 0) this.#open(index, slot.subarray(0, read), bytes.subarray(0, Math.max(0, read - sealBytes)))
    this.#held = { index, bytes, changed: false }
    return this.#held
  }

  async #flush(): Promise<void> {
    const held = this.#held
    if (held?.changed !== true) return
    // Who writes to a disk that is full hears of it once, and can close the file.
    held.changed = false
    await this.#put(held.index, held.bytes.subarray(0, this.#lengthOf(held.index)))
  }

  async #put(index: number, chunk: Uint8Array): Promise<void> {
    await writeAll(this.#handle, this.#key.seal(index, chunk), slotAt(index))
  }

  #open(index: number, slot: Uint8Array, into: Uint8Array): void {
    const isLast = (index + 1) * sealedChunkBytes >= this.#size
    this.#key.open(index, slot, into, boundOf(this.#key.kind, isLast, this.#place))
  }

  #lengthOf(index: number): number {
    return Math.max(0, Math.min(sealedChunkBytes, this.#size - index * sealedChunkBytes))
  }
}

/** Reads until the buffer is full or the file has ended. */
async function readSome(handle: FileHandle, into: Uint8Array, at: number): Promise<number> {
  let done = 0
  while (done < into.length) {
    const { bytesRead } = await handle.read(into, done, into.length - done, at + done)
    if (bytesRead === 0) break
    done += bytesRead
  }
  return done
}

async function writeAll(handle: FileHandle, bytes: Uint8Array, at: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += (await handle.write(bytes, done, bytes.length - done, at + done)).bytesWritten
  }
}
