/** What holds once everything is healed and has had time. */
import { coverage } from '../src/route/coverage.ts'
import { place } from '../src/route/place.ts'
import { isServed } from '../src/route/route.ts'
import { type PeerView, withObtainable } from '../src/route/view.ts'
import { recordTtlMs } from '../src/swarm/limits.ts'
import type { World } from './world.ts'

/** Whoever was gone for so long is known to nobody: its records expire, and so do those that were passed on last. */
const forgottenMs = 4 * recordTtlMs

export class Rest {
  readonly #world: World

  constructor(world: World) {
    this.#world = world
  }

  /** Everybody alive, as placement sees them, whoever knows whom. */
  views(): PeerView[] {
    const views = this.#world.peers.flatMap((peer): PeerView[] => {
      const { process, group } = peer
      if (process === undefined) return []
      const holding = this.#world.weights?.holding(peer.disk.has)
      return [
        {
          peer: peer.id,
          budgetBytes: Math.floor(group.memoryMB * 1e6),
          held: holding?.held ?? [{ start: 0, end: this.#world.shape.layers }],
          holdsEmbedding: holding?.holdsEmbedding ?? true,
          holdsHead: holding?.holdsHead ?? true,
          pinned: null,
          visitMs: group.visitMs,
          layerMs: group.layerMs,
          numericClass: group.numericClass,
          stages: process.loaded,
          sessions: 0,
          battery: peer.level
        }
      ]
    })
    return this.#world.weights === undefined ? views : withObtainable(views)
  }

  /** After the healing: all sessions have ended, placement rests, nothing is left in any cache. */
  check(): void {
    const { promises, nowMs } = this.#world
    const [first] = this.#world.answers.open.values()
    if (first !== undefined) {
      promises.broken(
        'stuck-session',
        `${this.#world.answers.open.size} sessions are open still, ${first.asked.number} among them`
      )
    }
    // Who sent wrong weights is asked no more as long as a process lives, even if nobody else has any.
    const isDistrustful = this.#world.peers.some(({ process }) => (process?.witness.liars.size ?? 0) > 0)
    if (!isDistrustful && nowMs - this.#world.lastMoveMs < Math.min(10_000, this.#world.scenario.healS * 200)) {
      promises.broken('restless', `placement moved ${((nowMs - this.#world.lastMoveMs) / 1000).toFixed(1)} s ago`)
    }
    const views = this.views()
    if (!isDistrustful && place(views, this.#world.shape).missing === null && !isServed(views, this.#world.shape)) {
      promises.broken(
        'uncovered',
        `the budgets suffice, and layers are served by ${coverage(views, this.#world.shape)}`
      )
    }
    for (const { process, name } of this.#world.peers) {
      if (process === undefined) continue
      if (process.sessions > 0) promises.broken('leak', `${name} still has ${process.sessions} sessions`)
      const { cacheBytesUsed } = process.witness
      if (cacheBytesUsed > 0) promises.broken('leak', `${name} still has ${cacheBytesUsed} bytes of caches`)
      if (process.retainBytes > 0) promises.broken('leak', `${name} still retains ${process.retainBytes} bytes`)
      for (const { record } of process.known()) {
        const far = this.#world.peerOf(record.peer)!
        if (far.life !== 0 || nowMs - far.endedMs < forgottenMs) continue
        const goneS = ((nowMs - far.endedMs) / 1000).toFixed(0)
        promises.broken('leak', `${name} still knows ${far.name}, which has been gone for ${goneS} s`)
      }
    }
    promises.checks += 5
  }
}
