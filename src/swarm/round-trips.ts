/**
 * What a peer announces of the round trips that it has measured: a step of a coarse scale for each neighbour. A link is
 * announced anew only when it has clearly become another one and stays so, since every change is a new record, and may
 * be a new plan of everybody. Pure.
 */
import { rttHoldLooks, rttHoldRatio, rttStepLeastMs, rttStepRatio, rttStepsMax } from './limits.ts'

/** [step] the round trip that it stands for, in ms; step 0 is none. By products alone, which are the same everywhere. */
const stepsMs: readonly number[] = (() => {
  const all = [0, rttStepLeastMs]
  while (all.length <= rttStepsMax) all.push(all.at(-1)! * rttStepRatio)
  return all
})()

/** The round trip that a step stands for, in ms; undefined for 0, which says that nobody has measured. */
export function rttOfStep(step: number): number | undefined {
  return step === 0 ? undefined : stepsMs[Math.min(step, rttStepsMax)]
}

/** The step of a round trip: the longest that is not longer, of those there are. */
export function stepOfRtt(rttMs: number | undefined): number {
  if (rttMs === undefined) return 0
  const above = stepsMs.findIndex((ms, step) => step > 1 && ms > rttMs)
  return above === -1 ? rttStepsMax : above - 1
}

interface Announced {
  readonly step: number
  /** Looks in a row at which the link was another one. */
  readonly away: number
}

export class RoundTrips {
  /** By the neighbour's hint. */
  #announced = new Map<number, Announced>()

  /**
   * @param measured the smoothed round trips of the links that are there now, in ms, by hints; undefined before the first.
   * @returns what to announce of them: by hints, in ms.
   */
  look(measured: ReadonlyMap<number, number | undefined>): ReadonlyMap<number, number> {
    const announced = new Map<number, Announced>()
    for (const [hint, rttMs] of measured) {
      const before = this.#announced.get(hint)
      if (rttMs === undefined) {
        if (before !== undefined) announced.set(hint, before)
        continue
      }
      const saidMs = before && rttOfStep(before.step)
      const isAway =
        saidMs !== undefined && (rttMs > saidMs * rttStepRatio * rttHoldRatio || rttMs * rttHoldRatio < saidMs)
      const away = isAway ? (before?.away ?? 0) + 1 : 0
      const stays = before !== undefined && away < rttHoldLooks
      announced.set(hint, stays ? { step: before.step, away } : { step: stepOfRtt(rttMs), away: 0 })
    }
    this.#announced = announced
    return new Map([...announced].map(([hint, { step }]) => [hint, rttOfStep(step)!]))
  }
}
