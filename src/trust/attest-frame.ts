/** Frames of `/skein/attest` channels: bytes in, checked frames out. Pure. */
import { AttestFrame } from '../../protocols/attest.ts'
import { sentence } from '../base/shown.ts'
import { ProtocolError } from '../errors.ts'
import { bindingBytes, maskOf, registersOf } from './attestation.ts'
import { owned } from './grant.ts'
import { challengesWaitingMax, evidenceKindsMax, evidenceTextMax, registersMax } from './limits.ts'

export const nonceBytes = 32

/** What the opener asks for. */
export interface Challenge {
  readonly nonce: Uint8Array
  readonly kinds: readonly string[]
  /** Ascending. */
  readonly registers: readonly number[]
}

/** What it gets: evidence, or a sentence. */
export type AttestAnswer =
  | {
      readonly evidence: { readonly kind: string; readonly bindings: Uint8Array; readonly statement: Uint8Array }
    }
  | { readonly refusal: string }

export function encodeChallenge({ nonce, kinds, registers }: Challenge): Uint8Array {
  return AttestFrame.encode({ challenge: { nonce: owned(nonce), kinds: [...kinds], registers: maskOf(registers) } })
}

export function encodeAnswer(answer: AttestAnswer): Uint8Array {
  if ('refusal' in answer) return AttestFrame.encode({ refusal: answer.refusal.slice(0, evidenceTextMax) })
  const { kind, bindings, statement } = answer.evidence
  return AttestFrame.encode({ evidence: { kind, bindings: owned(bindings), statement: owned(statement) } })
}

/** @throws {ProtocolError} when the bytes are no challenge */
export function readChallenge(bytes: Uint8Array): Challenge {
  const { challenge } = readFrame(bytes)
  if (challenge === undefined) throw new ProtocolError('it asks without a challenge')
  const { nonce, kinds, registers } = challenge
  if (nonce.byteLength !== nonceBytes)
    throw new ProtocolError(`the nonce of a challenge has ${nonce.byteLength} bytes, not ${nonceBytes}`)
  if (registers >= 2 ** registersMax) throw new ProtocolError('a challenge asks for a register that no TPM has')
  if (kinds.some(kind => kind.length > evidenceTextMax))
    throw new ProtocolError('a challenge names a kind that is too long')
  return { nonce, kinds, registers: registersOf(registers) }
}

/** @throws {ProtocolError} when the bytes answer nothing */
export function readAnswer(bytes: Uint8Array): AttestAnswer {
  const { evidence, refusal } = readFrame(bytes)
  if (evidence === undefined) {
    if (refusal === undefined) throw new ProtocolError('it answers with neither evidence nor a reason')
    return { refusal: sentence(refusal.slice(0, evidenceTextMax)) || 'it does not say why' }
  }
  const { bindings, kind } = evidence
  const count = bindings.byteLength / bindingBytes
  if (!Number.isInteger(count) || count < 1 || count > challengesWaitingMax)
    throw new ProtocolError(`evidence has ${bindings.byteLength} bytes of bindings`)
  if (kind.length > evidenceTextMax) throw new ProtocolError('evidence is of a kind whose name is too long')
  return { evidence }
}

function readFrame(bytes: Uint8Array): AttestFrame {
  try {
    return AttestFrame.decode(bytes, { limits: { challenge: { kinds: evidenceKindsMax } } })
  } catch (error) {
    throw new ProtocolError(`a frame about evidence cannot be read: ${(error as Error).message}`)
  }
}
