/** Finds routes for sessions over the stages that serve now, and waits for one where there is none yet. */
import { type Clock, systemClock } from '../base/clock.ts'
import type { PeerId, Range } from '../base/ids.ts'
import { NotCoveredError } from '../errors.ts'
import { routePollMs } from './limits.ts'
import { answerRoute, noRouteSentence } from './asking.ts'
import type { ClassPin } from './class-pin.ts'
import { ableFor, type SessionNeeds } from './caches.ts'
import { announcedLinks, ownLinks } from './cost.ts'
import { findDetour } from './detour.ts'
import { Inflight } from './inflight.ts'
import type { Plan } from './place.ts'
import { roomFor } from './room.ts'
import { type Search, Searches } from './searches.ts'
import type { Hop, ModelShape, PeerView, Without } from './view.ts'

export interface RoutingInit {
  readonly self: PeerId
  /** The peers that a route for a model may use now, this one included. */
  readonly peers: (model: ModelShape) => readonly PeerView[]
  /** The measured round trip to a peer in ms. @default as peers announce it */
  readonly rttMs?: (peer: PeerId) => number | undefined
  /** @default its own: nobody shares what it finds */
  readonly searches?: Searches
  /** @default the machine's */
  readonly clock?: Clock
}

export class Routing {
  readonly #init: RoutingInit
  readonly #searches: Searches
  readonly #clock: Clock
  /** This peer's own sessions on their routes: they count before anyone announces them. */
  readonly #inflight = new Inflight()
  #changed = Promise.withResolvers<void>()
  /** When this peer began, or last met or lost another one. */
  #metMs: number

  constructor(init: RoutingInit) {
    this.#init = init
    this.#searches = init.searches ?? new Searches()
    this.#clock = init.clock ?? systemClock
    this.#metMs = this.#clock.nowMs()
  }

  /** To be called when a record or a connection has changed: whoever waits for a route looks again. */
  changed(): void {
    this.#changed.resolve()
    this.#changed = Promise.withResolvers<void>()
  }

