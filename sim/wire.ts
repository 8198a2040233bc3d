/**
 * Connections over the radio, as TCP makes them: what is sent arrives in order and once, late when packets are lost,
 * not at all while there is no way, and a reset tells the sender when the other end has no such connection. A peer
 * that vanished is simply silent.
 */
import type { PeerId } from '../src/base/ids.ts'
import type { Protocol } from '../src/base/protocol.ts'
import type { LossReason } from '../src/errors.ts'
import { dialTimeoutMs } from '../src/swarm/limits.ts'
import type { Agenda } from './agenda.ts'
import type { Chance } from './chance.ts'
import type { LinkTraffic } from '../src/swarm/liveness.ts'
import type { Radio } from './radio.ts'
import type { Station } from './station.ts'
import { type ChannelEnd, WireChannel } from './wire-channel.ts'
import { dropHeld, type End, type Parcel } from './wire-end.ts'

export type StationOf = (peer: PeerId) => Station | undefined

/** Delay of what is sent, above which a link counts as troubled. */
const fullMs = 1_000
/** From the end of a process until its host closes its connections: its memory is cleared away first. Measured: 15 to 35. */
const exitMs = 20
const handshakeRounds = 3
const handshakeBytes = 600

export class Wire {
  readonly #agenda: Agenda
  readonly #radio: Radio
  readonly #chance: Chance
  readonly #stationOf: StationOf
  /** Told when something found no way. */
  readonly #onTrouble: (from: number, to: number) => void
  /** Open ends: of a peer, to a peer. */
  readonly #endsOf = new Map<PeerId, Map<PeerId, End>>()
  readonly #waiting = new Set<End>()
  /** [from · stations + to] bytes that went from a station to another. */
  readonly bytes = new Map<number, number>()
  readonly #stations: number

  constructor(
    agenda: Agenda,
    radio: Radio,
    chance: Chance,
    stationOf: StationOf,
    stations: number,
    onTrouble: (from: number, to: number) => void
  ) {
    this.#onTrouble = onTrouble
    this.#stations = stations
    this.#agenda = agenda
    this.#radio = radio
    this.#chance = chance
    this.#stationOf = stationOf
  }

  isConnected(a: PeerId, b: PeerId): boolean {
    return this.#end(a, b) !== undefined
  }

