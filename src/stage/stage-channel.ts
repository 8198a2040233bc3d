/** One stream of a stage, as its decider knows it. */
import type { PeerId, SessionId } from '../base/ids.ts'
import type { ChannelId } from './event.ts'
import type { Seat } from './seat.ts'

export interface StageChannel {
  readonly id: ChannelId
  readonly remote: PeerId
  /**
   * `new`: nothing said yet. `up`, `down`: to the previous and next hop. `feed`: to a stand-in that is being prepared.
   * `driver`: from a tail to this driver. `lingering`: from a tail that is free to a driver that may not know why yet.
   */
  role: 'new' | 'up' | 'down' | 'feed' | 'driver' | 'lingering' | 'dead'
  seat: Seat | undefined
  /** Of `driver` channels. */
  session: SessionId | undefined
  epoch: number
  connected: boolean
  /** It is one too many: no seat is given to it. */
  readonly isFull: boolean
  /** When it came, or began to linger. */
  sinceMs: number
}
