/**
 * What a swarm's peers know of its members: certificates and statements, a set that only grows and that two peers merge by giving each other
 * what the other one lacks. What counts is the union: no merge loses a revocation, whichever half of a split swarm made it. Pure: time
 * comes in as an argument.
 */
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex } from '@noble/hashes/utils.js'
import { momentText } from '../base/moments.ts'
import { ProtocolError } from '../errors.ts'
import { type Certificate, type Grant, hexBytes, readCertificate, signedGrants } from './grant.ts'
import { itemOfCertificate, itemOfStatement, readItem, signedOf } from './item.ts'
import { type KeyText, peerOfKey, type VerifyKey } from './keys.ts'
import {
  certificatesMax,
  clockToleranceMs,
  deputyCertificatesMax,
  deputyStatementBytesMax,
  deputyStatementsMax,
  expiredKeepMs,
  statementsBytesMax,
  statementsMax
} from './limits.ts'
import type { GrantKind, Role } from './roles.ts'
import { type Epoch, type ReadStatement, readStatement, type Revocation } from './statement.ts'

/** Bytes by which an item is named to others. */
export const nameBytes = 16
/** Certificates of one serial that are kept: two prove that it was used twice. */
const perSerialMax = 2

/** What a member may at this moment, or the sentence that says why it may nothing. */
export type Standing =
  | { readonly isMember: true; readonly certificate: Certificate; readonly roles: ReadonlySet<Role> }
  | { readonly isMember: false; readonly refusal: string }

interface Held {
  readonly name: string
  readonly bytes: Uint8Array
  readonly certificate?: Certificate
  readonly statement?: ReadStatement
}

export interface LedgerInit {
  readonly swarm: string
  /** The first authority and the recovery key, as the swarm's file has them. */
  readonly authority: KeyText
  readonly recovery: KeyText
  readonly verify: VerifyKey
}

export class Ledger {
  readonly swarm: string
  readonly #recovery: KeyText
  readonly #verify: VerifyKey
  readonly #authorities: Set<KeyText>
  readonly #items = new Map<string, Held>()
  readonly #bySubject = new Map<KeyText, Certificate[]>()
  readonly #bySerial = new Map<string, Set<KeyText>>()
  readonly #statements: ReadStatement[] = []
  /** How many certificates there are by each deputy. */
  readonly #given = new Map<KeyText, number>()
  /** Who says so, by the key or the serial that is revoked. */
  readonly #revocations = new Map<string, { readonly statement: ReadStatement; readonly revocation: Revocation }[]>()
  #digest: Uint8Array | undefined

  constructor({ swarm, authority, recovery, verify }: LedgerInit) {
    this.swarm = swarm
    this.#recovery = recovery
    this.#verify = verify
    this.#authorities = new Set([authority])
  }

  /**
   * Takes an item that somebody gives. Whoever it is vouches for nothing: what is signed counts.
   *
   * @returns whether it is new. @throws {ProtocolError} when it is malformed, of another swarm, or not signed by one who may
   */
  add(bytes: Uint8Array, nowMs: number): boolean {
    const { certificate, statement } = readItem(bytes)
    return statement === undefined
      ? this.#addCertificate(certificate!, nowMs)
      : this.#addStatement(statement, certificate)
  }

  /**
   * Takes items one after the other, up to the first that is none, and gives those that are new to `onNew`: what came before a wrong one counts.
   *
   * @throws {ProtocolError} as {@link add}, after that
   */
  addAll(items: readonly Uint8Array[], nowMs: number, onNew: (items: readonly Uint8Array[]) => void): void {
    const learnt: Uint8Array[] = []
    try {
      for (const item of items) if (this.add(item, nowMs)) learnt.push(item)
    } finally {
      if (learnt.length > 0) onNew(learnt)
    }
  }

