/** A graph in a process of its own: one run after another, a deadline for each, and another process where one has ended. */
import { type ChildProcess, fork } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { BoundedQueue } from '../../base/queue.ts'
import { formatBytes } from '../../base/units.ts'
import { openingOf } from '../../disk/files-sync.ts'
import { DeadlineError, EngineError, GraphRunError, NoRoomError } from '../../errors.ts'
import type { Tensors } from '../../model/tensors.ts'
import type { GraphInit, GraphRun, LoadedGraph } from '../graph-runtime.ts'
import {
  graphGiveUpMs,
  graphLoadBytesPerMs,
  graphLoadMs,
  graphMemoryLookMs,
  graphRunMaxMs,
  graphRunsMax
} from '../limits.ts'
import type { GraphAsk, GraphLoad, GraphReply } from './graph-messages.ts'

export interface GraphProcessInit extends Omit<GraphInit, 'signal'> {
  /** Resident memory of the process: with more it is ended. */
  readonly bytesMax: number
}

interface Job {
  readonly inputs: Tensors
  readonly resolve: (run: GraphRun) => void
  readonly reject: (error: unknown) => void
  /** Its caller has its answer, or waits no more. */
  settled: boolean
}

export class GraphProcess implements LoadedGraph {
  readonly #init: GraphProcessInit
  readonly #waiting = new BoundedQueue<Job>(graphRunsMax)
  #child: Child | undefined
  #running: Job | undefined
  #giveUp: NodeJS.Timeout | undefined
  /** What the longest run so far took, in ms, with the way to the process and back. */
  #longestMs = 0
  #isLost = false
  #closed = false

  private constructor(init: GraphProcessInit) {
    this.#init = init
  }

  static async load(init: GraphProcessInit, signal: AbortSignal): Promise<GraphProcess> {
    const graph = new GraphProcess(init)
    signal.throwIfAborted()
    const onAbort = (): void => void graph.close()
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      await graph.#loaded()
      return graph
    } catch (error) {
      signal.throwIfAborted()
      throw error
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  get busy(): number {
    return this.#waiting.length + (this.#running === undefined ? 0 : 1)
  }

  get isLost(): boolean {
    return this.#isLost
  }

  run(
    inputs: Tensors,
    { deadlineMs, signal }: { readonly deadlineMs: number; readonly signal: AbortSignal }
  ): Promise<GraphRun> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason)
      if (this.#closed) return reject(this.#wasClosed())
      const settle = (act: () => void): void => {
        if (job.settled) return
        job.settled = true
        clearTimeout(late)
        signal.removeEventListener('abort', onAbort)
        act()
      }
      const job: Job = {
        inputs,
        resolve: run => settle(() => resolve(run)),
        reject: error => settle(() => reject(error)),
        settled: false
      }
      const onAbort = (): void => this.#leave(job, signal.reason)
      const late = setTimeout(() => this.#leave(job, this.#wasLate(job, deadlineMs)), deadlineMs)
      if (!this.#waiting.push(job)) {
        return job.reject(new NoRoomError(`${this.#waiting.limit} runs of ${this.#init.manifest.name} wait already`))
      }
      signal.addEventListener('abort', onAbort, { once: true })
      if (this.#running === undefined) void this.#work()
    })
  }

  /** Nobody waits for it any more. */
  #leave(job: Job, why: unknown): void {
    job.reject(why)
    // Its tensors are not kept until its turn comes, and its place is for others.
    this.#waiting.remove(job)
    const child = this.#child
    // One that is only being loaded for it goes on: the next run needs it, and loading has a deadline of its own.
    if (this.#running !== job || child?.isLoaded !== true) return
    // Another process takes longer than what is left of most runs: who gives each run a millisecond would have it made each time.
    const giveUpMs = Math.min(Math.max(graphGiveUpMs, 2 * this.#longestMs), graphRunMaxMs)
    this.#giveUp = setTimeout(() => void child.end(why as Error), giveUpMs)
  }

  #wasLate(job: Job, deadlineMs: number): Error {
    const { name } = this.#init.manifest
    if (this.#running === job && this.#child?.isLoaded === true) {
      return new DeadlineError(`a run of ${name} took longer than ${deadlineMs} ms`)
    }
    return new NoRoomError(`the turn of a run of ${name} did not come within ${deadlineMs} ms`)
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const job of this.#waiting.clear()) job.reject(this.#wasClosed())
    await this.#child?.end(this.#wasClosed())
  }

  #wasClosed(): EngineError {
    return new EngineError(`${this.#init.manifest.name} is not served here any more`)
  }

  /** One after another, until none waits. */
  async #work(): Promise<void> {
    for (let job = this.#waiting.shift(); job !== undefined; job = this.#waiting.shift()) {
      if (job.settled) continue
      this.#running = job
      await this.#do(job)
      clearTimeout(this.#giveUp)
      this.#running = undefined
    }
  }

