/**
 * The thread that imports a model: it reads headers of megabytes, converts gigabytes and waits for their digests, while the
 * one that talks to the network answers others (promise P7).
 */
import { parentPort, workerData } from 'node:worker_threads'
import { assert } from '../base/assert.ts'
import type { FromImport, ImportJob, ImportQuestion, LayerToCompare, ToImport } from './import-messages.ts'
import { importIntoLibrary } from './library.ts'
import { importAliveMs } from './limits.ts'
import { failedReply } from './thread.ts'

assert(parentPort !== null, 'this file runs as a worker thread')
const port = parentPort
const { options, answered } = workerData as ImportJob

/** Ends an import, as whoever was asked threw something. */
class QuestionRefused extends Error {
  readonly question: number

  constructor(question: number, message: string) {
    super(message)
    this.question = question
  }
}

const aborted = new AbortController()
const asked = new Map<number, PromiseWithResolvers<unknown>>()
let questions = 0

port.on('message', (message: ToImport) => {
  if (message.kind === 'abort') {
    const reason = new Error('the import was aborted')
    aborted.abort(reason)
    for (const { reject } of asked.values()) reject(reason)
    asked.clear()
    return
  }
  const { id } = message
  const question = asked.get(id)
  asked.delete(id)
  if (message.kind === 'answer') question?.resolve(message.value)
  else question?.reject(new QuestionRefused(id, message.message))
})

const alive = setInterval(() => say({ kind: 'alive' }), importAliveMs)
try {
  const model = await importIntoLibrary({
    ...options,
    signal: aborted.signal,
    ...(isAnswered('room') ? { room: async bytes => void (await ask('room', bytes)) } : {}),
    ...(isAnswered('whyNot') ? { whyNot: manifest => ask('whyNot', manifest) as Promise<string | undefined> } : {}),
    ...(isAnswered('chooseEdge') ? { edge: written => ask('chooseEdge', written) as Promise<'f16'> } : {}),
    ...(isAnswered('beginComparison')
      ? {
          compare: {
            begin: async compared => void (await ask('beginComparison', compared)),
            layer: async (layer, files) => void (await ask('compareLayer', { layer, files } satisfies LayerToCompare)),
            end: async failure => void (await ask('endComparison', failure))
          }
        }
      : {}),
    onProgress: progress => say({ kind: 'progress', progress }),
    onNote: note => say({ kind: 'note', note })
  })
  say({ kind: 'done', model })
} catch (error) {
  const question = error instanceof QuestionRefused ? error.question : undefined
  say({ kind: 'failed', reply: failedReply(error), question })
} finally {
  clearInterval(alive)
  port.close()
}

function say(message: FromImport): void {
  port.postMessage(message)
}

function isAnswered(question: ImportQuestion): boolean {
  return answered.includes(question)
}

function ask(question: ImportQuestion, argument: unknown): Promise<unknown> {
  aborted.signal.throwIfAborted()
  const id = questions++
  const answer = Promise.withResolvers<unknown>()
  asked.set(id, answer)
  say({ kind: 'question', id, question, argument })
  return answer.promise
}
