/**
 * A thread that answers one request after another, away from the one that talks to the network (promise P7). It starts
 * with the first request and ends when nothing was asked of it for a while, so that its memory is there only as long as
 * it is of use. A request that passes its deadline ends the thread, whatever it is doing; the others that wait go on in
 * a new one.
 */
import { type TransferListItem, Worker } from 'node:worker_threads'
import { BoundedQueue } from '../base/queue.ts'
import {
  CorruptShardError,
  DataDirectoryError,
  DeadlineError,
  DiskBudgetError,
  EngineError,
  ImportError,
  InvalidManifestError,
  InvalidOptionError,
  NoRoomError,
  PromptTooLongError,
  UnknownModelError
} from '../errors.ts'
import { threadDeadlineTicks, threadGiveUpMs, threadHeapBytes, threadQueueMax, threadYoungHeapBytes } from './limits.ts'

/** What a thread answers: `value`, or why there is none. Its first message says whether it has started. */
export type ThreadAnswer =
  | { readonly kind: 'value'; readonly value: unknown }
  | {
      readonly kind: 'failed'
      readonly name: string
      readonly message: string
      readonly code?: string | undefined
      readonly cause?: string | undefined
    }

export interface ThreadInit {
  /** The file that it runs, an URL. */
  readonly file: URL
  /** What messages call it, such as `the tokenizer of stories15m`. */
  readonly name: string
  /** Fetches what it starts with, again each time it starts, and how large its heap may become beside the usual. */
  readonly data: (signal: AbortSignal) => Promise<{ readonly workerData: unknown; readonly heapBytes?: number }>
  /** From its start until it takes requests, without the fetching of its data. */
  readonly startMs: number
  /** It ends when nothing was asked of it for so long. */
  readonly idleMs: number
  /** Requests that wait for it. @default threadQueueMax */
  readonly queueMax?: number
}

export interface AskOptions {
  /** What it is to do, as its deadline's message calls it: `encode a text`. */
  readonly what: string
  readonly deadlineMs: number
  readonly signal?: AbortSignal | undefined
  readonly transfer?: readonly TransferListItem[]
}

interface Job {
  readonly request: unknown
  readonly options: AskOptions
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
  /** Its caller has its answer, or waits no more. */
  settled: boolean
}

export class Thread {
  readonly #init: ThreadInit
  readonly #waiting: BoundedQueue<Job>
  #worker: Worker | undefined
  /** What it said when it had started. */
  #greeting: unknown
  #starting: AbortController | undefined
  #running: Job | undefined
  #stopDeadline: () => void = () => {}
  #idle: ReturnType<typeof setTimeout> | undefined
  #closed = false

  constructor(init: ThreadInit) {
    this.#init = init
    this.#waiting = new BoundedQueue(init.queueMax ?? threadQueueMax)
  }

  /** Whether anybody waits for it. */
  get busy(): boolean {
    return this.#running !== undefined || this.#waiting.length > 0
  }

  /**
   * One request, and its answer. `undefined` asks for nothing but what the thread says when it has started.
   *
   * @throws {DeadlineError} when it takes longer, {NoRoomError} when too many wait, what the thread throws, and what
   *   fetching its data throws
   * @throws the signal's reason
   */
  ask(request: unknown, options: AskOptions): Promise<unknown> {
    const { signal } = options
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      if (this.#closed) return reject(new EngineError(`${this.#init.name} was closed`))
      if (request === undefined && this.#worker !== undefined && this.#starting === undefined) {
        return resolve(this.#greeting)
      }
      const onAbort = (): void => {
        job.reject(signal!.reason)
        this.#abandoned(job)
      }
      const settle = (act: () => void): void => {
        if (job.settled) return
        job.settled = true
        signal?.removeEventListener('abort', onAbort)
        act()
      }
      const job: Job = {
        request,
        options,
        resolve: value => settle(() => resolve(value)),
        reject: error => settle(() => reject(error)),
        settled: false
      }
      if (!this.#waiting.push(job)) {
        return reject(new NoRoomError(`${this.#waiting.limit} requests already wait for ${this.#init.name}`))
      }
      signal?.addEventListener('abort', onAbort, { once: true })
      this.#next()
    })
  }

