/**
 * Answers one prompt: `pipe(prompt, tokenize, along(route), until(stop), detokenize)` over generators of this
 * process. `along` has a driver run the session (`driver-service.ts`).
 */
import { pipe } from 'it-pipe'
import { systemClock } from '../base/clock.ts'
import { InvalidOptionError, PromptTooLongError, SessionFailedError } from '../errors.ts'
import { detokenize } from './detokenize.ts'
import type { Answer, Generation, GenerationEvent, Token } from './generation.ts'
import { answerTokensDefault, promptCharsMax } from './limits.ts'
import { type SessionOptions, settings } from './options.ts'
import { untilRight } from './right-service.ts'
import { scrubbed } from './scrubbing.ts'
import type {
  AnswerKeeper,
  BegunAnswer,
  ConversationAsk,
  Sequence,
  SessionModel,
  SessionParts,
  Timed
} from './parts.ts'
import { type AnswerWatcher, watched } from './watcher.ts'
import { thoughtsEnd } from './thinking.ts'

/** What whoever fetches what a session works with is told. */
export interface Asking {
  /** Nobody reads the answer any more. */
  readonly signal: AbortSignal
  /** To be told, in one sentence, what it is waiting for. Only the first call counts. */
  readonly onWait: (message: string) => void
}

/** What a session that is resumed needs; `options` hold the sampling that it began with. */
export interface Resumption {
  readonly parts: SessionParts
  readonly begun: BegunAnswer
  readonly options: SessionOptions
}

/**
 * Answers a prompt, as text or as ids, or what was said last in a conversation. Nothing happens until the result is iterated or its `answer` asked for; what it works with is fetched then.
 *
 * Iterating throws {InvalidOptionError} for options out of range, {PromptTooLongError}, {SessionFailedError}, the
 * errors of `route`, and the signal's reason. A token that ends the answer (`eosIds`) is not part of it.
 */
export function generate(
  source: SessionParts | ((asking: Asking) => Promise<SessionParts>),
  prompt: string | readonly number[] | ConversationAsk,
  options: SessionOptions = {},
  watcher?: AnswerWatcher
): Generation {
  const { trace = false } = options
  const wanted = watcher?.traces === true ? { ...options, trace: true } : options
  const asked = async (asking: Asking): Promise<Question> => ({
    parts: typeof source === 'function' ? await source(asking) : source,
    prompt,
    options: wanted
  })
  return answering(asked, watcher && (events => watched(events, watcher, { tellsTraces: trace })))
}

/**
 * Goes on with an answer that was begun before, as {@link generate} would have: the randomness of a token depends on its
 * position alone (promise P3). `maxTokens` counts the whole answer. The first event is `resumed`.
 */
export function resume(source: (asking: Asking) => Promise<Resumption>, watcher?: AnswerWatcher): Generation {
  const asked = async (asking: Asking): Promise<Question> => {
    const { begun, ...rest } = await source(asking)
    return { ...rest, prompt: begun }
  }
  return answering(asked, watcher && (events => watched(events, watcher, { tellsTraces: true })))
}

/** Reads on to the end; what fails is told by the answer. */
async function drained(events: AsyncIterable<GenerationEvent>): Promise<void> {
  try {
    for await (const _ of events);
  } catch {}
}

type Prompt = string | readonly number[] | ConversationAsk | BegunAnswer

interface Question {
  readonly parts: SessionParts
  readonly prompt: Prompt
  readonly options: SessionOptions
}

type Events = AsyncGenerator<GenerationEvent>

/** @param through what the events pass on their way to the one who asked */
function answering(
  source: (asking: Asking) => Promise<Question>,
  through: (events: Events) => Events = events => events
): Generation {
  let settle: { resolve: (answer: Answer) => void; reject: (error: unknown) => void } | undefined
  const answer = new Promise<Answer>((resolve, reject) => {
    settle = { resolve, reject }
  })
  // Whoever only iterates hears of a failure there; it must not end the process a second time here.
  answer.catch(() => {})

  let isTaken = false
  const events = (): Events => {
    const isFirst = !isTaken
    isTaken = true
    return isFirst ? through(happening(isFirst)) : happening(isFirst)
  }
  async function* happening(isFirst: boolean): Events {
    if (!isFirst) throw new InvalidOptionError('an answer can be iterated once; this one was started before')
    let text = ''
    const left = new AbortController()
    const waits = Promise.withResolvers<string>()
    let parts: SessionParts | undefined
    const asked = source({ signal: left.signal, onWait: waits.resolve })
    try {
      const first = await Promise.race([asked, waits.promise])
      if (typeof first === 'string') yield { event: 'waiting', message: first }
      const question = await asked
      parts = question.parts
      for await (const event of run(question)) {
        if (event.event === 'token' || event.event === 'resumed') text += event.text
        if (event.event === 'done') {
          const { event: _, ...rest } = event
          settle!.resolve(rest)
        }
        yield event
      }
    } catch (error) {
      settle!.reject(error)
      throw error
    } finally {
      left.abort(new SessionFailedError('the answer was not read to its end', text))
      if (parts !== undefined) parts.onEnd?.()
      // They may still come where nobody reads on.
      else void asked.then(({ parts }) => parts.onEnd?.()).catch(() => {})
      // Without effect when the answer is complete or has failed.
      settle!.reject(new SessionFailedError('the answer was not read to its end', text))
    }
  }
  async function* tokensOf(all: Events): AsyncGenerator<Token> {
    let isComplete = false
    try {
      for (;;) {
        const { value: event, done } = await all.next()
        if (done === true) return
        if (event.event === 'stopped') {
          isComplete = true
          return
        }
        if (event.event !== 'token') continue
        const { event: _, ...token } = event
        yield token
      }
    } finally {
      // What the hops did is still to come, and nobody has to wait for it; whoever reads no further ends the answer.
      if (isComplete) void drained(all)
      else await all.return(undefined)
    }
  }
  return {
    events,
    get answer() {
      // Whoever iterates as well does so by the end of this turn; for whoever does not, nobody else would read on.
      queueMicrotask(() => {
        if (!isTaken) void drained(events())
      })
      return answer
    },
    [Symbol.asyncIterator]: () => tokensOf(events())
  }
}

