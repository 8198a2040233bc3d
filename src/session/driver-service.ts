/** Runs one session: gives the decider in `session.ts` its streams, routes and time, and does what it says. */
import { type Clock, systemClock, type Timer } from '../base/clock.ts'
import { systemRng } from '../base/entropy.ts'
import type { PeerId } from '../base/ids.ts'
import { reasonOf } from '../base/reason.ts'
import { drawSessionId } from '../base/rng.ts'
import { Turns } from '../base/turns.ts'
import { ProtocolError, lossReason } from '../errors.ts'
import type { Hop } from '../route/view.ts'
import { encodeFrame, readFrame } from '../stage/codec.ts'
import { type Frame, framedBytes, stageProtocol } from '../stage/frame.ts'
import { stageOpenMs } from '../stage/limits.ts'
import type { Drive } from '../stage/drive.ts'
import { sentAfterMs } from '../stage/trace.ts'
import type { Channel } from '../swarm/links.ts'
import { type Avoidance, avoiding, avoidingBeside } from './avoid.ts'
import type { DrafterInit } from './drafter.ts'
import { Drafting } from './drafting-service.ts'
import type { MaskAsk, SessionEffect, SessionEvent } from './event.ts'
import { routeRetryMs, routeWaitMs, waitTellMs } from './limits.ts'
import { NGrams } from './n-grams.ts'
import { type SessionOptions, settings } from './options.ts'
import type { Sequence, SessionParts, Timed } from './parts.ts'
import { Session } from './session.ts'
import { stopAt } from './stop.ts'
import { Trace, type TracedLap } from './trace.ts'
import { thoughtsEnd } from './thinking.ts'

const nobody: ReadonlySet<PeerId> = new Set()

/** The stream to the head of one epoch's route; `channel` is there once it is open. */
interface Head {
  readonly epoch: number
  readonly controller: AbortController
  channel: Channel | undefined
}

