/** What holds once everything is healed and has had time. */
import { coverage } from '../src/route/coverage.ts'
import { planSettleMaxMs, probeMs } from '../src/route/limits.ts'
import { place } from '../src/route/place.ts'
import { isServed } from '../src/route/route.ts'
import { type PeerView, withObtainable } from '../src/route/view.ts'
import { recordTtlMs } from '../src/swarm/limits.ts'
import type { World } from './world.ts'

/** Whoever was gone for so long is known to nobody: its records expire, and so do those that were passed on last. */
const forgottenMs = 4 * recordTtlMs
/** An answer that has had no token for this long does not get on by turns: others take theirs of 15 s, and its own is computed again. */
const turnsMs = 60_000
/** Answers that take turns are heard out for no longer than this: with three at a time each of 30 has had several turns. */
const hearOutMs = 900_000
/** At the end, sessions are looked at anew so often before they are called left behind: peers probe one another by turns. */
const probeLooks = 3
/** A move so soon after a link was measured anew is because of it: it was seen a second late, and plans wait for quiet. */
const measuredMs = planSettleMaxMs + 2_000

export class Rest {
  readonly #world: World
  /** What peers announce of their links, and when that changed last. */
  #links = ''
  #measuredAtMs = 0

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

  /** What is announced of a link may be another one at any time: somebody's stage may be worth a move then. */
  look(): void {
    const links = this.#world.peers
      .map(({ id, process }) => {
        const own = process?.known().find(({ record }) => record.peer === id)
        return `${id}: ${[...(own?.record.rtts ?? [])].join(' ')}`
      })
      .join('\n')
    if (links !== this.#links) this.#measuredAtMs = this.#world.nowMs
    this.#links = links
  }

  /** Where there is room for far fewer answers than are asked for, they take turns, and need longer than the time to heal. */
  async settle(): Promise<void> {
    const lastMs = this.#world.nowMs + hearOutMs
    // Prompts of several may fill a slow peer for minutes before the first token of any of them.
    const isBusy = (): boolean => this.#world.peers.some(({ process }) => (process?.backlogMs ?? 0) > 0)
    while (
      this.#world.nowMs < lastMs &&
      (this.#world.answers.getOn(turnsMs) || (this.#world.answers.open.size > 0 && isBusy()))
    ) {
      await this.#world.live(this.#world.nowMs + turnsMs / 2)
    }
    // Caches are freed, and placement comes to rest, as after any other end.
    const restMs = (this.#world.scenario.healS * 1000) / 2
    if (this.#world.nowMs - this.#world.stats.endedMs < restMs)
      await this.#world.live(this.#world.stats.endedMs + restMs)
    // A probe step that is under way has a session as well.
    const isProbed = (): boolean => this.#world.peers.some(({ process }) => (process?.sessions ?? 0) > 0)
    for (let i = 0; i < probeLooks && isProbed(); i++) await this.#world.live(this.#world.nowMs + probeMs)
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
    const { lastMoveMs } = this.#world
    const isMeasured = Math.abs(lastMoveMs - this.#measuredAtMs) < measuredMs
    if (!isDistrustful && !isMeasured && nowMs - lastMoveMs < Math.min(10_000, this.#world.scenario.healS * 200)) {
      promises.broken('restless', `placement moved ${((nowMs - lastMoveMs) / 1000).toFixed(1)} s ago`)
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