  /** Ends it; whoever waits for it hears so. */
  async close(): Promise<void> {
    this.#closed = true
    const closed = new EngineError(`${this.#init.name} was closed`)
    this.#running?.reject(closed)
    for (const job of this.#waiting.clear()) job.reject(closed)
    this.#starting?.abort(closed)
    await this.#end()
  }

  #next(): void {
    if (this.#running !== undefined || this.#starting !== undefined) return
    clearTimeout(this.#idle)
    while (this.#waiting.peek()?.settled === true) this.#waiting.shift()
    if (this.#waiting.peek() === undefined) {
      // A process that has nothing else to do may end.
      this.#worker?.unref()
      if (this.#worker !== undefined) this.#idle = setTimeout(() => void this.#end(), this.#init.idleMs).unref()
      return
    }
    if (this.#worker === undefined) {
      void this.#start()
      return
    }
    const job = this.#waiting.shift()!
    this.#running = job
    this.#worker.ref()
    const { what, deadlineMs, transfer = [] } = job.options
    this.#worker.postMessage(job.request, transfer)
    this.#arm(deadlineMs, () => {
      job.reject(new DeadlineError(`${this.#init.name} did not ${what} within ${deadlineMs} ms`))
      this.#lost()
    })
  }

  async #start(): Promise<void> {
    const starting = new AbortController()
    this.#starting = starting
    const { signal } = starting
    try {
      const { workerData, heapBytes = 0 } = await this.#init.data(signal)
      signal.throwIfAborted()
      const worker = new Worker(this.#init.file, {
        workerData,
        // The process's own flags may be none for a thread: `--input-type` of `node -e` ends it.
        execArgv: [],
        resourceLimits: {
          maxOldGenerationSizeMb: Math.ceil((threadHeapBytes + heapBytes) / 2 ** 20),
          maxYoungGenerationSizeMb: threadYoungHeapBytes / 2 ** 20
        }
      })
      this.#worker = worker
      this.#greeting = await this.#greeted(worker, signal)
      worker.on('message', (reply: ThreadAnswer) => {
        if (this.#worker === worker) this.#replied(reply)
      })
      const onFailure = (error: Error): void => {
        if (this.#worker !== worker) return
        this.#running?.reject(this.#failure(error))
        this.#lost()
      }
      worker.on('error', onFailure)
      worker.on('exit', code => onFailure(new Error(`it ended (code ${code})`)))
      this.#starting = undefined
      for (const job of this.#waiting.clear()) {
        if (job.request === undefined) job.resolve(this.#greeting)
        else this.#waiting.push(job)
      }
    } catch (error) {
      this.#starting = undefined
      void this.#end()
      // All of them need it to start. Those who have come since it was abandoned begin anew.
      if (!signal.aborted) for (const job of this.#waiting.clear()) job.reject(error)
    }
    if (!this.#closed) this.#next()
  }

  /** Its first message. */
  async #greeted(worker: Worker, signal: AbortSignal): Promise<unknown> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    const onAbort = (): void => reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    const onExit = (code: number): void => reject(this.#failure(new Error(`it ended (code ${code})`)))
    const onError = (error: Error): void => reject(this.#failure(error))
    worker.once('message', (reply: ThreadAnswer) => {
      if (reply.kind === 'value') resolve(reply.value)
      else reject(errorOf(reply))
    })
    worker.once('error', onError)
    worker.once('exit', onExit)
    this.#arm(this.#init.startMs, () => {
      reject(new DeadlineError(`${this.#init.name} was not read within ${this.#init.startMs} ms`))
    })
    try {
      return await promise
    } finally {
      this.#stopDeadline()
      signal.removeEventListener('abort', onAbort)
      worker.off('error', onError)
      worker.off('exit', onExit)
    }
  }

  #replied(reply: ThreadAnswer): void {
    const job = this.#running
    if (job === undefined) return
    this.#stopDeadline()
    this.#running = undefined
    if (reply.kind === 'value') job.resolve(reply.value)
    else job.reject(errorOf(reply))
    this.#next()
  }

  /** Nobody waits for this request any more: it may end in a moment, but is not let run until its deadline. */
  #abandoned(job: Job): void {
    if (this.#running === job) {
      this.#arm(threadGiveUpMs, () => this.#lost())
    } else if (this.#starting !== undefined) {
      while (this.#waiting.peek()?.settled === true) this.#waiting.shift()
      if (this.#waiting.length === 0) this.#starting.abort(job.options.signal!.reason)
    }
  }

  /** What it was doing is lost; those who wait get a new one. */
  #lost(): void {
    this.#stopDeadline()
    this.#running = undefined
    void this.#end()
    if (!this.#closed) this.#next()
  }

  async #end(): Promise<void> {
    clearTimeout(this.#idle)
    this.#stopDeadline()
    const worker = this.#worker
    this.#worker = undefined
    if (worker === undefined) return
    // Its end is what is wanted now, however it comes.
    worker.removeAllListeners('message').removeAllListeners('error').removeAllListeners('exit')
    worker.on('error', () => {})
    await worker.terminate()
  }

  #arm(ms: number, late: () => void): void {
    this.#stopDeadline()
    const stop = ticking(ms, late)
    this.#stopDeadline = () => {
      stop()
      this.#stopDeadline = () => {}
    }
  }

  #failure(error: Error): Error {
    const { code } = error as NodeJS.ErrnoException
    const why = code === 'ERR_WORKER_OUT_OF_MEMORY' ? 'it needs more memory than it may have' : error.message
    return new EngineError(`${this.#init.name} failed: ${why}`, { cause: error })
  }
}

/**
 * Calls back after a time in which this process ran: it is counted in ticks, so that a process that stood still loses
 * one of them, and a turn of the loop lies between the last and the callback, in which an answer that is there counts.
 *
 * @returns what stops it
 */
export function ticking(ms: number, late: () => void): () => void {
  let left = threadDeadlineTicks
  let last: ReturnType<typeof setImmediate> | undefined
  const ticks = setInterval(() => {
    if (--left > 0) return
    clearInterval(ticks)
    last = setImmediate(late)
  }, ms / threadDeadlineTicks)
  return () => {
    clearInterval(ticks)
    clearImmediate(last)
  }
}

/** Expected errors keep their class on the way out of a thread. */
const classes = {
  ...{ InvalidManifestError, CorruptShardError, InvalidOptionError, PromptTooLongError },
  ...{ ImportError, DiskBudgetError, DataDirectoryError, DeadlineError, NoRoomError, UnknownModelError }
} as const

/** How an error leaves a thread. */
export function failedReply(error: unknown): ThreadAnswer {
  const { name, message, code }: NodeJS.ErrnoException = error instanceof Error ? error : new Error(String(error))
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : undefined
  return { kind: 'failed', name, message, code, cause }
}

/** The error that left it, again. */
export function errorOf({ name, message, code, cause }: ThreadAnswer & { readonly kind: 'failed' }): Error {
  const known = Object.entries(classes).find(([each]) => each === name)?.[1]
  if (known !== undefined) return new known(message, cause === undefined ? {} : { cause: new Error(cause) })
  // The file system's own error.
  if (code !== undefined) return Object.assign(new Error(message), { code })
  return new EngineError(message)
}