  /** A long frame on its way is heard packet by packet. */
  #isArriving(end: End): boolean {
    const from = end.other
    return (
      from.flowsUntilMs > this.#agenda.nowMs &&
      from.held === 0 &&
      from.station.life === from.life &&
      this.#radio.path(from.station.index, end.station.index) !== undefined
    )
  }

  /** What each connection of a peer has carried so far. */
  traffic(station: Station, isWatched: (peer: PeerId) => boolean): LinkTraffic[] {
    const found: LinkTraffic[] = []
    for (const end of this.#endsOf.get(station.id)?.values() ?? []) {
      if (this.#isArriving(end)) end.bytesIn++
      const peer = end.other.station.id
      const watched = isWatched(peer)
      found.push({ peer, bytesIn: end.bytesIn, bytesOut: end.bytesOut, watched })
    }
    return found
  }

  /** Connections of a peer. */
  degree(peer: PeerId): number {
    return this.#endsOf.get(peer)?.size ?? 0
  }

  #end(self: PeerId, peer: PeerId): End | undefined {
    return this.#endsOf.get(self)?.get(peer)
  }

  /** Whether a beat of a peer would be heard now: it is awake, there is a way, and it has this connection, too. */
  hears(self: PeerId, peer: PeerId): boolean {
    const end = this.#end(self, peer)
    if (end === undefined) return false
    const { station, life, open } = end.other
    if (!open || station.life !== life || station.isFrozen) return false
    return this.#radio.path(station.index, end.station.index) !== undefined
  }

  #note(end: End): void {
    const ends = this.#endsOf.get(end.station.id)
    const peer = end.other.station.id
    if (ends === undefined) this.#endsOf.set(end.station.id, new Map([[peer, end]]))
    else ends.set(peer, end)
  }

  /** Dials; `done` hears whether there is a connection now. */
  dial(from: Station, to: PeerId, done: (isConnected: boolean) => void): void {
    const { life } = from
    const finish = (isConnected: boolean, afterMs: number): void => {
      this.#agenda.after(afterMs, () => from.enter(life, () => done(isConnected)))
    }
    if (this.isConnected(from.id, to)) {
      finish(true, 0)
      return
    }
    const target = this.#stationOf(to)
    const out = target === undefined ? undefined : this.#radio.path(from.index, target.index)
    const back = target === undefined ? undefined : this.#radio.path(target.index, from.index)
    if (target === undefined || out === undefined || back === undefined) {
      finish(false, dialTimeoutMs)
      return
    }
    if (target.life === 0) {
      finish(false, out.delayMs + back.delayMs)
      return
    }
    const theirs = target.life
    let atMs = this.#agenda.nowMs
    for (let round = 0; round < handshakeRounds; round++) {
      atMs = this.#radio.arrival(from.index, out, handshakeBytes, atMs, this.#chance)
      atMs = this.#radio.arrival(target.index, back, handshakeBytes, atMs, this.#chance)
    }
    if (atMs - this.#agenda.nowMs > dialTimeoutMs) {
      finish(false, dialTimeoutMs)
      return
    }
    this.#agenda.at(atMs, () => {
      if (from.life !== life || target.life !== theirs || from.isFrozen || target.isFrozen) {
        return finish(false, dialTimeoutMs)
      }
      if (!this.#radio.joins(from.index, target.index)) {
        finish(false, dialTimeoutMs)
        return
      }
      if (!this.isConnected(from.id, to) || !this.isConnected(to, from.id)) this.#join(from, target)
      done(true)
    })
  }

  #join(a: Station, b: Station): void {
    // What either end still held of an older connection is replaced by this one.
    this.#lose(this.#end(a.id, b.id), 'replaced by a newer connection')
    this.#lose(this.#end(b.id, a.id), 'replaced by a newer connection')
    const make = (station: Station): End => ({
      station,
      life: station.life,
      other: undefined as unknown as End,
      open: true,
      channels: new Set(),
      lastMs: 0,
      flowsUntilMs: 0,
      parcels: [],
      held: 0,
      heldSinceMs: 0,
      isFlushing: false,
      bytesIn: 0,
      bytesOut: 0
    })
    const [near, far] = [make(a), make(b)]
    near.other = far
    far.other = near
    this.#note(near)
    this.#note(far)
    a.connected(b.id)
    b.connected(a.id)
  }

  /** Ends a connection at this end; the other end hears of it if there is a way. */
  disconnect(self: PeerId, peer: PeerId, message: string, reason: LossReason): void {
    const end = this.#end(self, peer)
    if (end === undefined || !end.open) return
    this.carry(end, undefined, 40, () => this.#lose(end.other, 'the connection was closed'))
    this.#lose(end, message, reason)
  }

  /**
   * A process is gone. Where its host answers, the other ends hear of it at once; else they hear nothing.
   * `says` is false when even the host is gone.
   */
  vanish(station: PeerId, says: boolean): void {
    for (const end of [...(this.#endsOf.get(station)?.values() ?? [])]) {
      if (!end.open) continue
      end.open = false
      this.#endsOf.get(station)?.delete(end.other.station.id)
      this.#waiting.delete(end)
      dropHeld(end)
      for (const channel of [...end.channels]) {
        channel.handlers = undefined
        channel.end(undefined)
      }
      if (says) this.#reset(end.other, exitMs)
    }
  }

  /** Opens a channel, over a connection that may have to be made first. */
  open(
    from: Station,
    to: PeerId,
    protocol: Protocol,
    done: (channel: WireChannel | undefined, message: string, reason?: LossReason) => void
  ): { cancel(): void } {
    const { life } = from
    let isCancelled = false
    const settle = (channel: WireChannel | undefined, message: string, reason?: LossReason): void => {
      if (isCancelled) channel?.close()
      else done(channel, message, reason)
      isCancelled = true
    }
    const cancel = (): void => {
      isCancelled = true
    }
    const fail = (message: string): void => from.enter(life, () => settle(undefined, message))
    const { name } = protocol
    if (to === from.id) {
      const revision = from.speaks(protocol)
      if (revision === undefined) {
        this.#agenda.after(0, () => fail(`${to} does not speak ${name}`))
        return { cancel }
      }
      const near = new WireChannel(this, undefined, name, to, to)
      const far = new WireChannel(this, undefined, name, to, to)
      near.other = far
      far.other = near
      near.revision = revision
      far.revision = revision
      this.#agenda.after(0, () =>
        from.enter(life, () => {
          from.accept(far)
          settle(near, '')
        })
      )
    } else {
      this.dial(from, to, isConnected => {
        const end = this.#end(from.id, to)
        if (!isConnected || end === undefined || !end.open) return fail(`${to} cannot be reached`)
        const near = new WireChannel(this, end, name, from.id, to)
        near.handlers = {
          onFrame: () => {},
          onClose: (message, reason) => settle(undefined, message ?? `${to} closed it`, reason)
        }
        const ask = (): void => {
          if (!near.isOpen) return
          this.carry(end, near, 60, () => {
            const { station } = end.other
            const revision = station.speaks(protocol)
            if (revision === undefined) {
              this.carry(end.other, undefined, 60, () => near.end(`${to} does not speak ${name}`))
              return
            }
            const far = new WireChannel(this, end.other, name, to, from.id)
            near.other = far
            far.other = near
            near.revision = revision
            far.revision = revision
            this.carry(end.other, far, 60, () => {
              if (!near.isOpen) return
              near.handlers = undefined
              settle(near, '')
            })
            station.accept(far)
          })
        }
        this.#agenda.after(from.openMs, () => from.enter(life, ask))
      })
    }
    return { cancel }
  }

  /** Has a task done at the other end when so many bytes have arrived there. */
  carry(at: ChannelEnd | undefined, channel: WireChannel | undefined, bytes: number, task: () => void): void {
    const end = at as End | undefined
    if (end === undefined) {
      const station = this.#stationOf(channel!.self)
      if (station === undefined) return
      const { life } = station
      this.#agenda.after(0, () => station.enter(life, task))
      return
    }
    if (!end.open) return
    const key = end.station.index * this.#stations + end.other.station.index
    this.bytes.set(key, (this.bytes.get(key) ?? 0) + bytes)
    end.bytesOut += bytes
    const parcel: Parcel = { bytes, task, state: 'flying', arrival: undefined, isLost: false }
    end.parcels.push(parcel)
    if (end.held > 0 || end.isFlushing) this.#hold(end, parcel)
    else this.#send(end, parcel)
  }

  /** The air has changed: what was held may find a way, after the pause that TCP has grown to meanwhile. */
  changed(): void {
    for (const end of [...this.#waiting]) {
      if (end.isFlushing || this.#radio.path(end.station.index, end.other.station.index) === undefined) continue
      end.isFlushing = true
      const pauseMs = this.#chance.between(0, Math.min(30_000, this.#agenda.nowMs - end.heldSinceMs))
      this.#agenda.after(pauseMs, () => {
        end.isFlushing = false
        end.held = 0
        this.#waiting.delete(end)
        for (const parcel of [...end.parcels]) {
          if (parcel.state !== 'held') continue
          if (end.held > 0) end.held++
          else this.#send(end, parcel)
        }
      })
    }
  }

  #send(end: End, parcel: Parcel): void {
    const { other } = end
    const path = this.#radio.path(end.station.index, other.station.index)
    if (path === undefined) {
      this.#hold(end, parcel)
      return
    }
    parcel.state = 'flying'
    const arrivalMs = this.#radio.arrival(end.station.index, path, parcel.bytes, this.#agenda.nowMs, this.#chance)
    end.lastMs = Math.max(end.lastMs, arrivalMs)
    end.flowsUntilMs = Math.max(end.flowsUntilMs, this.#radio.flowsUntilMs)
    // Air that is as full as this is no fault of the peer behind it.
    if (end.lastMs - this.#agenda.nowMs > fullMs) this.#onTrouble(end.station.index, other.station.index)
    parcel.isLost = arrivalMs > this.#radio.flowsUntilMs
    // Half of it at either end; the same for all frames, so that none overtakes another.
    const softwareMs = (end.station.frameMs + other.station.frameMs) / 2
    const hereMs = Math.max(arrivalMs, end.flowsUntilMs) + softwareMs
    parcel.arrival = this.#agenda.at(hereMs, () => this.#arrive(end, parcel))
  }

  #arrive(end: End, parcel: Parcel): void {
    const { other } = end
    parcel.arrival = undefined
    if (this.#radio.path(end.station.index, other.station.index) === undefined) {
      this.#hold(end, parcel)
      return
    }
    if (!other.open || other.station.life !== other.life) {
      this.#reset(end)
      return
    }
    parcel.state = 'here'
    while (end.parcels[0]?.state === 'here') {
      const { task, bytes } = end.parcels.shift()!
      other.station.enter(other.life, () => {
        if (!other.open) return
        other.bytesIn += bytes
        task()
      })
    }
    this.#hasten(end, parcel)
  }

  /** What arrives behind something that was lost tells the sender, which need not wait for its timeout (RFC 8985). */
  #hasten(end: End, here: Parcel): void {
    if (end.parcels[0] === undefined) return
    const out = this.#radio.path(end.station.index, end.other.station.index)
    const back = this.#radio.path(end.other.station.index, end.station.index)
    if (out === undefined || back === undefined) return
    const soonMs = this.#agenda.nowMs + 1.25 * (back.delayMs + out.delayMs)
    for (const parcel of end.parcels) {
      if (parcel === here) return
      const { arrival } = parcel
      if (!parcel.isLost || arrival === undefined || arrival.atMs <= soonMs) continue
      if (this.#chance.happens(out.loss)) continue
      arrival.act = undefined
      parcel.arrival = this.#agenda.at(soonMs, () => this.#arrive(end, parcel))
    }
  }

  #hold(end: End, parcel: Parcel): void {
    // Both closing frames may be under way: what a closed end still sends is a courtesy.
    if (!end.open) return
    this.#onTrouble(end.station.index, end.other.station.index)
    if (end.held === 0) end.heldSinceMs = this.#agenda.nowMs
    end.held++
    parcel.state = 'held'
    this.#waiting.add(end)
  }

  /** The other host knows no such connection and says so. */
  #reset(end: End, afterMs = 0): void {
    const path = this.#radio.path(end.other.station.index, end.station.index)
    if (path === undefined || !end.open) return
    this.#agenda.after(afterMs + path.delayMs, () =>
      end.station.enter(end.life, () => this.#lose(end, 'the connection was reset'))
    )
  }

  #lose(end: End | undefined, message: string, reason: LossReason = 'closed'): void {
    if (end === undefined || !end.open) return
    end.open = false
    if (this.#end(end.station.id, end.other.station.id) === end) {
      this.#endsOf.get(end.station.id)!.delete(end.other.station.id)
    }
    this.#waiting.delete(end)
    dropHeld(end)
    for (const channel of [...end.channels]) channel.end(message, reason)
    end.station.disconnected(end.other.station.id)
  }
}
