/** Looks at the swarm when records and connections have changed: at all changes of one burst together, and not all the time. */
import { type Clock, systemClock, type Timer } from '../base/clock.ts'
import { lookMaxMs, lookMs, lookShare } from './limits.ts'

export class Looking {
  readonly #look: () => void
  readonly #clock: Clock
  /** Runs while something has changed and nobody has looked yet. */
  #timer: Timer | undefined
  #tookMs = 0
  #isStopped = false

  constructor(look: () => void, clock = systemClock) {
    this.#look = look
    this.#clock = clock
  }

  /** Something has changed: it is looked at in {@link lookMs}, or later where the last look took long. */
  changed(): void {
    if (this.#isStopped) return
    const waitMs = Math.min(lookMaxMs, Math.max(lookMs, lookShare * this.#tookMs))
    this.#timer ??= this.#clock.after(waitMs, () => {
      this.#timer = undefined
      this.now()
    })
  }

  /** Looks at once. */
  now(): void {
    const startMs = this.#clock.nowMs()
    this.#look()
    this.#tookMs = this.#clock.nowMs() - startMs
  }

  stop(): void {
    this.#isStopped = true
    this.#timer?.stop()
  }
}
