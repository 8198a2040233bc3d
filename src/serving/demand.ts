/** How much a model is asked for: sessions that this peer drove lately, decaying, as its record says it. Pure. */
import type { ModelId } from '../base/ids.ts'
import { demandHalfLifeMs, demandModelsMax } from './limits.ts'

interface Count {
  readonly value: number
  readonly atMs: number
}

export class Demand {
  readonly #counts = new Map<ModelId, Count>()

  /** A session of a model begins here. */
  asked(model: ModelId, nowMs: number): void {
    const value = this.#valueAt(model, nowMs) + 1
    this.#counts.delete(model)
    this.#counts.set(model, { value, atMs: nowMs })
    // The one that was asked for longest ago counts least.
    if (this.#counts.size > demandModelsMax) this.#counts.delete(this.#counts.keys().next().value!)
  }

  /** A power of two or 0, so that records do not change with each session: 3 sessions of the last minutes are 4. */
  of(model: ModelId, nowMs: number): number {
    const value = this.#valueAt(model, nowMs)
    return value < 0.5 ? 0 : 2 ** Math.round(Math.log2(value))
  }

  #valueAt(model: ModelId, nowMs: number): number {
    const count = this.#counts.get(model)
    return count === undefined ? 0 : count.value * 2 ** ((count.atMs - nowMs) / demandHalfLifeMs)
  }
}
