/** What a seat works with: streams, effects, and the book of seats. */
import type { PeerId } from '../base/ids.ts'
import type { Verify } from '../base/signature.ts'
import type { StageEffect } from './event.ts'
import type { Seat } from './seat.ts'
import type { StageChannel } from './stage-channel.ts'
import type { Place } from './wait-list.ts'

/** Where a seat's effects go. */
export interface SeatHost {
  readonly verify: Verify
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
