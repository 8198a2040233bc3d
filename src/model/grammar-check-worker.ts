/** The thread that checks grammars: a schema of 64 kB takes up to 0.2 s of a processor. */
import { parentPort } from 'node:worker_threads'
import { assert } from '../base/assert.ts'
import { grammarOf } from './grammar.ts'
import type { GrammarSpec } from './grammar-spec.ts'
import { failedReply, type ThreadAnswer } from './thread.ts'

assert(parentPort !== null, 'this file runs as a worker thread')
const port = parentPort

port.on('message', (spec: GrammarSpec) => port.postMessage(answer(spec)))
port.postMessage({ kind: 'value', value: undefined })

function answer(spec: GrammarSpec): ThreadAnswer {
  try {
    return { kind: 'value', value: grammarOf(spec).size }
  } catch (error) {
    return failedReply(error)
  }
}
