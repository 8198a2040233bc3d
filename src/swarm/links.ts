/**
 * Links between peers as the rest of the house sees them: named protocols, and channels of whole frames.
 * `host.ts` makes them from libp2p streams (and from memory when a peer speaks to itself); the simulator
 * makes them from its radio. One compliance suite holds both to this contract.
 */
import type { PeerId } from '../base/ids.ts'
import type { Protocol } from '../base/protocol.ts'

/** A bidirectional, ordered, reliable channel of frames to one peer, for one protocol. */
export interface Channel {
  /** Who is at the other end; authenticated by the handshake. */
  readonly remote: PeerId
  /** The revision of the protocol that both ends speak here. */
  readonly revision: string
  /** Bytes of frames with their length prefixes, below which only Yamux and Noise add theirs. */
  readonly bytesSent: number
  readonly bytesReceived: number
  /**
   * When the bytes of the frame that `onFrame` has just got were read off the socket, in ms of this machine's clock; deciphering
   * them came after that. @default nobody can tell
   */
  readonly readAtMs?: number | undefined
  /**
   * When the frame that `send` has just taken was about to be written to the socket, enciphered; earlier where it waits for that.
   * Writing it is not over before its other end may have it. @default nobody can tell
   */
  readonly writtenAtMs?: number | undefined

  /**
   * The frames that came so far were asked for, or what a session waited for: the time that they took is no offence of their sender.
   * @default nobody counts it
   */
  wanted?(): void
  /**
   * Queues one frame. The bytes must not be changed afterwards. Returns false when the sender should wait for
   * `ready()` before it sends more; the frame is queued all the same. After close or abort it is dropped.
   */
  send(frame: Uint8Array): boolean
  /** Resolves when the queue has drained enough. @throws the close error, or the signal's reason. */
  ready(options: { signal: AbortSignal }): Promise<void>
  /**
   * Sets the receiver. `onFrame` is called once per frame, in order, synchronously on arrival; frames that arrived
   * before this call are delivered first. `onClose` is called once: without an error when the other end closed
   * after its last frame, with one when the channel broke, was aborted or broke the framing rules.
   */
  receive(handlers: { onFrame: (frame: Uint8Array) => void; onClose: (error?: Error) => void }): void
  /** Sends what is queued, then closes in both directions. Never throws. */
  close(): Promise<void>
  /** Ends the channel at once; the other end sees an error. */
  abort(error: Error): void
}

/** How channels of a protocol are taken. */
export interface HandleOptions {
  /** Open at once for each remote peer. */
  readonly inboundMax: number
  readonly frameBytesMax: number
  /**
   * An open channel of it does not mean that anything depends on its peer, as one of all others does: silence of a peer
   * with such a channel is noticed sooner. @default false
   */
  readonly background?: boolean
  /**
   * Takes those beyond `inboundMax`, to refuse them in the protocol's own words: whoever opened them has done nothing
   * wrong. @default they are aborted
   */
  readonly onFull?: (channel: Channel) => void
}

/** How this peer reaches others. */
export interface Links {
  readonly self: PeerId
  /**
   * Opens a channel in the newest revision that both ends speak. A channel to `self` runs in memory.
   * @throws {PeerLostError} when the peer cannot be reached or speaks none of these revisions.
   * @throws the signal's reason.
   */
  open(peer: PeerId, protocol: Protocol, options: { signal: AbortSignal }): Promise<Channel>
  /**
   * Accepts channels of a protocol, in any revision named.
   */
  handle(protocol: Protocol, options: HandleOptions, handler: (channel: Channel) => void): Promise<void>
  unhandle(protocol: Protocol): Promise<void>
  /**
   * Something depends on a peer although no channel to it may be open here: its silence is noticed as soon as that of
   * one with a channel. Ends with the function returned, or with its connection.
   */
  watch?(peer: PeerId): () => void
}
