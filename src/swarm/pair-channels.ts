/**
 * One channel of a protocol with each peer with which one is wanted: the smaller id (as text) opens it, unless the other end is
 * told to, and whoever opened it opens it again when it breaks. What is said on it is up to the protocol.
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
  readonly onFrame: (peer: PeerId, frame: Uint8Array) => void
  /** @default the machine's */
  readonly clock?: Clock
}

export class PairChannels {
  readonly #init: PairChannelsInit
  readonly #clock: Clock
  readonly #channels = new Map<PeerId, Channel>()
  /** When those were opened that this end has opened. */
  readonly #opened = new WeakMap<Channel, number>()
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
    await links.handle(protocol, { inboundMax: 2, frameBytesMax, background: true }, channel => this.#attach(channel))
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

  /** A channel with a peer has come to be wanted. `now`: this end opens it, whichever id is the smaller. */
  want(peer: PeerId, { now = false } = {}): void {
    if (now || this.#init.links.self < peer) void this.#open(peer, 0)
  }

  /** A channel with a peer is not wanted any more. */
  drop(peer: PeerId, reason: string): void {
    this.#opening.get(peer)?.abort(new Error(reason))
    const channel = this.#channels.get(peer)
    this.#channels.delete(peer)
    channel?.abort(new Error(reason))
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
          else this.#attach(channel, this.#clock.nowMs())
          // It may have ended already; then the next round tries again.
        } catch {
          // It may be about to go, or not yet ready.
        }
      }
    } finally {
      if (this.#opening.get(peer) === attempt) this.#opening.delete(peer)
    }
  }

  /** @param openedMs when this end opened it; undefined where the other end did */
  #attach(channel: Channel, openedMs?: number): void {
    const peer = channel.remote
    const before = this.#channels.get(peer)
    const beforeMs = before && this.#opened.get(before)
    if (openedMs !== undefined) this.#opened.set(channel, openedMs)
    // Both ends opened one at the same moment: that of the smaller id counts.
    else if (beforeMs !== undefined && this.#init.links.self < peer && this.#clock.nowMs() - beforeMs < redialMinMs) {
      channel.abort(new Error('this end has opened one, too'))
      return
    }
    // Else a second one means that the other end lost the first.
    this.#channels.set(peer, channel)
    before?.abort(new Error('replaced by a newer channel'))
    channel.receive({
      onFrame: frame => this.#init.onFrame(peer, frame),
      onClose: () => {
        if (this.#channels.get(peer) !== channel) return
        this.#channels.delete(peer)
        // Not at once: an end that refuses every channel would be asked for the next without a pause.
        const opens = this.#init.links.self < peer || openedMs !== undefined
        if (opens && !this.#opening.has(peer)) void this.#open(peer, redialMinMs)
      }
    })
  }
}
