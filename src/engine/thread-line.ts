/**
 * The line between an engine and its thread, as the engine's end sees it: one request is under way at a time, and a thread that
 * has ended, or does not answer in time, is noticed.
 */
import type { Worker } from 'node:worker_threads'
import { reasonOf } from '../base/reason.ts'
import { engineWatchMs } from './limits.ts'
import { threadNowMs } from './thread-clock.ts'
import type { ThreadPart, ThreadReply, ThreadRequest } from './thread-messages.ts'
import { putPass, SessionNumbers, takeReply, type Way, waysOf } from './thread-share.ts'

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
  readonly #init: ThreadLineInit
  readonly #ways: { readonly there: Way; readonly back: Way } | undefined
  readonly #sessions = new SessionNumbers()
  /** Replies that were heard through shared memory, and whether the next one is waited for there. */
  #heard = 0
  #isListening = false
  /** When the thread must have answered, and what looks whether it has: a timer for each request would be one for each token. */
  #deadlineMs: number | undefined
  #watch: NodeJS.Timeout | undefined
  #postedMs = 0

  /** @param share that the thread was given; undefined: all goes by message */
  constructor(worker: Worker, share: SharedArrayBuffer | undefined, init: ThreadLineInit) {
    this.#worker = worker
    this.#init = init
    this.#ways = share === undefined ? undefined : waysOf(share)
    worker.on('message', (reply: ThreadReply) => this.#replied(reply))
    worker.on('error', error => init.onEnd(`failed: ${reasonOf(error)}`))
    worker.on('exit', code => {
      // Nobody else will.
      if (this.#isListening) this.#ways?.back.ring()
      init.onEnd(`ended (code ${code})`)
    })
  }

  /** An answer is due by then; `request` is undefined where the thread has something to say of its own accord. */
  ask(request: ThreadRequest | undefined, timeoutMs: number): void {
    this.#deadlineMs = performance.now() + timeoutMs
    this.#watch ??= setInterval(() => this.#look(), engineWatchMs).unref()
    if (request === undefined) return
    this.#postedMs = threadNowMs()
    this.#sessions.asked(request)
    const isThere =
      request.kind === 'pass' && this.#ways !== undefined && putPass(this.#ways.there, request, this.#sessions)
    if (isThere) this.#ways!.there.ring()
    else this.#post(request)
    this.#listen()
  }

  /** A pass is about to be asked for. */
  announce(): void {
    this.#ways?.there.announce()
  }

  #post(request: ThreadRequest): void {
    const inputs: ArrayBuffer[] = []
    const own =
      request.kind === 'pass' ? { ...request, parts: request.parts.map(part => withOwn(part, inputs)) } : request
    this.#worker.postMessage(own, inputs)
    this.#ways?.there.ring()
  }

  /** The thread is of no use any more: whenever it comes back from where it is, it finds that it is no longer wanted. */
  abandon(): void {
    this.end()
    this.#post({ kind: 'close' })
    this.#worker.unref()
  }

  /** Nobody waits for an answer any more. */
  end(): void {
    clearInterval(this.#watch)
    this.#watch = undefined
    this.#deadlineMs = undefined
  }

  /** Waits for a reply in shared memory: one that comes by message leaves it waiting for the next one. */
  #listen(): void {
    if (this.#ways === undefined || this.#isListening) return
    this.#isListening = true
    void (this.#ways.back.waitAsync(this.#heard) ?? Promise.resolve()).then(() => this.#woken(this.#ways!.back))
  }

  #woken(back: Way): void {
    this.#isListening = false
    if (back.said === this.#heard && !back.comes(this.#heard)) {
      this.#listen()
      return
    }
    this.#heard = back.said
    const reply = takeReply(back)
    if (reply !== undefined) this.#replied(reply)
  }

  #replied(reply: ThreadReply): void {
    const times = { postedMs: this.#postedMs, repliedMs: threadNowMs() }
    this.#deadlineMs = undefined
    this.#sessions.answered(reply)
    this.#init.onReply(reply, times)
  }

  #look(): void {
    if (this.#deadlineMs === undefined) this.end()
    else if (performance.now() > this.#deadlineMs) this.#init.onLate()
  }
}

/** With an input whose memory can move to the thread: what came off a network is part of a larger one. */
function withOwn(part: ThreadPart, inputs: ArrayBuffer[]): ThreadPart {
  if (part.step === undefined) return part
  const { input: given, ids } = part.step
  const input = given instanceof Int32Array ? new Int32Array(given) : new Uint8Array(given)
  inputs.push(input.buffer)
  return { ...part, step: { ...part.step, input, ids: ids === undefined ? undefined : new Int32Array(ids) } }
}
