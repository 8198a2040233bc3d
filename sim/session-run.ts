/** One session under way: drives the decider in `session.ts` as the real peer's session service does. */
import type { ModelId, PeerId, SessionId } from '../src/base/ids.ts'
import type { Sign } from '../src/base/signature.ts'
import { Turns } from '../src/base/turns.ts'
import type { Sampling } from '../src/engine/engine.ts'
import type { LossReason } from '../src/errors.ts'
import { routePollMs } from '../src/route/limits.ts'
import { routeRetryMs, routeWaitMs } from '../src/session/limits.ts'
import { stageOpenMs } from '../src/stage/limits.ts'
import type { RouteAnswer } from '../src/route/asking.ts'
import { ClassPin } from '../src/route/class-pin.ts'
import type { Hop } from '../src/route/view.ts'
import { type Avoidance, avoiding, avoidingBeside } from '../src/session/avoid.ts'
import type { SessionEffect, SessionEvent, SessionReport } from '../src/session/event.ts'
import type { Speed } from '../src/session/patience.ts'
import { Session } from '../src/session/session.ts'
import { encodeFrame, readFrame } from '../src/stage/codec.ts'
import { type Frame, framedBytes, stageProtocol } from '../src/stage/frame.ts'
import type { StageEvent } from '../src/stage/event.ts'
import { stopAt } from '../src/session/stop.ts'
import type { Channel } from './wire.ts'

/** What a session needs of the peer that drives it. */
export interface SessionHost {
  readonly self: PeerId
  readonly sign: Sign
  readonly nowMs: () => number
  readonly after: (delayMs: number, task: () => void) => void
  readonly openChannel: (
    peer: PeerId,
    protocol: string,
    done: (channel: Channel | undefined, message: string, reason?: LossReason) => void
  ) => { cancel(): void }
  readonly stages: (event: StageEvent) => void
  /** Counts a found route as in flight. */
  readonly ask: (
    avoidance: Avoidance,
    waitedMs: number,
    pin: ClassPin,
    room: { readonly tokensMax: number; readonly held: readonly Hop[] }
  ) => RouteAnswer
  readonly detour: (
    route: readonly Hop[],
    excluded: ReadonlySet<PeerId>,
    pin: ClassPin,
    tokensMax: number
  ) => { readonly route: readonly Hop[]; readonly exact: boolean } | undefined
  /** Peers that do not answer at this moment. */
  readonly suspects: () => ReadonlySet<PeerId>
  /** A hop did not answer: other sessions go around it, too. */
  readonly mute: (peer: PeerId) => void
  readonly hears: (peer: PeerId) => boolean
  readonly speedOf: (hop: Hop) => Speed | undefined
  readonly stepBytes: number | undefined
  /** Peers that are about to go, and those of a route whose stage on it is. */
  readonly leaving: (route: readonly Hop[]) => ReadonlySet<PeerId>
  readonly inflight: (hops: readonly Hop[], by: 1 | -1, tokensMax: number) => void
  readonly noRoute: (excluded: ReadonlySet<PeerId>) => Error
  readonly output: (run: SessionRun, output: SessionReport) => void
  readonly violation: (peer: PeerId, kind: string, message: string) => void
  /** A peer broke the protocol, and the session does not charge it. */
  readonly uncharged: (peer: PeerId, message: string) => void
}

export interface SessionAsk {
  readonly session: SessionId
  readonly model: { readonly id: ModelId; readonly vocab: number }
  readonly promptIds: readonly number[]
  readonly answerTokens: number
  readonly sampling: Sampling
}

/** The stream to the head of one epoch's route; `channel` is there once it is open. */
interface Head {
  readonly epoch: number
  channel: Channel | undefined
  opening: { cancel(): void } | undefined
}

interface Question extends Avoidance {
  readonly sinceMs: number
}

