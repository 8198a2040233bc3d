/** How often each peer may ask this one for evidence (rule E9): a few times at once, then one in some seconds. Pure. */
import type { PeerId } from '../base/ids.ts'
import { challengeBurst, challengeEveryMs } from './limits.ts'

export class ChallengeCredits {
  /** When a peer that has asked could ask so often again as if it never had. */
  readonly #fullMs = new Map<PeerId, number>()

  /** Whether a peer may ask now; one that may has asked. */
  take(peer: PeerId, nowMs: number): boolean {
    // Whose time is over may ask as one that never did: what is kept are those that have asked lately.
    for (const [other, fullMs] of this.#fullMs) if (fullMs <= nowMs) this.#fullMs.delete(other)
    const fullMs = Math.max(nowMs, this.#fullMs.get(peer) ?? nowMs) + challengeEveryMs
    if (fullMs - nowMs > challengeBurst * challengeEveryMs) return false
    this.#fullMs.set(peer, fullMs)
    return true
  }
}