function run({ parts, prompt, options }: Question): AsyncIterable<GenerationEvent> {
  const startMs = (parts.clock ?? systemClock).nowMs()
  return pipe(
    [prompt],
    source => tokenize(source, parts, options),
    source => along(source, parts, options),
    source => until(source, options),
    source => keep(source, parts, options),
    source => detokenize(source, parts, startMs, options)
  )
}

async function* tokenize(
  source: Iterable<Prompt>,
  parts: SessionParts,
  options: SessionOptions
): AsyncGenerator<Sequence> {
  const { tokenizer, model } = parts
  const { special = false, signal: given, ending } = options
  const signal = AbortSignal.any([given, ending].filter(each => each !== undefined))
  for (const given of source) {
    const long = typeof given === 'string' && given.length > promptCharsMax
    const { prompt: text, replaced } = long
      ? { prompt: given, replaced: undefined }
      : await orEnded(scrubbed(given, parts, signal), options)
    if (typeof text !== 'string') {
      if ('length' in text) yield { promptIds: checkedIds(text, model, options), begun: undefined }
      else if ('promptIds' in text) yield { promptIds: text.promptIds, begun: text }
      else yield { ...(await conversed(text, parts, options, signal)), replaced }
      continue
    }
    // Told before it is encoded, which may take seconds. Space counts, though some tokenizers leave it out.
    if (text.length > promptCharsMax) throw tooManyCharacters(text, promptCharsMax)
    const charsMax = (await orEnded(tokenizer.longest({ signal }), options)) * model.contextMax
    if (text.length > charsMax) throw tooManyCharacters(text, charsMax)
    const ids = await orEnded(tokenizer.encode(text, { special, signal }), options)
    yield { promptIds: checkedIds(ids, model, options), begun: undefined, replaced }
  }
}

/** @throws {SessionFailedError} when the driver itself goes meanwhile */
async function orEnded<T>(work: Promise<T>, { signal: given, ending }: SessionOptions): Promise<T> {
  try {
    return await work
  } catch (error) {
    if (given?.aborted !== true && ending?.aborted === true) throw new SessionFailedError(ending.reason.message, '')
    throw error
  }
}

/** @throws {InvalidOptionError} when they are no prompt. @throws {PromptTooLongError} when they do not fit */
function checkedIds(
  ids: readonly number[],
  { vocab, contextMax }: SessionModel,
  { maxTokens, promptLogprobs }: SessionOptions
): readonly number[] {
  if (ids.length === 0) throw new InvalidOptionError('the prompt is empty: it has no tokens to continue')
  const wrong = ids.findIndex(id => !(Number.isSafeInteger(id) && id >= 0 && id < vocab))
  if (wrong >= 0) {
    throw new InvalidOptionError(`the prompt's token ${wrong} must be an id from 0 to ${vocab - 1}, not ${ids[wrong]}`)
  }
  const isScoredAlone = promptLogprobs !== undefined && maxTokens === 0
  if (ids.length > contextMax || (ids.length === contextMax && !isScoredAlone)) {
    throw new PromptTooLongError(
      `the prompt has ${ids.length} tokens, and the model's context of ${contextMax} must hold its answer too`
    )
  }
  return ids
}

