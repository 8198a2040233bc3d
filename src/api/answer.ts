/** One answer as it comes: what its events mean to a client, until it ends or a stop string does. */
import { setTimeout as delay } from 'node:timers/promises'
import {
  type Generation,
  type GenerationEvent,
  type PromptToken,
  type ScrubCounts,
  SessionFailedError,
  type Token
} from '../index.ts'
import { knownBlockTokens, knownWaitMs } from './limits.ts'
import type { ScoredToken } from './logprobs.ts'
import { Stops } from './stop.ts'
import { type Callable, callReader, type CallReader, type Spoken } from './tools.ts'

export type Finish = 'stop' | 'length' | 'tool_calls'

/** What a client is told of an answer. */
export type Piece =
  /** Of the answer itself. */
  | { readonly kind: 'text'; readonly text: string }
  /** Of what the model thinks before. */
  | { readonly kind: 'thought'; readonly text: string }
  /** `index`: among the calls of this answer. `arguments`: JSON. */
  | { readonly kind: 'call'; readonly index: number; readonly name: string; readonly arguments: string }
  /** Tokens of the prompt, with their log-probabilities. */
  | { readonly kind: 'prompt'; readonly tokens: readonly PromptToken[] }
  /** A token of the text that comes next or last, with its log-probability. */
  | { readonly kind: 'scored'; readonly token: ScoredToken }
  /** Last of all. */
  | { readonly kind: 'end'; readonly finish: Finish }

/** What one answer took. */
export interface Taken {
  promptTokens: number
  /** Tokens of the prompt that no hop had to compute, since all knew them; undefined where they have not said so in time. */
  knownTokens: number | undefined
  tokens: number
  /** Of them, those that are thoughts. */
  thoughts: number
  hops: number
  recoveries: number
  exact: boolean
  /** From the request to the first token, in ms. */
  firstMs: number
  /** From the first token to the last, in ms. */
  restMs: number
  /** Personal data that was replaced in the prompt; undefined where nobody has asked for that. */
  scrubbed: ScrubCounts | undefined
}

export interface AnswerInit {
  readonly stops: readonly string[]
  /** How calls of functions are written in it. @default there are none */
  readonly calls?: Callable | undefined
  /** It ends after its first call. @default false */
  readonly oneCall?: boolean
}

/** @param taken is filled as the answer comes. @throws what the generation throws */
export async function* answerPieces(
  generation: Generation,
  { stops: words, calls, oneCall = false }: AnswerInit,
  taken: Taken
): AsyncGenerator<Piece> {
  const stops = new Stops(words)
  const speech = new Speech(calls === undefined ? undefined : callReader(calls), oneCall)
  const scores = new Scores()
  const events = generation.events()[Symbol.asyncIterator]()
  // Its failure comes through the events.
  generation.answer.catch(() => {})
  let isComplete = false
  try {
    for (;;) {
      const { value: event, done } = await events.next()
      if (done === true) break
      take(event, taken)
      if (event.event === 'refuted') {
        // What is out cannot be taken back, and this is no beginning of the answer that comes now.
        throw new SessionFailedError(
          `${event.peer}, which has computed of this answer, computes something else: ask again`,
          ''
        )
      }
      if (event.event === 'prompt') {
        yield { kind: 'prompt', tokens: event.tokens }
      } else if (event.event === 'token' && event.part === 'thinking') {
        const text = withoutMarks(event.text)
        if (text !== '') yield { kind: 'thought', text }
      } else if (event.event === 'token' || event.event === 'stopped') {
        if (event.event === 'token') scores.take(event)
        isComplete = event.event === 'stopped'
        const text = stops.push(event.text) + (isComplete ? stops.end() : '')
        yield* scores.upTo(text, isComplete && !stops.isOver)
        yield* speech.says(text)
        if (!isComplete && !stops.isOver && !speech.isOver) continue
        yield* speech.ends()
        const isLong = event.event === 'stopped' && event.stop === 'length' && !stops.isOver && !speech.isOver
        yield { kind: 'end', finish: isLong ? 'length' : speech.calls > 0 ? 'tool_calls' : 'stop' }
        if (taken.promptTokens <= knownBlockTokens) taken.knownTokens = 0
        else if (isComplete) await known(events, taken)
        return
      }
    }
  } finally {
    // What the hops did comes after the last token, and nobody has to wait for it; an answer that was cut is ended.
    if (isComplete) void drained(events)
    else await events.return?.(undefined)
  }
}

