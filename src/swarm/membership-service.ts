/**
 * This peer's membership in a swarm with members (protocols/trust.md): its ledger, its secrets and what time it is, kept on disk, told to
 * neighbours at once, and looked at whenever something is asked of it.
 */
import { PeerBudgets } from '../base/budget.ts'
import { type Clock, systemClock, type Timer } from '../base/clock.ts'
import { systemBytes } from '../base/entropy.ts'
import type { PeerId } from '../base/ids.ts'
import type { Protocol } from '../base/protocol.ts'
import { InvalidMembershipError, ProtocolError } from '../errors.ts'
import type { Desk } from '../trust/admission.ts'
import { type EpochSecret, Epochs, isDigestOf } from '../trust/epochs.ts'
import { encodeFrame, itemBytes, itemsWithin, readFrame } from '../trust/frame.ts'
import { type Certificate, readCertificate, swarmIdOf } from '../trust/grant.ts'
import { itemOfCertificate } from '../trust/item.ts'
import { type KeyText, keyOfPeer, keyText, peerOfKey } from '../trust/keys.ts'
import { Ledger, type Standing } from '../trust/ledger.ts'
import { clockToleranceMs, epochGraceMs, frameItemBytesMax } from '../trust/limits.ts'
import type { Role } from '../trust/roles.ts'
import { TrustedTime } from '../trust/time.ts'
import { AttestationService } from './attestation-service.ts'
import { GuardedLinks } from './guarded-links.ts'
import { congestedMs } from './limits.ts'
import {
  membershipKeepMs,
  membershipLookMs,
  membershipWriteMs,
  trustChannelsMax,
  trustFrameBytesMax,
  trustFramesBurstMax,
  trustFramesPerSecondMax
} from './membership-limits.ts'
import type { Channel, Links } from './links.ts'
import { withinRoles } from './member-roles.ts'
import type { SwarmRecord } from './record.ts'
import type { MembershipInit, MembershipLinks } from './membership-init.ts'

export const trustProtocol: Protocol = { name: '/skein/trust', revisions: ['1.0.0'] }

