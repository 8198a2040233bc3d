/**
 * An engine that computes in a thread of its own, seen from the thread that talks to the network. It queues, checks what
 * can be checked without the weights, and hands one request at a time to the thread (`serve-thread.ts`), whatever runtime
 * computes there.
 */
import { Worker } from 'node:worker_threads'
import { assert } from '../base/assert.ts'
import type { SessionId } from '../base/ids.ts'
import { reasonOf } from '../base/reason.ts'
import { BoundedQueue } from '../base/queue.ts'
import { CacheGapError, ContextFullError, EngineError, InvalidStepError, NoRoomError } from '../errors.ts'
import { type EdgeType, shardName, stageShards } from '../model/manifest.ts'
import { CacheBudget } from './cache-budget.ts'
import type { EngineInit } from './factory.ts'
import { type Engine, edgeSize, type Sampling, type Step, type StepOutput } from './engine.ts'
import {
  engineCloseTimeoutMs,
  engineLoadTimeoutMs,
  engineQueueMax,
  engineRequestTimeoutMs,
  stepTokensMax
} from './limits.ts'
import { checkSampling } from './sampler.ts'
import { threadEnd } from './thread-end.ts'
import type { SpanInit, ThreadReply, ThreadRequest } from './thread-messages.ts'

export interface ThreadedInit {
  /** The thread's file, which calls `serveThread`; it gets `span` as its `workerData`. */
  readonly file: URL
  readonly span: SpanInit
  /** What a session of so many tokens is charged. */
  readonly cacheBytes: (tokensMax: number) => number
  /** Bound on all sessions' caches together. */
  readonly cacheBytesMax: number
  /** Ends the loading. */
  readonly signal?: AbortSignal | undefined
}

/**
 * Starts the thread, and waits until it has loaded.
 * @throws {EngineError} when it cannot load. @throws the signal's reason when it aborts.
 */
export async function startThreaded(init: ThreadedInit): Promise<Engine> {
  init.signal?.throwIfAborted()
  // The process's own flags may be none for a thread: `--input-type` of `node -e` ends it.
  const worker = new Worker(init.file, { workerData: init.span, execArgv: [] })
  const engine = new ThreadedEngine(worker, init)
  try {
    await engine.loaded(init.signal)
    return engine
  } catch (error) {
    // It may be in the middle of loading: it closes when that is over.
    worker.postMessage({ kind: 'close' } satisfies ThreadRequest)
    await threadEnd(worker)
    throw error
  }
}

/**
 * What a thread is told of layers [start, end) of a model whose shards lie in a folder.
 * @param init.threads @default 1
 * @throws {EngineError} when the range is none of the model's, or `threads` no number of them.
 */
export function spanOf({
  manifest,
  start,
  end,
  shardDirectory,
  threads = 1
}: Pick<EngineInit, 'manifest' | 'start' | 'end' | 'shardDirectory'> & { readonly threads?: number }): SpanInit {
  const { config, weights, edge } = manifest
  if (
    !(Number.isSafeInteger(start) && Number.isSafeInteger(end) && 0 <= start && start < end && end <= config.layers)
  ) {
    throw new EngineError(`layers ${start}-${end} are no range of ${manifest.name}, which has ${config.layers}`)
  }
  if (!(Number.isSafeInteger(threads) && threads >= 1)) {
    throw new EngineError(`threads must be a positive integer, not ${threads}`)
  }
  const shardLocations = new Map(
    stageShards(manifest, start, end).map(shard => [shardName(shard), shard.sha256 as string])
  )
  return {
    config,
    weights,
    edge,
    start,
    end,
    shardLocations,
    threads,
    source: { kind: 'folder', path: shardDirectory }
  }
}

/** The file of a thread beside the file that starts it: TypeScript where that runs as it is, else what was built of it. */
export function threadFile(beside: string, name: string): URL {
  return new URL(`./${name}.${beside.endsWith('.ts') ? 'ts' : 'js'}`, beside)
}

interface SessionState {
  readonly tokensMax: number
  readonly bytes: number
  length: number
}

interface Job {
  /** Checks the request when its turn comes; undefined when nothing is left to do for the thread. */
  readonly begin: () => ThreadRequest | undefined
  readonly resolve: (reply: ThreadReply | undefined) => void
  readonly reject: (error: unknown) => void
  /** Set when it was aborted while it waited. */
  gone: boolean
  /** Until its turn comes. */
  waits: boolean
  stopListening: () => void
}

class ThreadedEngine implements Engine {
  readonly start: number
  readonly end: number
  readonly hidden: number
  readonly edge: EdgeType
  readonly #cacheBytes: (tokensMax: number) => number
  readonly #layers: number
  readonly #contextMax: number
  readonly #worker: Worker
  readonly #budget: CacheBudget
  readonly #sessions = new Map<SessionId, SessionState>()
  readonly #waiting = new BoundedQueue<Job>(engineQueueMax)
  #running: Job | undefined
  /** What the running job asked; undefined while the thread loads. */
  #request: ThreadRequest | undefined
  #deadline: NodeJS.Timeout | undefined
  /** Why no request is taken any more. */
  #ended: EngineError | undefined
  #closing: Promise<void> | undefined

