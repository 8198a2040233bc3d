/**
 * How a peer goes: it says so, has others take over what it serves, lets sessions move on or end, and reports what
 * became of it all. A low battery says so, too, and may take it back.
 */
import { type Clock, systemClock } from '../base/clock.ts'
import type { ModelId } from '../base/ids.ts'
import { drainPollMs } from './limits.ts'
import { coverageOf } from '../route/coverage.ts'
import type { Placement } from '../route/placement-service.ts'
import type { StageService } from '../stage/service-init.ts'
import { BatteryWatch } from '../swarm/battery.ts'
import type { RecordContent, StageOffer } from '../swarm/record.ts'
import type { Swarm } from '../swarm/swarm.ts'

/** What became of what a peer held when it went. */
export interface DrainReport {
  /** Stages whose layers others serve now. */
  readonly handedOver: readonly StageOffer[]
  /** Stages with layers that nobody else serves, or not yet. */
  readonly notTaken: readonly StageOffer[]
  /** Sessions that ran through its stages when it began, and that still do. */
  readonly sessions: number
  readonly sessionsLeft: number
  /** Answers of its own that are not complete. */
  readonly answersLeft: number
  readonly ms: number
}

export interface DepartureInit {
  readonly swarm: Swarm
  readonly stages: StageService
  /** Undefined for a model that is not served here. */
  readonly placementOf: (model: ModelId) => Placement | undefined
  /** Has the plans of all models looked at again. */
  readonly replan: () => void
  /** This peer's stages, those that are being loaded included. */
  readonly loaded: () => readonly StageOffer[]
  /** Own answers that are under way. */
  readonly answering: () => number
  readonly onWarning: (message: string) => void
  /** @default the machine's */
  readonly clock?: Clock
}

export class Departure {
  readonly #init: DepartureInit
  readonly #battery = new BatteryWatch()
  #draining = false
  #low = false

  constructor(init: DepartureInit) {
    this.#init = init
  }

  /** It will not come back: nothing new is begun here. */
  get isDraining(): boolean {
    return this.#draining
  }

  /** To be called whenever the battery was read. */
  onBattery(battery: RecordContent['battery']): void {
    const low = this.#battery.read(battery)
    if (low === this.#low) return
    this.#low = low
    const percent = battery === null ? '' : ` (${Math.round(battery.level * 100)} %)`
    this.#init.onWarning(
      low
        ? `the battery is low${percent}: others take over what this peer serves`
        : `the battery has recovered${percent}: this peer serves again`
    )
    this.#announce()
  }

  /**
   * Announces that this peer goes, and returns when others serve its layers and no session needs it any more, when
   * nobody can take them and nothing runs here, or at the deadline. It is still running then: `stop` ends it.
   * @throws the signal's reason; the announcement stands.
   */
  async drain({ deadlineMs, signal }: { deadlineMs: number; signal?: AbortSignal }): Promise<DrainReport> {
    const { stages, placementOf, replan, loaded, answering, clock = systemClock } = this.#init
    const startMs = clock.nowMs()
    const before = loaded()
    const sessions = stages.stats.sessions
    this.#draining = true
    this.#announce()
    for (;;) {
      signal?.throwIfAborted()
      // Sessions come and go without an event.
      replan()
      const ms = clock.nowMs() - startMs
      const idle = answering() === 0 && stages.stats.sessions === 0
      // What is left has nobody who could take it.
      const settled = loaded().every(({ model }) => (placementOf(model)?.missing() ?? null) !== null)
      if ((idle && settled) || ms >= deadlineMs) {
        return {
          handedOver: before.filter(stage => this.#isTaken(stage)),
          notTaken: before.filter(stage => !this.#isTaken(stage)),
          sessions,
          sessionsLeft: stages.stats.sessions,
          answersLeft: answering(),
          ms
        }
      }
      await clock.sleep(Math.min(drainPollMs, deadlineMs - ms), { signal })
    }
  }

  /** Whether others serve every layer of a stage. */
  #isTaken({ model, start, end }: StageOffer): boolean {
    const { swarm } = this.#init
    const others = swarm
      .records()
      .filter(({ record }) => record.peer !== swarm.id && !record.leaving)
      .flatMap(({ record }) => record.stages.filter(stage => stage.model === model && stage.serving))
    return coverageOf(others, { layers: end })
      .slice(start)
      .every(copies => copies > 0)
  }

  #announce(): void {
    const leaving = this.#draining || this.#low
    this.#init.stages.leaving = leaving
    this.#init.swarm.announce({ leaving })
    this.#init.replan()
  }
}
