/** How a seat ends: its cache is freed here and, on Close, from here to the tail; then the hop before is told (rule S16). */
import type { HopStats } from './frame.ts'

export class Ending {
  /** When it began. */
  sinceMs = 0
  /** The previous hop sent Close and waits for Closed. */
  isAsked = false
  /** The driver has been told why this tail ends. */
  hasSaidWhy = false
  /** Closed has not come back from the next hop yet. */
  waitsForNext = false
  #isFreed = false
  #hopsAfter: readonly HopStats[] = []

  begins(nowMs: number): void {
    this.sinceMs = nowMs
  }

  /** Nothing of it is in the engine. */
  freed(): void {
    this.#isFreed = true
  }

  /** Closed came back from behind hop `hop`, or will not come any more. */
  nextClosed(hops: readonly HopStats[], hop: number): void {
    this.waitsForNext = false
    this.#hopsAfter = hops.filter(each => each.hop > hop)
  }

  get isDone(): boolean {
    return this.#isFreed && !this.waitsForNext
  }

  /** For Closed: what this hop did, and those after it. */
  summary(own: HopStats): readonly HopStats[] {
    return [own, ...this.#hopsAfter]
  }
}
