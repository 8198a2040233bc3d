/**
 * Who becomes a member: what an operator does with the key of an authority or a deputy, on a machine that need not be in the swarm, and how a
 * machine joins. Nothing here speaks to peers: what comes of it is a file, or a line to carry.
 */
import { randomBytes } from 'node:crypto'
import type { PeerId } from '../base/ids.ts'
import { writeWhole } from '../disk/whole-file.ts'
import { InvalidAuthorityError, InvalidMembershipError, InvalidOptionError, ProtocolError } from '../errors.ts'
import {
  authorityText,
  type AuthorityKey,
  type Invitation,
  invitationText,
  type NewMemberSecrets,
  readAuthorityFile,
  readInvitation,
  writeAuthorityFile
} from '../swarm/authority-file.ts'
import { openDataDir } from '../swarm/data-dir.ts'
import { loadIdentity } from '../swarm/identity.ts'
import {
  ledgerFileBytes,
  ledgerPath,
  type MemberFile,
  readMemberFile,
  text64,
  writeMemberFile
} from '../swarm/member-file.ts'
import { type MembersSwarm, writeSwarmFile } from '../swarm/swarm-file.ts'
import {
  type Certificate,
  checkLabel,
  type Grant,
  issue,
  readCertificate,
  type Roots,
  signedGrants
} from '../trust/grant.ts'
import { itemOfCertificate } from '../trust/item.ts'
import { keyOfPeer, type KeyText, keyText, peerOfKey } from '../trust/keys.ts'
import { grantLifeMaxMs, labelsMax } from '../trust/limits.ts'
import type { GrantKind, Power, Role } from '../trust/roles.ts'
import { type SigningKey, signingKey, verifyKey } from '../trust/signing-key.ts'
import { idOf, ledgerOf } from './known-members.ts'

const serialBytes = 16

/** How a new swarm with members is made. */
export interface MembersInit {
  /** Where its public part goes, which every machine may have. */
  readonly file: string
  /** Where the authority's key goes, which is kept offline. */
  readonly authority: string
  /** Where the key goes by which the authority's is replaced when it is lost or stolen. @default `authority` with `.recovery` after it */
  readonly recovery?: string
  /** @default 'swarm' */
  readonly name?: string
}

/**
 * Makes a swarm with members: its public part, the authority's key and the recovery key, in three files. None that is there is overwritten.
 * @throws {InvalidAuthorityError} {InvalidSwarmError}
 */
export async function initMembers(init: MembersInit): Promise<MembersSwarm & { readonly recoveryFile: string }> {
  const { file, name = 'swarm', recovery: recoveryFile = `${init.authority}.recovery` } = init
  const [authority, recovery] = [signingKey(), signingKey()]
  const config = { name, authority: authority.publicKey, recovery: recovery.publicKey }
  const swarm: MembersSwarm = {
    format: 2,
    name,
    authority: text64(authority.publicKey),
    recovery: text64(recovery.publicKey)
  }
  const secrets: NewMemberSecrets = {
    discovery: new Uint8Array(randomBytes(32)),
    epoch: 1,
    secret: new Uint8Array(randomBytes(32))
  }
  await writeSwarmFile(file, swarm)
  const none = { certificate: undefined, items: [] }
  await writeAuthorityFile(init.authority, { ...config, ...none, kind: 'authority', key: authority, secrets })
  await writeAuthorityFile(recoveryFile, { ...config, ...none, kind: 'recovery', key: recovery, secrets: undefined })
  return { ...swarm, recoveryFile }
}

/** What somebody is to be given. */
export interface GrantInit {
  /** What it may do; what a deputy may give. */
  readonly roles: readonly Role[]
  /** As `zone=air`. */
  readonly labels?: readonly string[]
  /** The key that signs evidence of its machine, as `skein attest show` prints it there: 64 hex digits. @default none */
  readonly attestKey?: string | undefined
  /** For how long, in ms from `nowMs`. */
  readonly lifeMs: number
  /** In ms since 1970. @default now */
  readonly nowMs?: number
}

/**
 * A line for one machine to join with: a secret until it has. The first key that is made a certificate by it counts; a second one voids both.
 * @param authority the file of an authority's key, or of a deputy's that may invite. @throws {InvalidAuthorityError} {InvalidOptionError}
 */
export async function inviteMember(authority: string, init: GrantInit): Promise<string> {
  const by = await inviterOf(authority)
  const key = signingKey()
  const certificate = issueBy(by, grantOf(by, key, 'invitation', init))
  return invitationText({ ...configOf(by), kind: 'invitation', key, certificate, secrets: by.secrets })
}