/** One session under way: the decider, its stream to the head, the driver's end, and its clock. */
export class Driver {
  readonly #parts: SessionParts
  readonly #clock: Clock
  readonly #session: Session
  readonly #signal: AbortSignal | undefined
  readonly #drive: Drive
  readonly #timer: Timer
  readonly #turns = new Turns<SessionEvent>(event => {
    this.#turnMs = this.#clock.nowMs()
    for (const effect of this.#session.handle(event, this.#turnMs)) this.#do(effect)
  })
  /** When the event came that is being seen to. */
  #turnMs = 0
  readonly #trace: Trace | undefined
  /** What goes on with the text, where this peer has a draft model for it. */
  readonly #drafting: Drafting | undefined
  /** Of a step that waits for drafts. */
  #draftWait: Timer | undefined
  /** Streams to heads by epoch: of the route, and of one that is being prepared. */
  readonly #heads = new Map<number, Head>()
  #routing: AbortController | undefined
  /** Peers of routes that this session took, and what ends watching them. */
  readonly #watched = new Map<PeerId, () => void>()
  /** Outputs that nobody has read yet; no more than tokens fit the context, and some losses. */
  #outputs: Timed[] = []
  #wake: (() => void) | undefined
  #ended = false
  #bytesSent = 0
  readonly #waitMs: number | undefined
  readonly #tokensMax: number
  readonly #promptTokens: number
  /** The id that ends the thoughts which the prompt has opened: what the answer must be begins after it. */
  readonly #thoughtsEnd: number | undefined
  /** Aborts when the session has ended. */
  readonly #stopping = new AbortController()
  /** Since when the answer waits for a route that gets it on; undefined while its tokens come. */
  #waitingSinceMs: number | undefined
  /** What it was last said to wait for. */
  #waitingFor: string | undefined
  /** Peers of the routes that it has begun on. */
  readonly #taken = new Set<PeerId>()
  #refuted: PeerId | undefined
  readonly #onAbort = (): void => this.#feed({ kind: 'cancel' })
  readonly #ending: AbortSignal | undefined
  readonly #onEnding = (): void => this.#feed({ kind: 'cancel', message: (this.#ending!.reason as Error).message })

  constructor(parts: SessionParts, sequence: Sequence, options: SessionOptions) {
    const { promptIds, begun } = sequence
    const { model, links, stages } = parts
    const { maxTokens, cache, sampling: asked } = settings(options, promptIds.length, model)
    const sampling = parts.grammar === undefined ? asked : { ...asked, masked: true }
    const { drafter = ({ tokensMax }: DrafterInit) => new NGrams(tokensMax) } = parts
    const session = drawSessionId(parts.rng ?? systemRng)
    const drawn = Math.max(1, maxTokens)
    this.#tokensMax = promptIds.length + maxTokens
    this.#promptTokens = promptIds.length
    this.#thoughtsEnd = thoughtsEnd(sequence)
    this.#waitMs = options.waitMs
    this.#parts = parts
    this.#clock = parts.clock ?? systemClock
    this.#signal = options.signal
    this.#ending = options.ending
    this.#trace = options.trace === true ? new Trace(links.self) : undefined
    const draftModel = options.speculate === false ? undefined : parts.draftModel
    this.#drafting =
      draftModel &&
      new Drafting({
        model: draftModel,
        session,
        tokensMax: this.#tokensMax,
        // Nobody is told what the draft model makes of its tokens, and what the grammar lets through of them is seen later.
        sampling: { ...sampling, logprobs: undefined, promptLogprobs: undefined, masked: undefined },
        owner: links.self,
        onDrafted: drafted => this.#feed({ kind: 'drafted', ...drafted }),
        onGone: message => this.#undrafted(message)
      })
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
      cache,
      sampling,
      waitMs: options.waitMs,
      hears: parts.hears,
      stoodStillMs: parts.stoodStillMs?.(),
      keepsWaiting: parts.keepsWaiting,
      knowsDrafts: parts.knowsDrafts,
      draftModel,
      drafter: options.speculate === false ? undefined : drafter({ tokensMax: this.#tokensMax, sampling, cache }),
      speedOf: parts.speedOf,
      stepBytes: parts.stepBytes,
      traced: options.trace,
      commits: parts.check !== undefined,
      stop: stopAt({ eosIds: maxTokens === 0 ? [] : model.eosIds, maxTokens: drawn })
    })
    this.#drive = stages.drive(session, {
      onTokens: ({ epoch, position, ids, scores, spans, readMs }) => {
        const lap = { position, tokens: ids.length, hops: this.#session.route, spans, readMs }
        if (this.#trace !== undefined) this.#lap(this.#trace.came(lap, this.#clock.nowMs()))
        this.#feed({ kind: 'tokens', epoch, position, ids, scores })
      },
      onScores: ({ kind: _, ...scores }) => this.#feed({ kind: 'scores', ...scores }),
      onTailRefused: refuse => this.#feed({ kind: 'tail-refused', refuse }),
      onTailLost: ({ epoch, reason }) => this.#feed({ kind: 'tail-lost', epoch, reason })
    })
    this.#timer = this.#clock.every(routeRetryMs, () => this.#tick()).unref()
  }

  /** A peer on a route of this session that was found out meanwhile, by a check of another one: nothing of the answer counts. */
  get refuted(): PeerId | undefined {
    return this.#refuted
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
    this.#stopping.abort(new Error('the session has ended'))
    this.#timer.stop()
    this.#draftWait?.stop()
    this.#drafting?.stop()
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
    this.#lookForRefuted()
    const those = this.#parts.leaving?.(this.#session.route) ?? nobody
    // That they stay after all must be known, too.
    if (those.size > 0 || this.#session.leaving.size > 0) this.#feed({ kind: 'leaving', those })
  }

  #lookForRefuted(): void {
    const all = this.#parts.refuted?.() ?? nobody
    if (all.size === 0 || this.#refuted !== undefined) return
    this.#refuted = this.#taken.intersection(all).values().next().value
    if (this.#refuted !== undefined)
      this.#feed({ kind: 'cancel', message: `${this.#refuted} has computed something else` })
  }

  /** Hands one event to the decider and does what it asks; what happens meanwhile waits its turn. */
  #feed(event: SessionEvent): void {
    this.#turns.give(event)
  }

  #do(effect: SessionEffect): void {
    switch (effect.kind) {
      case 'send':
        this.#send(effect.epoch, effect.frame)
        break
      case 'output': {
        const atMs = this.#clock.nowMs()
        if (effect.output.kind === 'end') {
          this.#lap(this.#trace?.end())
          this.#outputs.push({ ...effect.output, bytesSent: this.#bytesSent, atMs })
          this.#ended = true
        } else this.#outputs.push({ ...effect.output, atMs })
        if (effect.output.kind === 'lost' && effect.output.reason === 'mute') this.#parts.onMute?.(effect.output.peer)
        if (effect.output.kind === 'token') {
          this.#parts.onToken?.(this.#session.route)
          this.#waitingSinceMs = undefined
          this.#waitingFor = undefined
        }
        this.#wake?.()
        break
      }
      case 'route':
        void this.#route(avoiding(effect, this.#suspects()))
        break
      case 'detour': {
        const { route, needsRoom = false } = effect
        const excluded = avoidingBeside(route, effect.excluded, this.#suspects())
        const found = this.#parts.detour?.(route, excluded, { needsRoom })
        if (found !== undefined) this.#watch(found.route)
        this.#feed({ kind: 'detoured', route: found?.route, exact: found?.exact ?? true, stuck: effect.stuck })
        break
      }
      case 'draft': {
        const { waitMs, length } = effect
        this.#draftWait?.stop()
        if (waitMs !== undefined)
          this.#draftWait = this.#clock.after(waitMs, () => this.#feed({ kind: 'draft-late', length }))
        this.#drafting?.ask(effect)
        break
      }
      case 'mask':
        void this.#mask(effect)
        break
      case 'admit':
        this.#drive.admit(effect.epoch, effect.tail)
        break
      case 'connect':
        for (const { peer } of this.#session.route) this.#taken.add(peer)
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

  /** The answer goes on without the draft model. */
  #undrafted(message: string | undefined): void {
    if (message !== undefined) this.#outputs.push({ kind: 'warning', message, atMs: this.#clock.nowMs() })
    this.#feed({ kind: 'undrafted' })
    this.#wake?.()
  }

  #send(epoch: number, frame: Frame): void {
    const bytes = encodeFrame(frame)
    this.#bytesSent += framedBytes(bytes.length)
    const channel = this.#heads.get(epoch)?.channel
    channel?.send(bytes)
    if (this.#trace === undefined || frame.kind !== 'step' || !frame.sample) return
    const startMs = this.#turnMs
    this.#trace.stepped({ rows: frame.tokens, startMs, sentMs: startMs + sentAfterMs(channel, startMs, this.#clock) })
  }

  /** All is known of a lap. Who waits for a token is woken by that. */
  #lap(lap: TracedLap | undefined): void {
    if (lap !== undefined) this.#outputs.push({ kind: 'trace', lap, atMs: this.#clock.nowMs() })
  }

  #suspects(): ReadonlySet<PeerId> {
    return this.#parts.suspects?.() ?? nobody
  }

  /** Asks the grammar what may follow. */
  async #mask({ text, length, drafts }: MaskAsk): Promise<void> {
    const answered = text.slice(this.#promptTokens, length)
    try {
      const options = { signal: this.#stopping.signal, after: this.#thoughtsEnd }
      const masks = await this.#parts.grammar!.masks(answered, drafts, options)
      this.#feed({ kind: 'masked', length, drafts, masks })
    } catch (error) {
      this.#feed({ kind: 'cancel', message: reasonOf(error) })
    }
  }

  async #route({ excluded, doubtful }: Avoidance): Promise<void> {
    this.#routing?.abort(new Error('a newer route is asked for'))
    const routing = new AbortController()
    this.#routing = routing
    const signal = AbortSignal.any([routing.signal, this.#clock.deadline(this.#waitMs ?? routeWaitMs)])
    // Several routes may fail before one gets the answer on: whoever waits for it counts from the first.
    this.#waitingSinceMs ??= this.#clock.nowMs()
    const sinceMs = this.#waitingSinceMs
    const onWait = (explain: () => string): void => {
      const atMs = this.#clock.nowMs()
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
    const signal = AbortSignal.any([head.controller.signal, this.#clock.deadline(stageOpenMs)])
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
      onFrame: bytes => {
        const read = readFrame(bytes)
        if (read !== undefined) this.#feed({ ...read, epoch })
      },
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
