/**
 * Worlds of members: the production membership of some peers over virtual links and clocks, while machines are captured, revoked by the authority and
 * by deputies on either side of a split, restarted from old disks, renewed, made twice by one invitation, and given clocks that start in
 * 1970, jump or run backwards. What must hold is looked at all the time, and once more after everything has healed.
 */
import { Membership } from '../src/swarm/membership-service.ts'
import type { Links } from '../src/swarm/links.ts'
import type { MemberFile } from '../src/swarm/member-file.ts'
import { Admission, type Desk, type Outcome } from '../src/trust/admission.ts'
import { keyText } from '../src/trust/keys.ts'
import { Ledger } from '../src/trust/ledger.ts'
import { openEpoch } from '../src/trust/sealing.ts'
import type { SigningKey } from '../src/trust/signing-key.ts'
import { Agenda } from './agenda.ts'
import { Chance } from './chance.ts'
import { LifeClock } from './life-clock.ts'
import { birthMs, MembersCast, peerOf } from './members-cast.ts'
import { type JudgedWorld, MembersJudge } from './members-judge.ts'
import {
  BrokenMembership,
  isCertified,
  isRevoked,
  type KnownModelKey,
  type Machine,
  type MembersPromise,
  pairOf
} from './members-machine.ts'
import { MemoryWorld } from './memory-links.ts'

const minute = 60_000
const hour = 60 * minute
const year = 365 * 24 * hour
/** How often those in range try to connect. */
const meetMs = 250
/** Between two tries of a machine that was refused, or that came by the door in the wrong hands. */
const againMs = 4_000
/** How often it is looked at whether everything holds. */
const judgeMs = 1_000

export interface MembersSummary {
  readonly revocations: number
  readonly modelKeys: number
  readonly admissions: number
  readonly refusals: number
  readonly doors: number
  readonly checks: number
}

export class MembersWorld implements JudgedWorld {
  readonly agenda = new Agenda()
  readonly #chance: Chance
  readonly #cast: MembersCast
  readonly #air: MemoryWorld
  readonly machines: Machine[] = []
  readonly modelKeys: KnownModelKey[] = []
  readonly connected = new Set<string>()
  /** Number of the part in which a machine is, while the swarm is split. */
  #sides: readonly number[] = []
  /** Since when two machines could hear one another without a break. */
  readonly together = new Map<string, number>()
  /** When two that were refused try again. */
  readonly #againMs = new Map<string, number>()
  readonly #counts = { revocations: 0, modelKeys: 0, admissions: 0, refusals: 0, doors: 0 }
  broken: BrokenMembership | undefined
  readonly #judge = new MembersJudge(this)