  /** Sessions of so many tokens that the stages of the present peers have room for now; infinite where nobody says. */
  room(shape: ModelShape, tokensMax: number, needs: SessionNeeds = {}): number {
    const { peers, model } = ableFor(this.#init.peers(shape), shape, needs)
    return roomFor(peers, model, { tokensMax, takenBytes: this.#known(peers, this.#clock.nowMs()).takenBytes })
  }

  /** To be called when a peer has come or gone, before `changed`: others may be on their way. */
  met(): void {
    this.#metMs = this.#clock.nowMs()
  }

  /**
   * Hops for one session, counted as in flight until `release`. Waits while peers load; `asking.ts` decides. The
   * session's `pin` makes stand-ins of its first numeric classes come first, and is told what the route has. `onWait` is
   * called whenever there is no route yet, and again when that may have changed; what it is given says what is missing, which
   * takes a search for a plan at times.
   * @throws {NotCoveredError} that says what is missing: soon where the present budgets cannot cover the model, else
   *   when the signal aborts before there is a route.
   */
  async route(
    shape: ModelShape,
    excluded: Without,
    {
      signal,
      pin,
      doubtful,
      tokensMax,
      needs = {},
      held,
      onWait
    }: {
      signal: AbortSignal
      pin?: ClassPin
      doubtful?: Without
      /** Tokens that the session's caches must hold. @default any stage will do */
      tokensMax?: number
      /** What it asks of every peer. @default nothing but layers */
      needs?: SessionNeeds | undefined
      /** Stages that hold its caches already. @default none */
      held?: readonly Hop[]
      onWait?: (explain: () => string) => void
    }
  ): Promise<readonly Hop[]> {
    const startMs = this.#clock.nowMs()
    let said: string | undefined
    for (;;) {
      const { peers, model, lacking } = ableFor(this.#init.peers(shape), shape, needs)
      const nowMs = this.#clock.nowMs()
      const layerClasses = pin?.layerClasses
      const search: Search = (views, shape) => this.#searches.planSoon(views, shape, nowMs)
      const answer = answerRoute(peers, model, {
        from: this.#init.self,
        excluded,
        ...this.#known(peers, nowMs),
        waitedMs: nowMs - startMs,
        settledMs: nowMs - this.#metMs,
        search,
        ...(doubtful === undefined ? {} : { doubtful }),
        ...(layerClasses === undefined ? {} : { layerClasses }),
        ...(tokensMax === undefined ? {} : { tokensMax }),
        ...(held === undefined ? {} : { held })
      })
      if (answer.kind === 'hops') {
        pin?.note(answer.hops, peers)
        this.#inflight.add(answer.hops, nowMs, model, tokensMax)
        return answer.hops
      }
      if (answer.kind === 'lacking' || signal.aborted)
        throw new NotCoveredError(lacking ?? noRouteSentence(peers, model, excluded, this.#always)!)
      onWait?.(() => {
        said = lacking ?? noRouteSentence(peers, model, excluded, search) ?? said
        return said ?? noRouteSentence(peers, model, excluded, this.#always)!
      })
      await this.#nextChange(signal)
    }
  }

  /**
   * Hops around peers that are leaving, for a session on `route`; undefined when there are none now. Nothing is counted:
   * the session may not come to use them; when it does, `moved` counts them. `needsRoom`: none of them may say that it has no room.
   */
  detour(
    shape: ModelShape,
    route: readonly Hop[],
    {
      excluded,
      pin,
      tokensMax,
      needs = {},
      needsRoom = false
    }: {
      excluded: Without
      pin: ClassPin
      tokensMax?: number | undefined
      needs?: SessionNeeds | undefined
      needsRoom?: boolean
    }
  ): { readonly route: readonly Hop[]; readonly exact: boolean } | undefined {
    const { peers, model } = ableFor(this.#init.peers(shape), shape, needs)
    const { layerClasses } = pin
    const hops = findDetour(peers, model, {
      from: this.#init.self,
      route,
      excluded,
      needsRoom,
      ...this.#known(peers, this.#clock.nowMs()),
      ...(layerClasses === undefined ? {} : { layerClasses }),
      ...(tokensMax === undefined ? {} : { tokensMax })
    })
    if (hops === undefined) return undefined
    pin.note(hops, peers)
    return { route: hops, exact: pin.exact }
  }

  /** A session has left a route that is counted for another one, which it found by `detour`. */
  moved(from: readonly Hop[], to: readonly Hop[], model?: ModelShape, tokensMax?: number): void {
    this.#inflight.add(to, this.#clock.nowMs(), model, tokensMax)
    this.#inflight.remove(from)
  }

  /** Ends what `route` or `moved` counted. */
  release(hops: readonly Hop[]): void {
    this.#inflight.remove(hops)
  }

  readonly #always = (peers: readonly PeerView[], model: ModelShape): Plan =>
    this.#searches.plan(peers, model, this.#clock.nowMs())

  /** What this peer knows beyond the views. */
  #known(peers: readonly PeerView[], nowMs: number) {
    const { self, rttMs = () => undefined } = this.#init
    return {
      inflight: this.#inflight.sessions,
      links: ownLinks(self, rttMs, announcedLinks(peers)),
      takenBytes: (peer: PeerId, stage: Range, shape: ModelShape) =>
        this.#inflight.takenBytes(peer, stage, shape, nowMs)
    }
  }

  /** Resolves at the next change, after a while, or when the signal aborts. */
  #nextChange(signal: AbortSignal): Promise<void> {
    const { promise } = this.#changed
    return new Promise(resolve => {
      const done = (): void => {
        timer.stop()
        signal.removeEventListener('abort', done)
        resolve()
      }
      const timer = this.#clock.after(routePollMs, done)
      signal.addEventListener('abort', done, { once: true })
      void promise.then(done)
    })
  }
}
