/**
 * What became of each request, told once it is over: for a log, and as spans for whoever collects traces. Its size, its times and its
 * model, and nothing of what was asked or answered.
 */
import { randomBytes } from 'node:crypto'
import { type RequestTrace, weightsLabel } from '../index.ts'
import type { Api, ApiContext } from './context.ts'
import { knownWeightsMax, requestToldMs } from './limits.ts'
import type { ToldRequest } from './told-request.ts'

/** Where a request is in a trace of the whole, as W3C Trace Context has it. */
export interface TraceContext {
  /** 32 and 16 hex digits. */
  readonly trace: string
  readonly span: string
  /** The span of the client, in which this one is; null where it began the trace itself. */
  readonly parent: string | null
}

/** A header `traceparent`, as far as it is understood; null for what is no context, or one that is not to be recorded. */
export function traceContextOf(header: string | undefined): TraceContext | null {
  const span = randomBytes(8).toString('hex')
  if (header === undefined) return { trace: randomBytes(16).toString('hex'), span, parent: null }
  const [, version, trace = '', parent = '', flags = '00'] =
    /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?$/.exec(header) ?? []
  // What cannot be read begins a trace of its own, as the specification has it.
  const isRead = version !== undefined && version !== 'ff' && !/^0+$/.test(trace) && !/^0+$/.test(parent)
  if (!isRead) return { trace: randomBytes(16).toString('hex'), span, parent: null }
  return (Number.parseInt(flags, 16) & 1) === 1 ? { trace, span, parent } : null
}

export class Requests {
  readonly #api: Api
  /** [model id] */
  readonly #weights = new Map<string, string>()

  constructor(api: Api) {
    this.#api = api
  }

  /** A request has come: it is told of when its connection has had its answer, or has closed. */
  come(c: ApiContext): void {
    const { onRequest, spans } = this.#api
    if ((onRequest === undefined && spans === undefined) || c.req.method !== 'POST') return
    const context = spans === undefined ? null : traceContextOf(c.req.header('traceparent'))
    if (context !== null) c.header('traceresponse', `00-${context.trace}-${context.span}-01`)
    const beganMs = performance.now()
    const { outgoing } = c.env
    outgoing.once('close', () => {
      const over = { ms: performance.now() - beganMs, status: outgoing.headersSent ? outgoing.statusCode : 0 }
      const aborted = !outgoing.writableFinished
      // What its hops did comes a moment after the last token.
      setTimeout(() => {
        void this.#told(c, { ...over, aborted }).then(({ told, traces }) => {
          onRequest?.(told)
          if (context !== null) spans?.add(told, traces, context)
        })
      }, requestToldMs).unref()
    })
  }

  async #told(
    c: ApiContext,
    over: Pick<ToldRequest, 'ms' | 'status' | 'aborted'>
  ): Promise<{ told: ToldRequest; traces: readonly RequestTrace[] }> {
    const id = c.get('requestId')
    // Each of several answers has a name of its own, which begins with the request's.
    const names = this.#api.peer.traces().flatMap(({ request }) => (isOf(request, id) ? [request] : []))
    const traces = names.flatMap(name => this.#api.peer.traces(name).slice(0, 1))
    const [first] = traces
    const firsts = traces.flatMap(({ firstTokenMs }) => firstTokenMs ?? [])
    return {
      traces,
      told: {
        request: id,
        method: c.req.method,
        path: c.req.path,
        ...over,
        ms: Math.round(over.ms),
        client: c.get('client') ?? null,
        model: first?.modelName ?? null,
        precision: first?.model == null ? null : await this.#weightsOf(first.model),
        promptTokens: first?.promptTokens ?? 0,
        tokens: traces.reduce((sum, { tokens }) => sum + tokens, 0),
        firstTokenMs: firsts.length === 0 ? null : Math.round(Math.min(...firsts)),
        recoveries: traces.flatMap(({ happenings }) => happenings).filter(({ what }) => what === 'recovered').length,
        error: traces.find(({ error }) => error !== null)?.error ?? null
      }
    }
  }

  async #weightsOf(model: string): Promise<string | null> {
    const known = this.#weights.get(model)
    if (known !== undefined) return known
    try {
      const { manifest } = await this.#api.peer.model(model, { signal: this.#api.closing })
      if (this.#weights.size >= knownWeightsMax) this.#weights.clear()
      this.#weights.set(model, weightsLabel(manifest.weights))
    } catch {
      // It is known no more: the request is told all the same.
    }
    return this.#weights.get(model) ?? null
  }
}

function isOf(name: string, id: string): boolean {
  return name === id || name.startsWith(`${id}#`)
}
