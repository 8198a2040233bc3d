/**
 * A tokenizer's thread. Its file may have come from anybody: an expression in it may run for ever on the right text, so
 * neither it nor any text is ever looked at in the thread that talks to the network (promise P7).
 */
import { parentPort, workerData } from 'node:worker_threads'
import { assert } from '../base/assert.ts'
import { readFileSync } from '../disk/files-sync.ts'
import { promptOf } from './conversation.ts'
import { failedReply, type ThreadAnswer } from './thread.ts'
import { loadTokenizer, type ModelTokenizer } from './tokenizer.ts'
import type { TokenizerFacts, TokenizerInit, TokenizerRequest, TokenizerText } from './tokenizer-messages.ts'

assert(parentPort !== null, 'this file runs as a worker thread')
const port = parentPort
const init = workerData as TokenizerInit

// The library warns of what it does not know, as often as the file has it: that is no business of this peer's log.
console.warn = () => {}

try {
  const { from } = init
  const tokenizer = loadTokenizer('bytes' in from ? from.bytes : readFileSync(from.file), init)
  port.on('message', (request: TokenizerRequest) => serve(tokenizer, request))
  port.postMessage({ kind: 'value', value: facts(tokenizer) })
} catch (error) {
  port.postMessage(failedReply(error))
}

function facts({ longest, size }: ModelTokenizer): TokenizerFacts {
  return { longest, size }
}

function serve(tokenizer: ModelTokenizer, request: TokenizerRequest): void {
  let reply: ThreadAnswer
  try {
    reply = { kind: 'value', value: answer(tokenizer, request) }
  } catch (error) {
    reply = failedReply(error)
  }
  port.postMessage(reply)
}

function answer(tokenizer: ModelTokenizer, request: TokenizerRequest): unknown {
  if (request.kind === 'id') return tokenizer.id(request.token)
  if (request.kind === 'vocabulary') return tokenizer.vocabulary()
  if (request.kind === 'bytes') return request.ids.map(id => tokenizer.bytes(id))
  if (request.kind === 'whole') return tokenizer.encodeWhole(request.text)
  if (request.kind === 'front') return tokenizer.putsInFront(request.id)
  if (request.kind === 'encode') return Int32Array.from(tokenizer.encode(request.text, request))
  if (request.kind === 'chat') return promptOf(tokenizer, init, request.conversation, request.room)
  return textOf(tokenizer, request)
}

function textOf(
  tokenizer: ModelTokenizer,
  { from, ids, last }: TokenizerRequest & { readonly kind: 'text' }
): TokenizerText {
  const stream = 'prompt' in from ? tokenizer.stream([...from.prompt]) : tokenizer.resume(from)
  let text = ''
  for (const id of ids) text += stream.push(id)
  if (last) text += stream.end()
  return { text, state: stream.state }
}
