/** `skein trace`: where the time of a request of the running peer went. */
import { writeFile } from 'node:fs/promises'
import { forTerminal, InvalidOptionError, reasonOf, type RequestTrace, UnknownRequestError } from '../index.ts'
import type { CommandContext } from './context.ts'
import { askTraces } from './control-client.ts'
import { formatMs, note, say, sayJson, shortPeer, table } from './output.ts'
import { hopWaterfall, requestEvents, waterfall } from './trace.ts'

export interface TraceFlags {
  readonly data: string
  /** A file for Perfetto. */
  readonly perfetto?: string
  readonly list?: boolean
  readonly json?: boolean
}

/**
 * Prints one request, the last one where none is named, or a list of those that are known.
 *
 * @throws {UnknownRequestError} when there is none of that name, {InvalidOptionError} when more than one begin so or the file cannot be
 *   written, and what {@link askTraces} throws
 */
export async function trace(name: string | undefined, flags: TraceFlags, { signal }: CommandContext): Promise<void> {
  const all = await askTraces(flags.data, {}, { signal })
  if (flags.list === true) {
    if (flags.json === true) for (const each of all) sayJson(each)
    else if (all.length === 0) note('skein: the peer has answered no request yet')
    else
      for (const line of table([['request', 'model', 'at', '', 'tokens', 'first', 'all', 'traced'], ...all.map(rowOf)]))
        say(line)
    return
  }
  const wanted = name ?? all[0]?.request
  if (wanted === undefined) throw new UnknownRequestError('the peer has answered no request yet')
  const found = await askTraces(flags.data, { request: wanted }, { signal })
  const [first, ...more] = found
  if (first === undefined) {
    throw new UnknownRequestError(`the peer knows no request '${wanted}'; skein trace --list shows those that it knows`)
  }
  if (first.request !== wanted && more.length > 0) {
    throw new InvalidOptionError(
      `'${wanted}' begins the names of several requests: ${found.map(({ request }) => request).join(', ')}`
    )
  }
  if (flags.json === true) sayJson(first)
  // Whoever asks over HTTP names a request.
  else for (const line of describeTrace(first)) say(process.stdout.isTTY ? forTerminal(line) : line)
  if (flags.perfetto !== undefined) await writePerfetto(flags.perfetto, first)
}

async function writePerfetto(file: string, found: RequestTrace): Promise<void> {
  try {
    await writeFile(file, `${JSON.stringify(requestEvents(found))}\n`)
  } catch (err) {
    throw new InvalidOptionError(`--perfetto cannot write ${file}: ${reasonOf(err)}`)
  }
  note(`skein: request ${found.request} is in ${file}: open it in ui.perfetto.dev`)
}

/** The lines that a person reads. */
export function describeTrace(found: RequestTrace): string[] {
  const { request, tokens, promptTokens, state, error, totalMs, firstTokenMs, slowest, happenings, laps, lapsTraced } =
    found
  const outcome = state === 'failed' ? `failed (${error})` : state
  const prompt = promptTokens === null ? '' : `${promptTokens} + `
  const perToken = tokens > 1 && firstTokenMs !== null ? (totalMs - firstTokenMs) / (tokens - 1) : undefined
  const kept =
    lapsTraced > laps.length ? [`the first and the last ${laps.length - 1} of ${lapsTraced} laps are kept`] : []
  return [
    `request ${request} of ${modelOf(found)}, ${timeOf(found)}: ${outcome}`,
    `${prompt}${tokens} tokens in ${formatMs(totalMs)}` +
      (firstTokenMs === null ? ', none of them yet' : `, the first after ${formatMs(firstTokenMs)}`) +
      (perToken === undefined ? '' : `, then ${formatMs(perToken)} each`) +
      (slowest === null ? '' : `; the slowest took ${formatMs(slowest.ms)} (token ${slowest.token + 1})`),
    ...(happenings.length === 0 ? [] : ['', ...table(happenings.map(happeningRow))]),
    '',
    ...(laps.length > 0 ? [...waterfall(laps), ...kept] : hopWaterfall(found)),
    ...(laps.length === 0 && found.hops.length === 0 ? ['what its hops did is not known: they say it at the end'] : [])
  ]
}

function happeningRow({ atMs, what, message }: RequestTrace['happenings'][number]): string[] {
  // Whole ids of peers are long.
  const short = message.replace(/\b12D3KooW\w{44}\b/g, id => shortPeer(id as Parameters<typeof shortPeer>[0]))
  return [`${Math.round(atMs)} ms`.padStart(9), what, short]
}

function rowOf(found: RequestTrace): string[] {
  const { request, state, tokens, firstTokenMs, totalMs, lapsTraced } = found
  const first = firstTokenMs === null ? '-' : formatMs(firstTokenMs)
  return [
    request,
    modelOf(found),
    timeOf(found),
    state,
    String(tokens),
    first,
    formatMs(totalMs),
    lapsTraced > 0 ? 'yes' : ''
  ]
}

function modelOf({ modelName, model }: RequestTrace): string {
  return modelName ?? model?.slice(0, 12) ?? 'a model that is not known'
}

function timeOf({ startedMs }: RequestTrace): string {
  return new Date(startedMs).toTimeString().slice(0, 8)
}
