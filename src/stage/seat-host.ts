/** What a seat works with: streams, effects, and the book of seats; and what its parts see of it. */
import type { PeerId, SessionId } from '../base/ids.ts'
import type { Feeding } from './feeding.ts'
import type { SeatId, StageEffect, StageFacts } from './event.ts'
import type { SignedCommitment } from './commitment.ts'
import type { Frame, RefuseReason } from './frame.ts'
import type { RetainedStates } from './retain.ts'
import type { Seat } from './seat.ts'
import type { DriverCheck } from './check.ts'
import type { StageChannel } from './stage-channel.ts'
import type { SignedTerms } from './terms.ts'
import type { Place } from './wait-list.ts'

/** What a stage is to commit to, at the end of a session. */
export interface CommitAsk {
  readonly seat: SeatId
  readonly terms: SignedTerms
  readonly hop: number
  /** To what it computed of the tokens [0, tokens). */
  readonly tokens: number
  /** What it sent; undefined at the tail. */
  readonly states: RetainedStates | undefined
  /** The ids of the same tokens, where the session's steps carry them. */
  readonly ids: RetainedStates | undefined
}

/** Says what a stage computed, and signs it. */
export interface Commits {
  /** Undefined where not all of that is known. */
  commit(ask: CommitAsk): SignedCommitment | undefined
}

/** Where a seat's effects go. */
export interface SeatHost {
  readonly drivers: DriverCheck
  /** Undefined where stages commit to nothing. */
  readonly commits: Commits | undefined
  emit(effect: StageEffect): void
  /** Opens a stream from a seat. */
  connect(seat: Seat, peer: PeerId, role: 'down' | 'feed'): StageChannel
  /** Closes a stream after what is queued on it. */
  close(channel: StageChannel): void
  /** Leaves a stream to its other end, and closes it after a while. */
  linger(channel: StageChannel): void
  /** What the seat retained is gone. */
  release(seat: Seat): void
  /** The seat is free: nothing refers to it any more. */
  leave(seat: Seat): void
  /** Its place among those who wait for room; undefined when it has room. */
  placeOf(seat: Seat): Place | undefined
}

/**
 * Where a seat stands. `opening`: the engine is reserving the cache, or a step of the older epoch is still being
 * computed. `refused`: it has refused and waits for a newer epoch or Close. `closing`: the cache is being freed.
 */
export type Phase = 'opening' | 'open' | 'refused' | 'closing'

/** A seat as its parts see it. */
export interface SeatCore {
  readonly id: SeatId
  readonly stage: StageFacts
  /** Of the epoch that is open. */
  readonly terms: SignedTerms
  readonly epoch: number
  /** What its engine knows it by. */
  readonly cache: SessionId
  readonly tokensMax: number
  readonly hop: number
  readonly phase: Phase
  readonly isTail: boolean
  /** It gives way as soon as the step that runs is done. */
  readonly isYielding: boolean
  /** The stand-in that it feeds, if it does. */
  readonly feeding: Feeding
  /** The stream to the next hop, if there is one. */
  readonly down: StageChannel | undefined
  /** Its place among those who wait for room; undefined when it has room. */
  readonly place: Place | undefined
  /** Opens a stream. */
  connect(peer: PeerId, role: 'down' | 'feed'): StageChannel
  sendUp(frame: Frame): void
  sendDown(frame: Frame): void
  /** This hop cannot go on. */
  refuse(reason: RefuseReason, message: string): void
  /** Nothing of an older epoch runs any more. */
  becomeOpen(): void
}
