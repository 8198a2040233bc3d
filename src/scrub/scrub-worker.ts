/** The thread that scrubs long texts: a megabyte takes some hundred ms, in which a peer must answer others (promise P7). */
import { parentPort } from 'node:worker_threads'
import { assert } from '../base/assert.ts'
import { failedReply, type ThreadAnswer } from '../model/thread.ts'
import type { ScrubRequest } from './messages.ts'
import { scrubTexts } from './scrub.ts'

assert(parentPort !== null, 'this file runs as a worker thread')
const port = parentPort

port.on('message', ({ texts, country }: ScrubRequest) => {
  try {
    port.postMessage({ kind: 'value', value: scrubTexts(texts, { country }) } satisfies ThreadAnswer)
  } catch (error) {
    port.postMessage(failedReply(error))
  }
})
port.postMessage({ kind: 'value', value: undefined } satisfies ThreadAnswer)
