/** The thread of a model's grammars: which tokens may follow takes milliseconds each time, and what a stranger's schema takes nobody knows. */
import { parentPort, workerData } from 'node:worker_threads'
import { assert } from '../base/assert.ts'
import { readFileSync } from '../disk/files-sync.ts'
import { InvalidOptionError } from '../errors.ts'
import { AnswerMasks } from './answer-masks.ts'
import type { GrammarInit, GrammarRequest } from './grammar-messages.ts'
import { TooManyWaysError } from './recogniser.ts'
import { failedReply, type ThreadAnswer } from './thread.ts'
import { loadTokenizer } from './tokenizer.ts'

assert(parentPort !== null, 'this file runs as a worker thread')
const port = parentPort
const init = workerData as GrammarInit

// The library warns of what it does not know, as often as the file has it: that is no business of this peer's log.
console.warn = () => {}

try {
  const masks = answerMasks()
  port.on('message', (request: GrammarRequest) => serve(masks, request))
  port.postMessage({ kind: 'value', value: undefined })
} catch (error) {
  port.postMessage(failedReply(error))
}

/** The tokenizer's own tables go once all tokens are spelt. */
function answerMasks(): AnswerMasks {
  const { file, name, vocab, eosIds } = init
  const tokenizer = loadTokenizer(readFileSync(file), init)
  const none = new Uint8Array(0)
  const tokens = Array.from({ length: tokenizer.size }, (_, id) => (tokenizer.isText(id) ? tokenizer.bytes(id) : none))
  return new AnswerMasks({ name, tokens, vocab, eosIds })
}

function serve(masks: AnswerMasks, request: GrammarRequest): void {
  let reply: ThreadAnswer
  try {
    reply = { kind: 'value', value: answer(masks, request) }
  } catch (error) {
    const isWide = error instanceof TooManyWaysError
    reply = failedReply(isWide ? new InvalidOptionError(`the grammar is too wide: ${error.message}`) : error)
  }
  port.postMessage(reply)
}

function answer(masks: AnswerMasks, request: GrammarRequest): unknown {
  return request.kind === 'ready' ? masks.ready(request.key, request.spec) : masks.masks(request)
}
