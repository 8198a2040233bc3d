/**
 * Spans of requests for a collector of OpenTelemetry, as OTLP over HTTP with JSON: the request, its laps, and in each lap what every hop did
 * by its own clock, all in one trace. One POST is some 560 bytes and 300 for each span more, which needs no package; the official ones take
 * 15 MB. Times at other machines are durations alone, put one after the other by this machine's clock.
 */
import { randomBytes } from 'node:crypto'
import { reasonOf, type RequestTrace } from '../index.ts'
import { spanLapsMax, spansAtOnceMax, spansPostMs, spansSendMs, spansWaitingMax } from './limits.ts'
import type { TraceContext } from './requests.ts'
import type { ToldRequest } from './told-request.ts'

type Value = string | number | boolean | null | undefined
type Attribute = { readonly key: string; readonly value: object }

interface Span {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly name: string
  /** 2: server, 1: internal. */
  readonly kind: 1 | 2
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
  readonly attributes: readonly Attribute[]
  readonly status: { readonly code?: 2 }
}

export interface SpansInit {
  /** Base of the collector, as in `OTEL_EXPORTER_OTLP_ENDPOINT`: `/v1/traces` comes after it. */
  readonly endpoint: string
  /** `name=value` pairs with commas between, as in `OTEL_EXPORTER_OTLP_HEADERS`. */
  readonly headers?: string | undefined
  /** What the process is called. @default skein */
  readonly service?: string | undefined
  /** Id of this peer. */
  readonly instance: string
  readonly onWarning: (message: string) => void
}

export class Spans {
  readonly #init: SpansInit
  readonly #url: string
  readonly #headers: Record<string, string>
  #waiting: Span[] = []
  #timer: NodeJS.Timeout | undefined
  #isFailing = false
  #sending: Promise<void> = Promise.resolve()

  constructor(init: SpansInit) {
    this.#init = init
    this.#url = `${init.endpoint.replace(/\/+$/, '')}/v1/traces`
    const pairs = (init.headers ?? '').split(',').filter(pair => pair.includes('='))
    this.#headers = Object.fromEntries(
      pairs.map(pair => {
        const at = pair.indexOf('=')
        return [pair.slice(0, at).trim(), decodeURIComponent(pair.slice(at + 1).trim())]
      })
    )
  }

  /** A request is over. What waits beyond {@link spansWaitingMax} is dropped: a collector that is away holds nothing up. */
  add(told: ToldRequest, traces: readonly RequestTrace[], context: TraceContext): void {
    this.#waiting.push(...spansOf(told, traces, context).slice(0, Math.max(0, spansWaitingMax - this.#waiting.length)))
    this.#timer ??= setTimeout(() => void this.flush(), spansSendMs).unref()
  }

  /** Sends what waits; returns when that is over, one way or the other. */
  flush(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const spans = this.#waiting
    this.#waiting = []
    for (let at = 0; at < spans.length; at += spansAtOnceMax) {
      const some = spans.slice(at, at + spansAtOnceMax)
      this.#sending = this.#sending.then(() => this.#send(some))
    }
    return this.#sending
  }

  async #send(spans: readonly Span[]): Promise<void> {
    const { service = 'skein', instance } = this.#init
    const resource = { attributes: attributes({ 'service.name': service, 'service.instance.id': instance }) }
    const body = JSON.stringify({ resourceSpans: [{ resource, scopeSpans: [{ scope: { name: 'skein' }, spans }] }] })
    try {
      const headers = { 'content-type': 'application/json', ...this.#headers }
      const response = await fetch(this.#url, {
        method: 'POST',
        headers,
        body,
        signal: AbortSignal.timeout(spansPostMs)
      })
      await response.body?.cancel()
      if (!response.ok) throw new Error(`it answers ${response.status}`)
      this.#isFailing = false
    } catch (error) {
      if (!this.#isFailing) this.#init.onWarning(`traces cannot be sent to ${this.#url}: ${reasonOf(error)}`)
      this.#isFailing = true
    }
  }
}

