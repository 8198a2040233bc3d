/** Finds routes for sessions over the stages that serve now, and waits for one where there is none yet. */
import type { PeerId } from '../base/ids.ts'
import { NotCoveredError } from '../errors.ts'
import { routePollMs } from '../limits.ts'
import { answerRoute, noRouteSentence } from './asking.ts'
import type { ClassPin } from './class-pin.ts'
import { findDetour } from './detour.ts'
import type { Plan } from './place.ts'
import { type Search, Searches } from './searches.ts'
import type { Hop, ModelShape, PeerView } from './view.ts'

export interface RoutingInit {
  readonly self: PeerId
  /** The peers that a route for a model may use now, this one included. */
  readonly peers: (model: ModelShape) => readonly PeerView[]
  /** @default its own: nobody shares what it finds */
  readonly searches?: Searches
}

export class Routing {
  readonly #init: RoutingInit
  readonly #searches: Searches
  /** This peer's own sessions per peer on their routes: they count before anyone announces them. */
  readonly #inflight = new Map<PeerId, number>()
  #changed = Promise.withResolvers<void>()
  /** When this peer began, or last met or lost another one. */
  #metMs = performance.now()

  constructor(init: RoutingInit) {
    this.#init = init
    this.#searches = init.searches ?? new Searches()
  }

  /** To be called when a record or a connection has changed: whoever waits for a route looks again. */
  changed(): void {
    this.#changed.resolve()
    this.#changed = Promise.withResolvers<void>()
  }

  /** To be called when a peer has come or gone, before `changed`: others may be on their way. */
  met(): void {
    this.#metMs = performance.now()
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
    model: ModelShape,
    excluded: ReadonlySet<PeerId>,
    {
      signal,
      pin,
      doubtful,
      onWait
    }: {
      signal: AbortSignal
      pin?: ClassPin
      doubtful?: ReadonlySet<PeerId>
      onWait?: (explain: () => string) => void
    }
  ): Promise<readonly Hop[]> {
    const startMs = performance.now()
    let said: string | undefined
    for (;;) {
      const peers = this.#init.peers(model)
      const nowMs = performance.now()
      const layerClasses = pin?.layerClasses
      const search: Search = (views, shape) => this.#searches.planSoon(views, shape, nowMs)
      const answer = answerRoute(peers, model, {
        from: this.#init.self,
        excluded,
        inflight: this.#inflight,
        waitedMs: nowMs - startMs,
        settledMs: nowMs - this.#metMs,
        search,
        ...(doubtful === undefined ? {} : { doubtful }),
        ...(layerClasses === undefined ? {} : { layerClasses })
      })
      if (answer.kind === 'hops') {
        pin?.note(answer.hops, peers)
        this.#count(answer.hops)
        return answer.hops
      }
      if (answer.kind === 'lacking' || signal.aborted)
        throw new NotCoveredError(noRouteSentence(peers, model, excluded, this.#always)!)
      onWait?.(() => {
        said = noRouteSentence(peers, model, excluded, search) ?? said
        return said ?? noRouteSentence(peers, model, excluded, this.#always)!
      })
      await this.#nextChange(signal)
    }
  }

  /**
   * Hops around peers that are leaving, for a session on `route`; undefined when there are none now. Nothing is counted:
   * the session may not come to use them; when it does, `moved` counts them.
   */
  detour(
    model: ModelShape,
    route: readonly Hop[],
    { excluded, pin }: { excluded: ReadonlySet<PeerId>; pin: ClassPin }
  ): { readonly route: readonly Hop[]; readonly exact: boolean } | undefined {
    const peers = this.#init.peers(model)
    const { layerClasses } = pin
    const hops = findDetour(peers, model, {
      from: this.#init.self,
      route,
      excluded,
      inflight: this.#inflight,
      ...(layerClasses === undefined ? {} : { layerClasses })
    })
    if (hops === undefined) return undefined
    pin.note(hops, peers)
    return { route: hops, exact: pin.exact }
  }

  readonly #always = (peers: readonly PeerView[], model: ModelShape): Plan =>
    this.#searches.plan(peers, model, performance.now())

  /** A session has left a route that is counted for another one, which it found by `detour`. */
  moved(from: readonly Hop[], to: readonly Hop[]): void {
    this.#count(to)
    this.release(from)
  }

  /** Ends what `route` or `moved` counted. */
  release(hops: readonly Hop[]): void {
    for (const { peer } of hops) {
      const count = (this.#inflight.get(peer) ?? 0) - 1
      if (count > 0) this.#inflight.set(peer, count)
      else this.#inflight.delete(peer)
    }
  }

  #count(hops: readonly Hop[]): void {
    for (const { peer } of hops) this.#inflight.set(peer, (this.#inflight.get(peer) ?? 0) + 1)
  }

  /** Resolves at the next change, after a while, or when the signal aborts. */
  #nextChange(signal: AbortSignal): Promise<void> {
    const { promise } = this.#changed
    return new Promise(resolve => {
      const done = (): void => {
        clearTimeout(timer)
        signal.removeEventListener('abort', done)
        resolve()
      }
      const timer = setTimeout(done, routePollMs)
      signal.addEventListener('abort', done, { once: true })
      void promise.then(done)
    })
  }
}
