/**
 * What a machine shows of itself beside its certificate (protocols/attest.md): evidence by hardware that a copy of its disk does not have. Here is
 * what any kind of it must do; `tpm-quote.ts` is the one that there is. Pure.
 */
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, concatBytes } from '@noble/hashes/utils.js'
import type { PeerId } from '../base/ids.ts'
import { inDomain } from '../base/signature.ts'
import { InvalidOptionError } from '../errors.ts'
import { keyOfPeer } from './keys.ts'
import { registerSetsMax, registersMax } from './limits.ts'
import type { Role } from './roles.ts'

/** Makes evidence on the machine that it is about. An enclave would be another one beside `tpm2`. */
export interface Attester {
  /** As it stands in frames: `tpm2`. */
  readonly kind: string
  /** What certificates name it by: 64 lower-case hex digits, a digest of the key that signs its evidence. */
  readonly key: string
  /**
   * A statement that only this machine can make, over 32 bytes that were chosen by others.
   *
   * @param asked.qualifying 32 bytes that the hardware has to sign along
   * @param asked.registers measurements that must be in it, ascending; it may have others, too
   * @throws an Error with one sentence, or the signal's reason
   */
  evidence(asked: AskedEvidence, options: { readonly signal: AbortSignal }): Promise<Uint8Array>
}

/** What evidence is to be made of. */
export interface AskedEvidence {
  readonly qualifying: Uint8Array
  readonly registers: readonly number[]
}

/** Judges evidence of one kind, anywhere: it needs no hardware of its own. */
export interface EvidenceJudge {
  readonly kind: string
  /** @returns what is wrong with it, as the part of a sentence after a colon; undefined where it is right. It never throws. */
  judge(statement: Uint8Array, expected: ExpectedEvidence): string | undefined
}

/** What evidence is judged by. */
export interface ExpectedEvidence {
  /** 32 bytes. */
  readonly qualifying: Uint8Array
  /** As the certificate names it: 64 hex digits. */
  readonly key: string
  /** Of these sets one has to be as it says; none: any measurements will do. */
  readonly sets: readonly RegisterSet[]
}

/** Measurements that some machine may have. */
export interface RegisterSet {
  /** Ascending, each once. */
  readonly registers: readonly number[]
  /** SHA-256 over their values in that order: 64 lower-case hex digits. */
  readonly digest: string
}

/** Roles that count for who is attested alone. */
export interface AttestationPolicy {
  readonly roles: readonly Role[]
  readonly sets: readonly RegisterSet[]
  readonly judges: readonly EvidenceJudge[]
}

/** Roles that others look at when they deal with a peer: no other one can be asked for. */
export const attestableRoles = ['driver', 'stage', 'keeper', 'source'] as const satisfies readonly Role[]

/** Who asks, and whom. */
export interface Asking {
  readonly nonce: Uint8Array
  readonly prover: PeerId
  readonly verifier: PeerId
}

/** What stands for one challenge: no evidence for it is any for another peer, another asker or another moment (rule E3). */
export function bindingOf({ nonce, prover, verifier }: Asking): Uint8Array<ArrayBuffer> {
  const parts = concatBytes(nonce, keyOfPeer(prover), keyOfPeer(verifier))
  return new Uint8Array(sha256(inDomain('skein-attest-challenge:', parts)))
}

export const bindingBytes = 32

/** What hardware signs for all these challenges at once (rule E4). @param bindings one after another */
export function qualifyingOf(bindings: Uint8Array): Uint8Array {
  return sha256(inDomain('skein-attest-quote:', bindings))
}

/** Whether one of these bindings is that one. */
export function hasBinding(bindings: Uint8Array, binding: Uint8Array): boolean {
  const wanted = bytesToHex(binding)
  for (let at = 0; at + bindingBytes <= bindings.byteLength; at += bindingBytes) {
    if (bytesToHex(bindings.subarray(at, at + bindingBytes)) === wanted) return true
  }
  return false
}

/** Registers as a challenge names them: bit n for register n. */
export function maskOf(registers: Iterable<number>): number {
  let mask = 0
  for (const register of registers) mask |= 1 << register
  return mask
}

export function registersOf(mask: number): number[] {
  return Array.from({ length: registersMax }, (_, register) => register).filter(register => (mask >>> register) & 1)
}

/** `sha256:0,7=HEX`, as `skein attest show` prints it. @throws {InvalidOptionError} */
export function registerSet(text: string): RegisterSet {
  const [, list = '', digest = ''] = /^sha256:(\d{1,2}(?:,\d{1,2})*)=([0-9a-f]{64})$/i.exec(text) ?? []
  const registers = registerList(list)
  if (registers === undefined) {
    throw new InvalidOptionError(
      `'${text.slice(0, 120)}' names no registers: use sha256:0,7= with the 64 hex digits that skein attest show prints`
    )
  }
  return { registers, digest: digest.toLowerCase() }
}

/** `0,7`: registers from 0 to 23, each once, ascending; undefined where it is no such list. */
export function registerList(text: string): number[] | undefined {
  if (!/^\d{1,2}(,\d{1,2})*$/.test(text)) return undefined
  const registers = text.split(',').map(Number)
  const isRight = registers.every((register, i) => register < registersMax && register > (registers[i - 1] ?? -1))
  return isRight ? registers : undefined
}

export function registerSetText({ registers, digest }: RegisterSet): string {
  return `sha256:${registers.join(',')}=${digest}`
}

/** @throws {InvalidOptionError} for no roles, those that nobody asks others for, or too many sets */
export function attestationPolicy(
  roles: readonly Role[],
  sets: readonly RegisterSet[],
  judges: readonly EvidenceJudge[]
): AttestationPolicy {
  const strange = roles.find(role => !(attestableRoles as readonly Role[]).includes(role))
  if (strange !== undefined || roles.length === 0) {
    throw new InvalidOptionError(
      `roles that need evidence are some of ${attestableRoles.join(', ')}${strange === undefined ? ': name one' : `, not ${strange}: nobody asks a peer for that`}`
    )
  }
  if (sets.length > registerSetsMax)
    throw new InvalidOptionError(`a policy has at most ${registerSetsMax} sets of registers, not ${sets.length}`)
  return { roles, sets, judges }
}
