/**
 * Whose evidence counts, until when, and who is asked next (rules E1, E7 and E8). One of these is for all peers that are connected; the time is any clock
 * that only goes on. Pure.
 */
import type { PeerId } from '../base/ids.ts'
import { attestAgainMs, attestedMs, attestRetryMs } from './limits.ts'

/** What came of a challenge. `wrong` is evidence that is none: what counted before ends with it. `none`: nothing came that could be judged. */
export type AttestOutcome = { readonly kind: 'right' } | { readonly kind: 'wrong' | 'none'; readonly refusal: string }

/** One connection of a peer: evidence that was asked for over another one counts for nothing. */
export interface AttestLife {
  readonly peer: PeerId
}

interface Life extends AttestLife {
  /** Until then its evidence counts. */
  untilMs: number
  /** When it is asked next. */
  nextMs: number
  refusal: string | undefined
}

export interface AttestFacts {
  readonly peer: PeerId
  /** On the clock of `nowMs`; undefined where it is not attested. */
  readonly untilMs: number | undefined
  /** Why it is not; why it was not again, where it still is; undefined where all is well. */
  readonly refusal: string | undefined
}

/** Of one peer, for those who look at a status. */
export interface AttestedFacts {
  readonly peer: PeerId
  /** Until when its evidence counts, in ms since 1970; null where it has given none that does. */
  readonly untilMs: number | null
  /** Why it has given none; null where it has. */
  readonly refusal: string | null
}

export class AttestedPeers {
  readonly #lives = new Map<PeerId, Life>()

  /** A peer is connected anew, or another process has taken its place: whatever it showed before is forgotten. */
  connected(peer: PeerId, nowMs: number): AttestLife {
    const life: Life = { peer, untilMs: -Infinity, nextMs: nowMs, refusal: undefined }
    this.#lives.set(peer, life)
    return life
  }

  disconnected(peer: PeerId): void {
    this.#lives.delete(peer)
  }

  lifeOf(peer: PeerId): AttestLife | undefined {
    return this.#lives.get(peer)
  }

  isAttested(peer: PeerId, nowMs: number): boolean {
    return nowMs < (this.#lives.get(peer)?.untilMs ?? -Infinity)
  }

  /** Whether a peer is to be asked now. Of who is not connected that is not known: it may be. */
  isDue(peer: PeerId, nowMs: number): boolean {
    return nowMs >= (this.#lives.get(peer)?.nextMs ?? -Infinity)
  }

  /** Those who are to be asked now. */
  due(nowMs: number): PeerId[] {
    return [...this.#lives.keys()].filter(peer => this.isDue(peer, nowMs))
  }

  /** @returns whether the peer is attested from now on and was not, or was and is no more; undefined where nothing has changed */
  heard(life: AttestLife, outcome: AttestOutcome, nowMs: number): 'attested' | 'lost' | undefined {
    const own = this.#lives.get(life.peer)
    // It has gone, or come again, since it was asked.
    if (own === undefined || own !== life) return undefined
    const before = nowMs < own.untilMs
    if (outcome.kind === 'right') {
      own.untilMs = nowMs + attestedMs
      own.nextMs = nowMs + attestAgainMs
      own.refusal = undefined
      return before ? undefined : 'attested'
    }
    own.nextMs = nowMs + attestRetryMs
    own.refusal = outcome.refusal
    if (outcome.kind === 'wrong') own.untilMs = -Infinity
    return before && outcome.kind === 'wrong' ? 'lost' : undefined
  }

  /** Those whose evidence has come to its end, each once. */
  expire(nowMs: number): PeerId[] {
    const over = [...this.#lives.values()].filter(({ untilMs }) => untilMs !== -Infinity && nowMs >= untilMs)
    for (const life of over) life.untilMs = -Infinity
    return over.map(({ peer }) => peer)
  }

  refusalOf(peer: PeerId): string | undefined {
    return this.#lives.get(peer)?.refusal
  }

  facts(nowMs: number): AttestFacts[] {
    return [...this.#lives.values()].map(({ peer, untilMs, refusal }) => ({
      peer,
      untilMs: nowMs < untilMs ? untilMs : undefined,
      refusal
    }))
  }
}