  constructor(seed: number) {
    this.#chance = new Chance(seed)
    this.#cast = new MembersCast(this.#chance.fork('cast'), this.#chance.whole(1, 2))
    this.#air = new MemoryWorld({
      schedule: (delayMs, task) => void this.agenda.after(delayMs, task),
      delayMs: () => 5
    })
    const count = this.#chance.whole(4, 9)
    for (let i = 0; i < count; i++) this.machines.push(this.#machine(`peer-${i}`))
    if (this.#chance.next() < 0.3) this.#twin()
    this.#sides = this.machines.map(() => 0)
  }

  #machine(name: string, given?: { key: SigningKey; file: MemberFile }): Machine {
    const key = given?.key ?? this.#cast.drawKey()
    const ends = birthMs + (this.#chance.next() < 0.2 ? this.#chance.between(1, 4) * minute : 1e9)
    const file = given?.file ?? this.#cast.joined(key, { notBeforeMs: birthMs - 1e6, notAfterMs: Math.floor(ends) })
    const disk = { file, items: [], revoked: [] }
    return {
      name,
      id: peerOf(key),
      key,
      disk,
      old: disk,
      life: undefined,
      skewMs:
        this.#chance.next() < 0.15
          ? this.#chance.pick([-(birthMs - 1e9), 70 * year, -year])
          : this.#chance.between(-2, 2) * minute,
      isCaptured: false,
      revokedMs: undefined,
      isConflicted: given !== undefined
    }
  }

  /** One invitation makes two machines members. */
  #twin(): void {
    const keys = [this.#cast.drawKey(), this.#cast.drawKey()] as const
    const files = this.#cast.twins([...keys], { notBeforeMs: birthMs - 1e6, notAfterMs: birthMs + 1e9 })
    for (const [i, key] of keys.entries()) this.machines.push(this.#machine(`twin-${i}`, { key, file: files[i]! }))
  }

  get trueMs(): number {
    return birthMs + this.agenda.nowMs
  }

  /** Lives through everything. @throws {BrokenMembership} */
  async run(): Promise<MembersSummary> {
    for (const machine of this.machines) this.agenda.at(this.#chance.between(0, 5_000), () => this.#boot(machine))
    this.#every(meetMs, () => this.#meet())
    this.#every(judgeMs, () => this.#judge.look())
    const untilMs = this.#chance.between(3, 13) * minute
    for (let atMs = 8_000; atMs < untilMs; atMs += this.#chance.between(500, 25_000)) {
      this.agenda.at(atMs, () => this.#event())
    }
    await this.#live(untilMs)
    this.#heal()
    await this.#live(untilMs + 2 * minute)
    this.#judge.settled()
    if (this.broken !== undefined) throw this.broken
    for (const machine of this.machines) this.#kill(machine)
    await this.#live(untilMs + 2 * minute + 1)
    return { ...this.#counts, checks: this.#judge.checks }
  }

  #every(ms: number, task: () => void): void {
    this.agenda.after(ms, () => {
      task()
      this.#every(ms, task)
    })
  }

  async #live(untilMs: number): Promise<void> {
    try {
      await this.agenda.live(untilMs, () => this.broken !== undefined)
    } catch (error) {
      this.broken ??=
        error instanceof BrokenMembership
          ? error
          : new BrokenMembership('crash', this.agenda.nowMs, (error as Error).stack ?? String(error))
    }
    if (this.broken !== undefined) throw this.broken
  }

  break(promise: MembersPromise, message: string): void {
    this.broken ??= new BrokenMembership(promise, this.agenda.nowMs, message)
  }

  // ── What happens ──────────────────────────────────────────────────────────────────────────────────

  #event(): void {
    const machine = this.#chance.pick(this.machines)
    const kind = this.#chance.pick([
      'revoke',
      'revoke',
      'split',
      'join',
      'restart',
      'old-disk',
      'clock',
      'renew',
      'capture',
      'model-key'
    ])
    if (kind === 'split') this.#sides = this.machines.map(() => this.#chance.whole(0, 2))
    if (kind === 'join') this.#sides = this.machines.map(() => 0)
    if (kind === 'capture' && machine.revokedMs === undefined) machine.isCaptured = true
    if (kind === 'revoke') this.#revoke(machine)
    if (kind === 'renew') this.#renew(machine)
    if (kind === 'model-key') this.#signer(machine)
    if (kind === 'clock') {
      machine.skewMs =
        this.#chance.next() < 0.5
          ? this.#chance.pick([-(birthMs - 1e9), 70 * year, -hour, 3 * hour])
          : this.#chance.between(-5, 5) * minute
    }
    if (kind === 'restart' || kind === 'old-disk') {
      this.#kill(machine)
      if (kind === 'old-disk') machine.disk = machine.old
      this.agenda.after(this.#chance.between(100, 20_000), () => this.#boot(machine))
    }
  }

  /** Somebody who may puts a machine out, at any member that is no more lost than others. */
  #revoke(target: Machine): void {
    const at = this.#chance.pick(this.machines)
    const { life } = at
    const isOdd =
      target.revokedMs !== undefined || at === target || at.isCaptured || at.revokedMs !== undefined || at.isConflicted
    if (life === undefined || isOdd || !life.membership.ledger.isKnown(keyText(target.key.publicKey))) return
    if (this.machines.filter(({ revokedMs }) => revokedMs !== undefined).length * 2 >= this.machines.length) return
    const { ledger, epoch } = life.membership
    const signer = this.#chance.pick(this.#cast.signers)
    // A deputy signs in the time for which it may: that of its own watch.
    const item = this.#cast.revocation(signer, keyText(target.key.publicKey), { ledger, epoch, nowMs: this.trueMs })
    target.revokedMs = this.agenda.nowMs
    this.#counts.revocations++
    life.membership.give([item])
    this.#judge.watchSpread(at, target)
  }

  #renew(machine: Machine): void {
    const through = this.#chance.pick(this.machines)
    if (through.life === undefined || through.isCaptured || machine.revokedMs !== undefined || machine.isConflicted)
      return
    const notAfterMs = Math.floor(this.trueMs + this.#chance.between(1, 10) * hour)
    through.life.membership.give([
      this.#cast.renewal(keyText(machine.key.publicKey), Math.floor(this.trueMs), notAfterMs)
    ])
  }

  /** A key comes to sign models, or is revoked: by the authority, or in vain by a deputy. */
  #signer(through: Machine): void {
    const { life } = through
    if (life === undefined || through.isCaptured || through.revokedMs !== undefined || through.isConflicted) return
    const known = this.modelKeys.filter(({ key, isRevoked }) => !isRevoked && isCertified(life.membership.ledger, key))
    if (known.length === 0) {
      const name = `model-key-${this.modelKeys.length}`
      const notAfterMs = Math.floor(this.trueMs + this.#chance.pick([2 * minute, 10 * hour]))
      const key = this.#cast.modelKey(name, Math.floor(this.trueMs), notAfterMs)
      this.modelKeys.push({ ...key, isRevoked: false })
      this.#counts.modelKeys++
      life.membership.give([key.item])
      return
    }
    const target = this.#chance.pick(known)
    const signer = this.#chance.pick(this.#cast.signers)
    target.isRevoked = signer.certificate === undefined
    life.membership.give([
      this.#cast.keyRevocation(signer, target, { ledger: life.membership.ledger, nowMs: this.trueMs })
    ])
  }

  #boot(machine: Machine): void {
    if (machine.life !== undefined) return
    let isOver = false
    const clock = new LifeClock({
      agenda: this.agenda,
      enter: task => {
        if (!isOver) task()
      },
      beginMs: this.#chance.between(0, 1e6),
      drift: 0,
      wallMs: () => this.trueMs + machine.skewMs
    })
    let membership: Membership
    try {
      membership = new Membership({
        self: machine.id,
        ...machine.disk,
        keep: async (file, items) => {
          if (isOver) return
          if (this.#chance.next() < 0.2) machine.old = machine.disk
          machine.disk = { file, items, revoked: this.machines.filter(other => isRevoked(membership, other)) }
        },
        verify: this.#cast.verify,
        openEpoch: epoch => openEpoch(epoch, machine.key.seed),
        onWarning: () => {},
        clock
      })
    } catch (error) {
      if ((error as Error).name === 'InvalidMembershipError') return
      throw error
    }
    const forgotten = machine.disk.revoked.find(other => !isRevoked(membership, other))
    if (forgotten !== undefined)
      this.break('forgotten', `${machine.name} knew that ${forgotten.name} was revoked, and starts without that`)
    const links = this.#air.join(machine.id)
    for (const other of this.machines) if (other !== machine) this.#air.cut(machine.id, other.id)
    machine.life = {
      membership,
      end: () => {
        isOver = true
        this.#air.kill(machine.id)
      }
    }
    void this.#start(machine, membership, links)
  }

  async #start(machine: Machine, membership: Membership, links: Links): Promise<void> {
    await membership.start({
      links,
      connected: () => this.machines.flatMap(other => (this.connected.has(pairOf(machine, other)) ? [other.id] : [])),
      onRefused: peer => {
        const other = this.machines.find(({ id }) => id === peer)
        if (other !== undefined) this.#part(machine, other)
      },
      onMembers: () => {},
      onSecrets: () => {},
      onViolation: (peer, kind, message) => {
        if (this.machines.find(({ id }) => id === peer)?.isCaptured !== true) this.break('crash', `${kind}: ${message}`)
      }
    })
  }

  #kill(machine: Machine): void {
    for (const other of this.machines) this.#part(machine, other)
    machine.life?.end()
    machine.life = undefined
  }

  #heal(): void {
    this.#sides = this.machines.map(() => 0)
    for (const machine of this.machines) {
      if (Math.abs(machine.skewMs) > hour) machine.skewMs = 0
      if (machine.life === undefined) this.#boot(machine)
    }
  }

  // ── Who meets whom ────────────────────────────────────────────────────────────────────────────────

  #meet(): void {
    for (const [i, a] of this.machines.entries()) {
      for (const [j, b] of this.machines.entries()) {
        if (j <= i) continue
        const isNear = a.life !== undefined && b.life !== undefined && this.#sides[i] === this.#sides[j]
        if (!isNear) {
          this.#part(a, b)
          this.together.delete(pairOf(a, b))
          continue
        }
        if (!this.together.has(pairOf(a, b))) this.together.set(pairOf(a, b), this.agenda.nowMs)
        if (this.connected.has(pairOf(a, b)) || (a.isCaptured && b.isCaptured)) continue
        if (this.agenda.nowMs < (this.#againMs.get(pairOf(a, b)) ?? 0)) continue
        if (this.#chance.next() < 0.5) this.#dial(a, b)
        else this.#dial(b, a)
      }
    }
  }

  #dial(a: Machine, b: Machine): void {
    const [mine, theirs] = [a, b].map(({ life }) =>
      life!.membership.openSecrets().map(secret => Buffer.from(secret).toString('hex'))
    )
    const isDoor = !mine!.some(secret => theirs!.includes(secret))
    const outcomes = this.#admit(a, b)
    const isAdmitted = outcomes.every(outcome => outcome?.isAdmitted === true)
    this.#counts[isAdmitted ? (isDoor ? 'doors' : 'admissions') : 'refusals']++
    const isInVain = !isAdmitted || (isDoor && (a.isCaptured || b.isCaptured))
    if (isInVain) this.#againMs.set(pairOf(a, b), this.agenda.nowMs + againMs)
    if (!isAdmitted || isDoor) return
    this.connected.add(pairOf(a, b))
    this.#air.heal(a.id, b.id)
    for (const [self, other] of [
      [a, b],
      [b, a]
    ] as const) {
      self.life?.membership.connected(other.id)
    }
  }

  #admit(a: Machine, b: Machine): (Outcome | undefined)[] {
    const ends = [
      new Admission({ isDialler: true, remote: keyText(b.key.publicKey), desk: this.#deskOf(a) }),
      new Admission({ isDialler: false, remote: keyText(a.key.publicKey), desk: this.#deskOf(b) })
    ]
    const outcomes: (Outcome | undefined)[] = [undefined, undefined]
    let frame: Uint8Array | undefined = ends[0]!.begin()
    for (let to = 1; frame !== undefined; to = 1 - to) {
      const turn = ends[to]!.take(frame)
      outcomes[to] = turn.outcome ?? outcomes[to]
      frame = turn.send
      if (frame !== undefined) this.#judge.overhear(frame, ...(to === 1 ? ([b, a] as const) : ([a, b] as const)))
    }
    return outcomes
  }

  /** What a machine brings to an admission: in the wrong hands all that it has, and nothing that speaks against it. */
  #deskOf(machine: Machine): Desk {
    const { desk } = machine.life!.membership
    if (!machine.isCaptured) return desk
    const ledger = new Ledger({
      swarm: this.#cast.swarm,
      authority: this.#cast.authority.key,
      recovery: this.#cast.recovery.key,
      verify: this.#cast.verify
    })
    for (const item of machine.old.items) ledger.add(item, birthMs)
    return {
      ...desk,
      ledger: Object.assign(ledger, {
        standingOf: () => ({ isMember: true, certificate: desk.certificate, roles: new Set() }) as never
      }),
      certificate: machine.disk.file.certificate,
      epoch: 0,
      nowMs: () => birthMs,
      learnt: () => {}
    }
  }

  #part(a: Machine, b: Machine): void {
    if (!this.connected.delete(pairOf(a, b))) return
    this.#air.cut(a.id, b.id)
    for (const [self, other] of [
      [a, b],
      [b, a]
    ] as const) {
      self.life?.membership.disconnected(other.id)
    }
  }
}
