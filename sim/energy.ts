/** What peers use of their batteries, and what becomes of them then. */
import type { SimPeer } from './sim-peer.ts'
import type { World } from './world.ts'

export class Energy {
  readonly #world: World

  constructor(world: World) {
    this.#world = world
  }

  /** Of those that have a battery. */
  charges(): number[] {
    return this.#world.peers.flatMap(({ level }) => (level === null ? [] : [level]))
  }

  joules(): number {
    return this.#world.peers.reduce((sum, peer) => sum + peer.usedJoules + this.#unpaidJoules(peer), 0)
  }

  /** What a peer has used since it was looked at last. */
  #unpaidJoules(peer: SimPeer): number {
    const { watts } = peer.group
    const ms = this.#world.nowMs - peer.paidAtMs
    return (
      ((peer.isOn ? watts.idle * ms : 0) +
        (peer.life !== 0 ? watts.motion * ms : 0) +
        watts.compute * (peer.computeMs - peer.paidComputeMs) +
        watts.radio * (this.#world.radio.busyMs[peer.index]! - peer.paidRadioMs)) /
      1000
    )
  }

  /** Has a peer pay for what it has used since it was looked at last, and go home, or fall, where that is too much. */
  pay(peer: SimPeer): void {
    const { group } = peer
    const { recharge } = group
    const busyMs = this.#world.radio.busyMs[peer.index]!
    const ms = this.#world.nowMs - peer.paidAtMs
    const isRunning = peer.life !== 0
    const joules = this.#unpaidJoules(peer)
    peer.paidAtMs = this.#world.nowMs
    peer.paidComputeMs = peer.computeMs
    peer.paidRadioMs = busyMs
    peer.usedJoules += joules
    if (group.batteryWh === undefined || this.#world.isHealed) return
    const full = group.batteryWh * 3600
    if (peer.isCharging) peer.joules = Math.min(full, peer.joules + ((recharge?.watts ?? 0) * ms) / 1000)
    else peer.joules -= joules
    const level = peer.level!
    if (
      recharge !== undefined &&
      isRunning &&
      level < recharge.below &&
      peer.sickUntilMs !== Number.POSITIVE_INFINITY
    ) {
      this.#world.drain(peer)
    } else if (recharge !== undefined && !isRunning && peer.isOn && !peer.isCharging && level < recharge.above) {
      peer.isCharging = true
    } else if (recharge !== undefined && peer.isCharging && level >= recharge.above) {
      peer.isCharging = false
      this.#world.agenda.after(recharge.flightS * 1000, () => this.#world.boot(peer))
    } else if (level <= 0 && peer.isOn && !peer.isCharging) {
      this.#world.say(`${peer.name} has a flat battery`)
      this.#world.mark(`flat battery: ${peer.name}`)
      this.#world.stats.flat++
      this.#world.crash(peer, false)
    }
  }
}
