/** What a host is started with, and tells. */
import type { SelectFn, ValidateFn } from '@libp2p/kad-dht'
import type { PeerId } from '../base/ids.ts'
import type { Admitting, MemberDoors } from './admitting.ts'
import type { DhtBytes } from './dht-bytes.ts'
import type { DhtStore } from './dht-store.ts'
import type { Identity } from './identity.ts'
import type { HostDatastore } from './node.ts'
import type { HandshakeFailure } from './noise.ts'
import type { ReadingService } from './reading-service.ts'

export interface HostInit {
  readonly identity: Identity
  /** The swarm's 32 random bytes. */
  readonly secret: Uint8Array
  /** Of a swarm with members: what connections are made with, instead of the secret. */
  readonly members?: MemberDoors
  /** Somebody was not admitted, or has not admitted this peer, and why. */
  readonly onRefused?: (peer: PeerId, refusal: string, byRemote: boolean) => void
  readonly listen: readonly string[]
  readonly agent: string
  readonly datastore?: HostDatastore
  /** Where the DHT keeps what it keeps for others. @default in `datastore`, without bounds */
  readonly dhtStore?: DhtStore
  /** @default true */
  readonly dht?: boolean
  /** Whether queries of the DHT may dial now whoever they want to ask. @default always */
  readonly queriesMayDial?: () => boolean
  /** Decides which values the DHT stores and which of several is the best, under keys `/skein/…`. */
  readonly validate?: ValidateFn
  readonly select?: SelectFn
  /** The first connection to a peer is there, or its last one is gone. */
  readonly onConnect?: (peer: PeerId) => void
  readonly onDisconnect?: (peer: PeerId) => void
  /** The process at the other end is another one than before, without a moment in which there was no connection. */
  readonly onReplaced?: (peer: PeerId) => void
  readonly onHandshakeFailed?: (how: HandshakeFailure) => void
  /** The first channel to a peer on which something depends was opened. */
  readonly onWatch?: (peer: PeerId) => void
  /** A connected peer has said which protocols it speaks. */
  readonly onIdentified?: (peer: PeerId, protocols: readonly string[]) => void
  /** A peer broke the framing rules. */
  readonly onViolation?: (peer: PeerId, kind: string) => void
}

/** What is there before it, and it needs. */
export interface HostParts {
  /** Peers that are being dialled, other than by queries of the DHT. */
  readonly meant: Set<string>
  readonly dhtBytes: DhtBytes
  readonly admitting: Admitting | undefined
  readonly reading: ReadingService
}
