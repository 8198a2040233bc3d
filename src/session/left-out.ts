/** Peers that a session does without for a while, and from when on they are asked where there is no way around them. */
import type { PeerId } from '../base/ids.ts'
import { excludedGraceMs } from '../route/limits.ts'
import { excludeMs } from './limits.ts'

export class LeftOut {
  readonly #peers = new Map<PeerId, { readonly doubtfulMs: number; readonly untilMs: number }>()

  /** @param graceMs after it the peer is asked where there is no other; it may just have lost a connection. */
  add(peer: PeerId, nowMs: number, { graceMs = excludedGraceMs, forMs = excludeMs } = {}): void {
    this.#peers.set(peer, { doubtfulMs: nowMs + graceMs, untilMs: nowMs + forMs })
  }

  /** Those that are left out now. */
  all(nowMs: number): ReadonlySet<PeerId> {
    for (const [peer, { untilMs }] of this.#peers) if (untilMs <= nowMs) this.#peers.delete(peer)
    return new Set(this.#peers.keys())
  }

  /** Those of them that are asked where there is no way around them. */
  doubtful(nowMs: number): ReadonlySet<PeerId> {
    return new Set([...this.#peers].flatMap(([peer, { doubtfulMs }]) => (doubtfulMs <= nowMs ? [peer] : [])))
  }
}
