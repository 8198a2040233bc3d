/** Whom placement counts as present: a short break of a connection moves no stages. */
import type { PeerId } from '../base/ids.ts'
import { disconnectedGraceMs } from '../limits.ts'
import type { PeerView } from './view.ts'

/** A live peer's view, and whether this peer has a connection with it. */
export interface SeenPeer {
  readonly view: PeerView
  readonly connected: boolean
}

/** Remembers since when live peers have been without a connection. */
export class Presence {
  readonly #self: PeerId
  readonly #disconnectedSince = new Map<PeerId, number>()

  constructor(self: PeerId) {
    this.#self = self
  }

  /**
   * Live peers, without those whose connection has been gone for longer than a reconnect takes. `wakeAtMs` is when
   * the next of them counts as gone, or null.
   */
  look(peers: readonly SeenPeer[], nowMs: number): { readonly views: PeerView[]; readonly wakeAtMs: number | null } {
    const ids = new Set(peers.map(({ view }) => view.peer))
    for (const peer of this.#disconnectedSince.keys()) if (!ids.has(peer)) this.#disconnectedSince.delete(peer)
    let wakeAtMs: number | null = null
    const views = peers.flatMap(({ view, connected }) => {
      if (connected || view.peer === this.#self) {
        this.#disconnectedSince.delete(view.peer)
        return [view]
      }
      const since = this.#disconnectedSince.get(view.peer) ?? nowMs
      this.#disconnectedSince.set(view.peer, since)
      if (nowMs - since >= disconnectedGraceMs) return []
      wakeAtMs = Math.min(wakeAtMs ?? Number.POSITIVE_INFINITY, since + disconnectedGraceMs)
      return [view]
    })
    return { views, wakeAtMs }
  }
}
