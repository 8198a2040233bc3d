/**
 * The last requests that this peer has answered, and where their time went: never what they say. Every request is kept with its
 * route, losses and pauses, and how long its tokens and hops took; of one that was traced, laps as well. Pure.
 */
import type { ModelId } from '../base/ids.ts'
import type { Hop } from '../route/view.ts'
import type { GenerationEvent, HopReport, TracedLap } from '../session/generation.ts'
import {
  happeningCharsMax,
  loggedHappeningsMax,
  loggedLapsMax,
  loggedRequestsMax,
  requestNameCharsMax
} from './limits.ts'

/** Something that happened to a request, apart from its tokens. */
export interface Happening {
  /** Since the request, in ms. */
  readonly atMs: number
  readonly what: 'route' | 'waiting' | 'lost' | 'cut' | 'recovered' | 'refuted'
  /** Which peer, why, how long: in words, without any of the text. */
  readonly message: string
}

/** One request. Times are in ms. */
export interface RequestTrace {
  /** What it is called: as the one who asked said, else a number of this peer. */
  readonly request: string
  readonly model: ModelId | null
  readonly modelName: string | null
  /** Since 1970. */
  readonly startedMs: number
  readonly state: 'running' | 'answered' | 'failed' | 'left'
  /** Name of what it failed with; null where it did not. */
  readonly error: string | null
  readonly promptTokens: number | null
  readonly tokens: number
  /** From the request to the first token; null before it. */
  readonly firstTokenMs: number | null
  /** From the request to its last event. */
  readonly totalMs: number
  /** The longest that one token took after the one before it, and which, from 0. */
  readonly slowest: { readonly ms: number; readonly token: number } | null
  readonly route: readonly Hop[]
  readonly happenings: readonly Happening[]
  /** What the hops of the last route did; empty before the end. */
  readonly hops: readonly HopReport[]
  /** Of a request with `trace`: the first lap and the last ones. */
  readonly laps: readonly TracedLap[]
  /** Laps that were traced, of which some may not be kept. */
  readonly lapsTraced: number
}

export class RequestLog {
  readonly #nowMs: () => number
  readonly #wallMs: () => number
  readonly #all: LoggedRequest[] = []

  /** @param nowMs monotonic @param wallMs since 1970 */
  constructor({ nowMs, wallMs }: { nowMs: () => number; wallMs: () => number }) {
    this.#nowMs = nowMs
    this.#wallMs = wallMs
  }