  async #do(job: Job): Promise<void> {
    try {
      const child = await this.#loaded()
      if (job.settled) return
      const startMs = performance.now()
      const run = await child.run(job.inputs)
      this.#longestMs = Math.max(this.#longestMs, performance.now() - startMs)
      job.resolve(run)
    } catch (error) {
      job.reject(error)
    }
  }

  /** Its process, another one where the last has ended. */
  async #loaded(): Promise<Child> {
    if (this.#closed) throw this.#wasClosed()
    if (this.#child?.hasEnded === false) return this.#child
    const child = new Child(this.#init)
    this.#child = child
    try {
      await child.load()
      this.#isLost = false
      return child
    } catch (error) {
      this.#isLost = true
      throw error
    }
  }
}

/** One process, from its start to its end. */
class Child {
  readonly #init: GraphProcessInit
  readonly #process: ChildProcess
  readonly #gone = Promise.withResolvers<void>()
  readonly #looking: NodeJS.Timeout
  /** Why it was ended from here. */
  #why: Error | undefined
  #asked: PromiseWithResolvers<GraphReply> | undefined
  #hasEnded = false
  #isLoaded = false

  constructor(init: GraphProcessInit) {
    this.#init = init
    const own = import.meta.url.endsWith('.ts') ? './graph-worker.ts' : './graph-worker.js'
    // What runs graphs from anybody is told no token of a hub.
    const { NODE_OPTIONS: _, HF_TOKEN: __, ...env } = process.env
    this.#process = fork(fileURLToPath(new URL(own, import.meta.url)), {
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      execArgv: ['--no-warnings'],
      // It reports to its maker unless it is told not to.
      env: { ...env, ORT_DISABLE_TELEMETRY: '1' }
    })
    this.#process.on('message', (reply: GraphReply) => this.#asked?.resolve(reply))
    this.#process.on('error', error => this.#over(error.message))
    this.#process.on('exit', (code, by) => this.#over(by ?? `code ${code}`))
    this.#looking = setInterval(() => void this.#lookAtMemory(), graphMemoryLookMs).unref()
  }

  get hasEnded(): boolean {
    return this.#hasEnded
  }

  get isLoaded(): boolean {
    return this.#isLoaded
  }

  /** @throws {EngineError} {DeadlineError} */
  async load(): Promise<void> {
    const { file, threads, manifest } = this.#init
    const { name, shards } = manifest
    const loadMs = Math.round(graphLoadMs + shards[0]!.bytes / graphLoadBytesPerMs)
    const error = new DeadlineError(`the graph ${name} was not loaded within ${loadMs} ms`)
    const late = setTimeout(() => void this.end(error), loadMs)
    try {
      const reply = await this.#ask({ kind: 'load', file, name, threads, opens: openingOf(file) })
      if (reply.kind === 'failed') throw new EngineError(`the graph ${name} cannot be loaded: ${reply.message}`)
      // It may have loaded between two looks.
      await this.#lookAtMemory()
      if (this.#why !== undefined) throw this.#why
      this.#isLoaded = true
    } catch (error) {
      void this.end(error as Error)
      throw error
    } finally {
      clearTimeout(late)
    }
  }

  /** @throws {GraphRunError} {EngineError} {DeadlineError} */
  async run(inputs: Tensors): Promise<GraphRun> {
    const reply = await this.#ask({ kind: 'run', inputs })
    if (reply.kind === 'ran') return { outputs: reply.outputs, computeMs: reply.computeMs }
    const message = reply.kind === 'failed' ? reply.message : 'it answers something else'
    throw new GraphRunError(`the graph ${this.#init.manifest.name} cannot be run with these inputs: ${message}`)
  }

  /** Ends it, whatever it does; what it was asked fails with this. */
  async end(why: Error): Promise<void> {
    this.#why ??= why
    this.#process.kill('SIGKILL')
    await this.#gone.promise
  }

  /** One question at a time. */
  async #ask(message: GraphLoad | GraphAsk): Promise<GraphReply> {
    if (this.#hasEnded) throw this.#why ?? new EngineError('it has ended')
    this.#asked = Promise.withResolvers()
    this.#process.send(message)
    return await this.#asked.promise
  }

  #over(how: string): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    // It may run on where only the way to it is broken.
    this.#process.kill('SIGKILL')
    clearInterval(this.#looking)
    const { name } = this.#init.manifest
    this.#asked?.reject(this.#why ?? new EngineError(`what runs the graph ${name} ended (${how})`))
    this.#gone.resolve()
  }

  /** Linux alone says it; elsewhere nothing bounds what a run computes. */
  async #lookAtMemory(): Promise<void> {
    const text = await readFile(`/proc/${this.#process.pid}/statm`, 'utf8').catch(() => '')
    const bytes = Number(text.split(' ')[1] ?? 0) * 4096
    const { bytesMax, manifest } = this.#init
    if (bytes <= bytesMax) return
    const way = this.#isLoaded ? ': ask with less at once' : ''
    const took = `took ${formatBytes(bytes)} of memory, and may have ${formatBytes(bytesMax)}`
    void this.end(new EngineError(`the graph ${manifest.name} ${took}${way}`))
  }
}
