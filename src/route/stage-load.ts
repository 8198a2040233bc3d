/**
 * How busy a stage has been, as its record says it: steps that were there at a time, computed or waiting. More than one means
 * that sessions wait for one another here. It is smoothed, so that a burst counts for little, and coarse, so that records do not
 * change with every step. Pure.
 */
import { coolPeakMs, coolWindowMs, loadSmoothMs } from './limits.ts'

export interface AnnouncedLoad {
  /** Steps at a time, lately. */
  readonly load: number
  /**
   * The most of that within {@link coolWindowMs}: what was busy a short while ago may be so again. Undefined as long as the stage is
   * younger than that.
   */
  readonly peak: number | undefined
}

export class StageLoad {
  #value = 0
  #beganMs: number | undefined
  #sampledMs = 0
  /** The most in each of the last stretches of time, the newest last. */
  #peaks: { readonly untilMs: number; value: number }[] = []

  /** So many steps are here now; to be called about once a second. */
  sample(steps: number, nowMs: number): void {
    this.#beganMs ??= nowMs
    const passedMs = nowMs === this.#beganMs ? 0 : Math.min(loadSmoothMs, Math.max(0, nowMs - this.#sampledMs))
    this.#sampledMs = nowMs
    this.#value += (steps - this.#value) * (passedMs / (loadSmoothMs + passedMs))
    this.#peaks = this.#peaks.filter(({ untilMs }) => nowMs - untilMs < coolWindowMs)
    const last = this.#peaks.at(-1)
    if (last !== undefined && nowMs < last.untilMs) last.value = Math.max(last.value, this.#value)
    else this.#peaks.push({ untilMs: nowMs + coolPeakMs, value: this.#value })
  }

  get announced(): AnnouncedLoad {
    const isKnown = this.#beganMs !== undefined && this.#sampledMs - this.#beganMs >= coolWindowMs
    const peak = this.#peaks.reduce((most, { value }) => Math.max(most, value), this.#value)
    return { load: coarse(this.#value), peak: isKnown ? coarse(peak) : undefined }
  }
}

/** What records say: each half as much again as the one before, or a third. */
const scale: readonly number[] = [
  0,
  1,
  ...Array.from({ length: 18 }, (_, i) => [2 ** (i + 1), 3 * 2 ** i]).flat()
].sort((a, b) => a - b)

/** The nearest step of the scale; of two the lower. */
function coarse(value: number): number {
  return scale.reduce((best, step) => (Math.abs(step - value) < Math.abs(best - value) ? step : best), 0)
}
