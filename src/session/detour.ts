/**
 * A way around peers that are leaving, while the session goes on: which hops of the new route have no cache yet, and
 * how far each of them has come. The session changes to it between two tokens once all have caught up.
 */
import { assert } from '../base/assert.ts'
import { type Hop, placeOf, sameRange, type Without } from '../route/view.ts'

/** Neighbouring hops [from, to) of the new route that rebuild their caches as epoch `next`. */
export interface Stretch {
  readonly from: number
  readonly to: number
  readonly next: number
}

/** Whether two hops are one stage. */
function isSame(a: Hop, b: Hop): boolean {
  return a.peer === b.peer && sameRange(a, b)
}

export class Detour {
  readonly route: readonly Hop[]
  readonly exact: boolean
  readonly sinceMs: number
  readonly stretches: readonly Stretch[]
  /** Hops of the old route that are leaving and that the new one does without. */
  readonly left: readonly (Hop & { readonly hop: number })[]
  readonly #old: readonly Hop[]
  readonly #ready = new Set<number>()

  /** @param epoch the last one that was used: the stretches take the next ones. */
  constructor(init: {
    readonly route: readonly Hop[]
    readonly old: readonly Hop[]
    readonly leaving: Without
    readonly exact: boolean
    readonly epoch: number
    readonly nowMs: number
  }) {
    const { route, old } = init
    this.route = route
    this.exact = init.exact
    this.sinceMs = init.nowMs
    this.#old = old
    const stretches: Stretch[] = []
    for (let from = 0; from < route.length; from++) {
      if (this.#isWarm(route[from]!)) continue
      let to = from + 1
      while (to < route.length && !this.#isWarm(route[to]!)) to++
      stretches.push({ from, to, next: init.epoch + 1 + stretches.length })
      from = to
    }
    this.stretches = stretches
    const isLeft = (hop: Hop): boolean =>
      init.leaving.has(hop.peer)
        ? !route.some(({ peer }) => peer === hop.peer)
        : init.leaving.has(placeOf(hop)) && !route.some(each => isSame(each, hop))
    this.left = old.flatMap((hop, i) => (isLeft(hop) ? [{ ...hop, hop: i }] : []))
  }

  /** All hops have caught up. */
  get isReady(): boolean {
    return this.#ready.size === this.stretches.length
  }

  /** A stretch that has not caught up. */
  get waiting(): Stretch | undefined {
    return this.stretches.find(({ from }) => !this.#ready.has(from))
  }

  /** The hop of the old route that feeds a stretch; undefined when the driver does. */
  feederOf({ from }: Stretch): number | undefined {
    if (from === 0) return undefined
    const hop = this.#old.findIndex(each => isSame(each, this.route[from - 1]!))
    assert(hop >= 0, 'before a stretch that is prepared lies a hop with a cache')
    return hop
  }

  stretchOf(next: number): Stretch | undefined {
    return this.stretches.find(stretch => stretch.next === next)
  }

  caughtUp({ from }: Stretch): void {
    this.#ready.add(from)
  }

  #isWarm(hop: Hop): boolean {
    return this.#old.some(each => isSame(each, hop))
  }
}
