/**
 * Answers one prompt: `pipe(prompt, tokenize, along(route), until(stop), detokenize)` over generators of this
 * process. `along` gives the decider in `session.ts` its streams and time, and does what it says.
 */
import { bytesToHex } from '@noble/hashes/utils.js'
import { pipe } from 'it-pipe'
import type { ModelId, PeerId, SessionId } from '../base/ids.ts'
import type { Sign } from '../base/signature.ts'
import { Turns } from '../base/turns.ts'
import type { Sampling } from '../engine/engine.ts'
import { InvalidOptionError, PromptTooLongError, ProtocolError, SessionFailedError, lossReason } from '../errors.ts'
import { answerTokensDefault, promptCharsMax, routeRetryMs, routeWaitMs, routeWaitMsMax, waitTellMs } from './limits.ts'
import { stageOpenMs } from '../stage/limits.ts'
import type { Hop } from '../route/view.ts'
import type { ViolationKind } from '../stage/event.ts'
import { type HopStats, stageProtocol } from '../stage/frame.ts'
import type { Drive, StageService } from '../stage/service.ts'
import type { Channel, Links } from '../swarm/links.ts'
import { type Avoidance, avoiding, avoidingBeside } from './avoid.ts'
import type { SessionEffect, SessionEvent, SessionOutput, Stop } from './event.ts'
import type { Answer, Generation, GenerationEvent, HopReport, Token } from './generation.ts'
import type { Speed } from './patience.ts'
import { Session } from './session.ts'
import { stopAt } from './stop.ts'

/** Text to ids and back, as a session needs it. None of it is done in this thread. */
export interface SessionTokenizer {
  /** Length of its longest token: no text of n tokens has more than n times as many characters. */
  longest(options: { signal?: AbortSignal | undefined }): Promise<number>
  /** `special`: control tokens that the text spells become those tokens; else they are text. */
  encode(text: string, options: { special: boolean; signal?: AbortSignal | undefined }): Promise<readonly number[]>
  /** Turns the ids that follow a prompt into text as they come: what they complete, and with `last` what is left. */
  stream(promptIds: readonly number[]): {
    push(ids: readonly number[], options: { last?: boolean; signal?: AbortSignal | undefined }): Promise<string>
  }
}

/** What a session must know of its model. */
export interface SessionModel {
  readonly id: ModelId
  readonly layers: number
  readonly vocab: number
  readonly contextMax: number
  readonly eosIds: readonly number[]
}

/** What a session works with. */
export interface SessionParts {
  links: Links
  stages: Pick<StageService, 'drive'>
  /**
   * Waits until there is room for the session; what it returns is called when it has ended.
   * @throws {OverloadedError} when that would take too long. @throws the signal's reason. @default begins at once
   */
  admit?: (need: {
    tokensMax: number
    waitMs: number | undefined
    signal: AbortSignal
    onWait: (message: string) => void
  }) => Promise<() => void>
  /** Signs as this peer what it gives out to the hops of its routes. */
  sign: Sign
  tokenizer: SessionTokenizer
  model: SessionModel
  /**
   * Hops that cover all layers and avoid the excluded peers.
   * @throws {NotCoveredError} when there are none; after a loss the session asks again until a deadline.
   */
  route: (
    excluded: ReadonlySet<PeerId>,
    options: {
      signal: AbortSignal
      doubtful: ReadonlySet<PeerId>
      /** Tokens that its caches must hold, and stages that hold them already. */
      tokensMax: number
      held: readonly Hop[]
      /** Called whenever there is no route yet; `explain` says what is missing, which takes time to find out. */
      onWait: (explain: () => string) => void
    }
  ) => Promise<readonly Hop[]>
  /**
   * Whether the route that was given last computes every layer in the numeric class of the first one.
   * @default always
   */
  isExact?: () => boolean
  /** Peers that do not answer at this moment, most of which will (`swarm/liveness.ts`). @default none */
  suspects?: () => ReadonlySet<PeerId>
  /** Whether a peer is connected and answers. @default nobody can tell */
  hears?: (peer: PeerId) => boolean
  /** How fast a hop has announced to be. @default nobody knows */
  speedOf?: (hop: Hop) => Speed | undefined
  /** Bytes of one token's hidden state between two hops. @default a 4,096 wide model's */
  stepBytes?: number
  /** Peers that are about to go, and those of a route whose stage on it is. @default none */
  leaving?: (route: readonly Hop[]) => ReadonlySet<PeerId>
  /** A route around them for a session that runs along `route`, as far as there is one now; undefined when there is none. */
  detour?: (
    route: readonly Hop[],
    excluded: ReadonlySet<PeerId>
  ) => { readonly route: readonly Hop[]; readonly exact: boolean } | undefined
  /** Called when the session begins on a route: the one that was given last, or one that `detour` gave. */
  onRoute?: (route: readonly Hop[]) => void
  /** Called at every token, with the route that it came along. */
  onToken?: (route: readonly Hop[]) => void
  /** Keeps the session with other peers from the moment it is asked. @default nobody does */
  keep?: SessionKeep
  /** Called when a hop was left out because it did not answer: other sessions do well to go around it, too. */
  onMute?: (peer: PeerId) => void
  /** Called once when the session has ended: its last route is no longer used. */
  onEnd?: () => void
  /** Called once for every stream that a peer broke by breaking the protocol. */
  onViolation?: (remote: PeerId, kind: ViolationKind, message: string) => void
  /** Monotonic time in ms. @default performance.now */
  now?: () => number
}

