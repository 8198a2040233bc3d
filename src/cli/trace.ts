/** Where the time of an answer's tokens went: for a person as a waterfall, for Perfetto as a file of trace events. */
import type { RequestTrace, TracedLap, TraceSpan } from '../index.ts'
import { layers, shortPeer, table } from './output.ts'

/** One lap. */
export type Lap = TracedLap

/** Columns of the bars. */
const barColumns = 40
/** Finer than a column: eighths of it. */
const eighths = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉']

/** One row of a waterfall: a span of all laps. */
interface Sum {
  readonly hop: number | undefined
  readonly name: TraceSpan['name']
  /** By lap; 0 where it had none. */
  readonly ms: number[]
}

/**
 * Laps of lone tokens along the last route, span by span: bars that begin where the one before ended, mean, share, p50 and p99.
 * The first lap is the prompt's, and laps with drafts take longer: both are left out where there are others.
 */
export function waterfall(laps: readonly Lap[]): string[] {
  const last = laps.at(-1)
  if (last === undefined) return ['no token was traced']
  const route = JSON.stringify(last.hops)
  const along = laps.filter(({ hops }) => JSON.stringify(hops) === route)
  const lone = along.filter(({ rows }, i) => rows === 1 && (i > 0 || along.length < laps.length))
  const shown = lone.length > 0 ? lone : along
  const sums = sumsOf(shown)
  const meanMs = mean(shown.map(({ ms }) => ms))
  const rows: string[][] = []
  let at = 0
  let where: string | undefined
  for (const sum of sums) {
    const ms = mean(sum.ms)
    const [place, name] = [placeOf(sum, last), sum.name]
    rows.push([
      place === where ? '' : place,
      name,
      ms.toFixed(3),
      `${((100 * ms) / meanMs).toFixed(1)} %`,
      quantile(sum.ms, 0.5).toFixed(3),
      quantile(sum.ms, 0.99).toFixed(3),
      bar(at / meanMs, ms / meanMs)
    ])
    where = place
    at += ms
  }
  const all = shown.map(({ ms }) => ms)
  const totals = [
    '',
    'lap',
    meanMs.toFixed(3),
    '100.0 %',
    quantile(all, 0.5).toFixed(3),
    quantile(all, 0.99).toFixed(3)
  ]
  const left = laps.length - shown.length
  return [
    `${shown.length} laps of ${laps.length} over ${last.hops.length} ${last.hops.length === 1 ? 'hop' : 'hops'}` +
      `${left > 0 ? ' (without the prompt, laps with drafts and other routes)' : ''}, in ms:`,
    ...table([['where', 'span', 'mean', 'share', 'p50', 'p99', ''], ...rows, totals])
  ]
}

/** In the order of the laps: their spans differ only in some that a lap may lack. */
function sumsOf(laps: readonly Lap[]): Sum[] {
  const hops = laps[0]!.hops.length
  const names = ['wire', 'read', 'wait', 'out', 'compute', 'sample', 'back', 'send'] as const
  const order: [number | undefined, TraceSpan['name']][] = [[undefined, 'send']]
  for (let hop = 0; hop < hops; hop++) for (const name of names) order.push([hop, name])
  order.push([undefined, 'wire'], [undefined, 'read'])
  return order
    .map(([hop, name]) => ({
      hop,
      name,
      ms: laps.map(({ spans }) => spans.find(span => span.hop === hop && span.name === name)?.ms ?? 0)
    }))
    .filter(({ ms }) => ms.some(each => each > 0))
}

/** Where the time of a token went by hops, of a request of which no laps were traced: what the hops said at its end. */
export function hopWaterfall({ hops, tokens, totalMs }: RequestTrace): string[] {
  if (hops.length === 0) return []
  const rows: [string, string, number][] = hops.flatMap(hop => [
    [`${shortPeer(hop.peer)} ${layers(hop)}`, 'wait', hop.queueMs],
    ['', 'compute', hop.computeMs]
  ])
  const restMs = Math.max(0, totalMs - rows.reduce((sum, [, , ms]) => sum + ms, 0))
  rows.push(['between hops and here', 'rest', restMs])
  let at = 0
  const lines = rows.map(([place, name, ms]) => {
    const from = at
    at += ms
    const share = totalMs > 0 ? ms / totalMs : 0
    return [place, name, ms.toFixed(1), `${(100 * share).toFixed(1)} %`, bar(from / totalMs, share)]
  })
  return [
    `${tokens} tokens over ${hops.length} ${hops.length === 1 ? 'hop' : 'hops'}, prompt and all, in ms (ask with --trace for each span of a token):`,
    ...table([['where', 'span', 'sum', 'share', ''], ...lines])
  ]
}

