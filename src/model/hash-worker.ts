/** The thread that hashes files: a gigabyte takes a second and more, in which a peer must answer others (promise P7). */
import { createHash } from 'node:crypto'
import { parentPort } from 'node:worker_threads'
import { assert } from '../base/assert.ts'
import type { ShardId } from '../base/ids.ts'
import { type OpenFileSync, openFileSync } from '../disk/files-sync.ts'
import { CorruptShardError, DamagedFileError } from '../errors.ts'
import { chunkBytes, verifyChunkBytes } from './limits.ts'
import { chunkCount, chunkLength, digestBytes } from './chunks.ts'
import { type FileHashes, type HashRequest, unreadable } from './hash-messages.ts'
import { failedReply, type ThreadAnswer } from './thread.ts'

assert(parentPort !== null, 'this file runs as a worker thread')
const port = parentPort
const buffer = new Uint8Array(Math.max(verifyChunkBytes, chunkBytes))

port.on('message', (request: HashRequest) => {
  try {
    const hashes = request.kind === 'whole' ? whole(request.path) : chunks(request.path, request.bytes)
    const transfer = hashes.list.length === 0 ? [] : [hashes.list.buffer as ArrayBuffer]
    port.postMessage({ kind: 'value', value: hashes } satisfies ThreadAnswer, transfer)
  } catch (error) {
    port.postMessage(failedReply(error))
  }
})
port.postMessage({ kind: 'value', value: undefined } satisfies ThreadAnswer)

/** All that is in the file, whatever its size. */
function whole(path: string): FileHashes {
  const hash = createHash('sha256')
  const file = openFileSync(path)
  try {
    for (let at = 0; ; ) {
      const bytes = file.read(buffer.subarray(0, verifyChunkBytes), at)
      if (bytes === 0) return { sha256: hash.digest('hex') as ShardId, list: new Uint8Array(0), chunks: '' }
      hash.update(buffer.subarray(0, bytes))
      at += bytes
    }
  } catch (error) {
    if (!(error instanceof DamagedFileError)) throw error
    return { sha256: unreadable as ShardId, list: new Uint8Array(0), chunks: '' }
  } finally {
    file.close()
  }
}

/** A file of that many bytes, and each of its chunks, in one reading. */
function chunks(path: string, bytes: number): FileHashes {
  const hash = createHash('sha256')
  const list = new Uint8Array(chunkCount(bytes) * digestBytes)
  const file = openFileSync(path)
  let isWhole = true
  try {
    for (let chunk = 0; chunk < chunkCount(bytes); chunk++) {
      const part = buffer.subarray(0, chunkLength(bytes, chunk))
      if (!isReadable(file, part, chunk * chunkBytes)) {
        isWhole = false
        continue
      }
      hash.update(part)
      list.set(createHash('sha256').update(part).digest(), chunk * digestBytes)
    }
  } finally {
    file.close()
  }
  const sha256 = (isWhole ? hash.digest('hex') : unreadable) as ShardId
  return { sha256, list, chunks: createHash('sha256').update(list).digest('hex') }
}

/** Fills `into`; false where a seal is broken: that chunk is fetched again, the others need not be. */
function isReadable(file: OpenFileSync, into: Uint8Array, at: number): boolean {
  try {
    const read = file.read(into, at)
    if (read < into.length) throw new CorruptShardError(`a file ended at ${at + read} while it was read`)
    return true
  } catch (error) {
    if (error instanceof DamagedFileError) return false
    throw error
  }
}
