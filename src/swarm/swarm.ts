/** A peer's part in a swarm, as the rest of the house sees it. */
import type { ContentId, PeerId } from '../base/ids.ts'
import type { Sign } from '../base/signature.ts'
import type { Keeping } from '../disk/keeping.ts'
import type { AttestationOptions } from './attestation-service.ts'
import type { DataDirectory } from './data-dir.ts'
import type { Links } from './links.ts'
import type { Membership } from './membership-service.ts'
import type { RecordContent, SwarmRecord } from './record.ts'
import type { SwarmConfig } from './swarm-file.ts'

export interface SwarmInit {
  /** The data directory: opened already, or its path, which is then opened and closed here. */
  readonly dataDir: string | DataDirectory
  /** @default that of which this machine has become a member */
  readonly config?: SwarmConfig
  /** @default ['/ip4/0.0.0.0/tcp/0', '/ip6/::/tcp/0'], of which one is left out where there is no IPv6 */
  readonly listen?: readonly string[]
  readonly bootstrap?: readonly string[]
  /** @default true */
  readonly mdns?: boolean
  /**
   * Look for peers on this machine through a folder in the system's temporary directory; a path is another folder.
   * @default true
   */
  readonly neighbours?: boolean | string
  /** What the record says this peer runs. @default 'skein' */
  readonly agent?: string
  /** In a swarm with members: which evidence this machine gives of itself, and which it takes. @default none */
  readonly attestation?: AttestationOptions
  /** Where it writes what it keeps. @default one that says what fails as an event `warning` */
  readonly keeping?: Keeping
  /** Whether it takes part in the DHT. @default true */
  readonly dht?: boolean
  /** Live records that are kept, this peer's included: who else there is, the DHT finds. @default {@link recordsMax} */
  readonly recordsMax?: number
  /** Neighbours that it may have: records go to no more. Connections for questions of the DHT are not among them. @default {@link neighboursMax} */
  readonly linksMax?: number
  /** Told of each problem that does not end it, from the start on; events `warning` come to who listens later. */
  readonly onWarning?: (message: string) => void
  /** Ends the start. */
  readonly signal?: AbortSignal
}

/** A live peer, this one included. */
export interface SwarmPeer {
  readonly record: SwarmRecord
  /** Its addresses as text, without its id. */
  readonly addresses: readonly string[]
  /** Age of its record in ms; 0 for this peer. */
  readonly ageMs: number
  /** There is a records channel with it. A route should only use peers that are connected, or contacts. */
  readonly connected: boolean
  /** It is connected, though without records, and kept so for sessions of this peer. A route may use it, too. */
  readonly contact: boolean
  /** It is or was connected, or a connected peer names it as its neighbour. What is known of any other is hearsay. */
  readonly linked: boolean
  /** It is not connected, and has been dialled in vain since it was. */
  readonly unreachable: boolean
}

/** What this peer announces and may change; the rest it knows itself. */
export type Announcement = Partial<
  Pick<RecordContent, 'budgetBytes' | 'models' | 'stages' | 'load' | 'leaving' | 'coming'>
>

export interface SwarmEvents {
  /** A peer's first live record was accepted; its record expired or it said goodbye. */
  join: CustomEvent<{ readonly peer: PeerId }>
  leave: CustomEvent<{ readonly peer: PeerId }>
  /** A new record of a peer, this one included, or its connection came or went. */
  record: CustomEvent<{ readonly peer: PeerId }>
  violation: CustomEvent<{ readonly peer: PeerId; readonly kind: string; readonly message: string }>
  warning: CustomEvent<{ readonly message: string }>
  /** The battery was read; null where there is none. */
  battery: CustomEvent<{ readonly battery: RecordContent['battery'] }>
}

/** Those who provide something are kept at hand, as neighbours or as contacts. */
export interface Gathering {
  /** Whether nobody has been asked for them yet, or some that were found are not there yet. */
  readonly isSeeking: boolean
  end(): void
}

export interface Swarm {
  readonly id: PeerId
  readonly addresses: readonly string[]
  readonly links: Links
  /** In a swarm with members: this peer's certificate, and what it knows of the others. */
  readonly membership?: Membership | undefined
  /**
   * Aborts with a {@link DuplicateIdentityError} when another process has this peer's identity, has run for longer, and is told so:
   * this one must stop. That may be known before whoever started it listens to anything.
   */
  readonly yielding: AbortSignal
  /** Signs as this peer, for rooms that separate their domains (`base/signature.ts`). */
  readonly sign: Sign
  /** Live records, the own one first. */
  records(): readonly SwarmPeer[]
  /** One peer's live record, this one's own included: what a session asks for five times a second. */
  recordOf(peer: PeerId): SwarmRecord | undefined
  /** Changes the own record. Changes within {@link announceDebounceMs} travel as one. */
  announce(change: Announcement): void
  discovery(): readonly { readonly way: string; readonly state: string }[]
  /** The smoothed round trip to a connected peer in ms; undefined until one was measured. */
  rttMs(peer: PeerId): number | undefined
  /** Peers that do not answer at this moment, those included that have just fallen silent. Most of them will. */
  suspects(): ReadonlySet<PeerId>
  /** Whether a peer is connected and answers. */
  hears(peer: PeerId): boolean
  /** Connected peers, with the bytes of TCP that came from each and went to it since it connected. */
  traffic(): readonly { readonly peer: PeerId; readonly bytesIn: number; readonly bytesOut: number }[]
  /** Bytes that the DHT has taken so far, as its streams carried them. */
  dhtBytes(): { readonly bytesIn: number; readonly bytesOut: number }
  violations(): Readonly<Record<string, number>>
  /** Counts a violation of another protocol by a peer. */
  reportViolation(peer: PeerId, kind: string, message: string): void
  /** Says in the DHT that this peer holds exactly these shards and manifests. Failures are tried again; it never throws. */
  provide(contents: Iterable<ContentId>): Promise<void>
  /**
   * A peer's newest record: its live one, or what the DHT has, which may be long past and is no sign of life.
   * Undefined when nobody has one. @throws the signal's reason.
   */
  lookup(peer: PeerId, options: { signal: AbortSignal }): Promise<SwarmRecord | undefined>
  /**
   * Live peers that hold a shard or a manifest, as the DHT finds them, this peer excluded. Whose record is not known is looked up
   * and dialled, and yielded once it answers; it ends by itself within some ten seconds. @throws the signal's reason.
   */
  findProviders(content: ContentId, options: { signal: AbortSignal }): AsyncGenerator<PeerId, void, void>
  /**
   * Keeps live providers of something as neighbours, in place of others, until it is ended and a while after that; as many as leave
   * room for a few others. In a swarm of neighbours alone it does nothing.
   */
  gather(content: ContentId): Gathering
  /** The same for contacts, which take no neighbour's place: sessions run through those who are reached so. */
  reach(content: ContentId): Gathering
  /** Whether this peer has about the neighbours that it looks for, and knows of somebody who is none. */
  readonly isLarge: boolean
  addEventListener<K extends keyof SwarmEvents>(type: K, listener: (event: SwarmEvents[K]) => void): void
  removeEventListener<K extends keyof SwarmEvents>(type: K, listener: (event: SwarmEvents[K]) => void): void
  /** Says goodbye and closes everything. Safe to call twice. */
  stop(): Promise<void>
}