/** Another certificate for a machine that is a member: a line for `joinSwarm` there, and an item that a running peer takes. */
export async function renewMember(
  authority: string,
  peer: PeerId,
  init: GrantInit
): Promise<{ readonly text: string; readonly item: Uint8Array }> {
  const by = await inviterOf(authority)
  const certificate = issueBy(by, grantOf(by, keyOfPeerText(peer), 'peer', init))
  const text = invitationText({ ...configOf(by), kind: 'certificate', key: undefined, certificate, secrets: undefined })
  return { text, item: itemOfCertificate(certificate) }
}

/**
 * Makes the key of a deputy, which may do for a time what `powers` says and nothing else.
 *
 * @param file where it goes; undefined where the caller puts its text somewhere
 * @returns an item by which members know of it, and what a key file holds: a secret. @throws {InvalidAuthorityError} {InvalidOptionError}
 */
export async function deputise(
  authority: string,
  file: string | undefined,
  { powers, ...init }: GrantInit & { readonly powers: readonly Power[] }
): Promise<{ readonly item: Uint8Array; readonly text: string }> {
  const by = await readAuthorityFile(authority)
  if (by.kind !== 'authority')
    throw new InvalidAuthorityError(`${authority} is the key of a ${by.kind}: only an authority names deputies`)
  if (powers.length === 0)
    throw new InvalidOptionError('a deputy that may nothing is none: give it invite, revoke or both')
  const key = signingKey()
  const certificate = issueBy(by, { ...grantOf(by, key, 'deputy', init), powers })
  const secrets = powers.includes('invite') ? by.secrets : undefined
  const deputy: AuthorityKey = { ...configOf(by), kind: 'deputy', key, certificate, secrets }
  if (file !== undefined) await writeAuthorityFile(file, deputy)
  return { item: itemOfCertificate(certificate), text: authorityText(deputy) }
}

/**
 * Certifies a key that signs models, for a time: what it signs counts for members as the authority's own signature does.
 * @param key the signer's public key, as `readSigners` gives it. @returns an item by which members know of it. @throws {InvalidAuthorityError} {InvalidOptionError}
 */
export async function certifySigner(
  authority: string,
  key: KeyText,
  init: Pick<GrantInit, 'lifeMs' | 'nowMs'>
): Promise<{ readonly item: Uint8Array }> {
  const by = await readAuthorityFile(authority)
  if (by.kind !== 'authority')
    throw new InvalidAuthorityError(`${authority} is the key of a ${by.kind}: only an authority says who signs models`)
  return { item: itemOfCertificate(issueBy(by, grantOf(by, { key }, 'model', { ...init, roles: [] }))) }
}

/** What has come of joining. */
export interface Joined {
  readonly peer: PeerId
  readonly name: string
  readonly roles: readonly Role[]
  readonly labels: readonly string[]
  readonly notAfterMs: number
}

/**
 * Makes a machine a member: its key and certificate, and the swarm's secret, go into its data directory, and a peer started there needs nothing
 * else. A certificate that renews one takes its place.
 *
 * @param text a line that {@link inviteMember} or {@link renewMember} has made
 * @throws {InvalidAuthorityError} when it is none, or over. @throws {InvalidMembershipError} when the directory is of another swarm
 */
export async function joinSwarm(
  text: string,
  dataDir: string,
  from = 'the invitation',
  nowMs = Date.now()
): Promise<Joined> {
  const invitation = readInvitation(text, from)
  const dir = await openDataDir(dataDir)
  try {
    const identity = await loadIdentity(dir.path)
    const own = keyText(keyOfPeer(identity.id))
    const ledger = ledgerOf(invitation, invitation.items, nowMs)
    const { roots } = ledger
    const before = await readMemberFile(dir.path)
    if (before !== undefined && idOf(before) !== roots.swarm) {
      throw new InvalidMembershipError(
        `${dataDir} is a member of the swarm ${before.name} already: use another directory`
      )
    }
    const bytes =
      invitation.kind === 'certificate' ? invitation.certificate : certificateFor(invitation, own, { roots, from })
    const certificate = checked(bytes, roots, from)
    checkJoin(certificate, { own, from, nowMs })
    const secrets = invitation.secrets
    if (before === undefined && secrets === undefined) {
      throw new InvalidMembershipError(
        `${from} renews a certificate, and ${dataDir} has joined no swarm: it needs an invitation`
      )
    }
    const file: MemberFile = {
      name: invitation.name,
      authority: invitation.authority,
      recovery: invitation.recovery,
      certificate: bytes,
      discovery: before?.discovery ?? secrets!.discovery,
      secrets: before?.secrets ?? [{ epoch: secrets!.epoch, secret: secrets!.secret }],
      timeMs: Math.max(before?.timeMs ?? 0, certificate.last.notBeforeMs)
    }
    if (before === undefined) await writeWhole(ledgerPath(dir.path), ledgerFileBytes(ledger.items()))
    await writeMemberFile(dir.path, file)
    const { roles, labels } = certificate.last
    return { peer: identity.id, name: file.name, roles, labels, notAfterMs: certificate.notAfterMs }
  } finally {
    await dir.close()
  }
}