/** What has to be known to go on with a session elsewhere. */
export interface SessionContent {
  readonly promptIds: readonly number[]
  /** Tokens of the answer so far. */
  readonly ids: readonly number[]
  /** False when some of them may differ from the undisturbed answer (see `Answer.exact`). */
  readonly exact: boolean
  readonly sampling: Sampling
  /** Tokens of the whole answer at most. */
  readonly maxTokens: number
}

/** Begins to keep a session. `onWarning`: what goes wrong ends nothing. */
export type SessionKeep = (content: SessionContent, onWarning: (message: string) => void) => SessionKeeper

/** Takes what happens to a session that is kept. None of it waits. */
export interface SessionKeeper {
  /** There is a route. Only the first call counts. */
  routed(): void
  token(id: number): void
  /** From here on tokens may differ from the undisturbed answer. */
  inexact(): void
  /** `stop` is undefined when the answer was broken off. Only the first call counts. */
  end(stop: Stop | undefined): void
}

export interface SessionOptions extends Partial<Sampling> {
  /** Tokens to generate at most. @default 256, or what the context leaves */
  maxTokens?: number
  /**
   * How long to wait for a route, from the start or from a loss, in ms: up to a day.
   * @default 30 s after a loss; before the first token, until no more peers are to be expected
   */
  waitMs?: number
  /** Control tokens that the prompt spells (`</s>`) become those tokens. @default false: they are text */
  special?: boolean
  /** Cancels the answer and frees every cache on its route. */
  signal?: AbortSignal
  /** Ends the answer with its reason's message: the driver itself goes. The text so far is kept. */
  ending?: AbortSignal
}

/** A session's output with the time at which it happened: later stages of the pipe may be slow. */
type Timed = (
  | SessionOutput
  | { readonly kind: 'warning'; readonly message: string }
  /** The last token has come. */
  | { readonly kind: 'stopped'; readonly stop: Stop }
) & { readonly atMs: number }

/** An answer that was begun before. */
export interface Begun {
  readonly promptIds: readonly number[]
  /** Tokens of the answer that are there. */
  readonly ids: readonly number[]
  readonly exact: boolean
  /** Why it has ended, when it has. */
  readonly stop: Stop | undefined
}

/** What a session begins with: a prompt alone, or an answer that was begun before. */
interface Sequence {
  readonly promptIds: readonly number[]
  readonly begun: Begun | undefined
}

/** What a session that is resumed needs; `options` hold the sampling that it began with. */
export interface Resumption {
  readonly parts: SessionParts
  readonly begun: Begun
  readonly options: SessionOptions
}

/**
 * Answers a prompt. Nothing happens until the result is iterated; what it works with is fetched then.
 *
 * Iterating throws {InvalidOptionError} for options out of range, {PromptTooLongError}, {SessionFailedError}, the
 * errors of `route`, and the signal's reason. A token that ends the answer (`eosIds`) is not part of it.
 */
export function generate(
  source: SessionParts | (() => Promise<SessionParts>),
  prompt: string,
  options: SessionOptions = {}
): Generation {
  return answering(async () => ({
    parts: typeof source === 'function' ? await source() : source,
    prompt,
    options
  }))
}

