/**
 * An engine that computes in a thread of its own, seen from the thread that talks to the network. It queues, checks what
 * can be checked without the weights, and hands one request at a time to the thread (`serve-thread.ts`), whatever runtime
 * computes there.
 */
import { Worker } from 'node:worker_threads'
import type { SessionId } from '../base/ids.ts'
import { EngineError, InvalidStepError, NoRoomError } from '../errors.ts'
import type { EdgeType } from '../model/manifest.ts'
import { Batches, type BatchPart, computedRows, partsDone } from './batch.ts'
import { type CacheType, usualCache } from '../base/cache-type.ts'
import { Caches, checkCacheType } from './caches.ts'
import type { Engine, OpenInit, PrefixStats, Step, StepOutput } from './engine.ts'
import { engineCloseTimeoutMs, engineQueueMax, engineRequestTimeoutMs } from './limits.ts'
import { loadTimeoutMs } from './load-timeout.ts'
import { type Alone, errorOf, type Job, noPasses, type Running, type StepJob } from './thread-jobs.ts'
import { checkSampling } from './sampler.ts'
import { threadEnd } from './thread-end.ts'
import { type LineTimes, ThreadLine } from './thread-line.ts'
import { sharedMemory } from './thread-share.ts'
import type { SpanInit, ThreadPart, ThreadReply, ThreadRequest } from './thread-messages.ts'
import type { ThreadedInit } from './threaded-init.ts'

/**
 * Starts the thread, and waits until it has loaded.
 * @throws {EngineError} when it cannot load. @throws the signal's reason when it aborts.
 */
export async function startThreaded(init: ThreadedInit): Promise<Engine> {
  init.signal?.throwIfAborted()
  // The process's own flags may be none for a thread: `--input-type` of `node -e` ends it.
  const share = sharedMemory()
  const worker = new Worker(init.file, { workerData: { ...init.span, share } satisfies SpanInit, execArgv: [] })
  const engine = new ThreadedEngine(worker, share, init)
  try {
    await engine.loaded(loadTimeoutMs(init.span), init.signal)
    return engine
  } catch (error) {
    engine.abandon()
    await threadEnd(worker)
    throw error
  }
}

class ThreadedEngine implements Engine {
  readonly start: number
  readonly end: number
  readonly hidden: number
  readonly edge: EdgeType
  readonly cacheTypes: readonly CacheType[]
  readonly #cacheBytes: ThreadedInit['cacheBytes']
  readonly #onKernels: ThreadedInit['onKernels']
  readonly #contextMax: number
  readonly #worker: Worker
  readonly #line: ThreadLine
  readonly #caches: Caches
  readonly #batches: Batches
  /** Whose sessions those are that are open. */
  readonly #owners = new Map<SessionId, string>()
  /** What waits or is under way, by number. */
  readonly #jobs = new Map<number, Job>()
  #nextId = 0
  #running: Running | undefined
  /** Looks again when others have had the time to come that are to share a pass. */
  #gathering: { readonly untilMs: number; readonly stop: () => void } | undefined
  /** Why no request is taken any more. */
  #ended: EngineError | undefined
  #closing: Promise<void> | undefined
  /** What the thread keeps of sessions' beginnings, and how much of them it need not compute again. */
  #prefixBytes = 0
  #reused = 0
  /** The thread knows what caches may take. */
  #isLimitTold = false
  /** To be told to the thread when all that has begun is done. */
  #closer: Extract<Running, { kind: 'load' | 'close' }> | undefined

