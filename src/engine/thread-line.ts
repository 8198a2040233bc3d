/**
 * The line between an engine and its thread, as the engine's end sees it: one request is under way at a time, and a thread that
 * has ended, or does not answer in time, is noticed.
 */
import type { Worker } from 'node:worker_threads'
import { reasonOf } from '../base/reason.ts'
import { engineWatchMs } from './limits.ts'
import { threadNowMs } from './thread-clock.ts'
import type { ThreadReply, ThreadRequest } from './thread-messages.ts'

/** When a request was given to the thread and its reply came, in ms of {@link threadNowMs}. */
export interface LineTimes {
  readonly postedMs: number
  readonly repliedMs: number
}

export interface ThreadLineInit {
  readonly onReply: (reply: ThreadReply, times: LineTimes) => void
  /** It has not answered in time. */
  readonly onLate: () => void
  /** Nothing more comes from the thread, and why. */
  readonly onEnd: (why: string) => void
}

export class ThreadLine {
  readonly #worker: Worker
  readonly #onLate: () => void
  /** When the thread must have answered, and what looks whether it has: a timer for each request would be one for each token. */
  #deadlineMs: number | undefined
  #watch: NodeJS.Timeout | undefined
  #postedMs = 0

  constructor(worker: Worker, { onReply, onLate, onEnd }: ThreadLineInit) {
    this.#worker = worker
    worker.on('message', (reply: ThreadReply) => {
      const times = { postedMs: this.#postedMs, repliedMs: threadNowMs() }
      this.#deadlineMs = undefined
      onReply(reply, times)
    })
    worker.on('error', error => onEnd(`failed: ${reasonOf(error)}`))
    worker.on('exit', code => onEnd(`ended (code ${code})`))
    this.#onLate = onLate
  }

  /** An answer is due by then; `request` is undefined where the thread has something to say of its own accord. */
  ask(request: ThreadRequest | undefined, timeoutMs: number): void {
    this.#deadlineMs = performance.now() + timeoutMs
    this.#watch ??= setInterval(() => this.#look(), engineWatchMs).unref()
    if (request === undefined) return
    const inputs =
      request.kind === 'pass'
        ? request.parts.flatMap(({ step }) => (step === undefined ? [] : [step.input.buffer as ArrayBuffer]))
        : []
    this.#postedMs = threadNowMs()
    this.#worker.postMessage(request, inputs)
  }

  /** The thread is of no use any more: whenever it comes back from where it is, it finds that it is no longer wanted. */
  abandon(): void {
    this.end()
    this.#worker.postMessage({ kind: 'close' } satisfies ThreadRequest)
    this.#worker.unref()
  }

  /** Nobody waits for an answer any more. */
  end(): void {
    clearInterval(this.#watch)
    this.#watch = undefined
    this.#deadlineMs = undefined
  }

  #look(): void {
    if (this.#deadlineMs === undefined) this.end()
    else if (performance.now() > this.#deadlineMs) this.#onLate()
  }
}
