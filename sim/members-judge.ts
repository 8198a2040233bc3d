/** What must hold in worlds of members: looked at all the time, and once more after everything has healed. */
import { TrustFrame } from '../protocols/trust.ts'
import { keyText } from '../src/trust/keys.ts'
import type { Agenda } from './agenda.ts'
import { type KnownModelKey, type Machine, type MembersPromise, pairOf } from './members-machine.ts'

const minute = 60_000
/** Everybody who could hear of a revocation all the time has acted on it within this. */
const spreadMs = 2_000
/** A member that is refused by another one for longer than this, with nothing in their way, is locked out. */
const lockedMs = 30_000
/** A clock may be wrong by as much before anybody could know. */
const clockSlackMs = 6 * minute
/** How far clocks may be apart without anything following from it: that of a member, and as much of those around it. */
const clockApartMs = 13 * minute
/** Two members with the right time, more than have a wrong one, set the clock of a third within this. */
const clockSetMs = 10_000

/** What is seen of a world. */
export interface JudgedWorld {
  readonly agenda: Agenda
  readonly machines: readonly Machine[]
  readonly modelKeys: readonly KnownModelKey[]
  /** Pairs that have a connection. */
  readonly connected: ReadonlySet<string>
  /** Since when two machines could hear one another without a break. */
  readonly together: ReadonlyMap<string, number>
  readonly trueMs: number
  break(promise: MembersPromise, message: string): void
}

export class MembersJudge {
  /** Pairs that were looked at, to show that there were some. */
  checks = 0
  readonly #world: JudgedWorld
  /** Since when a machine's clock has been wrong among others that are right. */
  readonly #settable = new Map<Machine, number>()
  /** Since when one member has refused another one. */
  readonly #locked = new Map<string, number>()

  constructor(world: JudgedWorld) {
    this.#world = world
  }

  /** Looks at everything. */
  look(): void {
    for (const [i, a] of this.#world.machines.entries()) {
      if (a.life === undefined || a.isCaptured) continue
      this.#judgeTime(a)
      this.#judgeModelKeys(a)
      for (const [j, b] of this.#world.machines.entries()) {
        if (i === j || b.life === undefined) continue
        this.checks++
        this.#judgePair(a, b)
      }
    }
  }