  constructor(
    worker: Worker,
    share: SharedArrayBuffer | undefined,
    { span: init, cacheBytes, cacheTypes, batches, onKernels, ...bounds }: ThreadedInit
  ) {
    const { start, end, edge } = init
    const { layers, hidden, contextMax } = init.config
    this.start = start
    this.end = end
    this.hidden = hidden
    this.edge = edge
    this.cacheTypes = cacheTypes ?? [usualCache]
    this.#cacheBytes = cacheBytes
    this.#onKernels = onKernels
    this.#contextMax = contextMax
    this.#worker = worker
    const { cacheBytesMax: bytesMax, cacheBytesMost: bytesMost, windows } = bounds
    this.#caches = new Caches({ start, end, layers, hidden, edge, bytesMax, bytesMost, windows })
    this.#batches = new Batches(batches)
    this.#line = new ThreadLine(worker, share, {
      onReply: (reply, times) => this.#replied(reply, times),
      onLate: () => this.#giveUp('it did not answer in time'),
      onEnd: why => this.#end(new EngineError(`the thread of layers ${this.#range} ${why}`))
    })
  }

  get #range(): string {
    return `${this.start}-${this.end}`
  }

  get cacheBytesUsed(): number {
    return this.#caches.budget.used
  }

  get cacheBytesMax(): number {
    return this.#caches.budget.bytesMax
  }

  set cacheBytesMax(bytes: number) {
    const before = this.cacheBytesMax
    this.#caches.budget.bytesMax = bytes
    this.#isLimitTold &&= this.cacheBytesMax === before
    if (this.#ended === undefined) this.#next()
  }

  get prefixes(): PrefixStats {
    return { bytes: this.#prefixBytes, reused: this.#reused }
  }

  cacheBytes(tokensMax: number, type = usualCache): number {
    return this.#cacheBytes(tokensMax, type)
  }

  length(session: SessionId): number | undefined {
    return this.#caches.length(session)
  }

  floor(session: SessionId): number {
    return this.#caches.floor(session)
  }

  /** It may be in the middle of loading: the thread closes when that is over. */
  abandon(): void {
    this.#line.abandon()
  }

  /** The thread's first message says that it has loaded, or why not. */
  async loaded(timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    const aborted = Promise.withResolvers<never>()
    const abort = (): void => aborted.reject(signal!.reason)
    signal?.addEventListener('abort', abort, { once: true })
    try {
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      this.#start({ kind: 'load', resolve, reject }, undefined, timeoutMs)
      await Promise.race([promise, aborted.promise])
    } finally {
      signal?.removeEventListener('abort', abort)
    }
  }

  async open(session: SessionId, init: OpenInit): Promise<void> {
    const { tokensMax, sampling, cache = usualCache, owner } = init
    if (!Number.isSafeInteger(tokensMax) || tokensMax < 1 || tokensMax > this.#contextMax) {
      throw new InvalidStepError(`tokensMax must be in [1, ${this.#contextMax}], not ${tokensMax}`)
    }
    checkSampling(sampling)
    checkCacheType(cache, this.cacheTypes)
    await this.#alone(session, () => {
      if (!this.#caches.open(session, { tokensMax, cache, bytes: this.cacheBytes(tokensMax, cache), sampling })) return
      if (owner !== undefined) this.#owners.set(session, owner)
      return { kind: 'open', session, tokensMax, cache, sampling, owner }
    })
  }

  run(step: Step, { signal }: { signal: AbortSignal }): Promise<StepOutput> {
    return new Promise((resolve, reject) => {
      const { session, tokens, input } = step
      signal.throwIfAborted()
      this.#caches.checkShape(step)
      const id = this.#take()
      const job: StepJob = {
        kind: 'step',
        session,
        step,
        input: input.kind === 'ids' ? input.ids : input.bytes,
        ids: step.ids,
        resolve,
        reject,
        stopListening: undefined,
        hasBegun: false,
        ...noPasses
      }
      this.#jobs.set(id, job)
      this.#batches.push({ id, session, tokens, owner: this.#owners.get(session) }, performance.now())
      this.#next()
      // Most steps begin at once, and cost neither.
      if (!job.hasBegun && this.#jobs.has(id)) this.#wait(id, job, signal)
    })
  }

  /** A step has to wait for others. */
  #wait(id: number, job: StepJob, signal: AbortSignal): void {
    // Not `slice()`: bytes off the network are a Buffer, whose `slice` is a view.
    job.input = job.input instanceof Int32Array ? new Int32Array(job.input) : new Uint8Array(job.input)
    if (job.ids !== undefined) job.ids = new Int32Array(job.ids)
    const abort = (): void => this.#settle(id, () => job.reject(signal.reason))
    signal.addEventListener('abort', abort, { once: true })
    job.stopListening = () => signal.removeEventListener('abort', abort)
  }

  wake(): void {
    if (this.#running === undefined && this.#ended === undefined) this.#line.announce()
  }

  async free(session: SessionId): Promise<void> {
    if (this.#ended !== undefined) return
    await this.#alone(session, () =>
      this.#caches.length(session) === undefined ? undefined : { kind: 'free', session }
    )
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    if (this.#ended === undefined) {
      const closed = new EngineError(`the engine of layers ${this.#range} was closed`)
      this.#ended = closed
      for (const [id, job] of [...this.#jobs]) {
        if (job.kind === 'step' ? job.hasBegun : this.#running?.kind === 'alone' && this.#running.id === id) continue
        this.#settle(id, () => job.reject(closed))
      }
      const late = Promise.withResolvers<void>()
      const released = new Promise<void>((resolve, reject) => {
        this.#closer = { kind: 'close', resolve, reject }
      })
      this.#next()
      const timer = setTimeout(late.resolve, engineCloseTimeoutMs)
      await Promise.race([released.catch(() => undefined), late.promise])
      clearTimeout(timer)
    }
    await threadEnd(this.#worker)
    this.#end(this.#ended)
  }

  /** A cache is opened or freed when its turn comes. */
  #alone(session: SessionId, begin: Alone['begin']): Promise<void> {
    return new Promise((resolve, reject) => {
      const id = this.#take()
      this.#jobs.set(id, { kind: 'alone', session, begin, resolve, reject })
      this.#batches.push({ id, session, tokens: 0 }, performance.now())
      this.#next()
    })
  }

  /** A number for a request. @throws {EngineError} when none is taken any more. @throws {NoRoomError} when too many wait. */
  #take(): number {
    if (this.#ended !== undefined) throw this.#ended
    if (this.#jobs.size >= engineQueueMax) {
      throw new NoRoomError(`${engineQueueMax} requests already wait for layers ${this.#range}`)
    }
    return this.#nextId++
  }

  /** Has the thread do what is next, unless it is busy. */
  #next(): void {
    while (this.#running === undefined) {
      const turn = this.#isLimitTold ? this.#batches.next(performance.now()) : ({ kind: 'limit' } as const)
      if (turn?.kind === 'limit') this.#limit()
      else if (turn?.kind === 'alone') this.#beginAlone(turn.id)
      else if (turn?.kind === 'pass') this.#beginPass(turn.parts)
      else {
        if (turn?.kind === 'gather') this.#gather(turn.untilMs)
        else if (this.#closer !== undefined) this.#start(this.#closer, { kind: 'close' }, engineCloseTimeoutMs)
        return
      }
    }
  }

  #limit(): void {
    const { cacheBytesMax } = this
    this.#isLimitTold = true
    this.#start({ kind: 'limit' }, { kind: 'limit', cacheBytesMax }, engineRequestTimeoutMs)
  }

  #gather(untilMs: number): void {
    if (this.#gathering?.untilMs === untilMs) return
    this.#gathering?.stop()
    const look = (): void => {
      this.#gathering = undefined
      this.#next()
    }
    const ms = untilMs - performance.now()
    // Timers are good to a ms, and a whole pass may take less.
    const [timer, turn] = ms < 1 ? [undefined, setImmediate(look)] : [setTimeout(look, ms), undefined]
    this.#gathering = {
      untilMs,
      stop: () => {
        clearTimeout(timer)
        clearImmediate(turn)
      }
    }
  }

  #beginAlone(id: number): void {
    const job = this.#jobs.get(id) as Alone
    let request: ThreadRequest | undefined
    try {
      request = job.begin()
    } catch (error) {
      this.#settle(id, () => job.reject(error))
      return
    }
    if (request === undefined) this.#settle(id, job.resolve)
    else this.#start({ kind: 'alone', id, request }, request, engineRequestTimeoutMs)
  }

  /** Begins a pass, unless one of its steps is refused: then what is next is another one. */
  #beginPass(parts: readonly BatchPart[]): void {
    let refused = false
    for (const { id } of parts) {
      const job = this.#jobs.get(id) as StepJob
      if (job.hasBegun) continue
      try {
        this.#caches.checkPlace(job.step)
      } catch (error) {
        this.#settle(id, () => job.reject(error))
        // Nobody frees what was never opened.
        if (this.#caches.length(job.session) === undefined) this.#forget(job.session)
        refused = true
      }
    }
    if (refused) return
    this.#batches.began(parts, performance.now())
    const requests = parts.map(({ id, tokens }): ThreadPart => {
      const { session, step, input, ids, hasBegun, stopListening } = this.#jobs.get(id) as StepJob
      if (hasBegun) return { session, tokens }
      stopListening?.()
      const { position, sample, drafts = [], masks, scoresFrom } = step
      return { session, tokens, step: { position, tokens: step.tokens, input, sample, drafts, ids, masks, scoresFrom } }
    })
    for (const { id } of parts) (this.#jobs.get(id) as StepJob).hasBegun = true
    this.#start({ kind: 'pass', parts }, { kind: 'pass', parts: requests }, engineRequestTimeoutMs)
  }

  #start(running: Running, request: ThreadRequest | undefined, timeoutMs: number): void {
    this.#running = running
    this.#line.ask(request, timeoutMs)
  }

  /** The thread is of no use any more. */
  #giveUp(why: string): void {
    this.#end(new EngineError(`the thread of layers ${this.#range} failed: ${why}`))
    this.#line.abandon()
  }

  #replied(reply: ThreadReply, times: LineTimes): void {
    const running = this.#running
    if (running === undefined) return
    this.#running = undefined
    if (reply.kind !== 'failed') this.#prefixBytes = reply.prefixBytes ?? 0
    if (reply.kind === 'done' && reply.kernels !== undefined) this.#onKernels?.(reply.kernels)
    if (running.kind === 'alone') this.#opened(running, reply)
    else if (running.kind === 'pass') {
      if (reply.kind === 'pass') this.#computed(running.parts, reply, times)
      // What its caches hold now nobody knows.
      else this.#giveUp(reply.kind === 'failed' ? reply.message : 'it did not answer to a pass')
    } else if (running.kind === 'limit') {
      if (reply.kind === 'failed') this.#giveUp(reply.message)
    } else if (reply.kind === 'failed') running.reject(new EngineError(reply.message))
    else running.resolve()
    this.#next()
  }

  #opened({ id, request }: Extract<Running, { kind: 'alone' }>, reply: ThreadReply): void {
    const job = this.#jobs.get(id) as Alone
    // The mirror of the thread's caches changes before anyone hears of the reply.
    if (request.kind === (reply.kind === 'failed' ? 'open' : 'free')) {
      this.#caches.drop(job.session)
      this.#forget(job.session)
    }
    this.#settle(id, () => (reply.kind === 'failed' ? job.reject(errorOf(reply)) : job.resolve()))
  }

  #forget(session: SessionId): void {
    this.#batches.forget(session)
    this.#owners.delete(session)
  }

  #computed(
    parts: readonly BatchPart[],
    reply: Extract<ThreadReply, { kind: 'pass' }>,
    { postedMs, repliedMs }: LineTimes
  ): void {
    const { computeMs, beganMs, sampleMs } = reply
    const outMs = Math.max(0, beganMs - postedMs)
    const backMs = Math.max(0, repliedMs - beganMs - computeMs)
    const ended = partsDone(parts, reply.parts)
    const rows = computedRows(ended)
    this.#batches.ended(ended, computeMs, performance.now())
    for (const [i, { id, tokens, done, known }] of ended.entries()) {
      const job = this.#jobs.get(id) as StepJob
      const outcome = reply.parts[i]!
      if (outcome.waitsFor !== undefined) continue
      job.computeMs += computeMs
      job.rows += rows
      job.outMs += outMs
      job.sampleMs += sampleMs
      job.backMs += backMs
      if (known === true) job.reused = tokens
      this.#caches.computed(job.step, { done, tokens, known }, outcome.kind === 'failed' ? outcome : undefined)
      if (outcome.kind === 'going') continue
      const spans = { outMs: job.outMs, sampleMs: job.sampleMs, backMs: job.backMs }
      this.#reused += job.reused
      const cost = { computeMs: job.computeMs, rows: job.rows, gatherMs: this.#batches.gatherMs(id) }
      this.#settle(id, () =>
        outcome.kind === 'failed'
          ? job.reject(errorOf(outcome))
          : job.resolve({ ...outcome, ...cost, spans, reused: job.reused })
      )
    }
  }

  /** A request is over, and whoever waits for it is told. */
  #settle(id: number, tell: () => void): void {
    const job = this.#jobs.get(id)
    if (job === undefined) return
    if (job.kind === 'step') job.stopListening?.()
    this.#jobs.delete(id)
    this.#batches.over(id, performance.now())
    tell()
  }

  /** Nothing more comes from the thread. */
  #end(error: EngineError): void {
    this.#line.end()
    this.#gathering?.stop()
    this.#ended ??= error
    const running = this.#running
    this.#running = undefined
    if (running?.kind === 'load' || running?.kind === 'close') running.reject(error)
    for (const [id, job] of [...this.#jobs]) this.#settle(id, () => job.reject(error))
    this.#caches.clear()
  }
}
