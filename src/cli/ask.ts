/** `skein ask`: a prompt through the running peer, its answer as it comes. */
import { Buffer } from 'node:buffer'
import { constants } from 'node:fs'
import { access, stat, writeFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { addAbortSignal } from 'node:stream'
import { type CacheType, type GenerationEvent, InvalidOptionError, reasonOf, type ScrubCounts } from '../index.ts'
import type { CommandContext } from './context.ts'
import { askChat, askGenerate, askResume } from './control-client.ts'
import { describeFailure } from './failure.ts'
import { type GrammarFlags, grammarOptions } from './grammar.ts'
import { controlRequestBytesMax } from './limits.ts'
import { describeScores, isScored, type ScoredToken } from './scores.ts'
import { type SamplingFlags, samplingOptions } from './sampling.ts'
import { type TemplateFlags, templateOptions } from './template.ts'
import { type Lap, traceEvents, waterfall } from './trace.ts'
import { formatMs, layers, note, paint, say, sayJson, shortPeer, writeText } from './output.ts'

export interface AskFlags extends SamplingFlags, TemplateFlags, GrammarFlags {
  readonly data: string
  readonly model?: string
  readonly maxTokens: number
  readonly session?: string
  readonly key?: string
  /** In ms. */
  readonly ttl?: number
  /** In ms. */
  readonly wait?: number
  readonly special?: boolean
  readonly scrub?: boolean
  readonly chat?: boolean
  readonly drafts: boolean
  readonly cache: CacheType
  /** True, or a file for Perfetto. */
  readonly trace?: boolean | string
  /** So many of the likeliest tokens are told of with each. */
  readonly logprobs?: number
  readonly json?: boolean
}

export interface ResumeFlags extends Pick<AskFlags, 'data' | 'key' | 'ttl' | 'wait' | 'logprobs' | 'json'> {
  readonly maxTokens?: number
}

/**
 * Prints the answer's text to stdout, a summary to stderr if a person is there to read it; with `--json`
 * the events, one a line, a failure as the last of them. What was traced follows on stderr, or goes to a file.
 *
 * @throws what {@link askGenerate} throws, after it was told to whoever reads the JSON.
 */
export async function ask(prompt: string, flags: AskFlags, { signal }: CommandContext): Promise<void> {
  const { model, maxTokens, session, wait, special, chat, drafts, cache, trace } = flags
  if (typeof trace === 'string') await checkTraceFile(trace)
  const template = await templateOptions(flags)
  const grammar = await grammarOptions(flags)
  const text = prompt === '-' ? await readPrompt(signal) : prompt
  const options = {
    ...(model === undefined ? {} : { model }),
    maxTokens,
    ...samplingOptions(flags),
    ...(wait === undefined ? {} : { waitMs: wait }),
    ...(drafts ? {} : { speculate: false }),
    ...(cache === 'f32' ? {} : { cache }),
    ...grammar,
    ...(trace === undefined ? {} : { trace: true }),
    ...(flags.scrub === undefined ? {} : { scrub: true }),
    ...(flags.logprobs === undefined ? {} : { logprobs: flags.logprobs }),
    ...(session === undefined ? {} : { session: { name: session, ...keeping(flags) } })
  }
  const laps: Lap[] = []
  const events = chat
    ? askChat(flags.data, [{ role: 'user', content: text }], { ...options, ...template }, { signal })
    : askGenerate(flags.data, text, { ...options, ...(special === undefined ? {} : { special }) }, { signal })
  try {
    await tell(events, flags, laps)
  } finally {
    if (typeof trace === 'string') await writeTraceFile(trace, laps)
    else if (trace === true && !flags.json) for (const line of waterfall(laps)) note(line)
  }
}

/** @throws {InvalidOptionError} when no file can be written there: that is known before anything is asked. */
async function checkTraceFile(file: string): Promise<void> {
  const found = await stat(file).catch(() => undefined)
  if (found !== undefined && !found.isFile()) throw new InvalidOptionError(`--trace takes a file, and ${file} is none`)
  try {
    await access(found === undefined ? dirname(resolve(file)) : file, constants.W_OK)
  } catch (err) {
    throw new InvalidOptionError(`--trace cannot write ${file}: ${reasonOf(err)}`)
  }
}

/** What was traced until the answer ended, however it did. */
async function writeTraceFile(file: string, laps: readonly Lap[]): Promise<void> {
  try {
    await writeFile(file, `${JSON.stringify(traceEvents(laps))}\n`)
    note(`skein: ${laps.length} laps traced in ${file}: open it in ui.perfetto.dev`)
  } catch (err) {
    note(`skein: warning: the trace is not in ${file}: ${reasonOf(err)}`)
  }
}

/** Goes on with a session that is kept: prints what is there, then what comes. The rest is as with {@link ask}. */
export async function resume(name: string, flags: ResumeFlags, { signal }: CommandContext): Promise<void> {
  const { maxTokens, wait, logprobs } = flags
  const session = {
    name,
    ...keeping(flags),
    ...(maxTokens === undefined ? {} : { maxTokens }),
    ...(wait === undefined ? {} : { waitMs: wait }),
    ...(logprobs === undefined ? {} : { logprobs })
  }
  await tell(askResume(flags.data, session, { signal }), flags)
}

/** Where the key lies, as a path that means the same to the running peer, and the time. */
function keeping({ key, ttl }: Pick<AskFlags, 'key' | 'ttl'>): { key?: string; ttlMs?: number } {
  return { ...(key === undefined ? {} : { key: resolve(key) }), ...(ttl === undefined ? {} : { ttlMs: ttl }) }
}

async function tell(
  events: AsyncIterable<GenerationEvent>,
  flags: Pick<AskFlags, 'json' | 'logprobs'>,
  laps: Lap[] = []
): Promise<void> {
  const scored: ScoredToken[] = []
  const show = flags.json ? sayJson : showEvent()
  let open = false
  try {
    for await (const event of events) {
      if (event.event === 'token' || event.event === 'resumed') open = true
      if (event.event === 'done') open = false
      if (event.event === 'trace') laps.push(event)
      if (event.event === 'token' && isScored(event)) scored.push(event)
      show(event)
    }
    if (flags.logprobs !== undefined && !flags.json) for (const line of describeScores(scored)) note(line)
  } catch (err) {
    if (flags.json) {
      const { name, message, text: sofar } = describeFailure(err)
      sayJson({ event: 'error', name, message, ...(sofar === undefined ? {} : { text: sofar }) })
    } else if (open) {
      // What was told stays readable; the complaint gets a line of its own.
      say()
    }
    throw err
  }
}

/** Shows events to a person: the text on stdout, all else on stderr and only if that is a terminal. */
export function showEvent(): (event: GenerationEvent) => void {
  const aside = (line: string): void => {
    if (process.stderr.isTTY) note(paint('dim', line, process.stderr))
  }
  /** News that counts even where stderr is a file: on a terminal it must not continue a line of the text. */
  const news = (line: string): void => note(process.stderr.isTTY ? paint('dim', `\n${line}`, process.stderr) : line)
  let route = ''
  return event => {
    if (event.event === 'route') {
      route = pathOf(event.hops)
    } else if (event.event === 'token') {
      writeText(event.text, event.part === 'thinking' ? 'dim' : undefined)
    } else if (event.event === 'resumed' || event.event === 'stopped') {
      writeText(event.text)
    } else if (event.event === 'scrubbed') {
      const told = describeScrubbed(event.replaced)
      if (told !== '') aside(`scrubbed: ${told}`)
    } else if (event.event === 'conversation') {
      if (event.droppedTurns > 0) note(`skein: ${leftOut(event.droppedTurns, 'the context')}`)
    } else if (event.event === 'warning') {
      // Whoever relies on being able to resume must hear that it may not be so, terminal or not.
      note(`skein: warning: ${event.message}`)
    } else if (event.event === 'waiting') {
      // Told wherever it goes: an answer that does not come must not look like a program that hangs.
      news(`skein: waiting: ${event.message}`)
    } else if (event.event === 'lost') {
      news(`${whatIsLost(event)}; going on without it`)
    } else if (event.event === 'refuted') {
      news(
        `skein: ${shortPeer(event.peer)} has computed something else than it should: the ${event.tokens} tokens above are void, and come again`
      )
    } else if (event.event === 'cut') {
      news(`${shortPeer(event.peer)} and ${shortPeer(event.next)} do not hear each other; going another way`)
    } else if (event.event === 'recovered') {
      route = pathOf(event.route)
      const rounding = event.exact ? '' : '; the stand-in rounds differently, so the answer may differ from here on'
      news(`recovered in ${formatMs(event.ms)}, ${event.replayedTokens} tokens replayed${rounding}`)
    } else if (event.event === 'done') {
      say()
      const { timing, ids, stop, drafts } = event
      aside(
        `${ids.length} tokens, ${timing.tokensPerSecond.toFixed(1)} tokens/s, first after ${formatMs(timing.firstTokenMs)}` +
          `${stop === 'length' ? ' (stopped at --max-tokens)' : ''}` +
          `${drafts.proposed > 0 ? `, ${drafts.taken} of ${drafts.proposed} drafts right` : ''} · ${route}`
      )
    }
  }
}

function pathOf(hops: Extract<GenerationEvent, { event: 'route' }>['hops']): string {
  return hops.map(hop => `${shortPeer(hop.peer)} ${layers(hop)}`).join(' → ')
}

/**
 * The prompt from stdin, byte for byte: a line end at its end counts, too.
 *
 * @throws {InvalidOptionError} when it is too long or no UTF-8
 */
async function readPrompt(signal: AbortSignal): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of addAbortSignal(signal, process.stdin)) {
    chunks.push(chunk as Buffer)
    bytes += (chunk as Buffer).length
    if (bytes > controlRequestBytesMax) {
      throw new InvalidOptionError(`the prompt on stdin is longer than ${controlRequestBytesMax} bytes`)
    }
  }
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.concat(chunks))
  } catch {
    throw new InvalidOptionError('the prompt on stdin is no text: its bytes are not UTF-8')
  }
}

/** `2 of email, 1 of phone`; empty where nothing was found. */
function describeScrubbed(replaced: ScrubCounts): string {
  return Object.entries(replaced)
    .map(([kind, times]) => `${times} of ${kind}`)
    .join(', ')
}

export function leftOut(turns: number, what: string): string {
  return turns === 1
    ? `the oldest turn of the conversation is left out: it does not fit ${what}`
    : `the oldest ${turns} turns of the conversation are left out: they do not fit ${what}`
}

type Lost = Extract<GenerationEvent, { event: 'lost' }>

function whatIsLost({ peer, hop, reason }: Lost): string {
  if (reason === 'unsupported') return `${shortPeer(peer)}, hop ${hop}, does not know what this answer needs`
  return `lost ${shortPeer(peer)} (${reason}) at hop ${hop}`
}