/** The spans of one request, its own first. Pure. */
export function spansOf(told: ToldRequest, traces: readonly RequestTrace[], context: TraceContext): Span[] {
  const endMs = Math.max(...traces.map(({ startedMs, totalMs }) => startedMs + totalMs), 0) || Date.now()
  const startMs = Math.min(...traces.map(({ startedMs }) => startedMs), endMs - told.ms)
  const operation = told.path.endsWith('/completions') && !told.path.includes('chat') ? 'text_completion' : 'chat'
  const isFailed = told.error !== null || told.status >= 400
  const own: Span = {
    traceId: context.trace,
    spanId: context.span,
    ...(context.parent === null ? {} : { parentSpanId: context.parent }),
    name: told.model === null ? `${told.method} ${told.path}` : `${operation} ${told.model}`,
    kind: 2,
    startTimeUnixNano: nanos(startMs),
    endTimeUnixNano: nanos(Math.max(endMs, startMs)),
    attributes: attributes({
      'http.request.method': told.method,
      'url.path': told.path,
      'http.response.status_code': told.status,
      'error.type': told.error ?? (isFailed ? String(told.status) : undefined),
      ...(told.model === null
        ? {}
        : {
            'gen_ai.operation.name': operation,
            'gen_ai.provider.name': 'skein',
            'gen_ai.request.model': told.model,
            'gen_ai.response.model': told.model,
            'gen_ai.usage.input_tokens': told.promptTokens,
            'gen_ai.usage.output_tokens': told.tokens
          }),
      'skein.request': told.request,
      'skein.precision': told.precision,
      'skein.recoveries': told.recoveries,
      'skein.first_token_ms': told.firstTokenMs
    }),
    status: isFailed ? { code: 2 } : {}
  }
  return [own, ...traces.flatMap(trace => lapSpans(trace, context))]
}

/** Of the first lap, which has the prompt, and the last ones. */
function lapSpans({ startedMs, laps }: RequestTrace, context: TraceContext): Span[] {
  const some = laps.length <= spanLapsMax ? laps : [laps[0]!, ...laps.slice(1 - spanLapsMax)]
  return some.flatMap(lap => {
    const beginMs = startedMs + lap.startMs
    const spanId = randomBytes(8).toString('hex')
    const inner = (
      name: string,
      fromMs: number,
      ms: number,
      parentSpanId: string,
      more: Record<string, Value>
    ): Span => ({
      traceId: context.trace,
      spanId: parentSpanId === context.span ? spanId : randomBytes(8).toString('hex'),
      parentSpanId,
      name,
      kind: 1,
      startTimeUnixNano: nanos(fromMs),
      endTimeUnixNano: nanos(fromMs + ms),
      attributes: attributes(more),
      status: {}
    })
    const facts = { 'skein.position': lap.position, 'skein.tokens': lap.tokens, 'skein.rows': lap.rows }
    const spans = [inner('lap', beginMs, lap.ms, context.span, facts)]
    let atMs = beginMs
    for (const { name, hop, ms } of lap.spans) {
      const at = hop === undefined ? undefined : lap.hops[hop]
      const place = at === undefined ? {} : { 'skein.peer': at.peer, 'skein.layers': `${at.start}-${at.end}` }
      spans.push(inner(name, atMs, ms, spanId, { 'skein.hop': hop, ...place }))
      atMs += ms
    }
    return spans
  })
}

function nanos(ms: number): string {
  return String(BigInt(Math.round(ms * 1000)) * 1000n)
}

function attributes(all: Readonly<Record<string, Value>>): Attribute[] {
  return Object.entries(all).flatMap(([key, value]): Attribute[] => {
    if (value === undefined || value === null) return []
    if (typeof value === 'string') return [{ key, value: { stringValue: value } }]
    if (typeof value === 'boolean') return [{ key, value: { boolValue: value } }]
    return [{ key, value: Number.isInteger(value) ? { intValue: String(value) } : { doubleValue: value } }]
  })
}
