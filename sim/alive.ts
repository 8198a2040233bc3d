/** Watches over the connections of a simulated peer: drives the decider in `liveness.ts` as its service does. */
import type { PeerId } from '../src/base/ids.ts'
import type { LossReason } from '../src/errors.ts'
import { type LinkTraffic, Liveness, type LivenessEvent } from '../src/swarm/liveness.ts'
import type { Channel } from './wire.ts'

export interface AliveHost {
  readonly nowMs: () => number
  readonly after: (delayMs: number, task: () => void) => void
  readonly traffic: () => readonly LinkTraffic[]
  readonly disconnect: (peer: PeerId, message: string, reason: LossReason) => void
  readonly violation: (peer: PeerId, kind: string, message: string) => void
}

export class AliveRun {
  readonly #host: AliveHost
  readonly #liveness = new Liveness()
  readonly #channels = new Map<PeerId, Channel>()
  /** The tick that counts: one that was planned before another one is dropped. */
  #planned = 0

  constructor(host: AliveHost) {
    this.#host = host
    this.#tick()
  }

  get suspects(): ReadonlySet<PeerId> {
    return this.#liveness.suspects
  }

  /** The smoothed round trip to a peer in ms; undefined until one was measured. */
  rttMs(peer: PeerId): number | undefined {
    return this.#liveness.rttMs(peer)
  }

  isConnected(peer: PeerId): boolean {
    return this.#channels.has(peer)
  }

  /** Something has begun to depend on a peer: it is looked at now, and not only at the next slow tick. */
  watched(): void {
    this.#plan(0)
  }

  opened(channel: Channel): void {
    const peer = channel.remote
    const before = this.#channels.get(peer)
    this.#channels.set(peer, channel)
    before?.abort()
    channel.handlers = {
      onFrame: frame => this.#run({ type: 'frame', peer, frame }),
      onClose: () => {
        if (this.#channels.get(peer) === channel) this.#channels.delete(peer)
      }
    }
  }

  #plan(delayMs: number): void {
    const planned = ++this.#planned
    this.#host.after(delayMs, () => {
      if (planned === this.#planned) this.#tick()
    })
  }

  #tick(): void {
    this.#run({ type: 'tick', links: this.#host.traffic() })
    this.#plan(this.#liveness.tickMs)
  }

  #run(event: LivenessEvent): void {
    for (const effect of this.#liveness.handle(event, this.#host.nowMs())) {
      switch (effect.type) {
        case 'send':
          this.#channels.get(effect.peer)?.send(effect.frame)
          break
        case 'silent':
          this.#host.disconnect(
            effect.peer,
            `it has been silent for ${Math.round(effect.quietMs)} ms`,
            effect.alone ? 'alone' : 'silent'
          )
          break
        case 'violation':
          this.#host.violation(effect.peer, 'bad alive frame', effect.message)
          break
      }
    }
  }
}
