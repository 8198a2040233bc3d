/** One session under way: drives the decider in `session.ts` as the real peer's session service does. */
import type { ModelId, PeerId, SessionId } from '../src/base/ids.ts'
import type { Sampling } from '../src/engine/engine.ts'
import { routePollMs, routeRetryMs, routeWaitMs, stageOpenMs } from '../src/limits.ts'
import type { RouteAnswer } from '../src/route/asking.ts'
import type { Hop } from '../src/route/view.ts'
import type { SessionEffect, SessionEvent, SessionOutput } from '../src/session/event.ts'
import { Session } from '../src/session/session.ts'
import { stageProtocol } from '../src/stage/frame.ts'
import type { StageEvent } from '../src/stage/event.ts'
import { stopAt } from '../src/session/stop.ts'
import type { Channel } from './wire.ts'

/** What a session needs of the peer that drives it. */
export interface SessionHost {
  readonly self: PeerId
  readonly nowMs: () => number
  readonly after: (delayMs: number, task: () => void) => void
  readonly openChannel: (
    peer: PeerId,
    protocol: string,
    done: (channel: Channel | undefined, message: string) => void
  ) => { cancel(): void }
  readonly stages: (event: StageEvent) => void
  /** Counts a found route as in flight. */
  readonly ask: (excluded: ReadonlySet<PeerId>, waitedMs: number) => RouteAnswer
  readonly inflight: (hops: readonly Hop[], by: 1 | -1) => void
  readonly noRoute: (excluded: ReadonlySet<PeerId>) => Error
  readonly output: (run: SessionRun, output: SessionOutput) => void
  readonly violation: (peer: PeerId, kind: string, message: string) => void
}

export interface SessionAsk {
  readonly session: SessionId
  readonly model: { readonly id: ModelId; readonly vocab: number }
  readonly promptIds: readonly number[]
  readonly answerTokens: number
  readonly sampling: Sampling
}

interface Question {
  readonly excluded: ReadonlySet<PeerId>
  readonly sinceMs: number
}

export class SessionRun {
  readonly ask: SessionAsk
  readonly #host: SessionHost
  readonly #session: Session
  readonly #events: SessionEvent[] = []
  #draining = false
  #head: { readonly epoch: number; channel: Channel | undefined; readonly opening: { cancel(): void } } | undefined
  #question: Question | undefined
  #hops: readonly Hop[] = []
  #ended = false

  constructor(host: SessionHost, ask: SessionAsk) {
    this.ask = ask
    this.#host = host
    this.#session = new Session({
      self: host.self,
      session: ask.session,
      model: ask.model.id,
      vocab: ask.model.vocab,
      promptIds: ask.promptIds,
      tokensMax: ask.promptIds.length + ask.answerTokens,
      sampling: ask.sampling,
      stop: stopAt({ eosIds: [], maxTokens: ask.answerTokens })
    })
  }

  get isEnded(): boolean {
    return this.#ended
  }

  /** The route that it uses now. */
  get hops(): readonly Hop[] {
    return this.#hops
  }

  start(): void {
    this.#host.stages({ kind: 'drive', session: this.ask.session })
    const tick = (): void => {
      if (this.#ended) return
      this.feed({ kind: 'tick' })
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
    const answer = this.#host.ask(question.excluded, waitedMs)
    if (answer.kind === 'wait' && waitedMs < routeWaitMs) return
    this.#question = undefined
    if (answer.kind === 'hops') {
      this.#hops = answer.hops
      this.#host.inflight(answer.hops, 1)
      this.feed({ kind: 'routed', route: answer.hops })
    } else {
      this.feed({ kind: 'unroutable', error: this.#host.noRoute(question.excluded) })
    }
  }

  feed(event: SessionEvent): void {
    this.#events.push(event)
    if (this.#draining) return
    this.#draining = true
    try {
      for (let next = this.#events.shift(); next !== undefined; next = this.#events.shift()) {
        for (const effect of this.#session.handle(next, this.#host.nowMs())) this.#do(effect)
      }
    } finally {
      this.#draining = false
    }
  }

  #do(effect: SessionEffect): void {
    switch (effect.kind) {
      case 'send':
        if (this.#head?.epoch === effect.epoch) this.#head.channel?.send(effect.bytes)
        break
      case 'output':
        if (effect.output.kind === 'end') this.#end()
        this.#host.output(this, effect.output)
        break
      case 'route':
        this.#askRoute(effect.excluded)
        break
      case 'connect':
        this.#connect(effect.epoch, effect.peer)
        break
      case 'hang-up': {
        const head = this.#head
        this.#head = undefined
        head?.opening.cancel()
        head?.channel?.close()
        break
      }
      case 'violation':
        this.#head?.channel?.abort()
        this.#host.violation(effect.remote, effect.violation, effect.message)
        break
      default:
        throw new Error(`the simulator does not know what a session means by ${(effect as { kind: string }).kind}`)
    }
  }

  #askRoute(excluded: ReadonlySet<PeerId>): void {
    this.#host.inflight(this.#hops, -1)
    this.#hops = []
    const question = { excluded, sinceMs: this.#host.nowMs() }
    this.#question = question
    const poll = (): void => {
      if (this.#question !== question || this.#ended) return
      this.changed()
      this.#host.after(routePollMs, poll)
    }
    this.#host.after(0, poll)
  }

  #connect(epoch: number, peer: PeerId): void {
    const opening = this.#host.openChannel(peer, stageProtocol, (channel, message) => {
      const head = this.#head
      if (head?.epoch !== epoch) {
        channel?.close()
        return
      }
      if (channel === undefined) {
        this.feed({ kind: 'head-lost', epoch, message })
        return
      }
      head.channel = channel
      this.feed({ kind: 'connected', epoch })
      channel.handlers = {
        onFrame: bytes => this.feed({ kind: 'frame', epoch, bytes }),
        onClose: reason => this.feed({ kind: 'head-lost', epoch, message: reason ?? 'it closed the stream' })
      }
    })
    this.#head = { epoch, channel: undefined, opening }
    this.#host.after(stageOpenMs, () => {
      if (this.#head?.epoch !== epoch || this.#head.channel !== undefined) return
      opening.cancel()
      this.feed({ kind: 'head-lost', epoch, message: `no stream within ${stageOpenMs} ms` })
    })
  }

  #end(): void {
    this.#ended = true
    this.#question = undefined
    this.#host.inflight(this.#hops, -1)
    this.#hops = []
    // The service does it once its reader has seen the end: after the decider's other effects.
    this.#host.after(0, () => this.#host.stages({ kind: 'undrive', session: this.ask.session }))
  }
}