  /** Keys that may begin a certificate. */
  get authorities(): ReadonlySet<KeyText> {
    return new Set([...this.#authorities].filter(key => this.#voided(key) === undefined))
  }

  get roots(): { readonly swarm: string; readonly authorities: ReadonlySet<KeyText> } {
    return { swarm: this.swarm, authorities: this.#authorities }
  }

  /** SHA-256 over the names of all items, in order: equal where two know the same. */
  get digest(): Uint8Array {
    this.#digest ??= sha256(this.names)
    return this.#digest
  }

  /** Names of all items, of 16 bytes each, in order. */
  get names(): Uint8Array {
    const names = [...this.#items.keys()].sort()
    const bytes = new Uint8Array(nameBytes * names.length)
    for (const [i, name] of names.entries()) bytes.set(hexBytes(name), nameBytes * i)
    return bytes
  }

  /** Items that one who knows those of these names lacks, what revokes first. */
  lackedBy(names: Uint8Array): Uint8Array[] {
    const known = new Set<string>()
    for (let at = 0; at + nameBytes <= names.byteLength; at += nameBytes) {
      known.add(bytesToHex(names.subarray(at, at + nameBytes)))
    }
    const lacked = [...this.#items.values()].filter(({ name }) => !known.has(name))
    return lacked.sort((a, b) => rank(a) - rank(b)).map(({ bytes }) => bytes)
  }

  /** All items, as they are kept on disk. */
  items(): Uint8Array[] {
    return this.lackedBy(new Uint8Array())
  }

  /** Items by which whoever has been away learns who may sign: few, and told before anything else. */
  successions(): Uint8Array[] {
    return [...this.#items.values()].flatMap(({ statement, bytes }) =>
      statement?.succession === undefined ? [] : [bytes]
    )
  }

  /** Statements that count. */
  statements(): ReadStatement[] {
    return this.#statements.filter(statement => this.#counts(statement))
  }

  /**
   * Epochs that count. Each of them is one above those that its signer knew, so that none has a higher number than there are epochs and one more: a
   * stolen key cannot run away with the numbers, of which there is an end.
   */
  epochs(): Epoch[] {
    // Those of a signer that was revoked since are counted, too: others may have gone on from them.
    const count = this.#statements.filter(({ epoch }) => epoch !== undefined).length
    const epochs = this.statements().flatMap(({ epoch }) => (epoch === undefined ? [] : [epoch]))
    return epochs.filter(({ number }) => number <= count + 1)
  }

  /** The last statement of a signer: what its next one follows. */
  lastOf(signer: KeyText): ReadStatement | undefined {
    return this.#statements.filter(statement => statement.signer === signer).sort((a, b) => b.number - a.number)[0]
  }

  /** What a key may now. */
  standingOf(key: KeyText, nowMs: number): Standing {
    const certificates = this.#bySubject.get(key) ?? []
    const peers = certificates.filter(({ last }) => last.kind === 'peer')
    if (peers.length === 0) return refused(`${peerOfKey(hexBytes(key))} has no certificate of this swarm`)
    let refusal = ''
    for (const certificate of peers.sort((a, b) => b.notAfterMs - a.notAfterMs)) {
      const why = this.refusalOf(certificate, nowMs)
      if (why === undefined) return { isMember: true, certificate, roles: new Set(certificate.last.roles) }
      refusal ||= why
    }
    return refused(refusal)
  }

  /** When the last of a peer's certificates ends, in ms since 1970, whatever else they are worth; 0 where there is none. */
  endOf(key: KeyText): number {
    const peers = (this.#bySubject.get(key) ?? []).filter(({ last }) => last.kind === 'peer')
    return Math.max(0, ...peers.map(({ notAfterMs }) => notAfterMs))
  }

  /** Whether a key has any certificate of this swarm, whatever it is worth now. */
  isKnown(key: KeyText): boolean {
    return this.#bySubject.has(key)
  }

  /** Why a certificate is worth nothing now: a sentence; undefined where it is good. */
  refusalOf(certificate: Certificate, nowMs: number): string | undefined {
    const { last, grants, notBeforeMs, notAfterMs } = certificate
    const who = (): string => whoIs(last)
    for (const { issuer, subject, serial } of grants) {
      const revocation = this.#voided(issuer) ?? this.#voided(subject) ?? this.#voided(serial)
      if (revocation === undefined) continue
      const reason = revocation.reason === '' ? '' : `: ${revocation.reason}`
      return `${who()} was revoked${reason}`
    }
    const users = last.kind === 'peer' ? this.#bySerial.get(last.serial) : undefined
    if (users !== undefined && users.size > 1) {
      const others = [...users].filter(key => key !== last.subject).map(key => peerOfKey(hexBytes(key)))
      return `${who()} and ${others.join(', ')} have certificates by one invitation, which is for one machine: neither counts, revoke both and invite anew`
    }
    if (nowMs >= notAfterMs) return `the certificate of ${who()} ended on ${momentText(notAfterMs)}`
    // Who renews a certificate has a clock a little ahead of somebody's: that shuts nobody out until the other one has caught up.
    if (nowMs + clockToleranceMs < notBeforeMs)
      return `the certificate of ${who()} begins on ${momentText(notBeforeMs)}: a clock is wrong`
    return undefined
  }

  /** All certificates of peers, whatever they are worth, the newest of each first. */
  certificates(): Certificate[] {
    return this.#ofKind('peer').sort((a, b) => b.notAfterMs - a.notAfterMs)
  }

  /** Certificates of deputies. */
  deputies(): Certificate[] {
    return this.#ofKind('deputy')
  }

  /** Certificates of keys that may sign models. */
  modelKeys(): Certificate[] {
    return this.#ofKind('model')
  }

  /**
   * The latest moment at which the authority or the recovery key is known to have made a statement: it is no earlier now. Whoever else may sign, down to a
   * machine with its invitation, could name any moment of the years to come, at which everybody's certificate has ended.
   */
  get signedMs(): number {
    const moments = this.#statements.filter(({ signer }) => this.#isRoot(signer)).map(({ issuedMs }) => issuedMs)
    return Math.max(0, ...moments)
  }

  /** What an operator has to know of signers, a sentence each: gaps and forks of their statements, and statements that do not count. */
  alarms(): string[] {
    const sentences: string[] = []
    for (const signer of new Set(this.#statements.map(statement => statement.signer))) {
      const own = this.#statements.filter(statement => statement.signer === signer)
      const numbers = new Map<number, number>()
      for (const { number } of own) numbers.set(number, (numbers.get(number) ?? 0) + 1)
      const highest = Math.max(...numbers.keys())
      const missing = Array.from({ length: Math.min(highest, statementsMax) }, (_, i) => i + 1).filter(
        n => !numbers.has(n)
      )
      const who = signer.slice(0, 16)
      if (missing.length > 0)
        sentences.push(
          `statement ${missing[0]} of signer ${who} has not come, later ones have: all that has come counts`
        )
      const forked = [...numbers].find(([, count]) => count > 1)
      if (forked !== undefined) {
        sentences.push(
          `signer ${who} made two statements with number ${forked[0]}: its key is in two places, and both count`
        )
      }
      const isOver = own.some(statement => !this.#counts(statement))
      if (isOver) sentences.push(`signer ${who} was revoked and goes on making statements: those do not count`)
    }
    return sentences
  }

  /** Forgets certificates that ended long ago. Statements stay. */
  expire(nowMs: number): void {
    for (const [name, { certificate, statement }] of this.#items) {
      if (statement !== undefined || certificate === undefined) continue
      if (nowMs < certificate.notAfterMs + expiredKeepMs) continue
      this.#items.delete(name)
      const left = (this.#bySubject.get(certificate.last.subject) ?? []).filter(one => one !== certificate)
      if (left.length === 0) this.#bySubject.delete(certificate.last.subject)
      else this.#bySubject.set(certificate.last.subject, left)
      this.#bySerial.get(certificate.last.serial)?.delete(certificate.last.subject)
      const [deputy] = certificate.grants
      const given = this.#given.get(deputy!.subject)
      if (given !== undefined) this.#given.set(deputy!.subject, given - 1)
      this.#digest = undefined
    }
  }

  #ofKind(kind: GrantKind): Certificate[] {
    return [...this.#bySubject.values()].flat().filter(({ last }) => last.kind === kind)
  }

  #addCertificate(bytes: Uint8Array, nowMs: number): boolean {
    const name = nameOf(signedGrants(bytes).map(({ payload }) => payload))
    if (this.#items.has(name)) return false
    const certificate = readCertificate(bytes, this.roots, this.#verify)
    // What ended long ago would come back from every disk for ever.
    if (nowMs >= certificate.notAfterMs + expiredKeepMs) return false
    const { subject, serial, kind } = certificate.last
    const users = kind === 'peer' ? (this.#bySerial.get(serial) ?? new Set<KeyText>()) : undefined
    if (users !== undefined && users.size >= perSerialMax && !users.has(subject)) return false
    const own = this.#bySubject.get(subject) ?? []
    if (this.#items.size - this.#statements.length >= certificatesMax) {
      throw new ProtocolError(`there are ${certificatesMax} certificates already: let some end`)
    }
    const deputy = certificate.grants.length > 1 ? certificate.grants[0]! : undefined
    if (deputy?.kind === 'deputy') {
      const given = (this.#given.get(deputy.subject) ?? 0) + 1
      if (given > deputyCertificatesMax)
        throw new ProtocolError(`deputy ${deputy.subject.slice(0, 16)} has let in ${deputyCertificatesMax} already`)
      this.#given.set(deputy.subject, given)
    }
    // What is not taken has used no serial either.
    if (users !== undefined) this.#bySerial.set(serial, users.add(subject))
    this.#bySubject.set(subject, [...own, certificate])
    this.#hold({ name, certificate, bytes: itemOfCertificate(bytes) })
    return true
  }

  #addStatement(bytes: Uint8Array, signer: Uint8Array | undefined): boolean {
    const name = nameOf([signedOf(bytes).payload])
    if (this.#items.has(name)) return false
    const statement = readStatement(bytes, this.swarm, this.#verify)
    const isRoot = this.#isRoot(statement.signer)
    if (!isRoot) {
      if (signer === undefined) throw new ProtocolError('a statement is signed by one who may make none')
      const certificate = readCertificate(signer, this.roots, this.#verify)
      checkDeputy(statement, certificate)
      const own = this.#bySubject.get(certificate.last.subject) ?? []
      if (own.length === 0) this.#bySubject.set(certificate.last.subject, [certificate])
    }
    if (statement.succession !== undefined && !isRoot) {
      throw new ProtocolError('a statement names a new authority, which a deputy may not')
    }
    this.#checkRoom(statement, isRoot)
    this.#statements.push(statement)
    for (const revocation of statement.revocations) {
      for (const what of [revocation.subject, revocation.serial]) {
        if (what === undefined) continue
        this.#revocations.set(what, [...(this.#revocations.get(what) ?? []), { statement, revocation }])
      }
    }
    if (statement.succession !== undefined) this.#authorities.add(statement.succession.authority)
    this.#hold({ name, statement, bytes: itemOfStatement(bytes, isRoot ? undefined : signer) })
    return true
  }

  /** @throws {ProtocolError} when a signer has said as much as it may: what a stolen key says leaves room for all others */
  #checkRoom({ signer, bytes }: ReadStatement, isRoot: boolean): void {
    const bytesOf = (all: readonly ReadStatement[]): number =>
      all.reduce((sum, one) => sum + one.bytes.byteLength, bytes.byteLength)
    const own = this.#statements.filter(statement => statement.signer === signer)
    const isFull = this.#statements.length >= statementsMax || bytesOf(this.#statements) > statementsBytesMax
    if (isFull) throw new ProtocolError(`there are ${this.#statements.length} statements already`)
    if (isRoot || (own.length < deputyStatementsMax && bytesOf(own) <= deputyStatementBytesMax)) return
    throw new ProtocolError(
      `deputy ${signer.slice(0, 16)} has made ${own.length} statements already: revoke it, and name another one`
    )
  }

  #hold(held: Held): void {
    this.#items.set(held.name, held)
    this.#digest = undefined
  }

  /** Whether a statement counts: of a signer that was revoked those do that it had made before. */
  #counts(statement: ReadStatement): boolean {
    const revocation = this.#voided(statement.signer)
    return revocation === undefined || statement.number <= revocation.through
  }

  /**
   * What revokes a key or a serial. A deputy may revoke no authority, nor its recovery key, nor a deputy; nobody itself, so that one who is
   * captured cannot hide behind it.
   */
  #voided(what: string): Revocation | undefined {
    const found = this.#revocations.get(what)?.find(({ statement, revocation }) => {
      if (revocation.subject === statement.signer) return false
      if (!this.#isRoot(statement.signer) && this.#isAbove(revocation)) return false
      return statement.signer === this.#recovery || !this.#isSilenced(statement)
    })
    return found?.revocation
  }

  /** Whether a statement's signer was revoked by the recovery key or an authority before it made it. */
  #isSilenced({ signer, number }: ReadStatement): boolean {
    const against = this.#revocations.get(signer) ?? []
    return against.some(
      ({ statement, revocation }) =>
        statement.signer !== signer && this.#isRoot(statement.signer) && number > revocation.through
    )
  }

  #isRoot(key: KeyText): boolean {
    return this.#authorities.has(key) || key === this.#recovery
  }

  /** What a deputy may not revoke. */
  #isAbove({ subject, serial }: Revocation): boolean {
    if (subject !== undefined && this.#isRoot(subject)) return true
    return [...this.deputies(), ...this.modelKeys()].some(
      ({ last }) => last.subject === subject || last.serial === serial
    )
  }
}

/** A peer by its id, another key by its first digits. */
function whoIs({ kind, subject }: Grant): string {
  return kind === 'peer' ? peerOfKey(hexBytes(subject)) : `the key ${subject.slice(0, 12)}…`
}

function refused(refusal: string): Standing {
  return { isMember: false, refusal }
}

/** @throws {ProtocolError} unless a deputy may make this statement, at the time that it names */
function checkDeputy(statement: ReadStatement, { last, notBeforeMs, notAfterMs }: Certificate): void {
  const may = last.kind === 'deputy' && last.powers.includes('revoke') && last.subject === statement.signer
  if (!may) throw new ProtocolError('a statement is signed by one who may make none')
  if (!(statement.issuedMs >= notBeforeMs && statement.issuedMs < notAfterMs)) {
    throw new ProtocolError('a statement was made outside of the time for which its deputy may')
  }
}

/** Who may sign comes first, then what revokes, then who is a member. */
function rank({ statement }: Held): number {
  return statement === undefined ? 2 : statement.succession !== undefined ? 0 : 1
}

function nameOf(payloads: readonly Uint8Array[]): string {
  const hash = sha256.create()
  for (const payload of payloads) hash.update(payload)
  return bytesToHex(hash.digest().subarray(0, nameBytes))
}
