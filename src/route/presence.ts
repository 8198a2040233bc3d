/** Whom placement counts as present: a short break of a connection moves no stages, nor does a peer that comes and goes. */
import type { PeerId } from '../base/ids.ts'
import { disconnectedGraceMs, flapHoldMs, flapMemoryMs, flapsMax } from './limits.ts'
import type { PeerView } from './view.ts'

/** A live peer's view, and whether this peer has a connection with it. */
export interface SeenPeer {
  readonly view: PeerView
  readonly connected: boolean
  /** It has been dialled in vain since its connection closed. @default false */
  readonly unreachable?: boolean
}

interface Seen {
  /** Since when it is connected, or is not. */
  connected: boolean
  sinceMs: number
  /** It is left out of the plans. */
  absent: boolean
  /** When it was lately left out: no more than {@link flapsMax}. */
  readonly absences: number[]
}

/** Remembers how long live peers have been with and without a connection. */
export class Presence {
  readonly #self: PeerId
  readonly #seen = new Map<PeerId, Seen>()

  constructor(self: PeerId) {
    this.#self = self
  }

  /**
   * Live peers, without those whose connection has been gone for longer than a reconnect takes, or that were dialled
   * in vain since; and without those that come and go, until they have stayed for a while. `wakeAtMs` is when one of
   * them may count differently, or null.
   */
  look(peers: readonly SeenPeer[], nowMs: number): { readonly views: PeerView[]; readonly wakeAtMs: number | null } {
    const ids = new Set(peers.map(({ view }) => view.peer))
    for (const [peer, seen] of this.#seen) {
      // Who comes and goes is remembered while its record is gone, too.
      const lastMs = seen.absences.at(-1) ?? Number.NEGATIVE_INFINITY
      if (!ids.has(peer) && nowMs - lastMs > flapMemoryMs) this.#seen.delete(peer)
      else if (!ids.has(peer)) this.#turn(seen, false, nowMs)
    }
    let wakeAtMs = Number.POSITIVE_INFINITY
    const views = peers.flatMap(({ view, connected, unreachable = false }) => {
      if (view.peer === this.#self) return [view]
      let seen = this.#seen.get(view.peer)
      if (seen === undefined) {
        seen = { connected, sinceMs: nowMs, absent: false, absences: [] }
        this.#seen.set(view.peer, seen)
      }
      this.#turn(seen, connected, nowMs)
      const changeMs = seen.sinceMs + (connected ? this.#holdMs(seen, nowMs) : disconnectedGraceMs)
      if (connected ? nowMs >= changeMs : unreachable || nowMs >= changeMs) {
        if (!connected && !seen.absent) {
          seen.absences.push(nowMs)
          if (seen.absences.length > flapsMax) seen.absences.shift()
        }
        seen.absent = !connected
      } else {
        wakeAtMs = Math.min(wakeAtMs, changeMs)
      }
      return seen.absent ? [] : [view]
    })
    return { views, wakeAtMs: Number.isFinite(wakeAtMs) ? wakeAtMs : null }
  }

  #turn(seen: Seen, connected: boolean, nowMs: number): void {
    if (seen.connected === connected) return
    seen.connected = connected
    seen.sinceMs = nowMs
  }

  /** How long a peer that is back must stay before plans count on it. */
  #holdMs({ absent, absences }: Seen, nowMs: number): number {
    const oldestMs = absences[0]
    const flaps = absences.length >= flapsMax && oldestMs !== undefined && nowMs - oldestMs <= flapMemoryMs
    return absent && flaps ? flapHoldMs : 0
  }
}
