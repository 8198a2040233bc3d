/**
 * Figures of an audit log: how much was asked of which model, when, and how it ended. For use where the log is they are exact; those that leave
 * the swarm have noise, so that whether any one request was made changes what can be seen by a factor of exp(ε) at most (differential privacy). Pure.
 */
import { type Below, discreteLaplace } from './noise.ts'
import { reportTokensMax } from './limits.ts'

/** What is counted of a request. */
export interface CountedRequest {
  /** When it was over, since 1970. */
  readonly wallMs: number
  readonly model: string | null
  readonly tokens: number
  readonly outcome: string
}

/** Requests and tokens of answers. */
export interface Count {
  readonly requests: number
  readonly tokens: number
}

/** Figures of an audit log: of all requests, and by model, hour and outcome. */
export interface AuditFigures extends Count {
  readonly byModel: readonly (Count & { readonly model: string })[]
  /** All hours of the time, whether anything was asked in them or not. `hour`: its beginning, as ISO 8601. */
  readonly byHour: readonly (Count & { readonly hour: string })[]
  readonly byOutcome: { readonly answered: number; readonly cancelled: number; readonly failed: number }
}

/** What all requests are of that are of none of the models that are named. */
export const otherModels = 'others'
export const hourMs = 3_600_000
/** Figures to each of which a request may contribute: its part of ε is one of so many. */
export const noisedFigures = 7

/**
 * @param models that are told of by name, whoever asked for them: which ones those are must not depend on what was asked, where figures are to leave
 *   the swarm. @default each that was asked for
 * @param tokensMax tokens of a request that count at most. @default all
 */
export function figuresOf(
  requests: Iterable<CountedRequest>,
  {
    fromMs,
    toMs,
    models,
    tokensMax = Number.POSITIVE_INFINITY
  }: {
    readonly fromMs: number
    readonly toMs: number
    readonly models?: readonly string[] | undefined
    readonly tokensMax?: number
  }
): AuditFigures {
  const total = new Tally()
  const byModel = new Map((models === undefined ? [] : [...models, otherModels]).map(model => [model, new Tally()]))
  const byHour = new Map<number, Tally>()
  for (let hour = Math.floor(fromMs / hourMs); hour * hourMs < toMs; hour++) byHour.set(hour, new Tally())
  const byOutcome = { answered: 0, cancelled: 0, failed: 0 }
  for (const { wallMs, model, tokens: all, outcome } of requests) {
    if (wallMs < fromMs || wallMs >= toMs) continue
    const tokens = Math.min(all, tokensMax)
    const name = model !== null && (models === undefined || models.includes(model)) ? model : otherModels
    if (!byModel.has(name)) byModel.set(name, new Tally())
    for (const tally of [total, byModel.get(name)!, byHour.get(Math.floor(wallMs / hourMs))!]) tally.add(tokens)
    byOutcome[groupOf(outcome)] += 1
  }
  return {
    ...total.count,
    byModel: [...byModel].map(([model, tally]) => ({ model, ...tally.count })),
    byHour: [...byHour].map(([hour, tally]) => ({ hour: new Date(hour * hourMs).toISOString(), ...tally.count })),
    byOutcome
  }
}

/**
 * The same figures with noise. Each request is in one model, one hour and one outcome, so that seven figures share ε: requests and tokens of all, by model and
 * by hour, and requests by outcome. They do not add up, and may be below 0.
 *
 * @param figures with tokens of a request up to {@link reportTokensMax}
 * @param epsilonMilli ε in thousandths, a whole number
 */
export function withNoise(figures: AuditFigures, epsilonMilli: number, below: Below): AuditFigures {
  const [ofRequests, ofTokens] = [1, reportTokensMax].map(most => scaleOf(most, epsilonMilli)) as [Scale, Scale]
  const noised = <T extends Count>(count: T): T => ({
    ...count,
    requests: count.requests + discreteLaplace(ofRequests, below),
    tokens: count.tokens + discreteLaplace(ofTokens, below)
  })
  const { byModel, byHour, byOutcome, requests, tokens } = figures
  const outcomes = Object.entries(byOutcome).map(([name, count]) => [name, count + discreteLaplace(ofRequests, below)])
  return {
    ...noised({ requests, tokens }),
    byModel: byModel.map(noised),
    byHour: byHour.map(noised),
    byOutcome: Object.fromEntries(outcomes) as AuditFigures['byOutcome']
  }
}

/** How far figures are off at most in 95 of 100 cases. */
export function errorOf(epsilonMilli: number): Count {
  const width = (most: number): number => {
    const { t, s } = scaleOf(most, epsilonMilli)
    return Math.ceil((t / s) * Math.log(20))
  }
  return { requests: width(1), tokens: width(reportTokensMax) }
}

interface Scale {
  readonly t: number
  readonly s: number
}

/** @param most what one request changes of a figure */
function scaleOf(most: number, epsilonMilli: number): Scale {
  return { t: most * 1000 * noisedFigures, s: epsilonMilli }
}

class Tally {
  #requests = 0
  #tokens = 0

  add(tokens: number): void {
    this.#requests += 1
    this.#tokens += tokens
  }

  get count(): Count {
    return { requests: this.#requests, tokens: this.#tokens }
  }
}

function groupOf(outcome: string): 'answered' | 'cancelled' | 'failed' {
  if (outcome === 'stop' || outcome === 'length' || outcome === 'done') return 'answered'
  return outcome === 'cancelled' ? 'cancelled' : 'failed'
}
