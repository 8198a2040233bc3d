/** An import in a thread of its own, which the one that asks for it neither computes for nor waits on (promise P7). */
import { Worker } from 'node:worker_threads'
import { DeadlineError, EngineError } from '../errors.ts'
import type { ComparedModel } from './import-comparison.ts'
import type {
  FromImport,
  ImportCallbacks,
  ImportJob,
  ImportQuestion,
  LayerToCompare,
  ToImport
} from './import-messages.ts'
import { type LibraryImportInit, sweepThread } from './library.ts'
import { importGiveUpMs, importHeapBytes, importStallMs } from './limits.ts'
import type { StoredModel } from './store.ts'
import { errorOf, ticking } from './thread.ts'

export interface ThreadImportInit extends LibraryImportInit {
  /** How long the thread may stand still in one piece. @default importStallMs */
  readonly stallMs?: number
}

/**
 * As `importIntoLibrary`. What is asked is answered here; an error that an answer throws ends the import, and is thrown.
 *
 * @throws {DeadlineError} when the thread stands still for too long, {EngineError} when it ends by itself
 */
export async function importInThread(init: ThreadImportInit): Promise<StoredModel> {
  const { signal = new AbortController().signal, stallMs = importStallMs, ...rest } = init
  signal.throwIfAborted()
  return new ImportThread(rest, stallMs).run(signal)
}

class ImportThread {
  readonly #dataDir: string
  readonly #name: string
  readonly #callbacks: Pick<ImportCallbacks, 'onProgress' | 'onNote'>
  readonly #answers: Answers
  readonly #worker: Worker
  readonly #threadId: number
  readonly #stallMs: number
  readonly #end = Promise.withResolvers<StoredModel>()
  /** What answers threw. */
  readonly #refusals = new Map<number, unknown>()
  #stopDeadline: () => void = () => {}

  constructor(init: Omit<LibraryImportInit, 'signal'>, stallMs: number) {
    const { room, whyNot, compare, onProgress, onNote, edge, ...options } = init
    this.#callbacks = { onProgress, onNote } as ImportCallbacks
    this.#answers = answersOf({ room, whyNot, compare, chooseEdge: typeof edge === 'function' ? edge : undefined })
    const job: ImportJob = {
      options: { ...options, ...(typeof edge === 'string' ? { edge } : {}) },
      answered: (Object.keys(this.#answers) as ImportQuestion[]).filter(each => this.#answers[each] !== undefined)
    }
    this.#dataDir = init.dataDir
    this.#name = init.name
    this.#stallMs = stallMs
    const own = import.meta.url.endsWith('.ts') ? './import-worker.ts' : './import-worker.js'
    this.#worker = new Worker(new URL(own, import.meta.url), {
      workerData: job,
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: importHeapBytes / 2 ** 20 }
    })
    this.#threadId = this.#worker.threadId
  }

  async run(signal: AbortSignal): Promise<StoredModel> {
    const worker = this.#worker
    worker.on('message', (message: FromImport) => this.#take(message))
    worker.on('error', error => this.#end.reject(this.#failure(error)))
    worker.on('exit', code => this.#end.reject(this.#failure(new Error(`it ended (code ${code})`))))
    const onAbort = (): void => {
      this.#tell({ kind: 'abort' })
      this.#arm(importGiveUpMs)
    }
    signal.addEventListener('abort', onAbort, { once: true })
    this.#arm(this.#stallMs)
    try {
      return await this.#end.promise
    } catch (error) {
      // Whatever it says of its end, that was asked for.
      signal.throwIfAborted()
      throw error
    } finally {
      signal.removeEventListener('abort', onAbort)
      this.#stopDeadline()
      worker.removeAllListeners('exit').removeAllListeners('message')
      await worker.terminate()
      // One that was let end has left nothing; and what cannot be removed now is when the store is next opened.
      await sweepThread(this.#dataDir, this.#threadId).catch(() => {})
    }
  }

  #take(message: FromImport): void {
    this.#arm(this.#stallMs)
    if (message.kind === 'progress') this.#callbacks.onProgress?.(message.progress)
    else if (message.kind === 'note') this.#callbacks.onNote?.(message.note)
    else if (message.kind === 'question') void this.#answer(message)
    else if (message.kind === 'done') this.#end.resolve(message.model)
    else if (message.kind === 'failed') this.#end.reject(this.#failed(message))
  }

  async #answer({ id, question, argument }: FromImport & { readonly kind: 'question' }): Promise<void> {
    try {
      this.#tell({ kind: 'answer', id, value: await this.#answers[question]?.(argument as never) })
    } catch (error) {
      this.#refusals.set(id, error)
      this.#tell({ kind: 'refused', id, message: error instanceof Error ? error.message : String(error) })
    }
  }

  #tell(message: ToImport): void {
    this.#worker.postMessage(message)
  }

  #failed({ reply, question }: FromImport & { readonly kind: 'failed' }): unknown {
    if (question !== undefined && this.#refusals.has(question)) return this.#refusals.get(question)
    return reply.kind === 'failed' ? errorOf(reply) : new EngineError(`the import of ${this.#name} failed`)
  }

  /** Time starts anew: it has shown that it runs. */
  #arm(ms: number): void {
    this.#stopDeadline()
    this.#stopDeadline = ticking(ms, () => {
      this.#end.reject(new DeadlineError(`the import of ${this.#name} stood still for ${ms} ms, and was ended`))
    })
  }

  #failure(error: Error): Error {
    const { code } = error as NodeJS.ErrnoException
    const why = code === 'ERR_WORKER_OUT_OF_MEMORY' ? 'it needs more memory than it may have' : error.message
    return new EngineError(`the import of ${this.#name} failed: ${why}`, { cause: error })
  }
}

type Answers = Readonly<Record<ImportQuestion, ((argument: never) => unknown) | undefined>>

function answersOf({
  room,
  whyNot,
  chooseEdge,
  compare
}: { [K in keyof ImportCallbacks]: ImportCallbacks[K] | undefined }): Answers {
  return {
    ...{ room, whyNot, chooseEdge },
    beginComparison: compare && ((compared: ComparedModel) => compare.begin(compared)),
    compareLayer: compare && (({ layer, files }: LayerToCompare) => compare.layer(layer, files)),
    endComparison: compare && ((failure: string | undefined) => compare.end(failure))
  }
}
