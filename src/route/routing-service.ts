/** Finds routes for sessions over the stages that serve now, and waits for one where there is none yet. */
import type { PeerId } from '../base/ids.ts'
import { NotCoveredError } from '../errors.ts'
import { excludedGraceMs, missingGraceMs, routePollMs } from '../limits.ts'
import { explainNoRoute } from './explain.ts'
import { place } from './place.ts'
import { findRoute } from './route.ts'
import type { Hop, ModelShape, PeerView } from './view.ts'

export interface RoutingInit {
  readonly self: PeerId
  /** The peers that a route for a model may use now, this one included. */
  readonly peers: (model: ModelShape) => readonly PeerView[]
}

export class Routing {
  readonly #init: RoutingInit
  /** This peer's own sessions per peer on their routes: they count before anyone announces them. */
  readonly #inflight = new Map<PeerId, number>()
  #changed = Promise.withResolvers<void>()

  constructor(init: RoutingInit) {
    this.#init = init
  }

  /** To be called when a record or a connection has changed: whoever waits for a route looks again. */
  changed(): void {
    this.#changed.resolve()
    this.#changed = Promise.withResolvers<void>()
  }

  /**
   * Hops for one session, counted as in flight until `release`. Waits while peers load. Where there is no way around
   * the excluded peers, those that can still be reached are asked again after a moment: a broken connection may have
   * been all that was wrong with them.
   * @throws {NotCoveredError} that says what is missing: soon where the present budgets cannot cover the model, else
   *   when the signal aborts before there is a route.
   */
  async route(
    model: ModelShape,
    excluded: ReadonlySet<PeerId>,
    { signal }: { signal: AbortSignal }
  ): Promise<readonly Hop[]> {
    const startMs = performance.now()
    for (;;) {
      const peers = this.#init.peers(model)
      const waitedMs = performance.now() - startMs
      const options = { from: this.#init.self, inflight: this.#inflight }
      const hops =
        findRoute(peers, model, { ...options, excluded }) ??
        (waitedMs >= excludedGraceMs ? findRoute(peers, model, options) : undefined)
      if (hops !== undefined) {
        for (const { peer } of hops) this.#inflight.set(peer, (this.#inflight.get(peer) ?? 0) + 1)
        return hops
      }
      const isLacking = waitedMs >= missingGraceMs && place(peers, model).missing !== null
      if (isLacking || signal.aborted) {
        const why = explainNoRoute(peers, model, excluded)
        throw new NotCoveredError(`${model.name} cannot answer: ${why?.reason ?? 'no route was found'}`)
      }
      await this.#nextChange(signal)
    }
  }

  /** Ends what `route` counted. */
  release(hops: readonly Hop[]): void {
    for (const { peer } of hops) {
      const count = (this.#inflight.get(peer) ?? 0) - 1
      if (count > 0) this.#inflight.set(peer, count)
      else this.#inflight.delete(peer)
    }
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
