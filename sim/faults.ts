/** What goes wrong in a world, and how it is mended. */
import { coverage } from '../src/route/coverage.ts'
import { place } from '../src/route/place.ts'
import { isServed } from '../src/route/route.ts'
import type { Asked } from './asked.ts'
import type { FaultKind, FaultSpec } from './scenario-fields.ts'
import { aftermathMs, type SimPeer } from './sim-peer.ts'
import type { World } from './world.ts'

/** What faults do that do not say how much: see `scenario.ts`. */
const slowFactorDefault = 5
const skewMsDefault = 60_000
/** Liars are found out within this, and what they claim is loaded: two probes in vain, and a load of a second or two. */
const claimHeardMs = 20_000

export class Faults {
  readonly #world: World
  /** Faults that wait for an answer. */
  readonly #ambushes: FaultSpec[] = []
  /** By kind and peer: how many faults that last there have been. */
  readonly #spells = new Map<string, number>()

  constructor(world: World) {
    this.#world = world
  }

  plan(): void {
    const chance = this.#world.chance.fork('faults')
    for (const spec of this.#world.scenario.faults) {
      this.#world.agenda.at(spec.atS * 1000, () => {
        if (spec.inAnswer) {
          this.#ambushes.push(spec)
          return
        }
        const named = this.#world.named(spec.who)
        const who = spec.any ? [chance.pick(named)] : named
        this.fault(spec.kind, who, {
          forMs: spec.forS === undefined ? undefined : spec.forS * 1000,
          factor: spec.factor ?? slowFactorDefault,
          ms: spec.ms ?? skewMsDefault
        })
      })
    }
    const { chaos } = this.#world.scenario
    if (chaos === undefined) return
    const untilMs = Math.min(this.#world.scenario.minutes * 60, chaos.untilS) * 1000
    const able = chaos.who === undefined ? this.#world.peers : this.#world.named(chaos.who)
    let atMs = chaos.fromS * 1000
    for (;;) {
      atMs += chance.wait(chaos.perMinute / 60_000)
      if (atMs >= untilMs) break
      this.#world.agenda.at(atMs, () => {
        const kind = chance.pick(chaos.kinds)
        const forMs = 1000 * chance.between(...chaos.forS)
        const count = kind === 'partition' ? chance.whole(1, Math.max(1, able.length - 1)) : kind === 'cut' ? 2 : 1
        const who = [...able]
        while (who.length > count) who.splice(Math.floor(chance.next() * who.length), 1)
        const candidates = kind === 'restart' ? this.#world.peers.filter(peer => peer.life === 0) : who
        if (candidates.length === 0) return
        this.fault(kind, kind === 'restart' ? [chance.pick(candidates)] : candidates, {
          forMs,
          factor: chance.between(2, 20),
          ms: chance.between(-3.6e6, 3.6e6)
        })
      })
    }
  }

  /** An answer is under way: what waited for one strikes a hop of its route, not its driver. */
  spring(driver: SimPeer, { route }: Asked): void {
    for (const spec of [...this.#ambushes]) {
      const named = this.#world.named(spec.who)
      const able = route.map(({ peer }) => this.#world.peerOf(peer)!).filter(peer => named.includes(peer))
      const victim = ambushed(able.filter(peer => peer !== driver))
      if (victim === undefined) continue
      this.#ambushes.splice(this.#ambushes.indexOf(spec), 1)
      const { kind, forS, factor = slowFactorDefault, ms = skewMsDefault } = spec
      const forMs = forS === undefined ? undefined : forS * 1000
      // After what this token causes, as a real fault would come.
      this.#world.agenda.after(0, () => this.fault(kind, [victim], { forMs, factor, ms, isAmbush: true }))
      return
    }
  }

  fault(
    kind: FaultKind,
    who: readonly SimPeer[],
    {
      forMs,
      factor,
      ms,
      isAmbush = false
    }: { forMs: number | undefined; factor: number; ms: number; isAmbush?: boolean }
  ): void {
    if (this.#world.isHealed) return
    this.#world.stats.faults++
    const long = forMs === undefined ? '' : ` for ${(forMs / 1000).toFixed(1)} s`
    this.#world.mark(`${kind}: ${who.map(({ name }) => name).join(', ')}${long}`)
    this.#world.tell({
      kind: 'fault',
      atMs: this.#world.nowMs,
      fault: kind,
      who: who.map(({ name }) => name),
      forMs,
      isAmbush
    })
    const sick = (peer: SimPeer, lengthMs = 0): void => {
      peer.sickUntilMs = Math.max(peer.sickUntilMs, this.#world.nowMs + lengthMs + aftermathMs)
    }
    /** When it is over, unless another one of its kind has followed it there. */
    const later = (act: () => void, where = ''): void => {
      const spell = `${kind} ${where}`
      const number = (this.#spells.get(spell) ?? 0) + 1
      this.#spells.set(spell, number)
      if (forMs === undefined) return
      this.#world.agenda.after(forMs, () => {
        if (!this.#world.isHealed && this.#spells.get(spell) === number) act()
      })
    }
    if (kind === 'partition') {
      this.#world.say(`${who.map(peer => peer.name).join(', ')} part from the others`)
      const sides = this.#world.peers.map(peer => (who.includes(peer) ? 1 : 0))
      this.#world.radio.part(sides)
      later(() => {
        this.#world.say('all are together again')
        this.#world.radio.part(undefined)
        // Only those who were apart may still say that they heard nothing.
        for (const a of who)
          for (const b of this.#world.peers) if (!who.includes(b)) this.#world.blame.noteTrouble(a.index, b.index)
        this.#world.wire.changed()
      })
      return
    }
    if (kind === 'cut') {
      const [a, b] = who
      if (a === undefined || b === undefined) return
      this.#world.say(`${a.name} and ${b.name} do not hear one another`)
      this.#world.radio.cut(a.index, b.index, true)
      later(() => {
        this.#world.radio.cut(a.index, b.index, false)
        this.#world.blame.noteTrouble(a.index, b.index)
        this.#world.wire.changed()
      }, `${this.#world.stats.faults}`)
      return
    }
    for (const peer of who) {
      switch (kind) {
        case 'crash':
          this.#world.crash(peer, true)
          break
        case 'power':
          this.#world.crash(peer, false)
          break
        case 'stop':
          this.#world.stop(peer)
          break
        case 'drain':
          this.#world.drain(peer)
          break
        case 'restart':
          this.#world.boot(peer)
          break
        case 'freeze': {
          if (peer.life === 0) break
          const { life } = peer
          this.#world.say(`${peer.name} freezes`)
          sick(peer, forMs ?? 0)
          peer.freeze()
          later(() => {
            if (peer.life !== life || !peer.isFrozen) return
            this.#world.say(`${peer.name} thaws`)
            peer.thaw()
          }, peer.name)
          break
        }
        case 'slow':
          this.#world.say(`${peer.name} slows down ${factor.toFixed(1)} times`)
          sick(peer, forMs ?? 0)
          peer.slowFactor = factor
          later(() => {
            peer.slowFactor = 1
          }, peer.name)
          break
        case 'skew':
          this.#world.say(`the clock of ${peer.name} jumps by ${(ms / 1000).toFixed(0)} s`)
          peer.skewMs += ms
          break
        case 'mute':
        case 'hang': {
          if (peer.life === 0) break
          const { life } = peer
          const stills = (isStill: boolean): void => {
            if (kind === 'mute') peer.isMute = isStill
            else peer.isHung = isStill
          }
          this.#world.say(`${peer.name} ${kind === 'mute' ? 'says nothing any more' : 'has an engine that hangs'}`)
          sick(peer, forMs ?? 0)
          stills(true)
          later(() => {
            if (peer.life !== life) return
            this.#world.say(`${peer.name} gets on again`)
            sick(peer)
            stills(false)
            peer.resume()
          }, peer.name)
          break
        }
        case 'corrupt':
        case 'garble':
        case 'claim':
        case 'steal':
        case 'hoard':
        case 'flood':
          this.#world.say(`${peer.name} begins to lie: ${kind}`)
          peer.lie = kind
          // Who only means harm to sessions leaves no step that cannot be computed.
          this.#world.blame.hasLied ||= kind !== 'steal' && kind !== 'hoard' && kind !== 'flood'
          if (kind === 'claim') {
            peer.process?.saySoon()
            this.#world.agenda.after(claimHeardMs, () => this.#checkClaims())
          }
          later(() => {
            if (peer.lie !== kind) return
            // What it said is still on its way.
            this.#world.agenda.after(aftermathMs, () => {
              if (peer.lie === kind) this.#repent(peer)
            })
          }, peer.name)
          break
      }
    }
  }

  /** Lies no more; what it has said is still on its way. */
  #repent(peer: SimPeer): void {
    peer.lie = undefined
    peer.process?.saySoon()
    peer.liedUntilMs = this.#world.nowMs + aftermathMs
    peer.sickUntilMs = Math.max(peer.sickUntilMs, peer.liedUntilMs)
  }

  /** While liars say that they serve everything, the others serve what their budgets can, as if nobody had said so. */
  #checkClaims(): void {
    // Where something else is wrong as well, layers may be on their way for that.
    const { faults, chaos } = this.#world.scenario
    const liars = this.#world.peers.filter(peer => peer.lie === 'claim')
    if (liars.length === 0 || chaos !== undefined || faults.some(({ kind }) => kind !== 'claim')) return
    this.#world.promises.checks++
    const honest = this.#world.views().filter(view => liars.every(({ id }) => id !== view.peer))
    if (place(honest, this.#world.shape).missing !== null || isServed(honest, this.#world.shape)) return
    this.#world.promises.broken(
      'uncovered',
      `${liars.map(({ name }) => name).join(', ')} have claimed to serve everything for ${claimHeardMs / 1000} s, and ` +
        `layers are served by ${coverage(honest, this.#world.shape)}`
    )
  }

  /** Ends all faults and gives power to those who are needed to cover the model. */
  heal(): void {
    for (const { kind, who } of this.#ambushes) {
      this.#world.say(`${kind} waited for an answer through ${who.join(', ')}, and none came`)
    }
    this.#world.say('everything is healed')
    this.#world.mark('everything is healed')
    this.#world.isHealed = true
    this.#world.stats.healed({
      atMs: this.#world.nowMs,
      wireBytes: this.#world.wireBytesSoFar(),
      joules: this.#world.energy.joules(),
      levels: this.#world.energy.charges()
    })
    this.#world.radio.heal()
    for (const a of this.#world.peers) {
      a.slowFactor = 1
      a.sickUntilMs = Math.max(a.sickUntilMs, this.#world.nowMs + aftermathMs)
      if (a.isFrozen) a.thaw()
      a.isMute = false
      a.isHung = false
      a.resume()
    }
    // Lies that are on their way may arrive late.
    this.#world.agenda.after(aftermathMs, () => {
      for (const peer of this.#world.peers) if (peer.lie !== undefined) this.#repent(peer)
    })
    const chance = this.#world.chance.fork('heal')
    const isAll = chance.happens(0.5)
    for (const peer of this.#world.peers) {
      if (peer.life !== 0) continue
      if (!isAll && place(this.#world.views(), this.#world.shape).missing === null) break
      peer.isCharging = false
      peer.joules = Math.max(peer.joules, 0.8 * (peer.group.batteryWh ?? 0) * 3600)
      peer.sickUntilMs = 0
      this.#world.boot(peer)
    }
    this.#world.wire.changed()
    const probeMs = Math.min(45_000, this.#world.scenario.healS * 500)
    this.#world.agenda.after(probeMs, () => {
      const able = this.#world.peers.filter(peer => peer.life !== 0 && !peer.isGoing)
      if (able.length > 0) this.#world.answers.prompt(chance.pick(able), 20, 10, 0, chance, { isProbe: true })
    })
  }
}

/** Whom of those on a route a fault in mid-answer strikes: the one in the middle. */
export function ambushed<T>(able: readonly T[]): T | undefined {
  return able[able.length >> 1]
}
