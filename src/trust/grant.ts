/**
 * Grants and certificates (protocols/trust.md): what a key may, signed by one that may give it. Pure: signatures are checked by a function
 * that comes in. Times are not judged here: a certificate that is read is right in all but its time.
 */
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import { Certificate as CertificateBytes, Grant as GrantBytes } from '../../protocols/trust.ts'
import { inDomain } from '../base/signature.ts'
import { ProtocolError } from '../errors.ts'
import { type KeyText, keyBytes, keyText, signatureBytes, type VerifyKey } from './keys.ts'
import { grantBytesMax, grantLifeMaxMs, grantsMax, labelsMax, labelTextMax } from './limits.ts'
import { among, type GrantKind, grantKinds, type Power, powers, type Role, roles } from './roles.ts'

const domain = 'skein-grant:'
export const serialBytes = 16
const attestKeyBytes = 32

/** Bytes and who signed them, as they travel. */
export interface Signed {
  readonly payload: Uint8Array<ArrayBuffer>
  readonly signature: Uint8Array<ArrayBuffer>
}

/** What a key may, as its issuer said it. */
export interface Grant {
  /** The swarm's id: 64 hex digits. */
  readonly swarm: string
  readonly issuer: KeyText
  readonly subject: KeyText
  readonly kind: GrantKind
  /** 32 hex digits. */
  readonly serial: string
  /** Milliseconds since 1970, both: it is valid in [notBeforeMs, notAfterMs). */
  readonly notBeforeMs: number
  readonly notAfterMs: number
  readonly roles: readonly Role[]
  readonly powers: readonly Power[]
  readonly labels: readonly string[]
  /** What its machine shows of itself (`attestation.ts`): 64 hex digits, a digest of the key that signs its evidence. @default nothing */
  readonly attestKey?: string
}

/** A chain of grants from an authority down to whom it is about; signatures and rights hold. */
export interface Certificate {
  readonly grants: readonly Grant[]
  /** The last of them: what the certificate is about. */
  readonly last: Grant
  /** Its bytes, as they travel. */
  readonly bytes: Uint8Array
  /** When all of it is valid: [notBeforeMs, notAfterMs). */
  readonly notBeforeMs: number
  readonly notAfterMs: number
}

/** Signs with the key that issues. */
export type SignKey = (data: Uint8Array) => Uint8Array

/** One more grant under a chain, which is empty where the authority signs. */
export function issue(above: readonly Signed[], grant: Grant, sign: SignKey): Uint8Array {
  const payload = GrantBytes.encode({
    swarm: owned(hexBytes(grant.swarm)),
    issuer: owned(hexBytes(grant.issuer)),
    subject: owned(hexBytes(grant.subject)),
    kind: grant.kind,
    serial: owned(hexBytes(grant.serial)),
    notBeforeMs: grant.notBeforeMs,
    notAfterMs: grant.notAfterMs,
    roles: [...grant.roles],
    powers: [...grant.powers],
    labels: [...grant.labels],
    attestKey: grant.attestKey === undefined ? new Uint8Array() : owned(hexBytes(grant.attestKey))
  })
  return CertificateBytes.encode({ grants: [...above, { payload, signature: owned(sign(inDomain(domain, payload))) }] })
}

/** The signed grants of a certificate's bytes. @throws {ProtocolError} when they are none */
export function signedGrants(bytes: Uint8Array): Signed[] {
  let grants: Signed[]
  try {
    ;({ grants } = CertificateBytes.decode(bytes, { limits: { grants: grantsMax } }))
  } catch (error) {
    throw new ProtocolError(`a certificate cannot be read: ${(error as Error).message}`)
  }
  if (grants.length === 0) throw new ProtocolError('a certificate has no grant')
  return grants
}

/** The keys of a swarm that may begin a certificate, and the swarm's id. */
export interface Roots {
  readonly swarm: string
  readonly authorities: ReadonlySet<KeyText>
}

/**
 * Reads a certificate and checks all of it but its time.
 *
 * @throws {ProtocolError} with one sentence: malformed, of another swarm, by an unknown key, a right that its issuer does not have.
 */
export function readCertificate(bytes: Uint8Array, roots: Roots, verify: VerifyKey): Certificate {
  const grants: Grant[] = []
  let notBeforeMs = 0
  let notAfterMs = Number.MAX_SAFE_INTEGER
  for (const { payload, signature } of signedGrants(bytes)) {
    const grant = readGrant(payload)
    const above = grants.at(-1)
    if (grant.swarm !== roots.swarm) throw new ProtocolError('a certificate is of another swarm')
    checkIssuer(grant, above, roots)
    const isSigned =
      signature.byteLength === signatureBytes && verify(hexBytes(grant.issuer), inDomain(domain, payload), signature)
    if (!isSigned) throw new ProtocolError('a certificate has a wrong signature')
    notBeforeMs = Math.max(notBeforeMs, grant.notBeforeMs)
    notAfterMs = Math.min(notAfterMs, grant.notAfterMs)
    grants.push(grant)
  }
  return { grants, last: grants.at(-1)!, bytes, notBeforeMs, notAfterMs }
}

