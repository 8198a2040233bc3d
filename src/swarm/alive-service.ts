/** Watches over connections: gives the decider in `liveness.ts` its channels, counters and time, and does what it says. */
import { type Clock, systemClock, type Timer } from '../base/clock.ts'
import type { PeerId } from '../base/ids.ts'
import type { Protocol } from '../base/protocol.ts'
import type { LossReason } from '../errors.ts'
import { aliveFrameBytesMax, aliveUnwantedMs } from './liveness-limits.ts'
import type { Links } from './links.ts'
import { type LinkTraffic, Liveness, type LivenessEvent } from './liveness.ts'
import { PairChannels } from './pair-channels.ts'

export const aliveProtocol: Protocol = { name: '/skein/alive', revisions: ['1.1.0', '1.0.0'] }

export interface AliveServiceInit {
  readonly links: Links
  /** All connected peers, this one not among them. */
  readonly traffic: () => Iterable<LinkTraffic>
  /** Whether this end wants beats of a peer: it is a neighbour or a contact, or something depends on it. */
  readonly isWanted: (peer: PeerId) => boolean
  /** A peer is to be disconnected. */
  readonly onSilent: (peer: PeerId, message: string, reason: LossReason) => void
  /** A peer says that it does not hear this one, or hears it again. */
  readonly onUnheard?: (peer: PeerId, isUnheard: boolean) => void
  /** Whether others have heard a peer since so long ago, and passed on what it said. @default nobody has */
  readonly isHeardByOthers?: (peer: PeerId, sinceMs: number) => boolean
  readonly onViolation: (peer: PeerId, kind: string, message: string) => void
  /** @default the machine's */
  readonly clock?: Clock
}

export class AliveService {
  readonly #init: AliveServiceInit
  readonly #clock: Clock
  readonly #liveness = new Liveness()
  readonly #channels: PairChannels
  /** Since when there has been a channel with a peer that this end does not want, nor the other end as far as it has said. */
  readonly #unwanted = new Map<PeerId, number>()
  #timer: Timer | undefined
  #stopped = false

  constructor(init: AliveServiceInit) {
    this.#init = init
    this.#clock = init.clock ?? systemClock
    this.#channels = new PairChannels({
      links: init.links,
      protocol: aliveProtocol,
      frameBytesMax: aliveFrameBytesMax,
      clock: this.#clock,
      isWanted: peer => this.#isWanted(peer),
      onFrame: (peer, frame) => this.#run({ kind: 'frame', peer, frame })
    })
  }

  async start(): Promise<void> {
    await this.#channels.start()
    this.#tick()
  }

  stop(): void {
    this.#timer?.stop()
    this.#channels.stop()
    this.#stopped = true
  }

  /** The smoothed round trip to a peer in ms; undefined until one was measured. */
  rttMs(peer: PeerId): number | undefined {
    return this.#liveness.rttMs(peer)
  }

  /** Peers that left a question unanswered, or fell silent, as of the last look: see {@link Liveness.suspects}. */
  get suspects(): ReadonlySet<PeerId> {
    return this.#liveness.suspects
  }

  /** Whether something at the other end depends on this peer. */
  isNeeded(peer: PeerId): boolean {
    return this.#liveness.isNeeded(peer)
  }

  /**
   * A peer is asked to be a neighbour, or is kept as a contact: this end opens the channel. A link that is busy from its first moment
   * on would not be measured otherwise, and nobody but who keeps a contact knows that it does.
   */
  asked(peer: PeerId): void {
    this.#channels.want(peer, { now: true })
  }

  /** A peer is a neighbour from now on. */
  connected(peer: PeerId): void {
    this.#channels.want(peer)
  }

  /** Something has begun to depend on a peer: it is looked at now, and not only at the next slow tick. */
  watched(peer: PeerId): void {
    if (this.#channels.get(peer) === undefined) this.#channels.want(peer)
    // In a turn of its own: whoever opens a channel is in the middle of it.
    if (this.#timer === undefined) return
    this.#timer.stop()
    this.#timer = this.#clock.after(0, () => this.#tick()).unref()
  }

  #tick(): void {
    if (this.#stopped) return
    this.#dropUnwanted()
    const links = [...this.#init.traffic()].filter(
      ({ peer }) => this.#init.isWanted(peer) || this.#channels.get(peer) !== undefined
    )
    this.#run({ kind: 'tick', links })
    // Not an interval: after a pause of this process several ticks would follow one another at once.
    this.#timer = this.#clock.after(this.#liveness.tickMs, () => this.#tick()).unref()
  }

  #isWanted(peer: PeerId): boolean {
    return this.#init.isWanted(peer) || this.isNeeded(peer)
  }

  #dropUnwanted(): void {
    const nowMs = this.#clock.nowMs()
    for (const peer of this.#unwanted.keys()) if (this.#channels.get(peer) === undefined) this.#unwanted.delete(peer)
    for (const peer of [...this.#channels.peers]) {
      if (this.#isWanted(peer)) {
        this.#unwanted.delete(peer)
        continue
      }
      const sinceMs = this.#unwanted.get(peer) ?? nowMs
      this.#unwanted.set(peer, sinceMs)
      if (nowMs - sinceMs >= aliveUnwantedMs) this.#channels.drop(peer, 'neither end depends on the other')
    }
  }

  #run(event: LivenessEvent): void {
    for (const effect of this.#liveness.handle(event, this.#clock.nowMs())) {
      switch (effect.kind) {
        case 'send':
          this.#channels.get(effect.peer)?.send(effect.frame)
          break
        case 'silent': {
          const { peer, quietMs, alone } = effect
          const isElsewhere = !alone && this.#init.isHeardByOthers?.(peer, this.#clock.nowMs() - quietMs) === true
          const how = alone ? ', as has everybody else' : isElsewhere ? ' here, but not elsewhere' : ''
          const message = `${peer} has been silent for ${Math.round(quietMs)} ms${how}`
          this.#init.onSilent(peer, message, alone ? 'alone' : isElsewhere ? 'unheard' : 'silent')
          break
        }
        case 'unheard':
          this.#init.onUnheard?.(effect.peer, effect.isUnheard)
          break
        case 'violation':
          this.#init.onViolation(effect.peer, 'bad alive frame', effect.message)
          break
      }
    }
  }
}
