/** The thread that reads what graphs say of themselves: their files may be from anybody, and large (promise P7). */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { parentPort } from 'node:worker_threads'
import { assert } from '../base/assert.ts'
import { type GraphFacts, type OnnxSource, readOnnx } from './formats/onnx.ts'
import { graphWindowBytes } from './limits.ts'
import { failedReply, type ThreadAnswer } from './thread.ts'

assert(parentPort !== null, 'this file runs as a worker thread')
const port = parentPort

port.on('message', ({ file, name }: { file: string; name: string }) => {
  try {
    port.postMessage({ kind: 'value', value: read(file, name) } satisfies ThreadAnswer)
  } catch (error) {
    port.postMessage(failedReply(error))
  }
})
port.postMessage({ kind: 'value', value: undefined } satisfies ThreadAnswer)

function read(file: string, name: string): GraphFacts {
  const handle = openSync(file, 'r')
  try {
    return readOnnx(windowed(handle), name)
  } finally {
    closeSync(handle)
  }
}

/** Reads through a window that moves along with what is read: nearly all reads are of ten bytes, one after the other. */
function windowed(handle: number): OnnxSource {
  const window = new Uint8Array(graphWindowBytes)
  let from = 0
  let length = 0
  const fill = (at: number): void => {
    from = at
    length = readSync(handle, window, 0, window.length, at)
  }
  return {
    bytes: fstatSync(handle).size,
    read(at, bytes) {
      assert(bytes <= window.length, 'more is read at once than the window holds')
      if (at < from || at + bytes > from + length) fill(at)
      return window.subarray(at - from, Math.min(at - from + bytes, length))
    }
  }
}
