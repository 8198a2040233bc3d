/**
 * The answers that this peer is making, as a status shows them and metrics count them: what each is at, never what it says.
 * Pure: whoever runs answers tells of them, with the time.
 */
import type { ModelId, PeerId } from '../base/ids.ts'
import type { GenerationEvent, TracedLap } from '../session/generation.ts'
import type { AnswerWatcher } from '../session/watcher.ts'
import type { Hop } from '../route/view.ts'
import type { PeerMetrics } from './metrics.ts'
import { type Auditing, AuditedRequest } from './audited-request.ts'
import type { LoggedRequest, RequestLog } from './request-log.ts'

/** An answer under way. */
export interface AnswerStatus {
  /** It is the so many-th of this peer since its start. */
  readonly number: number
  /** Null until it is known which model answers. */
  readonly model: ModelId | null
  /** `starting`: there is no token yet. `waiting`: something is missing, or it waits for room. `recovering`: from a loss to the next token. */
  readonly state: 'starting' | 'waiting' | 'running' | 'recovering'
  readonly route: readonly Hop[]
  /** Of the answer, so far. */
  readonly tokens: number
  /** Of the last tokens; 0 before the second. */
  readonly tokensPerSecond: number
  readonly ageMs: number
  /** Peers that it has gone on without. */
  readonly lost: number
}

/** Something that has happened to an answer of this peer: no text of it. */
export type AnswerNews =
  | { readonly what: 'began'; readonly answer: number; readonly model: ModelId }
  | { readonly what: 'route'; readonly answer: number; readonly route: readonly Hop[] }
  | { readonly what: 'waiting'; readonly answer: number; readonly message: string }
  | {
      readonly what: 'lost'
      readonly answer: number
      readonly peer: PeerId
      readonly reason: string
      readonly charged: boolean
    }
  | { readonly what: 'cut'; readonly answer: number; readonly peer: PeerId; readonly next: PeerId }
  | {
      readonly what: 'recovered'
      readonly answer: number
      readonly ms: number
      readonly replayedTokens: number
      readonly route: readonly Hop[]
    }
  /** `error`: the name of what went wrong; null where nothing did. */
  | { readonly what: 'ended'; readonly answer: number; readonly tokens: number; readonly error: string | null }

/** What an answer is of: the words of OpenTelemetry's conventions for `gen_ai.operation.name`. */
export type Operation = 'chat' | 'text_completion'

interface AnswersInit {
  readonly metrics: PeerMetrics
  readonly nowMs: () => number
  /** One of so many answers is traced for the metrics; 0 for none. */
  readonly traceEvery: number
  readonly onNews: (news: AnswerNews) => void
  /** Where requests are kept for those who ask what became of them. */
  readonly log: RequestLog
  /** Told of each answer that is over. @default nobody is */
  readonly audit?: Auditing | undefined
}

/** Who asks for an answer, and what he calls it. */
export interface Asker {
  /** @default the number of the answer */
  readonly request?: string | undefined
  /** @default this machine */
  readonly client?: string | undefined
}

/** How much the newest token counts in a speed. */
const speedShare = 0.2

export class Answers {
  readonly #init: AnswersInit
  readonly #all = new Map<number, WatchedAnswer>()
  #begun = 0

  constructor(init: AnswersInit) {
    this.#init = init
  }

