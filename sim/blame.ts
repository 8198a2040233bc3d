/** Whether whoever is charged with something has anything wrong with it. */
import type { PeerId, SessionId } from '../src/base/ids.ts'
import type { GenerationEvent } from '../src/session/generation.ts'
import type { RefuseFrame } from '../src/stage/frame.ts'
import type { Asked } from './asked.ts'
import { aftermathMs, type SimPeer } from './sim-peer.ts'
import type { World } from './world.ts'

export class Blame {
  readonly #world: World
  /** Pairs of peers and when their link last failed either of them. */
  readonly #linkTrouble = new Map<number, number>()
  /** Somebody has sent what cannot be computed. */
  hasLied = false

  constructor(world: World) {
    this.#world = world
  }

  noteTrouble(a: number, b: number): void {
    this.#linkTrouble.set(this.#pair(a, b), this.#world.nowMs)
  }

  #pair(a: number, b: number): number {
    return Math.min(a, b) * this.#world.peers.length + Math.max(a, b)
  }

  hadTrouble(a: SimPeer, b: SimPeer): boolean {
    if (a === b) return false
    if (!this.#world.radio.joins(a.index, b.index)) return true
    const key = this.#pair(a.index, b.index)
    if (this.#world.nowMs - (this.#linkTrouble.get(key) ?? Number.NEGATIVE_INFINITY) < aftermathMs) return true
    return this.#world.radio.path(a.index, b.index)!.loss > 0.06
  }

  isHealthy(peer: SimPeer): boolean {
    return (
      peer.life !== 0 &&
      peer.isOn &&
      !peer.isFrozen &&
      peer.slowFactor === 1 &&
      peer.lie === undefined &&
      !peer.isMute &&
      !peer.isHung &&
      peer.sickUntilMs < this.#world.nowMs
    )
  }

  /** A session charges a peer: something must have been wrong with it, or with a link of its. */
  charged(driver: SimPeer, asked: Asked, { peer: id, hop, reason }: GenerationEvent & { event: 'lost' }): void {
    const peer = this.#world.peerOf(id)!
    // Who may report a loss: the hop before, or the driver.
    const before = asked.route[hop - 1]?.peer
    const reporters = before === undefined ? [driver] : [driver, this.#world.peerOf(before)!]
    this.#world.promises.checks++
    if (!this.isHealthy(peer)) return
    // A hop before that does not hear it says something of the link, not of who is on it, as long as the driver hears it.
    const isOfLink = reason === 'closed' || reason === 'silent'
    const isHeard = isOfLink && driver !== peer && this.#world.wire.isConnected(driver.id, id)
    if ((isHeard ? [driver] : reporters).some(other => this.hadTrouble(peer, other))) return
    if ((reason === 'slow' || reason === 'stuck') && peer.strainedUntilMs >= this.#world.nowMs) return
    // A stage that is not there is a fact of a healthy peer, not a fault.
    const range = asked.route[hop]
    if (reason === 'not-serving' && !(range !== undefined && peer.process!.serves(range))) return
    this.#world.promises.broken('blame', `${driver.name} charges ${peer.name}, which is healthy, with being ${reason}`)
  }

  /** Where nobody lies no step leaves a gap, and every step can be computed. */
  refused(peer: SimPeer, { reason, message }: RefuseFrame): void {
    this.#world.promises.checks++
    if (reason !== 'gap' && reason !== 'invalid' && reason !== 'engine') return
    if (this.hasLied) return
    this.#world.promises.broken(
      'two-owners',
      `${peer.name} says that a step cannot be computed (${reason}): ${message}`
    )
  }

  silent(peer: SimPeer, other: PeerId): void {
    const far = this.#world.peerOf(other)!
    this.#world.promises.checks++
    if (!this.isHealthy(far) || !this.isHealthy(peer) || this.hadTrouble(peer, far)) return
    this.#world.promises.broken('blame', `${peer.name} takes ${far.name} for silent, which is healthy`)
  }

  accused(peer: SimPeer, other: PeerId, kind: string, message: string): void {
    const far = this.#world.peerOf(other)!
    this.#world.say(`${peer.name} finds that ${far.name} breaks the protocol (${kind}): ${message}`)
    this.#world.stats.violations++
    this.#world.promises.checks++
    if (far.lie !== undefined || far.liedUntilMs >= this.#world.nowMs || far.sickUntilMs === Number.POSITIVE_INFINITY)
      return
    // A stream on which nothing came is no more than the silence of its peer.
    if (kind === 'silent' && (!this.isHealthy(far) || !this.isHealthy(peer) || this.hadTrouble(peer, far))) return
    this.#world.promises.broken(
      'blame',
      `${peer.name} says that ${far.name}, which is honest, broke the protocol: ${message}`
    )
  }

  /** Who breaks the protocol is off the route at once. */
  violated(driver: SimPeer, session: SessionId, peer: PeerId, message: string): void {
    const asked = this.#world.answers.ofSession(session)
    if (asked === undefined) return
    const before = asked.lost.length
    this.#world.agenda.after(0, () => {
      if (asked.isEnded || asked.lost.slice(before - 1).includes(peer)) return
      this.#world.promises.broken('blame', `${driver.name} goes on with ${peer}, which lies: ${message}`)
    })
  }
}
