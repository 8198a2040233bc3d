/**
 * Statements (protocols/trust.md): what is revoked, which epoch it is, who the authority is. Each signer counts its own, and each has the
 * digest of the one before it. Pure.
 */
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex } from '@noble/hashes/utils.js'
import { Signed as SignedBytes, Statement as StatementBytes } from '../../protocols/trust.ts'
import { inDomain } from '../base/signature.ts'
import { ProtocolError } from '../errors.ts'
import { hexBytes, owned, serialBytes, type Signed, type SignKey } from './grant.ts'
import { type KeyText, keyBytes, keyText, signatureBytes, type VerifyKey } from './keys.ts'
import { reasonTextMax, revocationsMax, sealedMax, statementBytesMax } from './limits.ts'

const domain = 'skein-statement:'
const boxBytes = 48

/** Whatever this key, or this serial, stands in is void. One of the two may be missing. */
export interface Revocation {
  readonly subject: KeyText | undefined
  readonly serial: string | undefined
  readonly reason: string
  /** Of the subject's own statements, where it made some, those up to this number stay. */
  readonly through: number
}

/** Another secret of the swarm, sealed to each of those who remain. */
export interface Epoch {
  readonly number: number
  /** SHA-256 of the secret, as hex. */
  readonly digest: string
  /** X25519 public key, 32 bytes as hex. */
  readonly sender: string
  readonly sealed: ReadonlyMap<KeyText, Uint8Array>
}

/** Another key is an authority, too. */
export interface Succession {
  readonly authority: KeyText
}

export interface Statement {
  readonly swarm: string
  readonly signer: KeyText
  /** From 1. */
  readonly number: number
  /** Digest of the signer's statement before it as hex; empty for the first. */
  readonly previous: string
  readonly issuedMs: number
  readonly revocations: readonly Revocation[]
  readonly epoch: Epoch | undefined
  readonly succession: Succession | undefined
}

/** A statement whose signature holds, and its own digest. */
export interface ReadStatement extends Statement {
  readonly digest: string
  readonly bytes: Uint8Array
}

/** The bytes of a signed statement. */
export function encodeStatement(statement: Statement, sign: SignKey): Uint8Array {
  const { epoch, succession } = statement
  const payload = StatementBytes.encode({
    swarm: owned(hexBytes(statement.swarm)),
    signer: owned(hexBytes(statement.signer)),
    number: statement.number,
    previous: owned(hexBytes(statement.previous)),
    issuedMs: statement.issuedMs,
    revocations: statement.revocations.map(({ subject, serial, reason, through }) => ({
      subject: owned(hexBytes(subject ?? '')),
      serial: owned(hexBytes(serial ?? '')),
      reason,
      through
    })),
    ...(epoch === undefined
      ? {}
      : {
          epoch: {
            number: epoch.number,
            digest: owned(hexBytes(epoch.digest)),
            sender: owned(hexBytes(epoch.sender)),
            sealed: [...epoch.sealed].map(([key, box]) => ({ recipient: owned(hexBytes(key)), box: owned(box) }))
          }
        }),
    ...(succession === undefined ? {} : { succession: { authority: owned(hexBytes(succession.authority)) } })
  })
  return SignedBytes.encode({ payload, signature: owned(sign(inDomain(domain, payload))) })
}

/** The digest by which a signer's next statement names this one: of its payload, whoever signed it how often. */
export function statementDigest(signed: Signed): string {
  return bytesToHex(sha256(signed.payload))
}

/** @throws {ProtocolError} when it is malformed, of another swarm, or its signature is wrong */
export function readStatement(bytes: Uint8Array, swarm: string, verify: VerifyKey): ReadStatement {
  if (bytes.byteLength > statementBytesMax) {
    throw new ProtocolError(`a statement has ${bytes.byteLength} bytes, the limit is ${statementBytesMax}`)
  }
  let signed: Signed
  let fields: StatementBytes
  try {
    signed = SignedBytes.decode(bytes)
    fields = StatementBytes.decode(signed.payload, {
      limits: { revocations: revocationsMax, epoch: { sealed: sealedMax } }
    })
  } catch (error) {
    throw new ProtocolError(`a statement cannot be read: ${(error as Error).message}`)
  }
  const signer = hexOf(fields.signer, keyBytes, 'signer')
  if (hexOf(fields.swarm, keyBytes, 'swarm') !== swarm) throw new ProtocolError('a statement is of another swarm')
  const isSigned =
    signed.signature.byteLength === signatureBytes &&
    verify(fields.signer, inDomain(domain, signed.payload), signed.signature)
  if (!isSigned) throw new ProtocolError('a statement has a wrong signature')
  if (fields.number < 1) throw new ProtocolError(`a statement has the number ${fields.number}`)
  const isFirst = fields.number === 1
  return {
    swarm,
    signer: signer as KeyText,
    number: fields.number,
    previous: isFirst ? '' : hexOf(fields.previous, keyBytes, 'previous'),
    issuedMs: fields.issuedMs,
    revocations: fields.revocations.map(revocationOf),
    epoch: fields.epoch === undefined ? undefined : epochOf(fields.epoch),
    succession:
      fields.succession === undefined
        ? undefined
        : { authority: hexOf(fields.succession.authority, keyBytes, 'authority') as KeyText },
    digest: statementDigest(signed),
    bytes
  }
}

function revocationOf({ subject, serial, reason, through }: StatementBytes['revocations'][number]): Revocation {
  if (subject.byteLength === 0 && serial.byteLength === 0) throw new ProtocolError('a revocation names nobody')
  if (reason.length > reasonTextMax)
    throw new ProtocolError(`a reason has ${reason.length} letters, the limit is ${reasonTextMax}`)
  return {
    subject: subject.byteLength === 0 ? undefined : (hexOf(subject, keyBytes, 'subject') as KeyText),
    serial: serial.byteLength === 0 ? undefined : hexOf(serial, serialBytes, 'serial'),
    reason,
    through
  }
}

function epochOf({ number, digest, sender, sealed }: NonNullable<StatementBytes['epoch']>): Epoch {
  if (number < 1) throw new ProtocolError(`an epoch has the number ${number}`)
  const boxes = new Map<KeyText, Uint8Array>()
  for (const { recipient, box } of sealed) {
    if (recipient.byteLength !== keyBytes || box.byteLength !== boxBytes) {
      throw new ProtocolError('an epoch has a sealed secret of a wrong length')
    }
    boxes.set(keyText(recipient), box)
  }
  return { number, digest: hexOf(digest, keyBytes, 'digest'), sender: hexOf(sender, keyBytes, 'sender'), sealed: boxes }
}

function hexOf(bytes: Uint8Array, length: number, name: string): string {
  if (bytes.byteLength !== length)
    throw new ProtocolError(`${name} of a statement has ${bytes.byteLength} bytes, not ${length}`)
  return bytesToHex(bytes)
}
