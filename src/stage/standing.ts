/** What a seat has done, and how far it has come: what its driver is told when it asks, and at the end (rules S16, S22). */
import type { StepCost, StepOutput } from '../engine/engine.ts'
import { askMinMs } from './limits.ts'
import type { AskFrame, HopStats, StandingFrame } from './frame.ts'
import type { Place } from './wait-list.ts'

/** What a step cost, and how much of it was known. */
export type ComputedCost = StepCost & Partial<Pick<StepOutput, 'reused'>>

export class Standing {
  readonly #stats = {
    steps: 0,
    tokens: 0,
    computeMs: 0,
    queueMs: 0,
    bytesIn: 0,
    bytesOut: 0,
    bytesBack: 0,
    replayed: 0,
    rows: 0,
    gatherMs: 0,
    reused: 0
  }
  #askedMs = Number.NEGATIVE_INFINITY

  /** Steps that were computed. */
  get steps(): number {
    return this.#stats.steps
  }

  /** A step of so many tokens was computed, `ms` after it had come. */
  computed(tokens: number, { computeMs, rows, gatherMs, reused = 0 }: ComputedCost, ms: number): void {
    this.#stats.steps += 1
    this.#stats.tokens += tokens
    this.#stats.rows += rows
    this.#stats.computeMs += computeMs
    this.#stats.queueMs += Math.max(0, ms - computeMs)
    this.#stats.gatherMs += gatherMs
    this.#stats.reused += reused
  }

  replayed(tokens: number): void {
    this.#stats.replayed += tokens
  }

  /** Bytes of frames with their length prefixes: from the hop before, to the next one, back to the one before. */
  moved(way: 'in' | 'out' | 'back', bytes: number): void {
    if (way === 'in') this.#stats.bytesIn += bytes
    else if (way === 'out') this.#stats.bytesOut += bytes
    else this.#stats.bytesBack += bytes
  }

  /** Whether a question is to be answered, and not dropped because it follows another one at once. */
  asked(nowMs: number): boolean {
    if (nowMs - this.#askedMs < askMinMs) return false
    this.#askedMs = nowMs
    return true
  }

  /** The answer to a question. `oldestMs`: when the oldest step that is not computed came. */
  frame(
    { epoch, round }: AskFrame,
    at: {
      readonly hop: number
      readonly arrived: number
      readonly length: number
      readonly oldestMs: number | undefined
      readonly place: Place | undefined
    },
    nowMs: number
  ): StandingFrame {
    const { hop, arrived, length, oldestMs, place: { place, placeMs } = { place: 0, placeMs: 0 } } = at
    const { steps, computeMs, queueMs, rows, gatherMs } = this.#stats
    // Who waits for room keeps nobody busy.
    const busyMs = oldestMs === undefined || place > 0 ? 0 : Math.max(0, nowMs - oldestMs)
    const sums = { steps, computeMs, queueMs, rows, gatherMs }
    return { kind: 'standing', epoch, round, hop, arrived, length, busyMs, ...sums, place, placeMs }
  }

  /** All of it, for Closed. */
  summary(hop: number): HopStats {
    return { hop, ...this.#stats }
  }
}
