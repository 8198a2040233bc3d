/** How peers in range come to be connected. */
import { meshMax } from '../src/limits.ts'
import { redialMaxMs, redialMinMs } from '../src/swarm/limits.ts'
import type { SimPeer } from './sim-peer.ts'
import type { World } from './world.ts'

interface Dialing {
  failures: number
  nextMs: number
  isDialing: boolean
}

export class Meeting {
  readonly #world: World
  readonly #dials = new Map<number, Dialing>()

  constructor(world: World) {
    this.#world = world
  }

  /** Peers in range find and dial one another, as discovery and the dialer have them do. */
  meet(): void {
    const { peers, wire, nowMs } = this.#world
    for (const peer of peers) {
      if (peer.life === 0 || peer.isFrozen) continue
      for (const index of this.#world.radio.candidates(peer.index)) {
        const other = peers[index]!
        if (other.life === 0) continue
        if (wire.isConnected(peer.id, other.id)) continue
        // The smaller id dials; the other one where the first believes to be connected still.
        if (peer.id > other.id && !wire.isConnected(other.id, peer.id)) continue
        if (!this.#world.radio.joins(peer.index, index)) continue
        if (wire.degree(peer.id) >= meshMax || wire.degree(other.id) >= meshMax) continue
        const dialing = this.#dialing(peer, other)
        if (dialing.isDialing || dialing.nextMs > nowMs) continue
        dialing.isDialing = true
        wire.dial(peer, other.id, isConnected => {
          dialing.isDialing = false
          if (isConnected) {
            dialing.failures = 0
            dialing.nextMs = this.#world.nowMs + redialMinMs
            return
          }
          dialing.failures++
          peer.process?.swarm.reached(other.id)
          const ms = Math.min(redialMaxMs, redialMinMs * 2 ** (dialing.failures - 1))
          dialing.nextMs = this.#world.nowMs + ms * this.#world.chance.between(0.75, 1.25)
        })
      }
    }
  }

  /** Whether one peer has dialled another in vain since it was connected. */
  isUnreachable(peer: SimPeer, other: SimPeer): boolean {
    return (this.#dials.get(this.#dialKey(peer, other))?.failures ?? 0) > 0
  }

  #dialing(a: SimPeer, b: SimPeer): Dialing {
    const key = this.#dialKey(a, b)
    let dialing = this.#dials.get(key)
    if (dialing === undefined || (dialing.isDialing && dialing.nextMs < this.#world.nowMs - 20_000)) {
      dialing = {
        failures: 0,
        nextMs: this.#world.nowMs + this.#world.chance.between(50, 600),
        isDialing: false
      }
      this.#dials.set(key, dialing)
    }
    return dialing
  }

  #dialKey(a: SimPeer, b: SimPeer): number {
    return a.index * this.#world.peers.length + b.index
  }
}
