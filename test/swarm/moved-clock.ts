/** A clock that a test moves: what is due happens in its order, and what follows from it before the next. */
import type { Clock, Timer } from '../../src/base/clock.ts'
import { sleepOn } from '../../src/base/sleep.ts'

interface Entry {
  atMs: number
  readonly everyMs: number | undefined
  readonly task: () => void
}

export class MovedClock implements Clock {
  #nowMs = 0
  readonly #entries = new Set<Entry>()

  nowMs(): number {
    return this.#nowMs
  }

  wallMs(): number {
    return this.#nowMs
  }

  after(ms: number, task: () => void): Timer {
    return this.#enter({ atMs: this.#nowMs + ms, everyMs: undefined, task })
  }

  every(ms: number, task: () => void): Timer {
    return this.#enter({ atMs: this.#nowMs + ms, everyMs: ms, task })
  }

  deadline(ms: number): AbortSignal {
    const controller = new AbortController()
    this.after(ms, () => controller.abort(new DOMException('it took too long', 'TimeoutError')))
    return controller.signal
  }

  sleep(ms: number, options?: { readonly signal?: AbortSignal | undefined }): Promise<void> {
    return sleepOn(this, ms, options)
  }

  /** Lets so much time pass. */
  async pass(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms
    for (;;) {
      await new Promise(resolve => setImmediate(resolve))
      const next = [...this.#entries].sort((a, b) => a.atMs - b.atMs)[0]
      if (next === undefined || next.atMs > endMs) break
      this.#nowMs = next.atMs
      if (next.everyMs === undefined) this.#entries.delete(next)
      else next.atMs += next.everyMs
      next.task()
    }
    this.#nowMs = endMs
  }

  #enter(entry: Entry): Timer {
    this.#entries.add(entry)
    const timer = { unref: () => timer, stop: () => void this.#entries.delete(entry) }
    return timer
  }
}
