/** Looks at the swarm when records and connections have changed: at all changes of one burst together, and not all the time. */
import { lookMaxMs, lookMs, lookShare } from './limits.ts'

export class Looking {
  readonly #look: () => void
  /** Runs while something has changed and nobody has looked yet. */
  #timer: ReturnType<typeof setTimeout> | undefined
  #tookMs = 0
  #isStopped = false

  constructor(look: () => void) {
    this.#look = look
  }

  /** Something has changed: it is looked at in {@link lookMs}, or later where the last look took long. */
  changed(): void {
    if (this.#isStopped) return
    this.#timer ??= setTimeout(
      () => {
        this.#timer = undefined
        this.now()
      },
      Math.min(lookMaxMs, Math.max(lookMs, lookShare * this.#tookMs))
    )
  }

  /** Looks at once. */
  now(): void {
    const startMs = performance.now()
    this.#look()
    this.#tookMs = performance.now() - startMs
  }

  stop(): void {
    this.#isStopped = true
    clearTimeout(this.#timer)
  }
}
