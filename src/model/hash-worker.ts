/** The thread that hashes files: a gigabyte takes a second and more, in which a peer must answer others (promise P7). */
import { createHash } from 'node:crypto'
import { closeSync, openSync, readSync } from 'node:fs'
import { parentPort } from 'node:worker_threads'
import { assert } from '../base/assert.ts'
import type { ShardId } from '../base/ids.ts'
import { CorruptShardError } from '../errors.ts'
import { chunkBytes, verifyChunkBytes } from './limits.ts'
import { chunkCount, chunkLength, digestBytes } from './chunks.ts'
import type { FileHashes, HashRequest } from './hash-messages.ts'
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
  const file = openSync(path, 'r')
  try {
    for (;;) {
      const bytes = readSync(file, buffer, 0, verifyChunkBytes, null)
      if (bytes === 0) return { sha256: hash.digest('hex') as ShardId, list: new Uint8Array(0), chunks: '' }
      hash.update(buffer.subarray(0, bytes))
    }
  } finally {
    closeSync(file)
  }
}

/** A file of that many bytes, and each of its chunks, in one reading. */
function chunks(path: string, bytes: number): FileHashes {
  const hash = createHash('sha256')
  const list = new Uint8Array(chunkCount(bytes) * digestBytes)
  const file = openSync(path, 'r')
  try {
    for (let chunk = 0; chunk < chunkCount(bytes); chunk++) {
      const length = chunkLength(bytes, chunk)
      for (let done = 0; done < length; ) {
        const read = readSync(file, buffer, done, length - done, null)
        if (read === 0) throw new CorruptShardError(`a file ended at ${chunk * chunkBytes + done} while it was read`)
        done += read
      }
      const part = buffer.subarray(0, length)
      hash.update(part)
      list.set(createHash('sha256').update(part).digest(), chunk * digestBytes)
    }
  } finally {
    closeSync(file)
  }
  return { sha256: hash.digest('hex') as ShardId, list, chunks: createHash('sha256').update(list).digest('hex') }
}
