/** Has sessions wait for room before they begin: gives `admission.ts` its time and whoever waits its turn. */
import { type Clock, systemClock, type Timer } from '../base/clock.ts'
import { OverloadedError } from '../errors.ts'
import { admissionLookMs } from './limits.ts'
import { Admission, type Asking, type Verdict } from './admission.ts'

/** How long an ask waits, for whoever asked: in one sentence. */
export type OnWait = (message: string) => void

/** A session that may run. */
export interface Admitted {
  /** To be called when it has a route: whoever counts room counts it from there on. */
  routed(): void
  /** To be called when it has ended. */
  leave(): void
}

interface Waiter {
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

export class Admissions {
  readonly #decider = new Admission()
  readonly #waiters = new Map<number, Waiter>()
  readonly #clock: Clock
  #timer: Timer | undefined

  constructor(clock = systemClock) {
    this.#clock = clock
  }

  get running(): number {
    return this.#decider.running
  }

  get waiting(): number {
    return this.#decider.waiting
  }

  /**
   * Returns when a session may begin.
   * @throws {OverloadedError} when too many wait, or it would have to wait too long. @throws the signal's reason.
   */
  async enter(asking: Asking, { signal, onWait }: { signal: AbortSignal; onWait: OnWait }): Promise<Admitted> {
    signal.throwIfAborted()
    const verdict = this.#decider.ask(asking, this.#clock.nowMs())
    const { ticket } = verdict
    if (verdict.kind === 'refuse') throw overloaded(verdict)
    if (verdict.kind === 'wait') {
      onWait(
        `no room yet: ${verdict.ahead} come first, its turn may come in some ${Math.ceil(verdict.aboutMs / 1000)} s`
      )
      await this.#wait(ticket, signal)
    }
    let isOver = false
    return {
      routed: () => this.#decider.routed(ticket),
      leave: () => {
        if (isOver) return
        isOver = true
        this.#decider.leave(ticket, this.#clock.nowMs())
        this.changed()
      }
    }
  }

  /** To be called when there may be more room: a record has come, a session has ended. */
  changed(): void {
    for (const verdict of this.#decider.look(this.#clock.nowMs())) {
      const waiter = this.#waiters.get(verdict.ticket)
      this.#waiters.delete(verdict.ticket)
      if (verdict.kind === 'refuse') waiter?.reject(overloaded(verdict))
      else waiter?.resolve()
    }
    if (this.#decider.waiting > 0) return
    this.#timer?.stop()
    this.#timer = undefined
  }

  async #wait(ticket: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#waiters.set(ticket, { resolve, reject })
    this.#timer ??= this.#clock.every(admissionLookMs, () => this.changed()).unref()
    const onAbort = (): void => reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      await promise
    } catch (error) {
      this.#waiters.delete(ticket)
      this.#decider.leave(ticket, this.#clock.nowMs())
      throw error
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }
}

function overloaded({ reason, retryAfterMs }: Verdict & { kind: 'refuse' }): OverloadedError {
  return new OverloadedError(
    `there is no room for another answer: ${reason}; ask again in ${Math.ceil(retryAfterMs / 1000)} s`,
    retryAfterMs
  )
}
