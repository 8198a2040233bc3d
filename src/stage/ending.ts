/** How a seat ends: its cache is freed here and, on Close, from here to the tail; then the hop before is told (rule S16). */
import type { SignedCommitment } from './commitment.ts'
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
  /** The driver wants to know what was computed of so many tokens; 0 where it does not. */
  commitTo = 0
  #isFreed = false
  #hopsAfter: readonly HopStats[] = []
  /** What this hop has committed to, and those after it. */
  #commitments: readonly SignedCommitment[] = []

  begins(nowMs: number): void {
    this.sinceMs = nowMs
  }

  /** Nothing of it is in the engine. */
  freed(): void {
    this.#isFreed = true
  }

  /** This hop commits to what it computed. */
  commits(own: SignedCommitment | undefined): void {
    if (own !== undefined) this.#commitments = [own]
  }

  /** Closed came back from behind hop `hop`, or will not come any more. */
  nextClosed(hops: readonly HopStats[], hop: number, commitments: readonly SignedCommitment[] = []): void {
    this.waitsForNext = false
    this.#hopsAfter = hops.filter(each => each.hop > hop)
    this.#commitments = [...this.#commitments, ...commitments.filter(each => each.hop > hop)]
  }

  get isDone(): boolean {
    return this.#isFreed && !this.waitsForNext
  }

  /** For Closed: what this hop did, and those after it. */
  summary(own: HopStats): readonly HopStats[] {
    return [own, ...this.#hopsAfter]
  }

  /** For Closed: what this hop, and those after it, have committed to. */
  get commitments(): readonly SignedCommitment[] {
    return this.#commitments
  }
}