export class SessionRun {
  readonly ask: SessionAsk
  readonly #host: SessionHost
  readonly #session: Session
  readonly #turns = new Turns<SessionEvent>(event => {
    const effects = this.#session.handle(event, this.#host.nowMs())
    this.#checkCharges(effects)
    for (const effect of effects) this.#do(effect)
  })
  /** By epoch: of the route, and of one that is being prepared. */
  readonly #heads = new Map<number, Head>()
  readonly #pin = new ClassPin()
  readonly #tokensMax: number
  #isCancelled = false
  #question: Question | undefined
  #hops: readonly Hop[] = []
  #ended = false
  #bytesSent = 0
  /** The route that it uses now, detours included. */
  route: readonly Hop[] = []
  /** When it last began on a route, or had a token, by its peer's clock. */
  sinceMs = 0

  constructor(host: SessionHost, ask: SessionAsk) {
    this.ask = ask
    this.#host = host
    this.#tokensMax = ask.promptIds.length + ask.answerTokens
    this.#session = new Session({
      self: host.self,
      sign: host.sign,
      session: ask.session,
      model: ask.model.id,
      vocab: ask.model.vocab,
      promptIds: ask.promptIds,
      tokensMax: this.#tokensMax,
      sampling: ask.sampling,
      hears: host.hears,
      speedOf: host.speedOf,
      stepBytes: host.stepBytes,
      stop: stopAt({ eosIds: [], maxTokens: ask.answerTokens })
    })
  }

  /** It waits for a route. */
  get isRouting(): boolean {
    return this.#question !== undefined
  }

  get isEnded(): boolean {
    return this.#ended
  }

  /** Who asked gives up. Returns whether a route was open, all of which is to be told. */
  cancel(): boolean {
    if (this.#ended || this.#isCancelled) return false
    this.#isCancelled = true
    const isOpen = this.#question === undefined && [...this.#heads.values()].some(({ channel }) => channel?.isOpen)
    this.feed({ kind: 'cancel' })
    return isOpen
  }

  start(): void {
    this.#host.stages({ kind: 'drive', session: this.ask.session })
    const tick = (): void => {
      if (this.#ended) return
      this.feed({ kind: 'tick' })
      const peers = this.#host.leaving(this.#session.route)
      if (peers.size > 0 || this.#session.leaving.size > 0) this.feed({ kind: 'leaving', peers })
      this.#host.after(routeRetryMs, tick)
    }
    this.#host.after(routeRetryMs, tick)
    this.feed({ kind: 'start' })
  }

  /** The swarm has changed: whoever waits for a route looks again. */
  changed(): void {
    const question = this.#question
    if (question === undefined) return
    const waitedMs = this.#host.nowMs() - question.sinceMs
    const answer = this.#host.ask(question, waitedMs, this.#pin, {
      tokensMax: this.#tokensMax,
      held: this.#session.route
    })
    if (answer.kind === 'wait' && waitedMs < routeWaitMs) return
    this.#question = undefined
    if (answer.kind === 'hops') {
      this.#hops = answer.hops
      this.#host.inflight(answer.hops, 1, this.#tokensMax)
      this.route = answer.hops
      this.feed({ kind: 'routed', route: answer.hops, exact: this.#pin.exact })
    } else {
      this.feed({ kind: 'unroutable', error: this.#host.noRoute(question.excluded) })
    }
  }

  feed(event: SessionEvent): void {
    this.#turns.give(event)
  }

  /** Who breaks the protocol is off the route at once. Of who is only being prepared nobody says that it is lost. */
  #checkCharges(effects: readonly SessionEffect[]): void {
    for (const effect of effects) {
      if (effect.kind !== 'violation' || this.#heads.size > 1) continue
      const isCharged = effects.some(
        each =>
          each.kind === 'output' &&
          (each.output.kind === 'end' || (each.output.kind === 'lost' && each.output.peer === effect.remote))
      )
      if (!isCharged) this.#host.uncharged(effect.remote, effect.message)
    }
  }

  #do(effect: SessionEffect): void {
    switch (effect.kind) {
      case 'send':
        this.#send(effect.epoch, effect.frame)
        break
      case 'output':
        if (effect.output.kind === 'lost' && effect.output.reason === 'mute') this.#host.mute(effect.output.peer)
        if (effect.output.kind === 'token') this.sinceMs = this.#host.nowMs()
        if (effect.output.kind === 'end') this.#end()
        if (effect.output.kind === 'end') this.#host.output(this, { ...effect.output, bytesSent: this.#bytesSent })
        else this.#host.output(this, effect.output)
        break
      case 'route':
        this.#askRoute(avoiding(effect, this.#host.suspects()))
        break
      case 'admit':
        this.#host.stages({ kind: 'admit', session: this.ask.session, epoch: effect.epoch, tail: effect.tail })
        break
      case 'connect': {
        const { route } = this.#session
        if (route !== this.#hops) {
          this.#host.inflight(route, 1, this.#tokensMax)
          this.#host.inflight(this.#hops, -1, this.#tokensMax)
          this.#hops = route
        }
        this.route = route
        this.sinceMs = this.#host.nowMs()
        this.#connect(effect.epoch, effect.peer)
        break
      }
      case 'detour': {
        const { route } = effect
        const excluded = avoidingBeside(route, effect.excluded, this.#host.suspects())
        const found = this.#host.detour(route, excluded, this.#pin, this.#tokensMax)
        this.feed({ kind: 'detoured', route: found?.route, exact: found?.exact ?? true, stuck: effect.stuck })
        break
      }
      case 'hang-up': {
        const head = this.#heads.get(effect.epoch)
        this.#heads.delete(effect.epoch)
        head?.opening?.cancel()
        head?.channel?.close()
        break
      }
      case 'violation':
        for (const { channel } of this.#heads.values()) if (channel?.remote === effect.remote) channel.abort()
        this.#host.violation(effect.remote, effect.violation, effect.message)
        break
      default:
        throw new Error(`the simulator does not know what a session means by ${(effect as { kind: string }).kind}`)
    }
  }

  #send(epoch: number, frame: Frame): void {
    const bytes = encodeFrame(frame)
    this.#bytesSent += framedBytes(bytes.length)
    this.#heads.get(epoch)?.channel?.send(bytes)
  }

  #askRoute(avoidance: Avoidance): void {
    this.#host.inflight(this.#hops, -1, this.#tokensMax)
    this.#hops = []
    const question = { ...avoidance, sinceMs: this.#host.nowMs() }
    this.#question = question
    const poll = (): void => {
      if (this.#question !== question || this.#ended) return
      this.changed()
      this.#host.after(routePollMs, poll)
    }
    this.#host.after(0, poll)
  }

  #connect(epoch: number, peer: PeerId): void {
    const head: Head = { epoch, channel: undefined, opening: undefined }
    this.#heads.set(epoch, head)
    head.opening = this.#host.openChannel(peer, stageProtocol.name, (channel, message, lost) => {
      if (this.#heads.get(epoch) !== head) {
        channel?.close()
        return
      }
      if (channel === undefined) {
        this.feed({ kind: 'head-lost', epoch, message, reason: lost ?? 'closed' })
        return
      }
      head.channel = channel
      this.feed({ kind: 'connected', epoch })
      channel.handlers = {
        onFrame: bytes => {
          const read = readFrame(bytes)
          if (read !== undefined) this.feed({ ...read, epoch })
        },
        onClose: (why, reason) =>
          this.feed({ kind: 'head-lost', epoch, message: why ?? 'it closed the stream', reason })
      }
    })
    this.#host.after(stageOpenMs, () => {
      if (this.#heads.get(epoch) !== head || head.channel !== undefined) return
      head.opening?.cancel()
      this.feed({ kind: 'head-lost', epoch, message: `no stream within ${stageOpenMs} ms` })
    })
  }

  #end(): void {
    this.#ended = true
    this.#question = undefined
    this.#host.inflight(this.#hops, -1, this.#tokensMax)
    this.#hops = []
    // The service does it once its reader has seen the end: after the decider's other effects.
    this.#host.after(0, () => this.#host.stages({ kind: 'undrive', session: this.ask.session }))
  }
}
