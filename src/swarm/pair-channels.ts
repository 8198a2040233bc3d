/**
 * One channel of a protocol with each peer with which one is wanted: the smaller id (as text) opens it, and opens it again
 * when it breaks. What is said on it is up to the protocol.
 */
import { type Clock, systemClock } from '../base/clock.ts'
import type { PeerId } from '../base/ids.ts'
import type { Protocol } from '../base/protocol.ts'
import { dhtQueryMs, redialMinMs } from './limits.ts'
import type { Channel, Links } from './links.ts'

export interface PairChannelsInit {
  readonly links: Links
  readonly protocol: Protocol
  readonly frameBytesMax: number
  /** Whether there should be a channel with a peer now. */
  readonly isWanted: (peer: PeerId) => boolean
  /** A channel is there; it may replace another one of the same peer, whose end is not told. */
  readonly onOpen?: (peer: PeerId) => void
  readonly onFrame: (peer: PeerId, frame: Uint8Array) => void
  readonly onClose?: (peer: PeerId) => void
  /** @default the machine's */
  readonly clock?: Clock
}

export class PairChannels {
  readonly #init: PairChannelsInit
  readonly #clock: Clock
  readonly #channels = new Map<PeerId, Channel>()
  /** Peers to which a channel is being opened. */
  readonly #opening = new Map<PeerId, AbortController>()
  readonly #abort = new AbortController()

  constructor(init: PairChannelsInit) {
    this.#init = init
    this.#clock = init.clock ?? systemClock
  }

  /** Accepts channels from now on. None of them means that anything depends on its peer. */
  async start(): Promise<void> {
    const { links, protocol, frameBytesMax } = this.#init
    // The other end may have lost its channel before this end knows.
    await links.handle(protocol, { inboundMax: 2, frameBytesMax, background: true }, channel => this.take(channel))
  }

  /** Opens no more channels. Those that are open stay. */
  stop(): void {
    this.#abort.abort(new Error('this peer is stopping'))
  }

  get(peer: PeerId): Channel | undefined {
    return this.#channels.get(peer)
  }

  /** Peers with a channel. */
  get peers(): Iterable<PeerId> {
    return this.#channels.keys()
  }

  /** Takes a channel with a peer that was opened in another way. */
  take(channel: Channel): void {
    this.#attach(channel)
  }

  /** Sends what is queued and closes all channels. */
  async close(): Promise<void> {
    await Promise.all([...this.#channels.values()].map(channel => channel.close()))
  }

  /** A channel with a peer has come to be wanted. */
  want(peer: PeerId): void {
    if (this.#init.links.self < peer) void this.#open(peer, 0)
  }

  /** A channel with a peer is not wanted any more. */
  drop(peer: PeerId, reason: string): void {
    this.#opening.get(peer)?.abort(new Error(reason))
    this.#end(peer, reason)
  }

  /** The other end of a peer's channel is gone, whether that has been noticed or not: at once to the one that is there. */
  replace(peer: PeerId, reason: string): void {
    if (this.#init.links.self > peer) return
    this.#end(peer, reason)
    void this.#open(peer, 0)
  }

  #end(peer: PeerId, reason: string): void {
    const channel = this.#channels.get(peer)
    if (channel === undefined) return
    this.#channels.delete(peer)
    this.#init.onClose?.(peer)
    channel.abort(new Error(reason))
  }

  /**
   * Opens the channel unless there is one, again and again while it is wanted, less and less often. A new connection begins
   * anew: what was tried on the last one, of a process that was about to go, says nothing about it.
   */
  async #open(peer: PeerId, afterMs: number): Promise<void> {
    const { links, protocol, isWanted } = this.#init
    const attempt = new AbortController()
    this.#opening.get(peer)?.abort(new Error('begun anew'))
    this.#opening.set(peer, attempt)
    const ended = AbortSignal.any([this.#abort.signal, attempt.signal])
    try {
      for (let waitMs = afterMs; ; waitMs = Math.min(2 * waitMs || redialMinMs, dhtQueryMs)) {
        await this.#clock.sleep(waitMs, { signal: ended })
        if (ended.aborted || !isWanted(peer) || this.#channels.has(peer)) return
        try {
          const signal = AbortSignal.any([ended, this.#clock.deadline(dhtQueryMs)])
          const channel = await links.open(peer, protocol, { signal })
          if (ended.aborted) channel.abort(new Error('begun anew'))
          else this.#attach(channel)
          // It may have ended already; then the next round tries again.
        } catch {
          // It may be about to go, or not yet ready.
        }
      }
    } finally {
      if (this.#opening.get(peer) === attempt) this.#opening.delete(peer)
    }
  }

  #attach(channel: Channel): void {
    const peer = channel.remote
    // A second one means that the other end lost the first.
    const before = this.#channels.get(peer)
    this.#channels.set(peer, channel)
    before?.abort(new Error('replaced by a newer channel'))
    // Before its first frame is taken, which may be here already.
    this.#init.onOpen?.(peer)
    channel.receive({
      onFrame: frame => this.#init.onFrame(peer, frame),
      onClose: () => {
        if (this.#channels.get(peer) !== channel) return
        this.#channels.delete(peer)
        this.#init.onClose?.(peer)
        // Not at once: an end that refuses every channel would be asked for the next without a pause.
        if (this.#init.links.self < peer && !this.#opening.has(peer)) void this.#open(peer, redialMinMs)
      }
    })
  }
}
