/**
 * Evidence by a TPM 2.0: a quote, which is its signature over values of its registers and over 32 bytes of ours, by a key that signs
 * nothing but what the TPM itself has made. Structures are those of TCG's "TPM 2.0 Library, Part 2" (10.12.8 TPMS_ATTEST, 12.2.4 TPMT_PUBLIC), big-endian, and of each
 * just the one form is taken that {@link tpmKeyForm} asks a TPM for. Pure: signatures are checked by a function that comes in.
 */
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex } from '@noble/hashes/utils.js'
import { TpmEvidence } from '../../protocols/attest.ts'
import { sameBytes } from '../base/same-bytes.ts'
import { ProtocolError } from '../errors.ts'
import type { EvidenceJudge, ExpectedEvidence, RegisterSet } from './attestation.ts'
import { owned } from './grant.ts'
import { registersMax, tpmSignatureBytesMax, tpmStructureBytesMax } from './limits.ts'

export const tpmKind = 'tpm2'

/**
 * What an attestation key is, in the words of tpm2-tools: on P-256, for ECDSA with SHA-256. It cannot leave its TPM and was made there, and it is *restricted*:
 * it signs no bytes that were brought to it, which could look like a quote.
 */
export const tpmKeyForm = {
  algorithm: 'ecc256:ecdsa-sha256:null',
  attributes: 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|sign|noda'
} as const

/** Checks ECDSA with SHA-256 on P-256. @param point its two coordinates, of 32 bytes each @param signature in DER */
export type VerifyP256 = (
  point: { readonly x: Uint8Array; readonly y: Uint8Array },
  data: Uint8Array,
  signature: Uint8Array
) => boolean

/** What a quote says. */
export interface Quote {
  /** The bytes that whoever asked had signed along. */
  readonly qualifying: Uint8Array
  /** Ascending. */
  readonly registers: readonly number[]
  /** SHA-256 over the values of these registers. */
  readonly digest: Uint8Array
}

/** Of SHA-256 a register has as many, and of P-256 a coordinate. */
const registerBytes = 32
/** Of the TPM's constants (Part 2, clause 6). */
const generated = 0xff544347
const quoteTag = 0x8018
const algorithms = { sha256: 0x000b, none: 0x0010, ecdsa: 0x0018, ecc: 0x0023 } as const
const curveP256 = 0x0003
/** Bits of TPMA_OBJECT. */
const attributes = {
  fixedTPM: 1,
  fixedParent: 4,
  sensitiveDataOrigin: 5,
  restricted: 16,
  decrypt: 17,
  sign: 18
} as const

/** Reads fields of a structure, and never beyond its end. */
class Fields {
  readonly #view: DataView
  readonly #bytes: Uint8Array
  readonly #what: string
  #at = 0

  constructor(bytes: Uint8Array, what: string) {
    if (bytes.byteLength > tpmStructureBytesMax)
      throw new ProtocolError(`${what} has ${bytes.byteLength} bytes, the limit is ${tpmStructureBytesMax}`)
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#what = what
  }

  /** An unsigned number of so many bytes. */
  number(size: 1 | 2 | 4): number {
    const at = this.#advance(size)
    if (size === 1) return this.#view.getUint8(at)
    return size === 2 ? this.#view.getUint16(at) : this.#view.getUint32(at)
  }

  /** Bytes after their length, of two bytes. */
  sized(): Uint8Array {
    return this.bytes(this.number(2))
  }

  bytes(size: number): Uint8Array {
    const at = this.#advance(size)
    return this.#bytes.subarray(at, at + size)
  }

  /** @throws {ProtocolError} unless the next number is this one */
  expect(size: 1 | 2 | 4, value: number, name: string): void {
    const found = this.number(size)
    if (found !== value)
      throw new ProtocolError(`${this.#what} has ${name} ${found.toString(16)} and not ${value.toString(16)}`)
  }

  end(): void {
    const left = this.#bytes.byteLength - this.#at
    if (left !== 0) throw new ProtocolError(`${this.#what} has ${left} bytes too many`)
  }

  #advance(size: number): number {
    const at = this.#at
    if (at + size > this.#bytes.byteLength)
      throw new ProtocolError(`${this.#what} ends after ${this.#bytes.byteLength} bytes`)
    this.#at += size
    return at
  }
}

/** @param bytes a TPMS_ATTEST @throws {ProtocolError} unless it is a quote of registers of SHA-256 */
export function readQuote(bytes: Uint8Array): Quote {
  const fields = new Fields(bytes, 'a quote')
  fields.expect(4, generated, 'magic')
  fields.expect(2, quoteTag, 'type')
  fields.sized() // Who signed: its key is judged by its certificate.
  const qualifying = fields.sized()
  fields.bytes(8 + 4 + 4 + 1 + 8) // The TPM's clock, its restarts, whether that is safe, and its firmware.
  fields.expect(4, 1, 'banks')
  fields.expect(2, algorithms.sha256, 'bank')
  const selected = fields.bytes(fields.number(1))
  const digest = fields.sized()
  fields.end()
  if (digest.byteLength !== registerBytes) throw new ProtocolError(`a quote has a digest of ${digest.byteLength} bytes`)
  const registers: number[] = []
  for (const [at, byte] of selected.entries()) {
    for (let bit = 0; bit < 8; bit++) if ((byte >> bit) & 1) registers.push(8 * at + bit)
  }
  if ((registers.at(-1) ?? 0) >= registersMax) throw new ProtocolError('a quote has a register that no TPM has')
  return { qualifying, registers, digest }
}

