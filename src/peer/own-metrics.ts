/** What a peer counts of itself and knows of its answers, from the machine it runs on. */
import type { Clock } from '../base/clock.ts'
import type { PeerId } from '../base/ids.ts'
import type { Serving } from '../serving/serving.ts'
import type { ComputedStep } from '../stage/computed-step.ts'
import type { StageService } from '../stage/service.ts'
import type { Swarm } from '../swarm/swarm.ts'
import { type AnswerNews, Answers } from './answers.ts'
import { PeerMetrics } from './metrics.ts'
import { RequestLog } from './request-log.ts'
import type { Status } from './status.ts'

interface OwnMetricsInit {
  readonly swarm: Swarm
  readonly clock: Clock
  /** One of so many answers is traced for the metrics; 0 for none. */
  readonly traceEvery: number
  readonly parts: () => { readonly serving: Serving; readonly stages: StageService }
  readonly onNews: (news: AnswerNews) => void
}

export class OwnMetrics {
  readonly counted = new PeerMetrics()
  readonly answers: Answers
  readonly log: RequestLog
  readonly #init: OwnMetricsInit
  readonly #startSeconds: number

  constructor(init: OwnMetricsInit) {
    this.#init = init
    const { clock, traceEvery, onNews } = init
    const nowMs = (): number => clock.nowMs()
    this.log = new RequestLog({ nowMs, wallMs: () => clock.wallMs() })
    this.answers = new Answers({ metrics: this.counted, nowMs, traceEvery, onNews, log: this.log })
    this.#startSeconds = Math.round(clock.wallMs() / 1000 - process.uptime())
  }

  /** A step was computed at a stage of this peer. */
  step(step: ComputedStep): void {
    this.counted.step(this.#init.parts().serving.get(step.model)?.shape.name ?? step.model, step)
  }

  /** Links of this peer. */
  links(): { peer: PeerId; bytesIn: number; bytesOut: number; rttMs: number | undefined }[] {
    const { swarm } = this.#init
    return swarm.traffic().map(link => ({ ...link, rttMs: swarm.rttMs(link.peer) }))
  }

  /** Everything, for Prometheus. */
  text(status: Status): string {
    const { serving, stages } = this.#init.parts()
    const { user, system } = process.cpuUsage()
    return this.counted.text({
      status,
      answers: this.answers.list,
      links: this.links(),
      stages: stages.stats,
      caches: serving.models.map(({ shape, caches }) => ({ model: shape.name, ...caches })),
      machine: {
        cpuSeconds: (user + system) / 1e6,
        residentBytes: process.memoryUsage.rss(),
        startSeconds: this.#startSeconds
      }
    })
  }
}