export class Membership {
  readonly id: string
  readonly ledger: Ledger
  readonly desk: Desk
  readonly attestation: AttestationService
  readonly #init: MembershipInit
  readonly #clock: Clock
  readonly #self: KeyText
  readonly #epochs = new Epochs()
  readonly #time: TrustedTime
  readonly #channels = new Map<PeerId, Promise<Channel>>()
  readonly #ended = new AbortController()
  /** Frames that each member may send: what one costs its reader are signatures to check, or all of a ledger to send. */
  readonly #frames = new PeerBudgets({
    perSecond: trustFramesPerSecondMax,
    burst: trustFramesBurstMax
  })
  /** Peers to whom is being given what they lack. */
  readonly #answering = new Set<PeerId>()
  /** Peers that were told of as refused, so that it is done once. */
  readonly #refused = new Set<PeerId>()
  /** What was looked up lately. */
  readonly #roles = new Map<PeerId, ReadonlySet<Role>>()
  #running: MembershipLinks | undefined
  #timers: Timer[] = []
  #keep: Timer | undefined
  #said = ''
  /** What the time was when it was looked at last. */
  #told: { readonly timeMs: number; readonly steadyMs: number } | undefined

  /** @throws {InvalidMembershipError} when what is kept is of another machine or damaged, or this machine is no member any more */
  constructor(init: MembershipInit) {
    const { authority, recovery } = init.file
    this.#init = init
    this.#clock = init.clock ?? systemClock
    this.id = swarmIdOf(authority, recovery)
    this.#self = keyText(keyOfPeer(init.self))
    this.ledger = new Ledger({
      swarm: this.id,
      authority: keyText(authority),
      recovery: keyText(recovery),
      verify: init.verify
    })
    this.#time = new TrustedTime(init.file.timeMs)
    const own = this
    this.desk = {
      ledger: this.ledger,
      get certificate() {
        return own.certificate.bytes
      },
      get epoch() {
        return own.#epochs.number
      },
      get secretDigest() {
        return own.#epochs.digest
      },
      nowMs: () => this.nowMs(),
      heard: (key, timeMs) => this.#time.heard(key, timeMs, this.#clocks()),
      secrets: () => this.#epochs.secrets(),
      learnt: (items, secrets) => this.#learnt(items, secrets, undefined)
    }
    this.attestation = new AttestationService({
      ...init.attestation,
      self: init.self,
      clock: this.#clock,
      random: init.random ?? systemBytes,
      standingOf: peer => this.standingOf(peer),
      onWarning: init.onWarning
    })
    this.#restoreAll()
  }

  #restoreAll(): void {
    const { file, items } = this.#init
    const nowMs = this.nowMs()
    for (const item of [...items, itemOfCertificate(file.certificate)]) this.#restore(item, nowMs)
    this.#time.signed(this.ledger.signedMs)
    for (const secret of file.secrets) this.#epochs.add(secret, this.#clock.nowMs())
    this.#openEpochs()
    const standing = this.ledger.standingOf(this.#self, this.nowMs())
    if (standing.isMember) return
    throw new InvalidMembershipError(`this machine is no member of ${file.name}: ${standing.refusal}`)
  }

  /** An item of the own disk: one that is none any more is passed over. */
  #restore(item: Uint8Array, nowMs: number): void {
    try {
      this.ledger.add(item, nowMs)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.#init.onWarning(`an item of what is kept of members is passed over: ${error.message}`)
    }
  }

  /** The swarm's name. */
  get name(): string {
    return this.#init.file.name
  }

  /** The time in ms since 1970, as far as it can be known. */
  nowMs(): number {
    return this.#time.settle(this.#clocks())
  }

  #clocks(): { wallMs: number; steadyMs: number } {
    return { wallMs: this.#clock.wallMs(), steadyMs: this.#clock.nowMs() }
  }

  /** This peer's own certificate: the best one that is known. */
  get certificate(): Certificate {
    const standing = this.ledger.standingOf(this.#self, this.nowMs())
    if (standing.isMember) return standing.certificate
    return readCertificate(this.#init.file.certificate, this.ledger.roots, this.#init.verify)
  }

  /** Secrets that open a handshake now, the newest first. */
  openSecrets(): Uint8Array[] {
    return this.#epochs.open(this.#clock.nowMs())
  }

  get epoch(): number {
    return this.#epochs.number
  }

  /** By it members know one another on a LAN before they have connected. */
  get discovery(): Uint8Array {
    return this.#init.file.discovery
  }

  standingOf(peer: PeerId): Standing {
    return this.ledger.standingOf(keyText(keyOfPeer(peer)), this.nowMs())
  }

  /** Whether a member has a role now. */
  may(peer: PeerId, role: Role): boolean {
    return this.rolesOf(peer).has(role)
  }

  /** What a peer may now: nothing where it is no member. Asked several times for each record: looked up once a second. */
  rolesOf(peer: PeerId): ReadonlySet<Role> {
    let roles = this.#roles.get(peer)
    if (roles === undefined) {
      const standing = this.standingOf(peer)
      roles = standing.isMember ? this.attestation.counting(peer, standing.roles) : new Set()
      this.#roles.set(peer, roles)
    }
    return roles
  }

  /** A record without what its peer may not do. */
  within(record: SwarmRecord): SwarmRecord {
    return withinRoles(record, this.rolesOf(record.peer))
  }

  /** Links on which each may do what its certificate says. */
  guard(links: Links, onViolation: MembershipLinks['onViolation']): Links {
    const { attestation } = this
    return new GuardedLinks({ links, rolesOf: peer => this.rolesOf(peer), evidence: attestation, onViolation })
  }

  /** Why a peer is no member now; undefined where it is one. */
  refusalOf(peer: PeerId): string | undefined {
    const standing = this.standingOf(peer)
    return standing.isMember ? undefined : standing.refusal
  }

  async start(running: MembershipLinks): Promise<void> {
    this.#running = running
    await running.links.handle(
      trustProtocol,
      { inboundMax: trustChannelsMax, frameBytesMax: trustFrameBytesMax, background: true },
      channel => this.#take(channel)
    )
    await this.attestation.start({ ...running, onChange: peer => void this.#roles.delete(peer) })
    this.#timers = [
      this.#clock.every(membershipLookMs, () => this.#look()).unref(),
      this.#clock.every(membershipKeepMs, () => void this.#write()).unref()
    ]
  }

  async stop(): Promise<void> {
    this.#ended.abort()
    this.attestation.stop()
    this.#running = undefined
    for (const timer of this.#timers) timer.stop()
    this.#keep?.stop()
    await this.#write()
  }

  /** A peer has been admitted and is connected: what one frame could not hold follows. */
  connected(peer: PeerId): void {
    this.#refused.delete(peer)
    this.#time.here(keyText(keyOfPeer(peer)), true)
    this.replaced(peer)
    if (this.ledger.items().reduce((sum, item) => sum + item.byteLength, 0) <= frameItemBytesMax) return
    void this.#send(peer, encodeFrame({ known: { digests: this.ledger.names } }))
  }

  /** Another process may be at the other end: what it has shown of its machine is forgotten. */
  replaced(peer: PeerId): void {
    this.#roles.delete(peer)
    this.attestation.connected(peer)
  }

  disconnected(peer: PeerId): void {
    this.#roles.delete(peer)
    this.attestation.disconnected(peer)
    this.#time.here(keyText(keyOfPeer(peer)), false)
    this.#channels.delete(peer)
  }

  /**
   * Takes items from whoever runs this peer: a revocation, a renewed certificate.
   * @returns how many are new. @throws {ProtocolError} when one of them is none
   */
  give(items: readonly Uint8Array[]): number {
    let count = 0
    this.ledger.addAll(items, this.nowMs(), learnt => {
      count = learnt.length
      this.#learnt(learnt, [], undefined)
    })
    return count
  }

  /** Something new is known: kept, told to all neighbours, and acted on. */
  #learnt(items: readonly Uint8Array[], secrets: readonly EpochSecret[], from: PeerId | undefined): void {
    const before = this.#epochs.current
    this.#roles.clear()
    this.#time.signed(this.ledger.signedMs)
    for (const secret of secrets) this.#believe(secret)
    this.#openEpochs()
    this.#keep ??= this.#clock.after(membershipWriteMs, () => void this.#write()).unref()
    if (items.length > 0) this.#tell(items, from)
    if (this.#epochs.current !== before) this.#secretsChanged()
    this.#lookAtAll()
    if (items.length > 0) this.#running?.onMembers()
  }

  /** Handshakes take what is open now, and something else when what was open before is no more. */
  #secretsChanged(): void {
    this.#running?.onSecrets()
    this.#clock.after(epochGraceMs + 1, () => this.#running?.onSecrets()).unref()
  }

  /** A secret that a member gives counts where somebody who may has begun its epoch. */
  #believe({ epoch, secret }: EpochSecret): void {
    const isBegun = this.ledger.epochs().some(({ number, digest }) => number === epoch && isDigestOf(digest, secret))
    if (isBegun) this.#epochs.add({ epoch, secret }, this.#clock.nowMs())
  }

  /** Opens what has been sealed to this peer. */
  #openEpochs(): void {
    for (const epoch of this.ledger.epochs()) {
      if (epoch.number < this.#epochs.number || this.#epochs.has(epoch.digest)) continue
      const secret = this.#init.openEpoch(epoch)
      if (secret !== undefined) this.#epochs.add({ epoch: epoch.number, secret }, this.#clock.nowMs())
    }
  }

  /** Tells everybody who is connected, and gives the new secret to members to whom it was not sealed. */
  #tell(items: readonly Uint8Array[], from: PeerId | undefined): void {
    const begun = this.ledger.epochs().filter(({ number }) => number === this.#epochs.number)
    for (const peer of this.#running?.connected() ?? []) {
      if (peer !== from) void this.#give(peer, items)
      const lacks = begun.some(({ sealed }) => !sealed.has(keyText(keyOfPeer(peer))))
      if (lacks && this.standingOf(peer).isMember)
        void this.#send(peer, encodeFrame({ secrets: this.#epochs.secrets() }))
    }
  }

  /** Resolves when there is room for another one; false when this one did not go. */
  async #send(peer: PeerId, frame: Uint8Array): Promise<boolean> {
    const links = this.#running?.links
    if (links === undefined) return false
    let opening = this.#channels.get(peer)
    if (opening === undefined) {
      const signal = AbortSignal.any([this.#ended.signal, this.#clock.deadline(membershipLookMs * 5)])
      opening = links.open(peer, trustProtocol, { signal })
      this.#channels.set(peer, opening)
      opening.then(
        channel => channel.receive({ onFrame: () => {}, onClose: () => this.#forget(peer, opening) }),
        // Who is not reached now hears of it when it connects.
        () => this.#forget(peer, opening)
      )
    }
    try {
      const channel = await opening
      if (channel.send(frame)) return true
      await channel.ready({ signal: AbortSignal.any([this.#ended.signal, this.#clock.deadline(congestedMs)]) })
      return true
    } catch {
      return false
    }
  }

  #forget(peer: PeerId, opening: Promise<Channel> | undefined): void {
    if (this.#channels.get(peer) === opening) this.#channels.delete(peer)
  }

  #take(channel: Channel): void {
    const peer = channel.remote
    channel.receive({
      onFrame: bytes => {
        try {
          if (!this.#frames.take(peer, this.#clock.nowMs())) {
            const message = `${peer} sends over ${trustFramesPerSecondMax} frames about members per second`
            channel.abort(new ProtocolError(message))
            this.#running?.onViolation(peer, 'too many trust frames', message)
            return
          }
          const { items, secrets, known, timeMs } = readFrame(bytes)
          if (timeMs !== undefined) this.#heardTime(peer, timeMs)
          this.ledger.addAll(items.map(itemBytes), this.nowMs(), learnt => this.#learnt(learnt, [], peer))
          if (secrets.length > 0) this.#learnt([], secrets, peer)
          if (known !== undefined) void this.#answer(peer, known.digests)
        } catch (error) {
          if (!(error instanceof ProtocolError)) throw error
          this.#running?.onViolation(peer, 'bad trust frame', `${peer}: ${error.message}`)
        }
      },
      onClose: () => {}
    })
  }

  /** Gives what a peer lacks. Whoever asks again before it has read that has it already, or reads nothing. */
  async #answer(peer: PeerId, names: Uint8Array): Promise<void> {
    if (this.#answering.has(peer)) return
    this.#answering.add(peer)
    try {
      await this.#give(peer, this.ledger.lackedBy(names))
    } finally {
      this.#answering.delete(peer)
    }
  }

  /** Sends items, in as many frames as it takes, each once there is room for it. */
  async #give(peer: PeerId, items: readonly Uint8Array[]): Promise<void> {
    for (let left = items; left.length > 0; ) {
      const fitting = itemsWithin(left)
      // One that fits into no frame was taken from none.
      if (fitting.length === 0 || !(await this.#send(peer, encodeFrame({ items: fitting })))) return
      left = left.slice(fitting.length)
    }
  }

  #heardTime(peer: PeerId, timeMs: number): void {
    const key = keyText(keyOfPeer(peer))
    this.#time.heard(key, timeMs, this.#clocks())
    this.#time.here(key, true)
  }

  /** Tells neighbours of a clock that was set: what they have heard of it counts among theirs. */
  #tellTime(): void {
    const [timeMs, steadyMs] = [this.nowMs(), this.#clock.nowMs()]
    const { timeMs: before, steadyMs: since } = this.#told ?? { timeMs, steadyMs }
    if (Math.abs(timeMs - before - (steadyMs - since)) > clockToleranceMs) {
      for (const peer of this.#running?.connected() ?? []) void this.#send(peer, encodeFrame({ timeMs }))
    }
    this.#told = { timeMs, steadyMs }
  }

  /** Looks whether everybody who is connected still is a member, this peer too: certificates end by themselves. */
  #look(): void {
    this.#roles.clear()
    this.#tellTime()
    for (const peer of [...(this.#running?.connected() ?? [])]) {
      const refusal = this.refusalOf(peer)
      if (refusal !== undefined) this.#refuse(peer, refusal)
    }
    const own = this.ledger.standingOf(this.#self, this.nowMs())
    const sentences = [
      ...(own.isMember ? [] : [`this machine is no member any more: ${own.refusal}`]),
      ...this.ledger.alarms()
    ]
    const said = sentences.join('\n')
    if (said !== this.#said) for (const sentence of sentences) this.#init.onWarning(sentence)
    this.#said = said
  }

  /** The same for all who are known, after something was learnt: nothing of who is out stays here. */
  #lookAtAll(): void {
    this.#look()
    for (const { last } of this.ledger.certificates()) {
      const peer = peerOfKey(Buffer.from(last.subject, 'hex'))
      const refusal = this.#refused.has(peer) ? undefined : this.refusalOf(peer)
      if (refusal !== undefined) this.#refuse(peer, refusal)
    }
  }

  #refuse(peer: PeerId, refusal: string): void {
    this.#refused.add(peer)
    this.#channels.delete(peer)
    this.#running?.onRefused(peer, refusal)
  }

  async #write(): Promise<void> {
    this.#keep?.stop()
    this.#keep = undefined
    const { file, keep } = this.#init
    this.ledger.expire(this.nowMs())
    const certificate = this.certificate.bytes
    await keep({ ...file, certificate, secrets: this.#epochs.secrets(), timeMs: this.nowMs() }, this.ledger.items())
  }
}