/** The prompt of a conversation. */
async function conversed(
  { keepTurns, ...conversation }: ConversationAsk,
  { tokenizer, grammar, model: { contextMax, name } }: SessionParts,
  { maxTokens, fit = false, signal: given, ending }: SessionOptions,
  signal: AbortSignal
): Promise<Sequence> {
  if (keepTurns !== undefined && !(Number.isSafeInteger(keepTurns) && keepTurns >= 1)) {
    throw new InvalidOptionError(`keepTurns must be a whole number from 1, not ${keepTurns}`)
  }
  // An answer that nobody has set a length for gets what is left, and where turns may go, as much as usual, within reason.
  const usual = keepTurns === undefined ? 1 : Math.min(answerTokensDefault, Math.ceil(contextMax / 4))
  const room = { contextMax, answerTokens: fit ? usual : Math.max(1, maxTokens ?? usual), keepTurns }
  try {
    const prompt = await tokenizer.chat(conversation, room, { signal })
    if (prompt.ids.length === 0)
      throw new InvalidOptionError("the model's chat template makes nothing of this conversation")
    if (grammar !== undefined && prompt.thinking?.opened === true && prompt.thinking.closeId === undefined) {
      throw new InvalidOptionError(
        `the thoughts of ${name} end with no token of their own: its answers are held to no grammar`
      )
    }
    return { promptIds: prompt.ids, conversation: prompt, begun: undefined }
  } catch (error) {
    if (given?.aborted !== true && ending?.aborted === true) throw new SessionFailedError(ending.reason.message, '')
    throw error
  }
}

function tooManyCharacters(text: string, charsMax: number): PromptTooLongError {
  return new PromptTooLongError(
    `the prompt has ${text.length} characters, and no prompt of more than ${charsMax} fits the model's context`
  )
}

/** Passes on what happens until the answer stops; the token that says so is no part of it. */
async function* until(source: AsyncIterable<Timed>, { maxTokens }: SessionOptions): AsyncGenerator<Timed> {
  for await (const output of source) {
    if (maxTokens === 0 && output.kind === 'token') {
      // It was drawn because a prompt has no other end on a route.
      yield { kind: 'stopped', stop: 'length', atMs: output.atMs }
      continue
    }
    const stop = output.kind === 'token' ? output.stop : undefined
    if (stop !== 'eos') yield output
    if (stop !== undefined) yield { kind: 'stopped', stop, atMs: output.atMs }
  }
}

/** Runs a prompt along routes of stages; yields what happens, and `end` last. */
async function* along(
  source: AsyncIterable<Sequence>,
  parts: SessionParts,
  options: SessionOptions
): AsyncGenerator<Timed> {
  for await (const sequence of source) {
    const { promptIds, begun } = sequence
    const { maxTokens } = settings(options, promptIds.length, parts.model)
    const stop =
      begun?.stop === 'eos' ? 'eos' : begun !== undefined && begun.ids.length >= maxTokens ? 'length' : undefined
    const exact = begun?.exact ?? true
    const atMs = (parts.clock ?? systemClock).nowMs()
    if (sequence.replaced !== undefined) yield { kind: 'scrubbed', replaced: sequence.replaced, atMs }
    if (sequence.conversation !== undefined) yield { kind: 'conversation', prompt: sequence.conversation, atMs }
    // Before it waits for room: who keeps the session has it then, whatever becomes of this peer.
    yield { kind: 'prompt', ids: promptIds, answered: begun?.ids, exact, thoughtsEnd: thoughtsEnd(sequence), atMs }
    if (stop !== undefined) {
      yield {
        kind: 'end',
        outcome: { kind: 'stopped', stop },
        route: [],
        exact,
        hops: [],
        drafts: { proposed: 0, taken: 0 },
        bytesSent: 0,
        atMs
      }
      continue
    }
    yield* untilRight(sequence, promptIds.length + maxTokens, parts, options)
  }
}

/** Tells whoever keeps the session what happens, if anyone does, and passes it on. Nothing here waits for a keeper. */
async function* keep(
  source: AsyncIterable<Timed>,
  { keep, model }: SessionParts,
  options: SessionOptions
): AsyncGenerator<Timed> {
  let keeper: AnswerKeeper | undefined
  let begin: (() => AnswerKeeper) | undefined
  const warnings: string[] = []
  try {
    for await (const output of source) {
      if (output.kind === 'prompt') {
        if (keep !== undefined && options.maxTokens !== 0) {
          // Before there is a route, which may take long: the prompt at least is then not lost with this peer.
          const { ids: promptIds, answered: ids = [], exact, thoughtsEnd } = output
          const { maxTokens, cache, sampling } = settings(options, promptIds.length, model)
          const content = { promptIds, ids, exact, cache, sampling, maxTokens, thoughtsEnd }
          begin = () => keep(content, message => warnings.push(message))
          keeper = begin()
        }
        yield output
        continue
      }
      if (output.kind === 'route') {
        keeper?.routed(output.hops.map(({ peer }) => peer))
      } else if (output.kind === 'token') {
        keeper?.token(output.id)
      } else if (output.kind === 'recovered') {
        keeper?.routed(output.route.map(({ peer }) => peer))
        if (!output.exact) keeper?.inexact()
      } else if (output.kind === 'refuted') {
        // What is kept has void tokens: what comes now takes its place.
        keeper?.leave()
        keeper = begin?.()
      } else if (output.kind === 'end') {
        keeper?.end(output.outcome.kind === 'stopped' ? output.outcome.stop : undefined)
      }
      for (const message of warnings.splice(0)) yield { kind: 'warning', message, atMs: output.atMs }
      yield output
    }
  } finally {
    keeper?.end(undefined)
  }
}
