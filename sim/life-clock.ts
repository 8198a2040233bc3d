/** The clocks of one life of a process: its own quartz, over the agenda of the world, and nothing once the life is over. */
import type { Clock, Timer } from '../src/base/clock.ts'
import { sleepOn } from '../src/base/sleep.ts'
import type { Agenda, Appointment } from './agenda.ts'

export interface LifeClockInit {
  readonly agenda: Agenda
  /** Has the process do something: now, or when it is awake again, or never when its life is over. */
  readonly enter: (task: () => void) => void
  /** A monotonic clock begins at any value. */
  readonly beginMs: number
  /** By which part of a second its quartz is too fast. */
  readonly drift: number
  readonly wallMs: () => number
}

/** One for all: each would come with a trace of the stack, and most deadlines pass when nobody looks at them any more. */
const timeout = new DOMException('the operation was aborted due to timeout', 'TimeoutError')
/** Node makes every shorter wait one of a millisecond. */
const leastMs = 1

export class LifeClock implements Clock {
  readonly #init: LifeClockInit
  readonly #bornMs: number

  constructor(init: LifeClockInit) {
    this.#init = init
    this.#bornMs = init.agenda.nowMs
  }

  nowMs(): number {
    const { agenda, beginMs, drift } = this.#init
    return beginMs + (agenda.nowMs - this.#bornMs) * (1 + drift)
  }

  wallMs(): number {
    return this.#init.wallMs()
  }

  after(ms: number, task: () => void): Timer {
    const timer = new VirtualTimer(this, task)
    timer.begin(ms)
    return timer
  }

  every(ms: number, task: () => void): Timer {
    const timer = new VirtualTimer(this, () => {
      // As with Node the next one counts from this one, and those that were slept through come as one.
      timer.begin(ms)
      task()
    })
    timer.begin(ms)
    return timer
  }

  deadline(ms: number): AbortSignal {
    const controller = new AbortController()
    this.after(ms, () => controller.abort(timeout))
    return controller.signal
  }

  sleep(ms: number, options?: { readonly signal?: AbortSignal | undefined; readonly ref?: boolean }): Promise<void> {
    return sleepOn(this, ms, options)
  }

  /** @internal */
  book(ms: number, task: () => void): Appointment {
    const { agenda, drift, enter } = this.#init
    return agenda.after(Math.max(leastMs, ms) / (1 + drift), () => enter(task))
  }
}

class VirtualTimer implements Timer {
  readonly #clock: LifeClock
  readonly #task: () => void
  #booked: Appointment | undefined
  #isStopped = false

  constructor(clock: LifeClock, task: () => void) {
    this.#clock = clock
    this.#task = task
  }

  begin(ms: number): void {
    this.#booked = this.#clock.book(ms, this.#fire)
  }

  /** It may be due to a process that stands still, and be stopped before that gets on. */
  readonly #fire = (): void => {
    if (!this.#isStopped) this.#task()
  }

  unref(): this {
    return this
  }

  stop(): void {
    this.#isStopped = true
    if (this.#booked !== undefined) this.#booked.act = undefined
  }
}
