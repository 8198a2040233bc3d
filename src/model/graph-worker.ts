/** The thread that reads what graphs say of themselves: their files may be from anybody, and large (promise P7). */
import { parentPort } from 'node:worker_threads'
import { assert } from '../base/assert.ts'
import { readOnnxFile } from './onnx-file.ts'
import { failedReply, type ThreadAnswer } from './thread.ts'

assert(parentPort !== null, 'this file runs as a worker thread')
const port = parentPort

port.on('message', ({ file, name }: { file: string; name: string }) => {
  try {
    port.postMessage({ kind: 'value', value: readOnnxFile(file, name) } satisfies ThreadAnswer)
  } catch (error) {
    port.postMessage(failedReply(error))
  }
})
port.postMessage({ kind: 'value', value: undefined } satisfies ThreadAnswer)
