/**
 * Serves stages to the swarm: gives the decider in `stage.ts` its streams, engines and time, and does what it
 * says. One of few files here that do things.
 */
import { type Clock, systemClock, type Timer } from '../base/clock.ts'
import type { ModelId, PeerId, Range, SessionId } from '../base/ids.ts'
import { Turns } from '../base/turns.ts'
import { cacheOf, type Engine, type Step } from '../engine/engine.ts'
import { CacheGapError, InvalidStepError, NoRoomError, ProtocolError, lossReason } from '../errors.ts'
import { stageFrameBytesMax, stageOpenMs, stageStreamsPerPeerMax, stageTickMs } from './limits.ts'
import type { Channel, Links } from '../swarm/links.ts'
import { computedStep } from './computed-step.ts'
import type { ChannelId, SeatId, StageEffect, StageEvent, StageFacts } from './event.ts'
import { encodeFrame, readFrame } from './codec.ts'
import type { Drive, DriveHandlers } from './drive.ts'
import { type Frame, framedBytes, stageProtocol } from './frame.ts'
import { Committing } from './committing-service.ts'
import type { StageModel, StageService, StageServiceInit } from './service-init.ts'
import { Stages } from './stage.ts'
import { isStep } from './step-bytes.ts'
import { sentAfterMs } from './trace.ts'

/** A session's cache in an engine, while the decider holds its seat. */
interface Place {
  readonly engine: Engine
  readonly model: ModelId
  readonly cache: SessionId
  /** Aborted when the session ends: steps that have not started never do. */
  readonly controller: AbortController
  readonly opening: Promise<void>
  /** The step that runs, if one does. */
  running: Promise<void> | undefined
  /** Where its last step came from. */
  from: Channel | undefined
}

/** Starts to serve stages over `links`; none is there until `add`. */
export async function createStageService(init: StageServiceInit): Promise<StageService> {
  const service = new Service(init)
  await init.links.handle(
    stageProtocol,
    {
      inboundMax: stageStreamsPerPeerMax,
      frameBytesMax: stageFrameBytesMax,
      onFull: channel => service.accept(channel, { isFull: true })
    },
    channel => service.accept(channel)
  )
  return service
}

