/**
 * Who is a member no more, and who is the authority. What comes of it are items, which a running peer takes and tells the others, or which are
 * put on the disk of one that does not run.
 */
import type { PeerId } from '../base/ids.ts'
import { InvalidAuthorityError, InvalidMembershipError, InvalidOptionError } from '../errors.ts'
import { type AuthorityKey, readAuthorityFile, writeAuthorityFile } from '../swarm/authority-file.ts'
import type { MemberFile } from '../swarm/member-file.ts'
import { type Certificate, readCertificate } from '../trust/grant.ts'
import { itemOfStatement } from '../trust/item.ts'
import { keyOfPeer, type KeyText, keyText } from '../trust/keys.ts'
import type { Ledger } from '../trust/ledger.ts'
import { reasonTextMax } from '../trust/limits.ts'
import { drawEpoch } from '../trust/sealing.ts'
import { signingKey, verifyKey } from '../trust/signing-key.ts'
import { encodeStatement, type Revocation, type Statement } from '../trust/statement.ts'
import { idOf, ledgerOf, openLedger } from './known-members.ts'

/** What a revocation is made of. */
export interface RevokeInit {
  /** File of the key of an authority, a deputy that may revoke, or the recovery key. */
  readonly authority: string
  /** Data directory of a member: what is known of members. */
  readonly dataDir: string
  /** What members are told: a sentence. @default nothing */
  readonly reason?: string
  /** In ms since 1970. @default now */
  readonly nowMs?: number
}

/**
 * Revokes a member for good, whatever its certificates, and begins an epoch whose secret is sealed to all others that are known.
 *
 * @returns items to give to a running peer, or to {@link keepItems}.
 * @throws {InvalidAuthorityError} when this key may not. @throws {InvalidMembershipError} when nothing is known of the peer
 */
export async function revokeMember(peer: PeerId, init: RevokeInit): Promise<Uint8Array[]> {
  const { reason = '', nowMs = Date.now(), authority, dataDir } = init
  if (reason.length > reasonTextMax)
    throw new InvalidOptionError(`the reason has ${reason.length} letters, at most ${reasonTextMax} are taken`)
  const by = await readAuthorityFile(authority)
  const { ledger, file } = await openLedger(dataDir, nowMs)
  checkSame(by, file, authority)
  checkMayRevoke(by, authority)
  const subject = keyText(keyOfPeer(peer))
  if (subject === by.key.key) throw new InvalidAuthorityError('a key does not revoke itself: use another one')
  const known = ledger.certificates().filter(({ last }) => last.subject === subject)
  if (known.length === 0)
    throw new InvalidMembershipError(`no certificate of ${peer} is known in ${dataDir}: see skein members`)
  const standing = ledger.standingOf(subject, nowMs)
  if (!standing.isMember && standing.refusal.includes('was revoked')) throw new InvalidMembershipError(standing.refusal)
  const serials = [...new Set(known.map(({ last }) => last.serial))]
  const revocations: Revocation[] = serials.map(serial => ({ subject, serial, reason, through: 0 }))
  const remaining = [...new Set(ledger.certificates().map(({ last }) => last.subject))].filter(
    key => key !== subject && ledger.standingOf(key, nowMs).isMember
  )
  const number = 1 + Math.max(1, ...file.secrets.map(({ epoch }) => epoch), ...epochsOf(ledger))
  const { epoch } = drawEpoch(number, remaining)
  return [itemOfStatement(nextStatement(ledger, by, { nowMs, revocations, epoch }), by.certificate)]
}

/** How a key that the authority has named is revoked. */
export interface RevokeKeyInit extends RevokeInit {
  /** It may be the last one that may revoke. @default false */
  readonly isLast?: boolean
}

/**
 * Revokes a deputy or a key that signs models. What a deputy has said so far stays, and what it says from now on does not count; whom it has
 * invited is out. What a model key has signed counts for nothing from now on.
 *
 * @param key 64 hex digits. @returns as {@link revokeMember}
 * @throws {InvalidAuthorityError} when this key may not, or no other deputy that may revoke would be left. @throws {InvalidMembershipError} when it is unknown
 */
