/** What a peer counts of itself and knows of its answers, from the machine it runs on. */
import type { Clock } from '../base/clock.ts'
import type { PeerId } from '../base/ids.ts'
import type { Serving } from '../serving/serving.ts'
import type { ComputedStep } from '../stage/computed-step.ts'
import type { StageService } from '../stage/service-init.ts'
import type { Swarm } from '../swarm/swarm.ts'
import { type AnswerNews, Answers, type Asker, outcomeOf } from './answers.ts'
import { AuditedRun } from './audited-request.ts'
import { EnergyService } from './energy-service.ts'
import { type EndedRun, PeerMetrics } from './metrics.ts'
import type { OwnAudit } from './own-audit.ts'
import type { RunWatcher } from './own-graphs.ts'
import { RequestLog } from './request-log.ts'
import type { Status } from './status.ts'

interface OwnMetricsInit {
  readonly swarm: Swarm
  readonly clock: Clock
  /** One of so many answers is traced for the metrics; 0 for none. */
  readonly traceEvery: number
  readonly parts: () => { readonly serving: Serving; readonly stages: StageService }
  readonly onNews: (news: AnswerNews) => void
  /** Where requests are told of for good. @default nowhere */
  readonly audit?: OwnAudit | undefined
}

export class OwnMetrics {
  readonly counted = new PeerMetrics()
  readonly answers: Answers
  readonly log: RequestLog
  readonly energy: EnergyService
  readonly #init: OwnMetricsInit
  readonly #startSeconds: number
  #runs = 0

  constructor(init: OwnMetricsInit) {
    this.#init = init
    const { clock, traceEvery, onNews, audit } = init
    const nowMs = (): number => clock.nowMs()
    this.energy = new EnergyService({ clock })
    this.log = new RequestLog({ nowMs, wallMs: () => clock.wallMs() })
    this.answers = new Answers({ metrics: this.counted, nowMs, traceEvery, onNews, log: this.log, audit })
    this.#startSeconds = Math.round(clock.wallMs() / 1000 - process.uptime())
  }

  /** A step was computed at a stage of this peer. */
  step(step: ComputedStep): void {
    this.counted.step(this.#init.parts().serving.get(step.model)?.shape.name ?? step.model, step)
  }

  /** Counts a run of a graph. @param ask does it, and says of which graph and by whom */
  async ran<T>(
    operation: EndedRun['operation'],
    { signal, ...asker }: Asker & { readonly signal?: AbortSignal | undefined },
    ask: (watcher: RunWatcher) => Promise<T>
  ): Promise<T> {
    const { clock, audit } = this.#init
    const startMs = clock.nowMs()
    const run = new AuditedRun({ operation, number: ++this.#runs, ...asker, classOf: audit?.classOf ?? (() => null) })
    let outcome = 'done'
    try {
      return await ask(run)
    } catch (error) {
      outcome = signal?.aborted === true ? 'cancelled' : outcomeOf(error as Error)
      throw error
    } finally {
      const durationMs = clock.nowMs() - startMs
      this.counted.ran({ operation, model: run.modelName ?? '', outcome, durationMs })
      audit?.add(run.ended(outcome, durationMs))
    }
  }

  /** Links of this peer. */
  links(): { peer: PeerId; bytesIn: number; bytesOut: number; rttMs: number | undefined }[] {
    const { swarm } = this.#init
    return swarm.traffic().map(link => ({ ...link, rttMs: swarm.rttMs(link.peer) }))
  }

  /** Everything, for Prometheus. */
  text(status: Status, aliases?: 'vllm'): string {
    const { serving, stages } = this.#init.parts()
    const { user, system } = process.cpuUsage()
    const gathered = {
      status,
      answers: this.answers.list,
      links: this.links(),
      stages: stages.stats,
      caches: serving.models.map(({ shape, caches }) => ({ model: shape.name, ...caches })),
      machine: {
        cpuSeconds: (user + system) / 1e6,
        residentBytes: process.memoryUsage.rss(),
        startSeconds: this.#startSeconds,
        joules: this.energy.totals
      }
    }
    return this.counted.text(gathered, aliases)
  }
}
