/** Who is at the ends of connections over the radio. */
import type { PeerId } from '../src/base/ids.ts'
import type { Protocol } from '../src/base/protocol.ts'
import type { WireChannel } from './wire-channel.ts'

/** Who is connected: one life of a peer's process, on a host that may outlive it. */
export interface Station {
  readonly id: PeerId
  readonly index: number
  /** Counts the lives of its process; 0 while there is none. */
  readonly life: number
  readonly isFrozen: boolean
  /** What its software takes for a frame. */
  readonly frameMs: number
  /** What it takes to open a stream, beyond that. */
  readonly openMs: number
  /** Has its process do something: now, or when it is awake again, or never when this life ends before. */
  enter(life: number, task: () => void): void
  connected(peer: PeerId): void
  disconnected(peer: PeerId): void
  /** The revision of a protocol that is handled here among those that the other end speaks; undefined when there is none. */
  speaks(protocol: Protocol): string | undefined
  accept(channel: WireChannel): void
}