  #judgeTime(machine: Machine): void {
    const { membership } = machine.life!
    if (membership.nowMs() < membership.ledger.signedMs) {
      this.#world.break('wrong-time', `${machine.name} takes it for earlier than when somebody signed what it has`)
    }
    const others = this.#world.machines.filter(
      other => other !== machine && this.#world.connected.has(pairOf(machine, other))
    )
    const right = others.filter(other => !other.isCaptured && this.#hasRightTime(other)).length
    const isSettable = right >= 2 && right > others.length - right
    const since = this.#settable.get(machine)
    const apartMs = Math.abs(membership.nowMs() - this.#world.trueMs)
    if (!isSettable || apartMs < clockApartMs) this.#settable.delete(machine)
    else if (since === undefined) this.#settable.set(machine, this.#world.agenda.nowMs)
    else if (this.#world.agenda.nowMs - since > clockSetMs) {
      const apart = (membership.nowMs() - this.#world.trueMs) / 1000
      this.#world.break('wrong-time', `${machine.name} is ${apart} s off among ${right} members who know the time`)
    }
  }

  /** A key that signs models is void where the authority says so or its time is over, and nobody else's word makes it so. */
  #judgeModelKeys(machine: Machine): void {
    const { ledger } = machine.life!.membership
    for (const certificate of ledger.modelKeys()) {
      const known = this.#world.modelKeys.find(({ key }) => key === certificate.last.subject)!
      const refusal = ledger.refusalOf(certificate, machine.life!.membership.nowMs())
      if (refusal?.includes('was revoked') === true && !known.isRevoked)
        this.#world.break(
          'model-key-lost',
          `${machine.name} takes ${known.name} for revoked, and no authority has said so`
        )
      if (refusal === undefined && this.#hasRightTime(machine) && this.#world.trueMs > known.notAfterMs + clockSlackMs)
        this.#world.break('model-key-kept', `${machine.name} takes what ${known.name} signs, whose time is over`)
    }
  }

  #judgePair(a: Machine, b: Machine): void {
    const { nowMs } = this.#world.agenda
    const isConnected = this.#world.connected.has(pairOf(a, b))
    const refusal = a.life!.membership.refusalOf(b.id)
    if (isConnected && refusal?.includes('was revoked') === true) {
      this.#world.break('revoked-connected', `${a.name} knows that ${b.name} was revoked, and is connected with it`)
    }
    const endedMs = this.#endOf(b, a, b)
    if (isConnected && this.#world.trueMs > endedMs + clockSlackMs && this.#hasRightTime(a)) {
      this.#world.break(
        'expired-admitted',
        `${a.name} is connected with ${b.name}, whose certificate ended ${(this.#world.trueMs - endedMs) / 1000} s ago`
      )
    }
    const since = this.#world.together.get(pairOf(a, b))
    const isGood = !b.isCaptured && [a, b].every(each => this.#isRightful(each, a, b))
    const isLockedOut = isGood && !isConnected && since !== undefined && nowMs - since > lockedMs
    const key = `${a.name} ${b.name}`
    if (!isLockedOut) this.#locked.delete(key)
    else if (!this.#locked.has(key)) this.#locked.set(key, nowMs)
    else if (nowMs - this.#locked.get(key)! > lockedMs) {
      this.#world.break(
        'member-locked-out',
        `${a.name} and ${b.name} could meet for ${(nowMs - since) / 1000} s: ${refusal ?? b.life!.membership.refusalOf(a.id) ?? 'nobody says why they do not'}`
      )
    }
  }

  /** A machine's certificate is good now, by what these know. */
  #isRightful(machine: Machine, ...by: readonly Machine[]): boolean {
    const isOut = machine.revokedMs !== undefined || machine.isConflicted
    return !isOut && this.#endOf(machine, ...by) > this.#world.trueMs + clockSlackMs && this.#hasRightTime(machine)
  }

  /** When the last of a machine's certificates ends that these know of. */
  #endOf(machine: Machine, ...by: readonly Machine[]): number {
    const key = keyText(machine.key.publicKey)
    return Math.max(...by.map(({ life }) => life?.membership.ledger.endOf(key) ?? 0))
  }

  /** Whether a machine could know what time it is. */
  #hasRightTime({ life }: Machine): boolean {
    return Math.abs(life!.membership.nowMs() - this.#world.trueMs) < clockSlackMs
  }

  /** After everybody could meet for two minutes: all honest members know the same, and know one another. */
  settled(): void {
    const honest = this.#world.machines.filter(
      each => each.life !== undefined && !each.isCaptured && this.#isRightful(each, each)
    )
    for (const a of honest) {
      const known = a.life!.membership
      for (const b of honest) {
        if (a === b) continue
        if (!this.#world.connected.has(pairOf(a, b)))
          this.#world.break(
            'unsettled',
            `${a.name} and ${b.name} are not connected at the end: ${known.refusalOf(b.id) ?? 'no reason'}`
          )
        if (Buffer.compare(known.ledger.digest, b.life!.membership.ledger.digest) !== 0)
          this.#world.break('unsettled', `${a.name} and ${b.name} know different things at the end`)
        if (known.epoch !== b.life!.membership.epoch)
          this.#world.break(
            'unsettled',
            `${a.name} is in epoch ${known.epoch}, ${b.name} in ${b.life!.membership.epoch}`
          )
      }
      for (const b of this.#world.machines) {
        if (b.revokedMs === undefined || this.#world.agenda.nowMs - b.revokedMs < spreadMs) continue
        // Nobody may have been left who had heard of it: a machine whose disk is older than that, and nobody else.
        const isHeard = honest.some(each => each.life!.membership.refusalOf(b.id)?.includes('was revoked') === true)
        if (isHeard && known.refusalOf(b.id) === undefined)
          this.#world.break('revocation-late', `${a.name} takes ${b.name} for a member at the end`)
      }
    }
    const twins = this.#world.machines.filter(({ isConflicted }) => isConflicted)
    for (const a of honest) {
      const known = twins.filter(({ key }) => a.life!.membership.ledger.isKnown(keyText(key.publicKey)))
      const isOne = twins.some(twin => this.#world.connected.has(pairOf(a, twin)))
      if (known.length > 1 && isOne)
        this.#world.break(
          'unsettled',
          `${a.name} knows that one invitation was used twice, and is connected with one who did`
        )
    }
  }

  /** Whoever can hear of it all the time has acted on it soon. */
  watchSpread(from: Machine, target: Machine): void {
    const near = this.#world.machines.filter(other => other === from || this.#world.connected.has(pairOf(from, other)))
    const lives = near.map(each => [each, each.life, this.#world.together.get(pairOf(from, each))] as const)
    this.#world.agenda.after(spreadMs, () => {
      for (const [each, life, sinceMs] of lives) {
        const isApart =
          each !== from && (this.#world.together.get(pairOf(from, each)) ?? Number.POSITIVE_INFINITY) !== sinceMs
        if (each.life === undefined || each.life !== life || from.life === undefined || each.isCaptured || isApart)
          continue
        if (each.life.membership.refusalOf(target.id)?.includes('was revoked') === true) continue
        this.#world.break(
          'revocation-late',
          `${each.name} takes ${target.name} for a member ${spreadMs} ms after ${from.name} was told`
        )
      }
    })
  }

  /** What a machine in the wrong hands is told that the one who tells it takes for no member. */
  overhear(frame: Uint8Array, from: Machine, to: Machine): void {
    if (!to.isCaptured || from.isCaptured || TrustFrame.decode(frame).secrets.length === 0) return
    if (from.life!.membership.refusalOf(to.id) === undefined) return
    this.#world.break('secret-leaked', `${from.name} gives ${to.name} a secret, and refuses it`)
  }
}