/** Waits a moment for what the hops say that they knew of the prompt. What comes later is drained by others. */
async function known(events: AsyncIterator<GenerationEvent>, taken: Taken): Promise<void> {
  const read = async (): Promise<void> => {
    for (;;) {
      const { value: event, done } = await events.next()
      if (done === true) return
      take(event, taken)
    }
  }
  // Its failure is nobody's any more: the answer is whole.
  await Promise.race([read().catch(() => {}), delay(knownWaitMs, undefined, { ref: false })])
}

async function drained(events: AsyncIterator<GenerationEvent>): Promise<void> {
  try {
    while ((await events.next()).done !== true);
  } catch {}
}

/** The marks around thoughts are tokens of their own, or the end of one. */
function withoutMarks(text: string): string {
  return text.replace(/<\/?think>|\[\/?THINK\]|<\|(?:START|END)_THINKING\|>/, '')
}

function take(event: GenerationEvent, taken: Taken): void {
  if (event.event === 'conversation') taken.promptTokens = event.tokens
  else if (event.event === 'scrubbed') taken.scrubbed = event.replaced
  else if (event.event === 'prompt') taken.promptTokens += event.tokens.length
  else if (event.event === 'route') taken.hops = event.hops.length
  else if (event.event === 'token') {
    if (taken.tokens === 0) {
      taken.promptTokens = event.position
      taken.firstMs = event.ms
    } else taken.restMs += event.ms
    taken.tokens++
    if (event.part === 'thinking') taken.thoughts++
  } else if (event.event === 'recovered') {
    taken.recoveries++
    taken.hops = event.route.length
    taken.exact &&= event.exact
  } else if (event.event === 'done') {
    taken.promptTokens = event.promptIds.length
    taken.knownTokens = Math.min(event.promptIds.length, ...event.hops.map(({ reused }) => reused))
    taken.exact = event.exact
  }
}

export function nothingTaken(): Taken {
  const counts = { promptTokens: 0, tokens: 0, thoughts: 0, hops: 0, recoveries: 0, firstMs: 0, restMs: 0 }
  return { ...counts, knownTokens: undefined, exact: true, scrubbed: undefined }
}

/** Tokens whose text is withheld, as it may be of a stop string. */
class Scores {
  readonly #held: { readonly start: number; readonly token: ScoredToken }[] = []
  /** Characters that have come, and those that are out. */
  #come = 0
  #out = 0

  take({ text, logprob, bytes, top }: Token): void {
    if (logprob !== undefined && bytes !== undefined && top !== undefined) {
      this.#held.push({ start: this.#come, token: { logprob, bytes, top } })
    }
    this.#come += text.length
  }

  /** Those of which something is out with this text; `all`: nothing was cut, and nothing more comes. */
  *upTo(text: string, all: boolean): Generator<Piece> {
    this.#out += text.length
    while (this.#held.length > 0 && (all || this.#held[0]!.start < this.#out)) {
      yield { kind: 'scored', token: this.#held.shift()!.token }
    }
  }
}

/** Text into what is said and what is called. */
class Speech {
  readonly #reader: CallReader | undefined
  readonly #oneCall: boolean
  calls = 0

  constructor(reader: CallReader | undefined, oneCall: boolean) {
    this.#reader = reader
    this.#oneCall = oneCall
  }

  /** It has the one call that it may have. */
  get isOver(): boolean {
    return this.#oneCall && this.calls > 0
  }

  *says(text: string): Generator<Piece> {
    if (text === '') return
    yield* this.#pieces(this.#reader?.push(text) ?? [{ kind: 'text', text }])
  }

  *ends(): Generator<Piece> {
    yield* this.#pieces(this.#reader?.end() ?? [])
  }

  *#pieces(spoken: readonly Spoken[]): Generator<Piece> {
    for (const each of spoken) {
      if (this.isOver) return
      // What stands around calls is space.
      if (each.kind === 'text' && this.calls > 0 && each.text.trim() === '') continue
      yield each.kind === 'text' ? each : { ...each, index: this.calls++ }
    }
  }
}
