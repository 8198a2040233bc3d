/** Watches over connections: gives the decider in `liveness.ts` its channels, counters and time, and does what it says. */
import { type Clock, systemClock, type Timer } from '../base/clock.ts'
import type { PeerId } from '../base/ids.ts'
import type { Protocol } from '../base/protocol.ts'
import type { LossReason } from '../errors.ts'
import { aliveFrameBytesMax, dhtQueryMs, redialMinMs } from './limits.ts'
import type { Channel, Links } from './links.ts'
import { type LinkTraffic, Liveness, type LivenessEvent } from './liveness.ts'

export const aliveProtocol: Protocol = { name: '/skein/alive', revisions: ['1.0.0'] }

export interface AliveServiceInit {
  readonly links: Links
  /** All connected peers, this one not among them. */
  readonly traffic: () => Iterable<LinkTraffic>
  readonly isConnected: (peer: PeerId) => boolean
  /** A peer is to be disconnected. */
  readonly onSilent: (peer: PeerId, message: string, reason: LossReason) => void
  readonly onViolation: (peer: PeerId, kind: string, message: string) => void
  /** @default the machine's */
  readonly clock?: Clock
}

export class AliveService {
  readonly #init: AliveServiceInit
  readonly #clock: Clock
  readonly #liveness = new Liveness()
  readonly #channels = new Map<PeerId, Channel>()
  /** Peers to which a channel is being opened. */
  readonly #opening = new Set<PeerId>()
  readonly #abort = new AbortController()
  #timer: Timer | undefined

  constructor(init: AliveServiceInit) {
    this.#init = init
    this.#clock = init.clock ?? systemClock
  }

  async start(): Promise<void> {
    const { links } = this.#init
    await links.handle(aliveProtocol, { inboundMax: 2, frameBytesMax: aliveFrameBytesMax, background: true }, channel =>
      this.#attach(channel)
    )
    this.#tick()
  }

  stop(): void {
    this.#timer?.stop()
    this.#abort.abort(new Error('this peer is stopping'))
  }

  /** The smoothed round trip to a peer in ms; undefined until one was measured. */
  rttMs(peer: PeerId): number | undefined {
    return this.#liveness.rttMs(peer)
  }

  /** Peers that left a question unanswered, or fell silent, as of the last look: see {@link Liveness.suspects}. */
  get suspects(): ReadonlySet<PeerId> {
    return this.#liveness.suspects
  }

  /** A peer is connected: its channel is opened by the smaller id. */
  connected(peer: PeerId): void {
    if (this.#init.links.self < peer) void this.#open(peer, 0)
  }

  /** Something has begun to depend on a peer: it is looked at now, and not only at the next slow tick. */
  watched(): void {
    // In a turn of its own: whoever opens a channel is in the middle of it.
    if (this.#timer === undefined) return
    this.#timer.stop()
    this.#timer = this.#clock.after(0, () => this.#tick()).unref()
  }

  #tick(): void {
    if (this.#abort.signal.aborted) return
    this.#run({ type: 'tick', links: this.#init.traffic() })
    // Not an interval: after a pause of this process several ticks would follow one another at once.
    this.#timer = this.#clock.after(this.#liveness.tickMs, () => this.#tick()).unref()
  }

  #run(event: LivenessEvent): void {
    for (const effect of this.#liveness.handle(event, this.#clock.nowMs())) {
      switch (effect.type) {
        case 'send':
          this.#channels.get(effect.peer)?.send(effect.frame)
          break
        case 'silent': {
          const ms = Math.round(effect.quietMs)
          const message = `${effect.peer} has been silent for ${ms} ms${effect.alone ? ', as has everybody else' : ''}`
          this.#init.onSilent(effect.peer, message, effect.alone ? 'alone' : 'silent')
          break
        }
        case 'violation':
          this.#init.onViolation(effect.peer, 'bad alive frame', effect.message)
          break
      }
    }
  }

  /** Opens the channel unless there is one, again and again while the peer is connected, less and less often. */
  async #open(peer: PeerId, afterMs: number): Promise<void> {
    if (this.#opening.has(peer)) return
    this.#opening.add(peer)
    try {
      for (let waitMs = afterMs; ; waitMs = Math.min(2 * waitMs || redialMinMs, dhtQueryMs)) {
        await this.#clock.sleep(waitMs, { signal: this.#abort.signal })
        if (this.#abort.signal.aborted || !this.#init.isConnected(peer) || this.#channels.has(peer)) return
        try {
          const signal = AbortSignal.any([this.#abort.signal, this.#clock.deadline(dhtQueryMs)])
          this.#attach(await this.#init.links.open(peer, aliveProtocol, { signal }))
          return
        } catch {
          // It may be about to go, or not yet ready.
        }
      }
    } finally {
      this.#opening.delete(peer)
    }
  }

  #attach(channel: Channel): void {
    const peer = channel.remote
    // A second one means that the other end lost the first.
    const before = this.#channels.get(peer)
    this.#channels.set(peer, channel)
    before?.abort(new Error('replaced by a newer channel'))
    channel.receive({
      onFrame: frame => this.#run({ type: 'frame', peer, frame }),
      onClose: () => {
        if (this.#channels.get(peer) !== channel) return
        this.#channels.delete(peer)
        // Not at once: an end that refuses every channel would be asked for the next without a pause.
        if (this.#init.links.self < peer) void this.#open(peer, redialMinMs)
      }
    })
  }
}
