/**
 * Looking for room: who had none, and when a session that found none anywhere tries again. Sessions that each hold a part
 * of what others need would wait for one another, so each lets go of what it holds before it waits, and tries again at
 * another time than others (rule S24).
 */
import type { PeerId, SessionId } from '../base/ids.ts'
import { randomAt } from '../base/rng.ts'
import type { Hop } from '../route/view.ts'
import { roomRetryMaxMs, roomRetryMs } from './limits.ts'

export class RoomSearch {
  readonly #seed: number
  /** Peers that had no room for this session since it last began to look for some. */
  readonly #full = new Set<PeerId>()
  /** Times that it found none anywhere since the last token, and when it began to look. */
  #rounds = 0
  #sinceMs: number | undefined

  constructor(session: SessionId) {
    this.#seed = Number.parseInt(session.slice(0, 8), 16)
  }

  get full(): ReadonlySet<PeerId> {
    return this.#full
  }

  /** It has not found none anywhere yet since the last token. */
  get isFirstRound(): boolean {
    return this.#rounds === 0
  }

  refused(peer: PeerId, nowMs: number): void {
    this.#full.add(peer)
    this.#sinceMs ??= nowMs
  }

  /** A route leads through a peer that has no room: there is none anywhere. */
  isNowhere(route: readonly Hop[]): boolean {
    return route.some(({ peer }) => this.#full.has(peer))
  }

  /** Begins to look anew. Returns how long it has looked, in ms. */
  anew(nowMs: number): number {
    this.#full.clear()
    return nowMs - this.#sinceMs!
  }

  /** How long to wait before the next try, in ms: a random time that grows. */
  pauseMs(): number {
    const longestMs = Math.min(roomRetryMs * 2 ** this.#rounds, roomRetryMaxMs)
    const share = randomAt(this.#seed, this.#rounds)
    this.#rounds += 1
    return longestMs * (0.5 + share / 2)
  }

  /** A token has come: there was room. */
  found(): void {
    this.#full.clear()
    this.#rounds = 0
    this.#sinceMs = undefined
  }
}