/** The key that invites. @throws {InvalidAuthorityError} when it may not */
async function inviterOf(file: string): Promise<AuthorityKey & { readonly secrets: NewMemberSecrets }> {
  const by = await readAuthorityFile(file)
  if (by.secrets === undefined)
    throw new InvalidAuthorityError(`${file} is the key of a ${by.kind} that may not invite`)
  return { ...by, secrets: by.secrets }
}

/** @throws {InvalidOptionError} when no such grant can be made */
function grantOf(by: AuthorityKey, subject: Pick<SigningKey, 'key'>, kind: GrantKind, init: GrantInit): Grant {
  const { roles, labels = [], attestKey, lifeMs, nowMs = Date.now() } = init
  if (!(lifeMs >= 1_000 && lifeMs <= grantLifeMaxMs)) {
    throw new InvalidOptionError('a certificate lives for a second or more, and for ten years at most')
  }
  if (labels.length > labelsMax)
    throw new InvalidOptionError(`a member has at most ${labelsMax} labels, not ${labels.length}`)
  for (const label of labels) {
    try {
      checkLabel(label)
    } catch (error) {
      throw new InvalidOptionError((error as Error).message)
    }
  }
  if (attestKey !== undefined && !/^[0-9a-f]{64}$/.test(attestKey)) {
    throw new InvalidOptionError(
      `an attestation key is named by 64 hex digits, as skein attest show prints them, not '${attestKey.slice(0, 80)}'`
    )
  }
  const notBeforeMs = Math.floor(nowMs)
  return {
    swarm: idOf(by),
    issuer: by.key.key,
    subject: subject.key,
    kind,
    serial: randomBytes(serialBytes).toString('hex'),
    notBeforeMs,
    notAfterMs: notBeforeMs + Math.floor(lifeMs),
    roles,
    powers: [],
    labels,
    ...(attestKey === undefined ? {} : { attestKey })
  }
}

function issueBy({ certificate, key }: AuthorityKey, grant: Grant): Uint8Array {
  return issue(certificate === undefined ? [] : signedGrants(certificate), grant, key.sign)
}

/** This machine's certificate, made with the key of its invitation. */
function certificateFor(
  { key, certificate }: Invitation,
  subject: KeyText,
  { roots, from }: { readonly roots: Roots; readonly from: string }
): Uint8Array {
  const { last } = checked(certificate, roots, from)
  return issue(signedGrants(certificate), { ...last, kind: 'peer', issuer: key!.key, subject }, key!.sign)
}

/** @throws {InvalidAuthorityError} with what is wrong with it */
function checked(bytes: Uint8Array, roots: Roots, from: string): Certificate {
  try {
    return readCertificate(bytes, roots, verifyKey)
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    throw new InvalidAuthorityError(`${from} cannot be used: ${error.message}`)
  }
}

function checkJoin(
  { last, notAfterMs }: Certificate,
  { own, from, nowMs }: { own: KeyText; from: string; nowMs: number }
): void {
  if (last.subject !== own) {
    throw new InvalidAuthorityError(
      `${from} is a certificate of ${peerOfKey(Buffer.from(last.subject, 'hex'))}, and this machine is ${peerOfKey(Buffer.from(own, 'hex'))}`
    )
  }
  if (nowMs >= notAfterMs)
    throw new InvalidAuthorityError(`${from} ended on ${new Date(notAfterMs).toISOString()}: ask for a new one`)
}

function keyOfPeerText(peer: PeerId): Pick<SigningKey, 'key'> {
  return { key: keyText(keyOfPeer(peer)) }
}

function configOf({
  name,
  authority,
  recovery,
  items
}: AuthorityKey): Pick<AuthorityKey, 'name' | 'authority' | 'recovery' | 'items'> {
  return { name, authority, recovery, items }
}
