/**
 * Asks those for evidence whose roles count only with it, when they connect and again before it ends, and has it judged (protocols/attest.md). Who gives none
 * stays a member, without these roles.
 */
import { unlessAborted } from '../base/abort.ts'
import type { Clock, Timer } from '../base/clock.ts'
import type { PeerId } from '../base/ids.ts'
import { ProtocolError } from '../errors.ts'
import { type AttestAnswer, encodeChallenge, nonceBytes, readAnswer } from '../trust/attest-frame.ts'
import { type AttestationPolicy, type Attester, bindingOf, hasBinding, qualifyingOf } from '../trust/attestation.ts'
import { type AttestedFacts, AttestedPeers, type AttestLife, type AttestOutcome } from '../trust/attested-peers.ts'
import type { Grant } from '../trust/grant.ts'
import type { Standing } from '../trust/ledger.ts'
import { attestLookMs, attestMs } from '../trust/limits.ts'
import type { Role } from '../trust/roles.ts'
import type { Channel } from './links.ts'
import type { MembershipLinks } from './membership-init.ts'
import { attestProtocol, ProvingService } from './proving-service.ts'

const namesNone = 'its certificate names no attestation key: skein renew --attest gives it one that does'

/** What a peer was told about evidence at its start. */
export interface AttestationOptions {
  /** Makes this machine's own. @default none */
  readonly attester?: Attester | undefined
  /** What others need. @default nothing */
  readonly policy?: AttestationPolicy | undefined
}

export interface AttestationInit extends AttestationOptions {
  readonly self: PeerId
  readonly clock: Clock
  /** So many bytes that nobody can foresee. */
  readonly random: (bytes: number) => Uint8Array
  /** Who is a member now, by which certificate. */
  readonly standingOf: (peer: PeerId) => Standing
  readonly onWarning: (message: string) => void
}

export type AttestationLinks = Pick<MembershipLinks, 'links' | 'onRefused' | 'onRoles' | 'onViolation'> & {
  /** Other roles of a peer count than before; told first. */
  readonly onChange: (peer: PeerId) => void
}

export class AttestationService {
  readonly #init: AttestationInit
  readonly #peers = new AttestedPeers()
  readonly #asking = new Map<PeerId, Promise<void>>()
  readonly #ended = new AbortController()
  /** What was said of whom, so that it is said once. */
  readonly #said = new Map<PeerId, string>()
  #running: AttestationLinks | undefined
  #proving: ProvingService | undefined
  #looks: Timer | undefined

  constructor(init: AttestationInit) {
    this.#init = init
  }

  async start(running: AttestationLinks): Promise<void> {
    this.#running = running
    const { self, attester, clock, onWarning, policy } = this.#init
    const { links, onViolation } = running
    this.#proving = new ProvingService({ self, attester, links, clock, onWarning, onViolation })
    await this.#proving.start()
    this.#warnOfOwn()
    if (policy !== undefined) this.#looks = clock.every(attestLookMs, () => this.#look()).unref()
  }

  stop(): void {
    this.#looks?.stop()
    this.#proving?.stop()
    this.#ended.abort(new Error('this peer is stopping'))
    this.#running = undefined
  }