export async function revokeKey(key: string, init: RevokeKeyInit): Promise<Uint8Array[]> {
  const { reason = '', nowMs = Date.now(), authority, dataDir, isLast = false } = init
  const by = await readAuthorityFile(authority)
  const { ledger, file } = await openLedger(dataDir, nowMs)
  checkSame(by, file, authority)
  if (by.kind === 'deputy')
    throw new InvalidAuthorityError(
      `${authority} is the key of a deputy: only the authority or its recovery key revokes what it has named`
    )
  const subject = key as KeyText
  if (ledger.authorities.has(subject) || subject === keyText(file.recovery)) {
    throw new InvalidAuthorityError(`${key} is an authority or the recovery key: see skein rotate`)
  }
  const deputies = ledger.deputies()
  const known = [...deputies, ...ledger.modelKeys()].find(({ last }) => last.subject === subject)
  if (known === undefined)
    throw new InvalidMembershipError(`no deputy and no model key ${key} is known in ${dataDir}: see skein members`)
  const mayRevoke = (one: Certificate): boolean =>
    one.last.powers.includes('revoke') && ledger.refusalOf(one, nowMs) === undefined
  if (!isLast && mayRevoke(known) && !deputies.some(one => one !== known && mayRevoke(one))) {
    throw new InvalidAuthorityError(`${key} is the last deputy that may revoke: name another one first, or say --last`)
  }
  const through = ledger.lastOf(subject)?.number ?? 0
  const revocations: Revocation[] = [{ subject, serial: known.last.serial, reason, through }]
  return [itemOfStatement(nextStatement(ledger, by, { nowMs, revocations }), undefined)]
}

/** How an authority is replaced. */
export interface SuccessionInit extends RevokeInit {
  /** Where the new authority's key goes. */
  readonly file: string
  /** Whether the one before it is void from now on, with all that it has granted. @default false */
  readonly revokesFirst?: boolean
}

/**
 * Makes another key an authority, by the one before it or by the recovery key.
 * @returns items to give to a running peer, or to {@link keepItems}. @throws {InvalidAuthorityError} when this key may not
 */
export async function succeedAuthority(init: SuccessionInit): Promise<Uint8Array[]> {
  const { nowMs = Date.now(), authority, dataDir, file: newFile, revokesFirst = false, reason = '' } = init
  const by = await readAuthorityFile(authority)
  if (by.kind === 'deputy')
    throw new InvalidAuthorityError(
      `${authority} is the key of a deputy: an authority is replaced by itself or by the recovery key`
    )
  const { ledger, file } = await openLedger(dataDir, nowMs)
  checkSame(by, file, authority)
  const key = signingKey()
  const newest = file.secrets.at(-1)!
  const revocations: Revocation[] = revokesFirst
    ? [...ledger.authorities].map(subject => ({
        subject,
        serial: undefined,
        reason,
        through: ledger.lastOf(subject)?.number ?? 0
      }))
    : []
  if (revocations.some(({ subject }) => subject === by.key.key)) {
    throw new InvalidAuthorityError('an authority does not revoke itself: use the recovery key')
  }
  const statement = nextStatement(ledger, by, { nowMs, revocations, succession: { authority: key.key } })
  const item = itemOfStatement(statement, undefined)
  await writeAuthorityFile(newFile, {
    name: by.name,
    authority: by.authority,
    recovery: by.recovery,
    items: [...ledger.successions(), item],
    kind: 'authority',
    key,
    certificate: undefined,
    secrets: { discovery: file.discovery, epoch: newest.epoch, secret: newest.secret }
  })
  return [item]
}

function epochsOf(ledger: Ledger): number[] {
  return ledger.epochs().map(({ number }) => number)
}

function nextStatement(
  ledger: Ledger,
  { key }: AuthorityKey,
  {
    nowMs,
    revocations,
    epoch,
    succession
  }: { nowMs: number } & Partial<Pick<Statement, 'revocations' | 'epoch' | 'succession'>>
): Uint8Array {
  const last = ledger.lastOf(key.key)
  const statement: Statement = {
    swarm: ledger.swarm,
    signer: key.key,
    number: (last?.number ?? 0) + 1,
    previous: last?.digest ?? '',
    issuedMs: nowMs,
    revocations: revocations ?? [],
    epoch,
    succession
  }
  return encodeStatement(statement, key.sign)
}

function checkMayRevoke({ kind, certificate, items, ...by }: AuthorityKey, file: string): void {
  if (kind !== 'deputy') return
  const { roots } = ledgerOf(by, items, 0)
  const powers = certificate === undefined ? [] : readCertificate(certificate, roots, verifyKey).last.powers
  if (!powers.includes('revoke')) throw new InvalidAuthorityError(`${file} is the key of a deputy that may not revoke`)
}

function checkSame(by: AuthorityKey, file: MemberFile, path: string): void {
  if (idOf(by) !== idOf(file)) throw new InvalidAuthorityError(`${path} is a key of another swarm than ${file.name}`)
}
