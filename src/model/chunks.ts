/**
 * Chunks: how a file is checked while it is still on its way. A file's SHA-256 says nothing before the last byte, so
 * the manifest also gives each file the digest of its chunk list: the SHA-256 digests of its chunks of
 * {@link chunkBytes}, one after another. Whoever has the manifest can check a list from any peer at once, and every
 * chunk by itself after that, so who sent wrong bytes is known after one chunk (promise P5).
 */
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import { chunkBytes } from './limits.ts'

/** Bytes of one digest in a chunk list. */
export const digestBytes = 32

/** Chunks of a file of that many bytes; the last one may be shorter. */
export function chunkCount(fileBytes: number): number {
  return Math.ceil(fileBytes / chunkBytes)
}

/** Bytes of one chunk of a file. */
export function chunkLength(fileBytes: number, chunk: number): number {
  return Math.min(chunkBytes, fileBytes - chunk * chunkBytes)
}

/** The digest of a chunk list, as a manifest gives it: 64 lower-case hex digits. */
export function listDigest(list: Uint8Array): string {
  return bytesToHex(sha256(list))
}

/** The chunk list of a file of one chunk: that chunk is the file. */
export function singleChunkList(file: string): Uint8Array {
  return hexToBytes(file)
}

/** One chunk's digest in a list, as a view of it. */
export function digestOf(list: Uint8Array, chunk: number): Uint8Array {
  return list.subarray(chunk * digestBytes, (chunk + 1) * digestBytes)
}

/** One bit per chunk, the first in the lowest bit of the first byte. */
export class ChunkSet {
  readonly chunks: number
  readonly bits: Uint8Array
  #size = 0

  constructor(chunks: number, bits: Uint8Array = new Uint8Array(Math.ceil(chunks / 8))) {
    this.chunks = chunks
    this.bits = bits
    for (let chunk = 0; chunk < chunks; chunk++) if (this.has(chunk)) this.#size++
  }

  static all(chunks: number): ChunkSet {
    const set = new ChunkSet(chunks)
    for (let chunk = 0; chunk < chunks; chunk++) set.add(chunk)
    return set
  }

  get size(): number {
    return this.#size
  }

  has(chunk: number): boolean {
    return (this.bits[chunk >> 3]! & (1 << (chunk & 7))) !== 0
  }

  add(chunk: number): void {
    if (this.has(chunk)) return
    this.bits[chunk >> 3]! |= 1 << (chunk & 7)
    this.#size++
  }
}