  /** A request, which is kept until {@link loggedRequestsMax} others have come. */
  begin(name: string): LoggedRequest {
    const logged = new LoggedRequest(name.slice(0, requestNameCharsMax), this.#wallMs(), this.#nowMs)
    this.#all.push(logged)
    if (this.#all.length > loggedRequestsMax) this.#all.shift()
    return logged
  }

  /** The newest first, and of that one laps. @param name of one request, or its beginning. @default all, without any laps */
  list(name?: string): RequestTrace[] {
    const newest = this.#all.toReversed()
    if (name === undefined) return newest.map(request => ({ ...request.trace(), laps: [] }))
    const exact = newest.filter(({ request }) => request === name)
    const found = exact.length > 0 ? exact : newest.filter(({ request }) => request.startsWith(name))
    // Laps of one are enough to send at a time.
    return found.map((request, i) => (i === 0 ? request.trace() : { ...request.trace(), laps: [] }))
  }
}

export class LoggedRequest {
  readonly request: string
  readonly #startedMs: number
  readonly #nowMs: () => number
  readonly #beginMs: number
  #endMs: number | undefined
  #model: { readonly id: ModelId; readonly name: string } | undefined
  #state: RequestTrace['state'] = 'running'
  #error: string | null = null
  #promptTokens: number | null = null
  #tokens = 0
  #firstTokenMs: number | null = null
  #slowest: RequestTrace['slowest'] = null
  #route: readonly Hop[] = []
  readonly #happenings: Happening[] = []
  #hops: readonly HopReport[] = []
  readonly #laps: TracedLap[] = []
  #lapsTraced = 0

  constructor(request: string, startedMs: number, nowMs: () => number) {
    this.request = request
    this.#startedMs = startedMs
    this.#nowMs = nowMs
    this.#beginMs = nowMs()
  }

  /** It is known which model answers. */
  began(model: { readonly id: ModelId; readonly name: string }): void {
    this.#model = model
  }

  told(event: GenerationEvent): void {
    if (event.event === 'token') this.#token(event.ms)
    else if (event.event === 'trace') this.#lap(lapOf(event))
    else if (event.event === 'route') this.#routed(event.hops)
    else if (event.event === 'waiting') this.#happens('waiting', event.message)
    else if (event.event === 'lost') {
      this.#happens(
        'lost',
        `${event.peer}, hop ${event.hop}: ${event.reason}${event.charged ? '' : ', no fault of its own'}`
      )
    } else if (event.event === 'cut') {
      this.#happens('cut', `${event.peer} and ${event.next} do not hear each other`)
    } else if (event.event === 'recovered') {
      this.#route = event.route
      this.#happens('recovered', `after ${Math.round(event.ms)} ms, ${event.replayedTokens} tokens replayed`)
    } else if (event.event === 'refuted') {
      this.#tokens = 0
      this.#state = 'running'
      this.#happens('refuted', `${event.peer} has signed what it did not compute: ${event.tokens} tokens are void`)
    } else if (event.event === 'stopped') {
      this.#state = 'answered'
      this.#endMs = this.#nowMs()
    } else if (event.event === 'done') {
      this.#hops = event.hops
      this.#promptTokens = event.promptIds.length
    }
  }

  /** @param error why there is no whole answer; undefined where there is one, or nobody has read it to its end */
  ended(error: Error | undefined): void {
    if (this.#state !== 'running') return
    this.#endMs = this.#nowMs()
    this.#state = error === undefined || error.name === 'AbortError' ? 'left' : 'failed'
    this.#error = error === undefined ? null : error.name
  }

  trace(): RequestTrace {
    return {
      request: this.request,
      model: this.#model?.id ?? null,
      modelName: this.#model?.name ?? null,
      startedMs: this.#startedMs,
      state: this.#state,
      error: this.#error,
      promptTokens: this.#promptTokens,
      tokens: this.#tokens,
      firstTokenMs: this.#firstTokenMs,
      totalMs: (this.#endMs ?? this.#nowMs()) - this.#beginMs,
      slowest: this.#slowest,
      route: this.#route,
      happenings: [...this.#happenings],
      hops: this.#hops,
      laps: [...this.#laps],
      lapsTraced: this.#lapsTraced
    }
  }

  #token(ms: number): void {
    if (this.#tokens === 0) this.#firstTokenMs = ms
    else if (ms > (this.#slowest?.ms ?? 0)) this.#slowest = { ms, token: this.#tokens }
    this.#tokens += 1
  }

  #routed(hops: readonly Hop[]): void {
    this.#route = hops
    this.#happens('route', hops.map(({ peer, start, end }) => `${peer} ${start}-${end}`).join(' → '))
  }

  #lap(lap: TracedLap): void {
    this.#lapsTraced += 1
    this.#laps.push(lap)
    // The first one is the prompt's.
    if (this.#laps.length > loggedLapsMax) this.#laps.splice(1, 1)
  }

  #happens(what: Happening['what'], message: string): void {
    this.#happenings.push({ atMs: this.#nowMs() - this.#beginMs, what, message: message.slice(0, happeningCharsMax) })
    if (this.#happenings.length > loggedHappeningsMax) this.#happenings.shift()
  }
}

function lapOf({ event: _, ...lap }: Extract<GenerationEvent, { event: 'trace' }>): TracedLap {
  return lap
}
