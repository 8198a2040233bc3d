/**
 * Time as those who do things see it: what it is now, and what happens later. A peer runs on {@link systemClock}; the
 * simulator gives each life of a peer a clock face of its own, over an agenda of virtual time.
 */
import { sleepOn } from './sleep.ts'

/** Something that will happen. */
export interface Timer {
  /** The process may end before it happens. */
  unref(): this
  /** It does not happen, or not again. */
  stop(): void
}

export interface Clock {
  /** Monotonic time in ms, from any beginning. */
  nowMs(): number
  /** ms since 1970, as this machine believes. It may jump, either way. */
  wallMs(): number
  /** Does a task once, after so many ms, in a turn of its own. */
  after(ms: number, task: () => void): Timer
  /** Does a task again and again, the first time after so many ms. */
  every(ms: number, task: () => void): Timer
  /** A signal that aborts after so many ms, with a `TimeoutError`. The process may end before. */
  deadline(ms: number): AbortSignal
  /**
   * Waits for so many ms, or until the signal. It never rejects: whoever waits looks at the signal itself.
   *
   * @param options.ref whether the process stays for it @default true
   */
  sleep(ms: number, options?: { readonly signal?: AbortSignal | undefined; readonly ref?: boolean }): Promise<void>
}

class SystemTimer implements Timer {
  readonly #timer: ReturnType<typeof setTimeout>

  constructor(timer: ReturnType<typeof setTimeout>) {
    this.#timer = timer
  }

  unref(): this {
    this.#timer.unref()
    return this
  }

  stop(): void {
    clearTimeout(this.#timer)
  }
}

/** The machine's own. */
export const systemClock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  after: (ms, task) => new SystemTimer(setTimeout(task, ms)),
  every: (ms, task) => new SystemTimer(setInterval(task, ms)),
  // Nothing holds its timer but the signal: one that nobody looks at any more costs nothing.
  deadline: ms => AbortSignal.timeout(ms),
  sleep: (ms, options) => sleepOn(systemClock, ms, options)
}