  /** A peer is connected, or another process has taken its place: what was shown before counts for nothing. */
  connected(peer: PeerId): void {
    if (this.#init.policy === undefined) return
    this.#peers.connected(peer, this.#init.clock.nowMs())
    // In a turn of its own: whoever tells of a connection is in the middle of making it.
    this.#init.clock.after(0, () => this.#look()).unref()
  }

  disconnected(peer: PeerId): void {
    this.#peers.disconnected(peer)
    this.#said.delete(peer)
  }

  /** Of what a certificate gives, the roles that count now. */
  counting(peer: PeerId, roles: ReadonlySet<Role>): ReadonlySet<Role> {
    const needing = this.#needing(peer)
    if (needing.length === 0 || this.#peers.isAttested(peer, this.#init.clock.nowMs())) return roles
    return new Set([...roles].filter(role => !needing.includes(role)))
  }

  /** Why roles of a peer do not count: the part of a sentence. Undefined where they do. */
  refusalOf(peer: PeerId): string | undefined {
    if (!this.#lacks(peer)) return undefined
    if (this.#grantOf(peer)?.attestKey === undefined) return namesNone
    return this.#peers.refusalOf(peer) ?? 'it has given no evidence of itself yet'
  }

  /**
   * Resolves once it is known whether a peer is attested; undefined where there is nothing to wait for. Who is not connected is
   * connected for it.
   */
  settled(peer: PeerId): Promise<void> | undefined {
    if (this.#running === undefined || !this.#lacks(peer)) return undefined
    if (!this.#asking.has(peer) && !this.#peers.isDue(peer, this.#init.clock.nowMs())) return undefined
    return this.#challenge(peer)
  }

  /** What policy and attester there are, and who is attested. */
  facts(): {
    readonly attests: string | null
    readonly key: string | null
    readonly requires: readonly Role[]
    readonly peers: readonly AttestedFacts[]
  } {
    const { attester, policy, clock } = this.#init
    const [nowMs, wallMs] = [clock.nowMs(), clock.wallMs()]
    const peers = this.#peers.facts(nowMs).filter(({ peer }) => this.#needing(peer).length > 0)
    return {
      attests: attester?.kind ?? null,
      key: attester?.key ?? null,
      requires: policy?.roles ?? [],
      peers: peers.map(({ peer, untilMs }) => ({
        peer,
        untilMs: untilMs === undefined ? null : Math.round(wallMs + untilMs - nowMs),
        refusal: this.refusalOf(peer) ?? null
      }))
    }
  }

  #grantOf(peer: PeerId): Grant | undefined {
    const standing = this.#init.standingOf(peer)
    return standing.isMember ? standing.certificate.last : undefined
  }

  /** Its roles that need evidence. This peer needs none of itself. */
  #needing(peer: PeerId): readonly Role[] {
    const { policy, self } = this.#init
    if (policy === undefined || peer === self) return []
    const roles = this.#grantOf(peer)?.roles ?? []
    return policy.roles.filter(role => roles.includes(role))
  }

  #lacks(peer: PeerId): boolean {
    return this.#needing(peer).length > 0 && !this.#peers.isAttested(peer, this.#init.clock.nowMs())
  }

  #look(): void {
    const nowMs = this.#init.clock.nowMs()
    for (const peer of this.#peers.expire(nowMs)) {
      this.#lost(peer, this.#peers.refusalOf(peer) ?? 'it has given no evidence again')
    }
    for (const peer of this.#peers.due(nowMs)) if (this.#needing(peer).length > 0) void this.#challenge(peer)
  }

  #challenge(peer: PeerId): Promise<void> {
    let asking = this.#asking.get(peer)
    if (asking === undefined) {
      asking = this.#ask(peer).finally(() => this.#asking.delete(peer))
      this.#asking.set(peer, asking)
    }
    return asking
  }

  /** Never rejects. */
  async #ask(peer: PeerId): Promise<void> {
    const { clock } = this.#init
    const key = this.#grantOf(peer)?.attestKey
    if (key === undefined) {
      // It stays due: with another certificate it is asked at the next look.
      this.#say(peer, namesNone)
      return
    }
    let life = this.#peers.lifeOf(peer)
    let outcome: AttestOutcome
    const signal = AbortSignal.any([this.#ended.signal, clock.deadline(attestMs)])
    try {
      const channel = await this.#running!.links.open(peer, attestProtocol, { signal })
      // Who was not connected is now.
      life = this.#peers.lifeOf(peer) ?? this.#peers.connected(peer, clock.nowMs())
      outcome = await this.#judged(channel, key, signal)
    } catch (error) {
      outcome = { kind: 'none', refusal: this.#whyNothing(error, signal) }
    }
    if (life !== undefined && !this.#ended.signal.aborted) this.#heard(life, outcome)
  }

  #whyNothing(error: unknown, signal: AbortSignal): string {
    return signal.aborted
      ? `it gave no evidence within ${attestMs} ms`
      : `it gives no evidence: ${(error as Error).message}`
  }

  /** @throws what the channel ends with, or the signal's reason */
  async #judged(channel: Channel, key: string, signal: AbortSignal): Promise<AttestOutcome> {
    const { self, random, policy } = this.#init
    const { judges, sets } = policy!
    const nonce = random(nonceBytes)
    const registers = [...new Set(sets.flatMap(set => set.registers))].sort((a, b) => a - b)
    let answer: AttestAnswer
    try {
      const asked = encodeChallenge({ nonce, kinds: judges.map(({ kind }) => kind), registers })
      answer = readAnswer(await unlessAborted(answerOn(channel, asked), signal))
    } catch (error) {
      channel.abort(error as Error)
      if (!(error instanceof ProtocolError)) throw error
      this.#running?.onViolation(channel.remote, 'bad attest frame', `${channel.remote}: ${error.message}`)
      return { kind: 'wrong', refusal: `its evidence is malformed: ${error.message}` }
    }
    void channel.close()
    if ('refusal' in answer) return { kind: 'none', refusal: `it gives no evidence: ${answer.refusal}` }
    const { kind, bindings, statement } = answer.evidence
    const judge = judges.find(each => each.kind === kind)
    if (judge === undefined) return { kind: 'wrong', refusal: 'its evidence is of a kind that was not asked for' }
    const binding = bindingOf({ nonce, prover: channel.remote, verifier: self })
    if (!hasBinding(bindings, binding))
      return {
        kind: 'wrong',
        refusal: 'its evidence answers another challenge: it is an old one, or one for another peer'
      }
    const wrong = judge.judge(statement, { qualifying: qualifyingOf(bindings), key, sets })
    return wrong === undefined ? { kind: 'right' } : { kind: 'wrong', refusal: wrong }
  }

  #heard(life: AttestLife, outcome: AttestOutcome): void {
    const { peer } = life
    const change = this.#peers.heard(life, outcome, this.#init.clock.nowMs())
    if (change === 'attested') {
      this.#said.delete(peer)
      this.#running?.onChange(peer)
      this.#running?.onRoles?.(peer)
    }
    if (outcome.kind === 'right') return
    if (change === 'lost') this.#lost(peer, outcome.refusal)
    else this.#say(peer, outcome.refusal)
  }

  #lost(peer: PeerId, refusal: string): void {
    this.#running?.onChange(peer)
    this.#running?.onRefused(peer, `it is attested no more: ${refusal}`)
  }

  /** Once for each reason, while it lacks a role by it. */
  #say(peer: PeerId, refusal: string): void {
    if (this.#said.get(peer) === refusal || !this.#lacks(peer)) return
    this.#said.set(peer, refusal)
    this.#init.onWarning(`${peer} does without the role ${this.#needing(peer).join(', ')} here: ${refusal}`)
  }

  #warnOfOwn(): void {
    const { attester, self, onWarning } = this.#init
    if (attester === undefined) return
    const named = this.#grantOf(self)?.attestKey
    if (named === undefined)
      onWarning(
        `this machine's certificate names no attestation key, so its evidence is worth nothing to others: skein renew with --attest ${attester.key}`
      )
    else if (named !== attester.key)
      onWarning(
        `this machine has the attestation key ${attester.key.slice(0, 16)}, and its certificate names ${named.slice(0, 16)}: others do not take its evidence`
      )
  }
}

/** The one frame that comes after the one that is sent. @throws when the channel ends without */
async function answerOn(channel: Channel, asked: Uint8Array): Promise<Uint8Array> {
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>()
  // Whoever waits may have given up before.
  promise.catch(() => {})
  channel.receive({
    onFrame: resolve,
    onClose: error => reject(error ?? new Error('it hung up without an answer'))
  })
  channel.send(asked)
  return promise
}