/** Whether who has issued a grant may. @throws {ProtocolError} when not */
function checkIssuer(grant: Grant, above: Grant | undefined, { authorities }: Roots): void {
  if (above === undefined) {
    if (!authorities.has(grant.issuer)) throw new ProtocolError('a certificate is signed by no authority of this swarm')
    return
  }
  if (grant.issuer !== above.subject)
    throw new ProtocolError('a certificate has a gap: who signed is not who was named')
  const mayGive =
    above.kind === 'invitation'
      ? grant.kind === 'peer' && grant.serial === above.serial
      : above.kind === 'deputy' &&
        above.powers.includes('invite') &&
        (grant.kind === 'peer' || grant.kind === 'invitation')
  if (!mayGive) throw new ProtocolError(`a certificate has a ${grant.kind} that its ${above.kind} may not name`)
  const more = grant.roles.find(role => !above.roles.includes(role))
  if (more !== undefined)
    throw new ProtocolError(`a certificate gives the role ${more}, which its ${above.kind} does not have`)
  if (above.kind === 'invitation' && grant.labels.join('\n') !== above.labels.join('\n')) {
    throw new ProtocolError('a certificate has other labels than its invitation')
  }
  if (above.kind === 'invitation' && grant.attestKey !== above.attestKey)
    throw new ProtocolError('a certificate has another attestation key than its invitation')
}

function readGrant(payload: Uint8Array): Grant {
  if (payload.byteLength > grantBytesMax) {
    throw new ProtocolError(`a grant has ${payload.byteLength} bytes, the limit is ${grantBytesMax}`)
  }
  let fields: GrantBytes
  try {
    const limits = { roles: labelsMax, powers: labelsMax, labels: labelsMax }
    fields = GrantBytes.decode(payload, { limits })
  } catch (error) {
    throw new ProtocolError(`a grant cannot be read: ${(error as Error).message}`)
  }
  const kind = grantKinds.find(one => one === fields.kind)
  if (kind === undefined) throw new ProtocolError('a grant is of an unknown kind')
  for (const [name, bytes, length] of [
    ['swarm', fields.swarm, keyBytes],
    ['issuer', fields.issuer, keyBytes],
    ['subject', fields.subject, keyBytes],
    ['serial', fields.serial, serialBytes]
  ] as const) {
    if (bytes.byteLength !== length)
      throw new ProtocolError(`${name} of a grant has ${bytes.byteLength} bytes, not ${length}`)
  }
  const lifeMs = fields.notAfterMs - fields.notBeforeMs
  if (!(lifeMs > 0 && lifeMs <= grantLifeMaxMs))
    throw new ProtocolError('a grant ends before it begins, or lives too long')
  for (const label of fields.labels) checkLabel(label)
  const { attestKey } = fields
  if (attestKey.byteLength !== 0 && attestKey.byteLength !== attestKeyBytes)
    throw new ProtocolError(`attestKey of a grant has ${attestKey.byteLength} bytes, not ${attestKeyBytes}`)
  return {
    swarm: bytesToHex(fields.swarm),
    issuer: keyText(fields.issuer),
    subject: keyText(fields.subject),
    kind,
    serial: bytesToHex(fields.serial),
    notBeforeMs: fields.notBeforeMs,
    notAfterMs: fields.notAfterMs,
    roles: among(roles, fields.roles),
    powers: among(powers, fields.powers),
    labels: fields.labels,
    ...(attestKey.byteLength === 0 ? {} : { attestKey: bytesToHex(attestKey) })
  }
}

/** @throws {ProtocolError} unless a label is `name=value` or a name, of letters, digits and `._-` */
export function checkLabel(label: string): void {
  if (label.length > labelTextMax || !/^[\p{L}\p{N}._-]+(=[\p{L}\p{N}._-]+)?$/u.test(label)) {
    throw new ProtocolError(
      `the label ${label.slice(0, labelTextMax)} is none: use name=value of letters, digits, dots and dashes`
    )
  }
}

/**
 * The id of a swarm with members: SHA-256 of what it began with, so that nobody else's authority can be put in its place.
 * @param authority the Ed25519 public key of its first authority, 32 bytes; `recovery` that of its recovery key
 */
export function swarmIdOf(authority: Uint8Array, recovery: Uint8Array): string {
  const text = new TextEncoder().encode('skein swarm of members')
  return bytesToHex(sha256(new Uint8Array([...text, ...authority, ...recovery])))
}

/** Bytes from hex digits. */
export function hexBytes(hex: string): Uint8Array {
  return hexToBytes(hex)
}

/** Bytes in an ArrayBuffer of their own kind, as the generated codecs are typed. */
export function owned(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes as Uint8Array<ArrayBuffer>
}