/**
 * Goes on with an answer that was begun before, as {@link generate} would have: the randomness of a token depends on its
 * position alone (promise P3). `maxTokens` counts the whole answer. The first event is `resumed`.
 */
export function resume(source: () => Promise<Resumption>): Generation {
  return answering(async () => {
    const { begun, ...rest } = await source()
    return { ...rest, prompt: begun }
  })
}

/** Reads on to the end; what fails is told by the answer. */
async function drained(events: AsyncIterable<GenerationEvent>): Promise<void> {
  try {
    for await (const _ of events);
  } catch {}
}

interface Question {
  readonly parts: SessionParts
  readonly prompt: string | Begun
  readonly options: SessionOptions
}

function answering(source: () => Promise<Question>): Generation {
  let settle: { resolve: (answer: Answer) => void; reject: (error: unknown) => void } | undefined
  const answer = new Promise<Answer>((resolve, reject) => {
    settle = { resolve, reject }
  })
  // Whoever only iterates hears of a failure there; it must not end the process a second time here.
  answer.catch(() => {})

  let started = false
  async function* events(): AsyncGenerator<GenerationEvent> {
    if (started) throw new InvalidOptionError('an answer can be iterated once; this one was started before')
    started = true
    let text = ''
    let parts: SessionParts | undefined
    try {
      const question = await source()
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
      parts?.onEnd?.()
      // Without effect when the answer is complete or has failed.
      settle!.reject(new SessionFailedError('the answer was not read to its end', text))
    }
  }
  async function* tokens(): AsyncGenerator<Token> {
    const all = events()
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
  return { events, answer, [Symbol.asyncIterator]: tokens }
}

function run({ parts, prompt, options }: Question): AsyncIterable<GenerationEvent> {
  const startMs = (parts.now ?? (() => performance.now()))()
  return pipe(
    [prompt],
    source => tokenize(source, parts, options),
    source => along(source, parts, options),
    source => until(source),
    source => keep(source, parts, options),
    source => detokenize(source, parts, startMs, options)
  )
}

async function* tokenize(
  source: Iterable<string | Begun>,
  { tokenizer, model }: SessionParts,
  { special = false, signal: given, ending }: SessionOptions
): AsyncGenerator<Sequence> {
  const signal = AbortSignal.any([given, ending].filter(each => each !== undefined))
  for (const text of source) {
    if (typeof text !== 'string') {
      yield { promptIds: text.promptIds, begun: text }
      continue
    }
    // Told before it is encoded, which may take seconds. Space counts, though some tokenizers leave it out.
    if (text.length > promptCharsMax) throw tooManyCharacters(text, promptCharsMax)
    let ids: readonly number[]
    try {
      const charsMax = (await tokenizer.longest({ signal })) * (model.contextMax - 1)
      if (text.length > charsMax) throw tooManyCharacters(text, charsMax)
      ids = await tokenizer.encode(text, { special, signal })
    } catch (error) {
      if (given?.aborted !== true && ending?.aborted === true) throw new SessionFailedError(ending.reason.message, '')
      throw error
    }
    if (ids.length === 0) throw new InvalidOptionError('the prompt is empty: it has no tokens to continue')
    if (ids.length >= model.contextMax) {
      throw new PromptTooLongError(
        `the prompt has ${ids.length} tokens, and the model's context of ${model.contextMax} must hold its answer too`
      )
    }
    yield { promptIds: ids, begun: undefined }
  }
}

function tooManyCharacters(text: string, charsMax: number): PromptTooLongError {
  return new PromptTooLongError(
    `the prompt has ${text.length} characters, and no prompt of more than ${charsMax} fits the model's context`
  )
}

/** Passes on what happens until the answer stops; the token that says so is no part of it. */
async function* until(source: AsyncIterable<Timed>): AsyncGenerator<Timed> {
  for await (const output of source) {
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
    const { maxTokens } = settings(options, promptIds.length, parts.model.contextMax)
    const stop = begun?.stop === 'eos' ? 'eos' : (begun?.ids.length ?? 0) >= maxTokens ? 'length' : undefined
    if (begun !== undefined && stop !== undefined) {
      const { ids: answered, exact } = begun
      const atMs = (parts.now ?? (() => performance.now()))()
      yield { kind: 'prompt', ids: promptIds, answered, exact, atMs }
      yield { kind: 'end', outcome: { kind: 'stopped', stop }, route: [], exact, hops: [], bytesSent: 0, atMs }
      continue
    }
    const gate = new Gate(parts, options)
    yield* gate.pass(promptIds.length + maxTokens)
    try {
      const driver = new Driver(parts, sequence, options)
      try {
        yield* driver.outputs()
      } finally {
        await driver.stop()
      }
    } finally {
      gate.leave()
    }
  }
}

/** Where a session waits for room before it begins. */
class Gate {
  readonly #parts: SessionParts
  readonly #options: SessionOptions
  #leave: (() => void) | undefined

  constructor(parts: SessionParts, options: SessionOptions) {
    this.#parts = parts
    this.#options = options
  }

  /** Says what it waits for, and ends when the session may begin. */
  async *pass(tokensMax: number): AsyncGenerator<Timed> {
    const { admit, now = () => performance.now() } = this.#parts
    const { waitMs, signal: given, ending } = this.#options
    if (admit === undefined) return
    const waits = Promise.withResolvers<string>()
    const signal = AbortSignal.any([given, ending].filter(each => each !== undefined))
    const admitted = admit({ tokensMax, waitMs, signal, onWait: waits.resolve }).then(
      leave => {
        this.#leave = leave
      },
      (error: Error) => {
        if (given?.aborted !== true && ending?.aborted === true) throw new SessionFailedError(ending.reason.message, '')
        throw error
      }
    )
    const message = await Promise.race([admitted, waits.promise])
    if (message !== undefined) yield { kind: 'waiting', message, atMs: now() }
    await admitted
  }

  leave(): void {
    this.#leave?.()
  }
}

/** Tells whoever keeps the session what happens, if anyone does, and passes it on. Nothing here waits for a keeper. */
async function* keep(
  source: AsyncIterable<Timed>,
  { keep, model }: SessionParts,
  options: SessionOptions
): AsyncGenerator<Timed> {
  let keeper: SessionKeeper | undefined
  const warnings: string[] = []
  try {
    for await (const output of source) {
      if (output.kind === 'prompt') {
        if (keep !== undefined) {
          // Before there is a route, which may take long: the prompt at least is then not lost with this peer.
          const { ids: promptIds, answered: ids = [], exact } = output
          const { maxTokens, ...sampling } = settings(options, promptIds.length, model.contextMax)
          keeper = keep({ promptIds, ids, exact, sampling, maxTokens }, message => warnings.push(message))
        }
        yield output
        continue
      }
      if (output.kind === 'route') {
        keeper?.routed()
      } else if (output.kind === 'token') {
        keeper?.token(output.id)
      } else if (output.kind === 'recovered') {
        if (!output.exact) keeper?.inexact()
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

/** Turns outputs into events with text, and sums the answer up. Throws when there is none. */
async function* detokenize(
  source: AsyncIterable<Timed>,
  { tokenizer }: SessionParts,
  startMs: number,
  { signal }: SessionOptions
): AsyncGenerator<GenerationEvent> {
  let stream: ReturnType<SessionTokenizer['stream']> | undefined
  let promptIds: readonly number[] = []
  const ids: number[] = []
  /** How many of them were there before. */
  let before = 0
  let text = ''
  let firstMs = startMs
  let lastMs = startMs
  let isStopped = false
  for await (const output of source) {
    if (output.kind === 'prompt') {
      promptIds = output.ids
      stream = tokenizer.stream(promptIds)
      if (output.answered === undefined) continue
      ids.push(...output.answered)
      before = ids.length
      text = await stream.push(ids, { signal })
      yield { event: 'resumed', tokens: before, text }
    } else if (output.kind === 'token') {
      const ms = output.atMs - lastMs
      lastMs = output.atMs
      if (ids.length === before) firstMs = output.atMs
      ids.push(output.id)
      // With the last token goes whatever an incomplete character left.
      const piece = await stream!.push([output.id], { last: output.stop === 'length', signal })
      text += piece
      yield { event: 'token', id: output.id, text: piece, position: output.position, ms }
    } else if (output.kind === 'stopped') {
      const rest = output.stop === 'eos' ? await stream!.push([], { last: true, signal }) : ''
      text += rest
      isStopped = true
      yield { event: 'stopped', stop: output.stop, text: rest }
    } else if (output.kind === 'end') {
      const { outcome, route, exact, hops, bytesSent } = output
      if (outcome.kind === 'cancelled') throw signal?.reason ?? new SessionFailedError('the answer was cancelled', text)
      if (outcome.kind === 'failed') throw outcome.error ?? new SessionFailedError(outcome.message, text)
      const fresh = ids.length - before
      // Of an answer that was complete before it was resumed.
      if (!isStopped && fresh === 0) text += await stream!.push([], { last: true, signal })
      const bytes = hops.reduce((sum, hop) => sum + hop.bytesOut + hop.bytesBack, bytesSent)
      yield {
        event: 'done',
        text,
        promptIds,
        ids,
        stop: outcome.stop,
        timing: {
          firstTokenMs: firstMs - startMs,
          totalMs: lastMs - startMs,
          // Between the first and the last token: the prompt's share is in firstTokenMs.
          tokensPerSecond: fresh > 1 ? ((fresh - 1) * 1000) / (lastMs - firstMs) : 0
        },
        bytesPerToken: fresh > 0 ? bytes / fresh : 0,
        exact,
        hops: hops.flatMap(stats => report(stats, route))
      }
    } else {
      const { kind, atMs: _, ...rest } = output
      yield { event: kind, ...rest } as GenerationEvent
    }
  }
}

function report(
  { hop, steps, tokens, computeMs, queueMs, bytesIn, bytesOut }: HopStats,
  route: readonly Hop[]
): HopReport[] {
  const at = route[hop]
  return at === undefined ? [] : [{ ...at, steps, tokens, computeMs, queueMs, bytesIn, bytesOut }]
}

const nobody: ReadonlySet<PeerId> = new Set()

/** The stream to the head of one epoch's route; `channel` is there once it is open. */
interface Head {
  readonly epoch: number
  readonly controller: AbortController
  channel: Channel | undefined
}

/** One session under way: the decider, its stream to the head, the driver's end, and its clock. */
class Driver {
  readonly #parts: SessionParts
  readonly #now: () => number
  readonly #session: Session
  readonly #signal: AbortSignal | undefined
  readonly #drive: Drive
  readonly #timer: ReturnType<typeof setInterval>
  readonly #turns = new Turns<SessionEvent>(event => {
    for (const effect of this.#session.handle(event, this.#now())) this.#do(effect)
  })
  /** Streams to heads by epoch: of the route, and of one that is being prepared. */
  readonly #heads = new Map<number, Head>()
  #routing: AbortController | undefined
  /** Peers of routes that this session took, and what ends watching them. */
  readonly #watched = new Map<PeerId, () => void>()
  /** Outputs that nobody has read yet; no more than tokens fit the context, and some losses. */
  #outputs: Timed[] = []
  #wake: (() => void) | undefined
  #ended = false
  readonly #waitMs: number | undefined
  readonly #tokensMax: number
  /** Since when the answer waits for a route that gets it on; undefined while its tokens come. */
  #waitingSinceMs: number | undefined
  /** What it was last said to wait for. */
  #waitingFor: string | undefined
  readonly #onAbort = (): void => this.#feed({ kind: 'cancel' })
  readonly #ending: AbortSignal | undefined
  readonly #onEnding = (): void => this.#feed({ kind: 'cancel', message: (this.#ending!.reason as Error).message })

  constructor(parts: SessionParts, { promptIds, begun }: Sequence, options: SessionOptions) {
    const { model, links, stages } = parts
    const { maxTokens, ...sampling } = settings(options, promptIds.length, model.contextMax)
    const session = randomSession()
    this.#tokensMax = promptIds.length + maxTokens
    this.#waitMs = options.waitMs
    this.#parts = parts
    this.#now = parts.now ?? (() => performance.now())
    this.#signal = options.signal
    this.#ending = options.ending
    this.#session = new Session({
      self: links.self,
      sign: parts.sign,
      session,
      model: model.id,
      vocab: model.vocab,
      promptIds,
      answered: begun?.ids,
      exact: begun?.exact,
      tokensMax: this.#tokensMax,
      sampling,
      waitMs: options.waitMs,
      hears: parts.hears,
      speedOf: parts.speedOf,
      stepBytes: parts.stepBytes,
      stop: stopAt({ eosIds: model.eosIds, maxTokens })
    })
    this.#drive = stages.drive(session, {
      onToken: ({ epoch, position, id }) => this.#feed({ kind: 'token', epoch, position, id }),
      onTailRefused: refuse => this.#feed({ kind: 'tail-refused', refuse }),
      onTailLost: ({ epoch, reason }) => this.#feed({ kind: 'tail-lost', epoch, reason })
    })
    this.#timer = setInterval(() => this.#tick(), routeRetryMs)
    this.#timer.unref()
  }

  async *outputs(): AsyncGenerator<Timed> {
    this.#signal?.throwIfAborted()
    this.#signal?.addEventListener('abort', this.#onAbort, { once: true })
    this.#ending?.addEventListener('abort', this.#onEnding, { once: true })
    this.#feed({ kind: 'start' })
    if (this.#ending?.aborted === true) this.#onEnding()
    while (true) {
      const outputs = this.#outputs
      this.#outputs = []
      yield* outputs
      if (this.#outputs.length > 0) continue
      if (this.#ended) return
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
  }

  /** Ends the session if it has not ended: every cache on its route is freed, or the deadline for it has passed. */
  async stop(): Promise<void> {
    this.#feed({ kind: 'cancel' })
    while (!this.#ended) {
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
    clearInterval(this.#timer)
    for (const end of this.#watched.values()) end()
    this.#signal?.removeEventListener('abort', this.#onAbort)
    this.#ending?.removeEventListener('abort', this.#onEnding)
    this.#routing?.abort(new Error('the session has ended'))
    this.#drive.stop()
  }

  /** Two hops may fall silent at once: this peer must not find a way through the second one while it seeks one around the first. */
  #watch(route: readonly Hop[]): void {
    const { links } = this.#parts
    for (const { peer } of route) {
      if (peer === links.self) continue
      // Anew each time: a peer that came back has another connection.
      this.#watched.get(peer)?.()
      const end = links.watch?.(peer)
      if (end !== undefined) this.#watched.set(peer, end)
    }
  }

  #tick(): void {
    this.#feed({ kind: 'tick' })
    const peers = this.#parts.leaving?.(this.#session.route) ?? nobody
    // That they stay after all must be known, too.
    if (peers.size > 0 || this.#session.leaving.size > 0) this.#feed({ kind: 'leaving', peers })
  }

  /** Hands one event to the decider and does what it asks; what happens meanwhile waits its turn. */
  #feed(event: SessionEvent): void {
    this.#turns.give(event)
  }

  #do(effect: SessionEffect): void {
    switch (effect.kind) {
      case 'send':
        this.#heads.get(effect.epoch)?.channel?.send(effect.bytes)
        break
      case 'output':
        this.#outputs.push({ ...effect.output, atMs: this.#now() })
        if (effect.output.kind === 'end') this.#ended = true
        if (effect.output.kind === 'lost' && effect.output.reason === 'mute') this.#parts.onMute?.(effect.output.peer)
        if (effect.output.kind === 'token') {
          this.#parts.onToken?.(this.#session.route)
          this.#waitingSinceMs = undefined
          this.#waitingFor = undefined
        }
        this.#wake?.()
        break
      case 'route':
        void this.#route(avoiding(effect, this.#suspects()))
        break
      case 'detour': {
        const { route } = effect
        const found = this.#parts.detour?.(route, avoidingBeside(route, effect.excluded, this.#suspects()))
        if (found !== undefined) this.#watch(found.route)
        this.#feed({ kind: 'detoured', route: found?.route, exact: found?.exact ?? true, stuck: effect.stuck })
        break
      }
      case 'admit':
        this.#drive.admit(effect.epoch, effect.tail)
        break
      case 'connect':
        this.#parts.onRoute?.(this.#session.route)
        void this.#connect(effect.epoch, effect.peer)
        break
      case 'hang-up': {
        const head = this.#heads.get(effect.epoch)
        this.#heads.delete(effect.epoch)
        head?.controller.abort(new Error('the stream is no longer needed'))
        void head?.channel?.close()
        break
      }
      case 'violation':
        for (const { channel } of this.#heads.values()) {
          if (channel?.remote === effect.remote) channel.abort(new ProtocolError(effect.message))
        }
        this.#parts.onViolation?.(effect.remote, effect.violation, effect.message)
        break
    }
  }

  #suspects(): ReadonlySet<PeerId> {
    return this.#parts.suspects?.() ?? nobody
  }

  async #route({ excluded, doubtful }: Avoidance): Promise<void> {
    this.#routing?.abort(new Error('a newer route is asked for'))
    const routing = new AbortController()
    this.#routing = routing
    const signal = AbortSignal.any([routing.signal, AbortSignal.timeout(this.#waitMs ?? routeWaitMs)])
    // Several routes may fail before one gets the answer on: whoever waits for it counts from the first.
    this.#waitingSinceMs ??= this.#now()
    const sinceMs = this.#waitingSinceMs
    const onWait = (explain: () => string): void => {
      const atMs = this.#now()
      if (this.#routing !== routing || atMs - sinceMs < waitTellMs) return
      const message = explain()
      if (message === this.#waitingFor) return
      this.#waitingFor = message
      this.#outputs.push({ kind: 'waiting', message, atMs })
      this.#wake?.()
    }
    let event: SessionEvent
    try {
      const room = { tokensMax: this.#tokensMax, held: this.#session.route }
      const route = await this.#parts.route(excluded, { signal, doubtful, ...room, onWait })
      this.#watch(route)
      event = { kind: 'routed', route, exact: this.#parts.isExact?.() ?? true }
    } catch (error) {
      event = { kind: 'unroutable', error: error as Error }
    }
    if (this.#routing === routing) this.#feed(event)
  }

  async #connect(epoch: number, peer: PeerId): Promise<void> {
    const head: Head = { epoch, controller: new AbortController(), channel: undefined }
    this.#heads.set(epoch, head)
    const signal = AbortSignal.any([head.controller.signal, AbortSignal.timeout(stageOpenMs)])
    let channel: Channel
    try {
      channel = await this.#parts.links.open(peer, stageProtocol, { signal })
    } catch (error) {
      this.#feed({ kind: 'head-lost', epoch, message: (error as Error).message, reason: lossReason(error) })
      return
    }
    if (this.#heads.get(epoch) !== head) {
      await channel.close()
      return
    }
    head.channel = channel
    this.#feed({ kind: 'connected', epoch })
    channel.receive({
      onFrame: bytes => this.#feed({ kind: 'frame', epoch, bytes }),
      onClose: error =>
        this.#feed({
          kind: 'head-lost',
          epoch,
          message: error?.message ?? 'it closed the stream',
          reason: lossReason(error)
        })
    })
  }
}

/** 128 random bits: whoever does not sit on its route cannot name a session. */
function randomSession(): SessionId {
  return bytesToHex(crypto.getRandomValues(new Uint8Array(16))) as SessionId
}

/** Checks what the caller asked for and fills in the defaults. */
function settings(
  { maxTokens, waitMs, temperature = 0, topP = 1, topK = 0, seed = 1 }: SessionOptions,
  promptTokens: number,
  contextMax: number
): Sampling & { readonly maxTokens: number } {
  const rule = (holds: boolean, sentence: string): void => {
    if (!holds) throw new InvalidOptionError(sentence)
  }
  rule(Number.isFinite(temperature) && temperature >= 0, `temperature must be 0 or more, not ${temperature}`)
  rule(topP > 0 && topP <= 1, `topP must be above 0 and at most 1, not ${topP}`)
  rule(Number.isSafeInteger(topK) && topK >= 0 && topK < 2 ** 31, `topK must be a whole number from 0, not ${topK}`)
  rule(Number.isSafeInteger(seed) && seed >= 0, `seed must be a whole number from 0, not ${seed}`)
  rule(
    waitMs === undefined || (Number.isSafeInteger(waitMs) && waitMs >= 0 && waitMs <= routeWaitMsMax),
    `waitMs must be a whole number from 0 to ${routeWaitMsMax}, not ${waitMs}`
  )
  const left = contextMax - promptTokens
  const tokens = maxTokens ?? Math.min(answerTokensDefault, left)
  rule(Number.isSafeInteger(tokens) && tokens >= 1, `maxTokens must be a whole number from 1, not ${tokens}`)
  if (tokens > left) {
    throw new PromptTooLongError(
      `the prompt has ${promptTokens} tokens, so the model's context of ${contextMax} leaves ${left} for the answer, not ${tokens}`
    )
  }
  return { maxTokens: tokens, temperature, topP, topK, seed }
}