function placeOf({ hop, name }: Pick<Sum, 'hop' | 'name'>, { hops }: Lap): string {
  if (name === 'wire') return hop === undefined ? 'to the driver' : `to hop ${hop}`
  if (hop === undefined) return 'driver'
  return `hop ${hop} ${shortPeer(hops[hop]!.peer)} ${layers(hops[hop]!)}`
}

/** Begins at one share of the whole, and is another one long. */
function bar(from: number, share: number): string {
  const begins = Math.min(barColumns - 1, Math.floor(from * barColumns))
  const length = Math.max(1, Math.round(share * barColumns * 8))
  return ' '.repeat(begins) + '█'.repeat(Math.floor(length / 8)) + eighths[length % 8]
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

/** The smallest value that a share of all is not above. */
function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]!
}

/** A trace event of the format that Perfetto and chrome://tracing open. Times are in µs. */
type TraceEvent =
  | { ph: 'M'; name: 'process_name' | 'thread_name'; pid: number; tid: number; args: { name: string } }
  | { ph: 'M'; name: 'thread_sort_index'; pid: number; tid: number; args: { sort_index: number } }
  | { ph: 'X'; name: string; cat: string; ts: number; dur: number; pid: number; tid: number; args: object }
  | { ph: 'i'; name: string; cat: string; ts: number; s: 't'; pid: number; tid: number; args: object }

/**
 * Chrome's trace event format: one track for the driver and one for each hop of each route, spans of all laps on them. What is on
 * the wire is on the track of whom it leads to. Spans of a lap follow one another by the driver's clock: how the time between
 * hops is shared out among the ways is not measured.
 */
export function traceEvents(laps: readonly Lap[]): { traceEvents: TraceEvent[]; displayTimeUnit: 'ms' } {
  const pid = 1
  const tracks = new Map<string, number>()
  const events: TraceEvent[] = [{ ph: 'M', name: 'process_name', pid, tid: 0, args: { name: 'skein' } }]
  const track = (name: string): number => {
    let tid = tracks.get(name)
    if (tid === undefined) {
      tid = tracks.size
      tracks.set(name, tid)
      events.push({ ph: 'M', name: 'thread_name', pid, tid, args: { name } })
      events.push({ ph: 'M', name: 'thread_sort_index', pid, tid, args: { sort_index: tid } })
    }
    return tid
  }
  track('driver')
  for (const lap of laps) {
    let ts = 1000 * lap.startMs
    for (const { name, hop, ms } of lap.spans) {
      const at = hop === undefined ? undefined : lap.hops[hop]!
      const tid = track(at === undefined ? 'driver' : `hop ${hop} ${shortPeer(at.peer)} ${layers(at)}`)
      const args = { position: lap.position, tokens: lap.tokens, rows: lap.rows }
      events.push({ ph: 'X', name, cat: name === 'wire' ? 'wire' : 'peer', ts, dur: 1000 * ms, pid, tid, args })
      ts += 1000 * ms
    }
  }
  return { traceEvents: events, displayTimeUnit: 'ms' }
}

/** The same of a request: its laps, as far as they are kept, and above them what happened to it. */
export function requestEvents(trace: RequestTrace): ReturnType<typeof traceEvents> {
  const { traceEvents: events, displayTimeUnit } = traceEvents(trace.laps)
  const [pid, tid] = [2, 0]
  const { request, model, modelName, firstTokenMs, totalMs, tokens, promptTokens, happenings, hops, state } = trace
  const span = (name: string, fromMs: number, toMs: number, args: object): TraceEvent => {
    return { ph: 'X', name, cat: 'request', ts: 1000 * fromMs, dur: 1000 * (toMs - fromMs), pid, tid, args }
  }
  const firstMs = firstTokenMs ?? totalMs
  return {
    displayTimeUnit,
    traceEvents: [
      ...events,
      { ph: 'M', name: 'process_name', pid, tid, args: { name: `request ${request}` } },
      span('first token', 0, firstMs, { promptTokens, model, modelName }),
      ...(firstTokenMs === null ? [] : [span('answer', firstMs, totalMs, { tokens, state, hops })]),
      ...happenings.map(({ atMs, what, message }) => {
        return { ph: 'i', name: what, cat: 'request', ts: 1000 * atMs, s: 't', pid, tid, args: { message } } as const
      })
    ]
  }
}