class Service implements StageService {
  readonly #links: Links
  readonly #clock: Clock
  readonly #onViolation: NonNullable<StageServiceInit['onViolation']>
  readonly #onStep: StageServiceInit['onStep']
  readonly #decider: Stages
  readonly committing: Committing | undefined
  readonly #engines = new Map<string, Engine>()
  readonly #places = new Map<SeatId, Place>()
  /** Caches that are being freed, by engine: `remove` waits for them. */
  readonly #freeing = new Map<Engine, Set<Promise<void>>>()
  readonly #channels = new Map<ChannelId, Channel>()
  /** Streams that are being opened. */
  readonly #connecting = new Map<ChannelId, AbortController>()
  readonly #handlers = new Map<SessionId, DriveHandlers>()
  readonly #turns = new Turns<StageEvent>(event => {
    this.#turnMs = this.#clock.nowMs()
    for (const effect of this.#decider.handle(event, this.#turnMs)) this.#do(effect)
  })
  /** When the event came that is being seen to. */
  #turnMs = 0
  #nextId = 1
  #timer: Timer | undefined
  #stopped = false

  constructor({
    links,
    retainBytesMax,
    verify,
    sign,
    mayDrive,
    onViolation = () => {},
    onStep,
    clock = systemClock
  }: StageServiceInit) {
    this.#links = links
    this.#clock = clock
    this.#onViolation = onViolation
    this.#onStep = onStep
    const commits = sign && new Committing({ sign, clock })
    this.committing = commits
    this.#decider = new Stages({ self: links.self, retainBytesMax, drivers: { verify, mayDrive }, commits })
  }

  get retainBytesMax(): number {
    return this.#decider.retainBytesMax
  }

  set retainBytesMax(bytes: number) {
    this.#decider.retainBytesMax = bytes
  }

  get leaving(): boolean {
    return this.#decider.leaving
  }

  set leaving(leaving: boolean) {
    this.#decider.leaving = leaving
  }

  get stats(): StageService['stats'] {
    const { sessions, waiting, queuedSteps, retainBytes } = this.#decider
    return { sessions, waiting, queuedSteps, retainBytes }
  }

  sessionsOf(model: ModelId, range: Range): number {
    return this.#decider.sessionsOf(model, range)
  }

  stepsOf(model: ModelId, range: Range): number {
    return this.#decider.stepsOf(model, range)
  }

  retainBytesOf(model: ModelId): number {
    return this.#decider.retainBytesOf(model)
  }

  add(engine: Engine, { model, ...facts }: StageModel): void {
    const { start, end, hidden, edge, cacheTypes } = engine
    this.#engines.set(engineKey(model, start, end), engine)
    const stage = { model, ...facts, hidden, edge, start, end }
    const cacheBytes: StageFacts['cacheBytes'] = (tokensMax, type) => engine.cacheBytes(tokensMax, type)
    this.#feed({ kind: 'add', stage: { ...stage, cacheBytes, ...(cacheTypes === undefined ? {} : { cacheTypes }) } })
  }

  async remove(model: ModelId, range: Range): Promise<void> {
    const key = engineKey(model, range.start, range.end)
    const engine = this.#engines.get(key)
    if (engine === undefined) return
    this.#engines.delete(key)
    this.#feed({ kind: 'remove', model, range })
    await Promise.all(this.#freeing.get(engine) ?? [])
  }

  drive(session: SessionId, handlers: DriveHandlers): Drive {
    this.#feed({ kind: 'drive', session })
    this.#handlers.set(session, handlers)
    return {
      admit: (epoch, tail) => this.#feed({ kind: 'admit', session, epoch, tail }),
      stop: () => {
        if (this.#handlers.get(session) !== handlers) return
        this.#handlers.delete(session)
        this.#feed({ kind: 'undrive', session })
      }
    }
  }

  async stop(): Promise<void> {
    if (this.#stopped) return
    this.#stopped = true
    await this.#links.unhandle(stageProtocol)
    for (const [id, engine] of [...this.#engines]) {
      await this.remove(id.slice(0, id.indexOf('/')) as ModelId, engine)
    }
    for (const controller of this.#connecting.values()) controller.abort(new Error('the stage service stops'))
    await Promise.all([...this.#channels.values()].map(channel => channel.close()))
    this.#timer?.stop()
    this.committing?.stop()
  }

  /** @param options.isFull its peer has as many streams here as it may: this one is refused politely. */
  accept(channel: Channel, { isFull = false } = {}): void {
    if (this.#stopped) {
      channel.abort(new Error('the stage service has stopped'))
      return
    }
    const id = this.#nextId++
    this.#feed({ kind: 'accepted', channel: id, remote: channel.remote, isFull })
    this.#attach(id, channel)
  }

  #attach(id: ChannelId, channel: Channel): void {
    this.#channels.set(id, channel)
    channel.receive({
      onFrame: bytes => this.#onFrame(id, channel, bytes),
      onClose: error => {
        this.#channels.delete(id)
        this.#feed({
          kind: 'closed',
          channel: id,
          message: error?.message ?? 'it closed the stream',
          reason: lossReason(error)
        })
      }
    })
  }

  #onFrame(id: ChannelId, channel: Channel, bytes: Uint8Array): void {
    const readAtMs = channel.readAtMs ?? this.#clock.nowMs()
    const place = isStep(bytes) ? this.#places.get(this.#decider.seatAt(id)!) : undefined
    if (place !== undefined) {
      place.engine.wake?.()
      place.from = channel
    }
    const read = readFrame(bytes)
    if (read?.kind === 'frame') this.#feed({ ...read, channel: id, bytes: framedBytes(bytes.length), readAtMs })
    else if (read !== undefined) this.#feed({ ...read, channel: id })
  }

  #send(id: ChannelId, frame: Frame): void {
    const bytes = encodeFrame(frame)
    // Credit bounds what is queued on a stream, so `ready` need not be waited for.
    const channel = this.#channels.get(id)
    channel?.send(bytes)
    const isOutput = frame.kind === 'step' || frame.kind === 'token'
    // What it says of steps before this one is wanted, too.
    if (isOutput) channel?.wanted?.()
    const sentMs = isOutput ? sentAfterMs(channel, this.#turnMs, this.#clock) : undefined
    this.#decider.sent(id, framedBytes(bytes.length), sentMs)
  }

  /**
   * Hands one event to the decider and does what it asks. What happens meanwhile (a channel in memory may deliver
   * at once) waits its turn, so that effects are always done in order.
   */
  #feed(event: StageEvent): void {
    if (!this.#turns.give(event)) return
    if (this.#timer === undefined && this.#decider.busy && !this.#stopped) {
      this.#timer = this.#clock.every(stageTickMs, () => this.#tick()).unref()
    }
  }

  #tick(): void {
    this.#feed({ kind: 'tick' })
    if (this.#decider.busy) return
    this.#timer?.stop()
    this.#timer = undefined
  }

  #do(effect: StageEffect): void {
    switch (effect.kind) {
      case 'send':
        this.#send(effect.channel, effect.frame)
        break
      case 'compute':
        this.#compute(effect.seat, effect.step, effect.text)
        break
      case 'deliver': {
        const { bytes, readMs } = effect
        this.#channels.get(effect.channel)?.wanted?.()
        const { epoch, position, ids, scores, spans = [] } = effect.token
        // The step after it comes from here.
        const own = `${effect.session} of ${this.#links.self}`
        for (const { engine, cache } of this.#places.values()) if (cache === own) engine.wake?.()
        this.#handlers.get(effect.session)?.onTokens({ epoch, position, ids, scores, bytes, spans, readMs })
        break
      }
      case 'deliver-scores':
        this.#handlers.get(effect.session)?.onScores(effect.scores)
        break
      case 'tail-refused':
        this.#handlers.get(effect.session)?.onTailRefused(effect.refuse)
        break
      case 'connect':
        void this.#connect(effect.channel, effect.peer)
        break
      case 'close':
        this.#connecting.get(effect.channel)?.abort(new Error('the stream is no longer needed'))
        void this.#channels.get(effect.channel)?.close()
        break
      case 'violation': {
        const { channel: id, remote, violation, message } = effect
        this.#channels.get(id)?.abort(new ProtocolError(message))
        this.#onViolation(remote, violation, message)
        break
      }
      case 'open-engine':
        this.#open(effect)
        break
      case 'free-engine':
        this.#free(effect.seat)
        break
      case 'tail-lost': {
        const { session, epoch, peer, reason } = effect
        this.#handlers.get(session)?.onTailLost({ epoch, peer, reason })
        break
      }
    }
  }

  async #connect(id: ChannelId, peer: PeerId): Promise<void> {
    const controller = new AbortController()
    this.#connecting.set(id, controller)
    const signal = AbortSignal.any([controller.signal, this.#clock.deadline(stageOpenMs)])
    let channel: Channel
    try {
      channel = await this.#links.open(peer, stageProtocol, { signal })
    } catch (error) {
      this.#feed({ kind: 'closed', channel: id, message: (error as Error).message, reason: lossReason(error) })
      return
    } finally {
      this.#connecting.delete(id)
    }
    if (controller.signal.aborted) {
      await channel.close()
      return
    }
    // The decider's Open must be the first frame out, so it is told before anything can come in.
    this.#channels.set(id, channel)
    this.#feed({ kind: 'connected', channel: id })
    this.#attach(id, channel)
  }

  #open(effect: StageEffect & { kind: 'open-engine' }): void {
    const { seat, stage, cache, owner, tokensMax, sampling, cacheType, chargedBytes } = effect
    const engine = this.#engines.get(engineKey(stage.model, stage.start, stage.end))!
    // What is being freed makes room first.
    const freed = Promise.all(this.#freeing.get(engine) ?? [])
    const opening = freed
      .then(() => engine.open(cache, { tokensMax, sampling, cache: cacheType, owner }))
      .then(
        () => this.#feed({ kind: 'opened', seat, ...cacheOf(engine, cache) }),
        (error: Error) => {
          this.#places.delete(seat)
          this.committing?.freed(seat)
          // At least one byte, where others freed some meanwhile.
          const lacking = Math.max(1, chargedBytes - (engine.cacheBytesMax - engine.cacheBytesUsed))
          this.#feed({
            kind: 'open-failed',
            seat,
            noRoom: error instanceof NoRoomError,
            lacking,
            message: error.message
          })
        }
      )
    const controller = new AbortController()
    this.#places.set(seat, {
      engine,
      model: stage.model,
      cache,
      controller,
      opening,
      running: undefined,
      from: undefined
    })
    this.committing?.opened(seat, stage, sampling)
  }

  #compute(seat: SeatId, step: Step, text: Int32Array | undefined): void {
    const place = this.#places.get(seat)!
    const { engine, model, cache } = place
    const givenMs = this.#clock.nowMs()
    place.running = engine.run(step, { signal: place.controller.signal }).then(
      output => {
        place.running = undefined
        place.from?.wanted?.()
        this.#onStep?.(computedStep(model, step, output, this.#clock.nowMs() - givenMs))
        this.committing?.computed(seat, step, output, text)
        this.#feed({
          kind: 'computed',
          seat,
          floor: engine.floor?.(cache) ?? 0,
          hidden: output.kind === 'hidden' ? output.bytes : undefined,
          ...(output.kind === 'tokens' ? { tokens: output.ids, scores: output.scores } : { tokens: undefined }),
          ...{ prompt: output.prompt, cost: output }
        })
        this.committing?.settle(seat)
      },
      (error: Error) => {
        place.running = undefined
        this.#feed({
          kind: 'compute-failed',
          seat,
          reason: error instanceof CacheGapError ? 'gap' : error instanceof InvalidStepError ? 'invalid' : 'engine',
          ...cacheOf(engine, cache),
          message: error.message
        })
      }
    )
  }

  #free(seat: SeatId): void {
    const place = this.#places.get(seat)
    if (place === undefined) {
      // The engine is refusing to open it at this moment: there is nothing to free.
      this.#feed({ kind: 'freed', seat })
      return
    }
    const { engine, cache, controller, opening } = place
    controller.abort(new Error('the session has ended'))
    const freeing = (async () => {
      await opening
      await place.running
      try {
        await engine.free(cache)
      } catch {
        // An engine whose thread has ended holds no cache any more.
      }
      this.#places.delete(seat)
      this.committing?.freed(seat)
      this.#feed({ kind: 'freed', seat })
    })()
    const others = this.#freeing.get(engine) ?? new Set()
    this.#freeing.set(engine, others.add(freeing))
    void freeing.finally(() => {
      others.delete(freeing)
      if (others.size === 0) this.#freeing.delete(engine)
    })
  }
}

function engineKey(model: ModelId, start: number, end: number): string {
  return `${model}/${start}-${end}`
}