/** @param bytes a TPMT_PUBLIC @throws {ProtocolError} unless it is a key of the form that is asked for: the sentence says what it is not */
export function readTpmKey(bytes: Uint8Array): { readonly x: Uint8Array; readonly y: Uint8Array } {
  const fields = new Fields(bytes, 'an attestation key')
  fields.expect(2, algorithms.ecc, 'type')
  fields.expect(2, algorithms.sha256, 'name algorithm')
  const bits = fields.number(4)
  fields.sized()
  fields.expect(2, algorithms.none, 'symmetric algorithm')
  fields.expect(2, algorithms.ecdsa, 'scheme')
  fields.expect(2, algorithms.sha256, 'hash')
  fields.expect(2, curveP256, 'curve')
  fields.expect(2, algorithms.none, 'key derivation')
  const [x, y] = [fields.sized(), fields.sized()]
  fields.end()
  for (const [name, bit] of Object.entries(attributes)) {
    const isSet = ((bits >>> bit) & 1) === 1
    if (isSet !== (name !== 'decrypt'))
      throw new ProtocolError(`an attestation key is ${isSet ? '' : 'not '}${name}: anything could be signed with it`)
  }
  if (x.byteLength > registerBytes || y.byteLength > registerBytes)
    throw new ProtocolError('an attestation key has coordinates that are too long')
  return { x: padded(x), y: padded(y) }
}

/** A coordinate as keys have it: a TPM may leave out zeros that it begins with. */
function padded(coordinate: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(registerBytes)
  bytes.set(coordinate, registerBytes - coordinate.byteLength)
  return bytes
}

/** What certificates name an attestation key by: SHA-256 of its public area, as in its TPM name. */
export function tpmKeyDigest(key: Uint8Array): string {
  return bytesToHex(sha256(key))
}

export function encodeTpmEvidence(evidence: {
  readonly key: Uint8Array
  readonly quote: Uint8Array
  readonly signature: Uint8Array
  readonly values: Uint8Array
}): Uint8Array {
  const { key, quote, signature, values } = evidence
  return TpmEvidence.encode({
    key: owned(key),
    quote: owned(quote),
    signature: owned(signature),
    values: owned(values)
  })
}

/** The values that a statement shows, by register. @throws {ProtocolError} when it is malformed, or its values are not those of its quote */
export function tpmRegisters(statement: Uint8Array): ReadonlyMap<number, Uint8Array> {
  const { quote, values } = readStatement(statement)
  return valuesOf(readQuote(quote), values)
}

/** These registers as a set of a policy, whose digest their values give. @throws {ProtocolError} when one of them is not there */
export function setOf(values: ReadonlyMap<number, Uint8Array>, registers: readonly number[]): RegisterSet {
  const digest = sha256.create()
  for (const register of registers) {
    const value = values.get(register)
    if (value === undefined) throw new ProtocolError(`register ${register} is not in it`)
    digest.update(value)
  }
  return { registers, digest: bytesToHex(digest.digest()) }
}

/** Judges quotes (rules E5 and E6). */
export function tpmJudge(verify: VerifyP256): EvidenceJudge {
  return {
    kind: tpmKind,
    judge(statement, expected) {
      try {
        return judgeQuote(statement, expected, verify)
      } catch (error) {
        if (error instanceof ProtocolError) return `its evidence is malformed: ${error.message}`
        throw error
      }
    }
  }
}

function judgeQuote(
  statement: Uint8Array,
  { qualifying, key, sets }: ExpectedEvidence,
  verify: VerifyP256
): string | undefined {
  const evidence = readStatement(statement)
  const digest = tpmKeyDigest(evidence.key)
  if (digest !== key)
    return `it has the attestation key ${digest.slice(0, 16)}, and its certificate names ${key.slice(0, 16)}: that is another machine's TPM`
  const point = readTpmKey(evidence.key)
  if (!verify(point, evidence.quote, evidence.signature)) return 'the signature of its quote is wrong'
  const quote = readQuote(evidence.quote)
  if (!sameBytes(quote.qualifying, qualifying))
    return 'its quote answers another challenge: it is an old one, or one for another peer'
  const values = valuesOf(quote, evidence.values)
  const missing = sets.flatMap(({ registers }) => registers).find(register => !values.has(register))
  if (missing !== undefined) return `its quote leaves out register ${missing}`
  if (sets.length === 0) return undefined
  const found = sets.map(({ registers }) => setOf(values, registers))
  if (found.some((set, i) => set.digest === sets[i]!.digest)) return undefined
  const [first] = found as [RegisterSet]
  return `its registers ${first.registers.join(',')} give ${first.digest.slice(0, 16)} and not what the policy names: it has begun with other software, or its firmware was changed`
}

/** @throws {ProtocolError} */
function readStatement(bytes: Uint8Array): TpmEvidence {
  let evidence: TpmEvidence
  try {
    evidence = TpmEvidence.decode(bytes)
  } catch (error) {
    throw new ProtocolError(`it cannot be read: ${(error as Error).message}`)
  }
  if (evidence.signature.byteLength > tpmSignatureBytesMax)
    throw new ProtocolError(`its signature has ${evidence.signature.byteLength} bytes`)
  return evidence
}

/** @throws {ProtocolError} when the values beside a quote are not those that were quoted */
function valuesOf({ registers, digest }: Quote, values: Uint8Array): ReadonlyMap<number, Uint8Array> {
  if (values.byteLength !== registerBytes * registers.length)
    throw new ProtocolError(`it has ${values.byteLength} bytes of values for ${registers.length} registers`)
  if (!sameBytes(sha256(values), digest))
    throw new ProtocolError('the values beside its quote are not those that were quoted')
  return new Map(
    registers.map((register, i) => [register, values.subarray(registerBytes * i, registerBytes * (i + 1))])
  )
}