  constructor(worker: Worker, { span: init, cacheBytes, cacheBytesMax }: ThreadedInit) {
    const { config } = init
    this.start = init.start
    this.end = init.end
    this.hidden = config.hidden
    this.edge = init.edge
    this.#cacheBytes = cacheBytes
    this.#layers = config.layers
    this.#contextMax = config.contextMax
    this.#worker = worker
    this.#budget = new CacheBudget(cacheBytesMax)
    worker.on('message', (reply: ThreadReply) => this.#replied(reply))
    worker.on('error', error =>
      this.#end(new EngineError(`the thread of layers ${this.#range} failed: ${reasonOf(error)}`))
    )
    worker.on('exit', code => this.#end(new EngineError(`the thread of layers ${this.#range} ended (code ${code})`)))
  }

  get #range(): string {
    return `${this.start}-${this.end}`
  }

  get cacheBytesUsed(): number {
    return this.#budget.used
  }

  get cacheBytesMax(): number {
    return this.#budget.bytesMax
  }

  set cacheBytesMax(bytes: number) {
    this.#budget.bytesMax = bytes
  }

  cacheBytes(tokensMax: number): number {
    return this.#cacheBytes(tokensMax)
  }

  length(session: SessionId): number | undefined {
    return this.#sessions.get(session)?.length
  }

  /** The thread's first message says that it has loaded, or why not. */
  async loaded(signal: AbortSignal | undefined): Promise<void> {
    const aborted = Promise.withResolvers<never>()
    const abort = (): void => aborted.reject(signal!.reason)
    signal?.addEventListener('abort', abort, { once: true })
    try {
      // The thread answers unasked, so this job has nothing to post.
      await Promise.race([this.#enqueue(() => undefined, undefined, engineLoadTimeoutMs, true), aborted.promise])
    } finally {
      signal?.removeEventListener('abort', abort)
    }
  }

  async open(session: SessionId, init: { tokensMax: number; sampling: Sampling }): Promise<void> {
    const { tokensMax, sampling } = init
    if (!Number.isSafeInteger(tokensMax) || tokensMax < 1 || tokensMax > this.#contextMax) {
      throw new InvalidStepError(`tokensMax must be in [1, ${this.#contextMax}], not ${tokensMax}`)
    }
    checkSampling(sampling)
    const bytes = this.cacheBytes(tokensMax)
    await this.#enqueue(() => {
      const known = this.#sessions.get(session)
      if (known?.tokensMax === tokensMax) return undefined
      if (known !== undefined) {
        throw new InvalidStepError(
          `session ${session.slice(0, 8)} is open for ${known.tokensMax} tokens, not for ${tokensMax}`
        )
      }
      this.#budget.reserve(bytes)
      this.#sessions.set(session, { tokensMax, bytes, length: 0 })
      return { kind: 'open', session, tokensMax, sampling }
    })
  }

  async run(step: Step, { signal }: { signal: AbortSignal }): Promise<StepOutput> {
    const { session, position, tokens, sample } = step
    this.#check(step)
    // The caller may retain its buffer; the copy is what moves to the thread. It is also aligned.
    // A copy that is this step's own, since its memory moves to the thread. Not `slice()`: bytes off the network are a
    // Buffer, whose `slice` is a view, and moving that would take the socket's memory along.
    const input = step.input.kind === 'ids' ? new Int32Array(step.input.ids) : new Uint8Array(step.input.bytes)
    let state: SessionState | undefined
    const reply = await this.#enqueue(() => {
      state = this.#sessions.get(session)
      if (state === undefined) throw new InvalidStepError(`session ${session.slice(0, 8)} is not open`)
      if (position > state.length) throw new CacheGapError(session, position, state.length)
      if (position + tokens > state.tokensMax) {
        throw new ContextFullError(
          `session ${session.slice(0, 8)}: a step to ${position + tokens} passes the ${state.tokensMax} tokens reserved`
        )
      }
      return { kind: 'run', session, position, tokens, input, sample }
    }, signal)
    assert(reply !== undefined && reply.kind !== 'failed' && reply.kind !== 'done', 'a step has an output')
    return reply
  }

  async free(session: SessionId): Promise<void> {
    if (this.#ended !== undefined) return
    await this.#enqueue(() => {
      return this.#sessions.has(session) ? { kind: 'free', session } : undefined
    })
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    if (this.#ended === undefined) {
      const closed = new EngineError(`the engine of layers ${this.#range} was closed`)
      for (const job of this.#waiting.clear()) this.#refuse(job, closed)
      const released = this.#enqueue(() => ({ kind: 'close' }), undefined, engineCloseTimeoutMs)
      this.#ended = closed
      const late = Promise.withResolvers<void>()
      const timer = setTimeout(late.resolve, engineCloseTimeoutMs)
      await Promise.race([released.catch(() => undefined), late.promise])
      clearTimeout(timer)
    }
    await threadEnd(this.#worker)
    this.#forget()
  }

  /** What can be refused without the weights and whatever the cache holds. */
  #check({ session, position, tokens, input, sample }: Step): void {
    const refused = (why: string): InvalidStepError => new InvalidStepError(`session ${session.slice(0, 8)}: ${why}`)
    if (!Number.isSafeInteger(tokens) || tokens < 1 || tokens > stepTokensMax) {
      throw refused(`a step has 1 to ${stepTokensMax} tokens, not ${tokens}`)
    }
    if (!Number.isSafeInteger(position) || position < 0) throw refused(`a position is 0 or more, not ${position}`)
    if (sample && this.end !== this.#layers) throw refused(`layers ${this.#range} cannot sample: they are not the last`)
    if (this.start === 0) {
      if (input.kind !== 'ids') throw refused('the first layer takes token ids, not hidden states')
      if (input.ids.length !== tokens) throw refused(`${tokens} tokens need as many ids, not ${input.ids.length}`)
    } else if (input.kind !== 'hidden') {
      throw refused(`layer ${this.start} takes hidden states, not token ids`)
    } else {
      const bytes = tokens * this.hidden * edgeSize(this.edge)
      if (input.bytes.length !== bytes)
        throw refused(`${tokens} hidden states are ${bytes} bytes, not ${input.bytes.length}`)
    }
  }

  #enqueue(
    begin: Job['begin'],
    signal?: AbortSignal,
    timeoutMs = engineRequestTimeoutMs,
    unasked = false
  ): Promise<ThreadReply | undefined> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      if (this.#ended !== undefined) return reject(this.#ended)
      const job: Job = { begin, resolve, reject, gone: false, waits: true, stopListening: () => {} }
      if (unasked) return this.#started(job, timeoutMs)
      if (!this.#waiting.push(job)) {
        return reject(new NoRoomError(`${engineQueueMax} requests already wait for layers ${this.#range}`))
      }
      this.#next()
      // Most steps start at once: nothing can abort them any more.
      if (signal !== undefined && job.waits) {
        const abort = (): void => {
          job.gone = true
          reject(signal.reason)
        }
        signal.addEventListener('abort', abort, { once: true })
        job.stopListening = () => signal.removeEventListener('abort', abort)
      }
    })
  }

  /** Starts waiting jobs until one of them is under way in the thread. */
  #next(): void {
    while (this.#running === undefined) {
      const job = this.#waiting.shift()
      if (job === undefined) return
      job.waits = false
      job.stopListening()
      if (job.gone) continue
      let request: ThreadRequest | undefined
      try {
        request = job.begin()
      } catch (error) {
        job.reject(error)
        continue
      }
      if (request === undefined) {
        job.resolve(undefined)
        continue
      }
      this.#request = request
      this.#started(job, engineRequestTimeoutMs)
      const transfer = request.kind === 'run' ? [request.input.buffer as ArrayBuffer] : []
      this.#worker.postMessage(request, transfer)
    }
  }

  #started(job: Job, timeoutMs: number): void {
    this.#running = job
    this.#deadline = setTimeout(() => {
      this.#end(new EngineError(`layers ${this.#range} did not answer within ${timeoutMs} ms`))
      // Whenever it comes back from there, it finds that it is no longer wanted.
      this.#worker.postMessage({ kind: 'close' } satisfies ThreadRequest)
      this.#worker.unref()
    }, timeoutMs)
  }

  #replied(reply: ThreadReply): void {
    const job = this.#running
    const request = this.#request
    if (job === undefined) return
    clearTimeout(this.#deadline)
    this.#running = undefined
    this.#request = undefined
    // The mirror of the thread's caches changes before anyone hears of the reply.
    if (request?.kind === 'run') {
      const state = this.#sessions.get(request.session as SessionId)
      if (state !== undefined) {
        state.length = reply.kind === 'failed' ? (reply.length ?? state.length) : request.position + request.tokens
      }
    } else if (request?.kind === (reply.kind === 'failed' ? 'open' : 'free')) {
      this.#drop(request.session as SessionId)
    }
    if (reply.kind === 'failed') {
      job.reject(
        reply.name === 'InvalidStepError' ? new InvalidStepError(reply.message) : new EngineError(reply.message)
      )
    } else {
      job.resolve(reply)
    }
    this.#next()
  }

  #end(error: EngineError): void {
    clearTimeout(this.#deadline)
    this.#ended ??= error
    const running = this.#running
    this.#running = undefined
    if (running !== undefined) running.reject(error)
    for (const job of this.#waiting.clear()) this.#refuse(job, error)
    this.#forget()
  }

  #refuse(job: Job, error: EngineError): void {
    job.stopListening()
    if (!job.gone) job.reject(error)
  }

  #drop(session: SessionId): void {
    const state = this.#sessions.get(session)
    if (state === undefined) return
    this.#sessions.delete(session)
    this.#budget.release(state.bytes)
  }

  #forget(): void {
    for (const session of [...this.#sessions.keys()]) this.#drop(session)
  }
}
