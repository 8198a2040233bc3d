/**
 * Neighbours on a route of which the first says that the second is lost, while this driver hears both. They do not hear
 * each other: nobody is charged, and the next routes go around the one or the other (rule S17). That the second was lost
 * after all is known a moment later.
 */
import type { PeerId } from '../base/ids.ts'
import type { Hop } from '../route/view.ts'
import { cutSettleMs, cutTurnsMax, excludeMs } from './limits.ts'

interface Cut {
  readonly from: PeerId
  readonly to: PeerId
  /** Which of the two new routes shall do without, where they can. */
  avoided: PeerId
  readonly untilMs: number
  /** It may still turn out that `to` was lost: at which hop, how, and until when. */
  pending: { readonly at: Hop; readonly hop: number; readonly reason: string; readonly untilMs: number } | undefined
}

/** What has become of a cut. */
export type Settled =
  /** The second peer was lost after all. */
  | { readonly kind: 'lost'; readonly at: Hop; readonly hop: number; readonly reason: string }
  /** Only the link between the two is. */
  | { readonly kind: 'cut'; readonly peer: PeerId; readonly next: PeerId }

export class Cuts {
  readonly #cuts: Cut[] = []
  /** Times that another end of a cut was tried since the last loss. */
  #turns = 0

  /** Hop `hop` is not heard by the one before it, but by this driver. */
  add(route: readonly Hop[], hop: number, reason: string, nowMs: number): void {
    const [from, to] = [route[hop - 1]!.peer, route[hop]!.peer]
    const known = this.#cuts.findIndex(cut => cut.from === from && cut.to === to)
    if (known >= 0) this.#cuts.splice(known, 1)
    const pending = { at: route[hop]!, hop, reason, untilMs: nowMs + cutSettleMs }
    this.#cuts.push({ from, to, avoided: to, untilMs: nowMs + excludeMs, pending })
  }

  /** Peers that new routes go around where they can. */
  avoided(nowMs: number): readonly PeerId[] {
    for (const cut of [...this.#cuts]) if (cut.untilMs <= nowMs) this.#cuts.splice(this.#cuts.indexOf(cut), 1)
    return this.#cuts.map(cut => cut.avoided)
  }

  /** Something was lost: the other end of each cut may be tried anew. */
  lost(): void {
    this.#turns = 0
  }

  /**
   * True when a route leads through a cut: where there was no way around its one end, there may be one around the other,
   * which is avoided from now on. False when that has been tried often enough.
   */
  turnsAt(route: readonly Hop[]): boolean {
    const cut = this.#cuts.find(({ from, to }) =>
      route.some((hop, i) => hop.peer === from && route[i + 1]?.peer === to)
    )
    if (cut === undefined || this.#turns >= cutTurnsMax) return false
    this.#turns += 1
    cut.avoided = cut.avoided === cut.to ? cut.from : cut.to
    return true
  }

  /** What is known by now; with `last` nothing is waited for any more. */
  settle(hears: (peer: PeerId) => boolean, nowMs: number, { last = false } = {}): Settled[] {
    const settled: Settled[] = []
    for (const cut of [...this.#cuts]) {
      const { pending, from, to } = cut
      if (pending === undefined) continue
      if (!hears(to)) {
        this.#cuts.splice(this.#cuts.indexOf(cut), 1)
        settled.push({ kind: 'lost', at: pending.at, hop: pending.hop, reason: pending.reason })
      } else if (last || nowMs >= pending.untilMs) {
        cut.pending = undefined
        settled.push({ kind: 'cut', peer: from, next: to })
      }
    }
    return settled
  }
}