  /** Those under way, in the order in which they were asked for. */
  get list(): AnswerStatus[] {
    const nowMs = this.#init.nowMs()
    return [...this.#all.values()].map(answer => answer.status(nowMs))
  }

  /**
   * An answer is asked for, until the signal. It is listed once it is known which model answers.
   */
  begin(operation: Operation, signal?: AbortSignal, { request, client = 'local' }: Asker = {}): WatchedAnswer {
    const number = ++this.#begun
    const { traceEvery, log, audit } = this.#init
    const logged = log.begin(request ?? String(number))
    const traces = traceEvery > 0 && number % traceEvery === 1 % traceEvery
    const audited = audit && new AuditedRequest({ operation, client, logged, audit })
    return new WatchedAnswer({ ...this.#init, number, operation, signal, traces, logged, audited, all: this.#all })
  }
}

interface WatchedAnswerInit extends AnswersInit {
  readonly number: number
  readonly operation: Operation
  readonly traces: boolean
  readonly signal: AbortSignal | undefined
  readonly logged: LoggedRequest
  readonly audited: AuditedRequest | undefined
  readonly all: Map<number, WatchedAnswer>
}

/** One answer, from its being asked for to its end. */
export class WatchedAnswer implements AnswerWatcher {
  readonly traces: boolean
  readonly #init: WatchedAnswerInit
  readonly #startMs: number
  #model: { readonly id: ModelId; readonly name: string } | undefined
  #state: AnswerStatus['state'] = 'starting'
  #route: readonly Hop[] = []
  #tokens = 0
  /** From the first token to the last. */
  #restMs = 0
  /** Smoothed, of one token. */
  #meanMs = 0
  #firstMs: number | undefined
  #lastMs = 0
  #lost = 0
  /** Something kept it waiting since the last token, after the first one. */
  #isPaused = false
  #stop: 'eos' | 'length' | undefined
  #queueMs: number | undefined
  #prefillMs: number | undefined
  /** Of tokens whose log-probability is known: how many, and the sum of these. */
  readonly #scored = { tokens: 0, logprob: 0 }

  constructor(init: WatchedAnswerInit) {
    this.#init = init
    this.traces = init.traces
    this.#startMs = init.nowMs()
  }

  /** It is known which model answers, and that this peer begins. */
  began(model: { readonly id: ModelId; readonly name?: string; readonly precision?: string }): void {
    this.#model = { id: model.id, name: model.name ?? model.id }
    this.#init.all.set(this.#init.number, this)
    this.#init.logged.began(this.#model)
    this.#init.audited?.began({ ...this.#model, precision: model.precision ?? null })
    this.#news({ what: 'began', model: model.id })
  }

  told(event: GenerationEvent): void {
    const { metrics, logged, audited } = this.#init
    logged.told(event)
    audited?.told(event)
    switch (event.event) {
      case 'token':
        this.#token(event.ms)
        if (event.logprob !== undefined && Number.isFinite(event.logprob)) {
          this.#scored.tokens += 1
          this.#scored.logprob += event.logprob
        }
        break
      case 'route':
        this.#queueMs ??= this.#init.nowMs() - this.#startMs
        this.#route = event.hops
        this.#state = 'starting'
        this.#news({ what: 'route', route: event.hops })
        break
      case 'waiting':
        this.#state = 'waiting'
        this.#isPaused = this.#tokens > 0
        this.#news({ what: 'waiting', message: event.message })
        break
      case 'lost': {
        const { peer, reason, charged } = event
        this.#lost += 1
        this.#pauses()
        metrics.lost(reason, charged)
        this.#news({ what: 'lost', peer, reason, charged })
        break
      }
      case 'cut':
        this.#pauses()
        metrics.lost('cut', false)
        this.#news({ what: 'cut', peer: event.peer, next: event.next })
        break
      case 'recovered': {
        const { ms, replayedTokens, route } = event
        this.#route = route
        metrics.recovered(ms, replayedTokens)
        this.#news({ what: 'recovered', ms, replayedTokens, route })
        break
      }
      case 'refuted':
        this.#tokens = 0
        this.#stop = undefined
        this.#lost += 1
        this.#state = 'recovering'
        metrics.lost('refuted', true)
        this.#news({ what: 'lost', peer: event.peer, reason: 'refuted', charged: true })
        break
      case 'trace':
        this.#traced(event)
        break
      case 'stopped':
        this.#stop = event.stop
        this.#lastMs = this.#init.nowMs()
        break
      case 'done':
        metrics.answered(this.#name, event)
        break
      default:
    }
  }

  ended(error: Error | undefined): void {
    const { all, number, operation, signal, metrics, nowMs, logged, audited } = this.#init
    all.delete(number)
    const endMs = this.#stop === undefined ? nowMs() : this.#lastMs
    const isLeft = error === undefined || signal?.aborted === true
    logged.ended(isLeft ? undefined : error)
    const outcome = this.#stop !== undefined ? finishes[this.#stop] : isLeft ? 'cancelled' : outcomeOf(error)
    audited?.ended(outcome)
    const isWhole = this.#stop !== undefined
    metrics.ended({
      operation,
      model: this.#name,
      outcome,
      error: isWhole ? '' : outcome,
      durationMs: endMs - this.#startMs,
      firstMs: this.#firstMs,
      queueMs: this.#queueMs,
      prefillMs: this.#prefillMs,
      tokens: this.#tokens,
      restMs: this.#restMs
    })
    const { tokens, logprob } = this.#scored
    if (tokens > 0 && this.#model !== undefined) {
      metrics.surprised(this.#name, this.#model.id.slice(0, 12), Math.abs(logprob / tokens))
    }
    if (this.#model !== undefined) {
      this.#news({ what: 'ended', tokens: this.#tokens, error: isWhole ? null : outcome })
    }
  }

  status(nowMs: number): AnswerStatus {
    return {
      number: this.#init.number,
      model: this.#model?.id ?? null,
      state: this.#state,
      route: this.#route,
      tokens: this.#tokens,
      tokensPerSecond: this.#speed(),
      ageMs: nowMs - this.#startMs,
      lost: this.#lost
    }
  }

  get #name(): string {
    return this.#model?.name ?? ''
  }

  #token(ms: number): void {
    const { metrics } = this.#init
    this.#tokens += 1
    this.#state = 'running'
    if (this.#firstMs === undefined) {
      this.#firstMs = ms
      this.#prefillMs = this.#init.nowMs() - this.#startMs - (this.#queueMs ?? 0)
    } else {
      this.#restMs += ms
      this.#meanMs = this.#tokens === 2 ? ms : this.#meanMs + (ms - this.#meanMs) * speedShare
      if (this.#isPaused) metrics.paused(ms)
    }
    this.#isPaused = false
    metrics.token(this.#name, ms, this.#tokens === 1)
  }

  #speed(): number {
    return this.#meanMs > 0 ? 1000 / this.#meanMs : 0
  }

  #pauses(): void {
    this.#state = 'recovering'
    this.#isPaused = this.#tokens > 0
  }

  #traced({ spans }: TracedLap): void {
    for (const { name, ms } of spans) if (name === 'wire') this.#init.metrics.wire(this.#name, ms)
  }

  #news(news: Unnumbered<AnswerNews>): void {
    this.#init.onNews({ ...news, answer: this.#init.number } as AnswerNews)
  }
}

type Unnumbered<News> = News extends AnswerNews ? Omit<News, 'answer'> : never

const finishes = { eos: 'stop', length: 'length' } as const

/** Failures that are named by metrics; others are ours alone when they are named `Error`. */
export function outcomeOf({ name }: Error): string {
  if (name === 'AbortError') return 'cancelled'
  return /^[A-Z][A-Za-z]{1,40}Error$/.test(name) ? name : 'Error'
}
