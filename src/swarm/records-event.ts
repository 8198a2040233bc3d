/** What happens to what is known of peers, and what is to be done about it (`records.ts`). */
import type { PeerId } from '../base/ids.ts'
import type { RecordContent } from './record.ts'

export type RecordsEvent =
  /** This peer has something to say of itself, perhaps the same as before. */
  | { readonly kind: 'announce'; readonly content: RecordContent; readonly wallMs: number }
  /** This peer stops: a goodbye goes out, and nothing after it. */
  | { readonly kind: 'leave'; readonly wallMs: number }
  /** A records channel with a peer is open, or closed. */
  | { readonly kind: 'opened'; readonly peer: PeerId }
  | { readonly kind: 'closed'; readonly peer: PeerId }
  /** A neighbour says that it does not hear this peer, or hears it again: until then it is none for others. */
  | { readonly kind: 'unheard'; readonly peer: PeerId; readonly isUnheard: boolean; readonly wallMs: number }
  /** A frame came on a peer's records channel. */
  | { readonly kind: 'frame'; readonly peer: PeerId; readonly frame: Uint8Array }
  /** A value of the DHT passed {@link Records.refusal}. */
  | { readonly kind: 'value'; readonly value: Uint8Array }
  /** Who is a member has changed. */
  | { readonly kind: 'members' }
  | { readonly kind: 'tick'; readonly wallMs: number }

export type RecordsEffect =
  | { readonly kind: 'send'; readonly peer: PeerId; readonly frame: Uint8Array }
  /** Put the own record into the DHT. */
  | { readonly kind: 'publish'; readonly value: Uint8Array }
  /** Keep the own seq across restarts. */
  | { readonly kind: 'persist'; readonly seq: number }
  | { readonly kind: 'join'; readonly peer: PeerId }
  | { readonly kind: 'leave'; readonly peer: PeerId }
  /** A record is new; after `join` when both are. */
  | { readonly kind: 'record'; readonly peer: PeerId }
  /** A live peer is worth a connection: a peer that is connected here names it as its neighbour. Told once, and at its records. */
  | { readonly kind: 'linked'; readonly peer: PeerId }
  /** Another process has this peer's identity now; this one `yields` where it is the younger, and says nothing any more. */
  | { readonly kind: 'twin'; readonly addresses: readonly Uint8Array[]; readonly yields: boolean }
  /** Another process made a record of this very peer, and has not heard of this one: it is of the past, or at these addresses now. */
  | { readonly kind: 'namesake'; readonly addresses: readonly Uint8Array[] }
  /** A neighbour sent what the protocol forbids; what it sent was dropped. */
  | { readonly kind: 'violation'; readonly peer: PeerId; readonly violation: string; readonly message: string }
