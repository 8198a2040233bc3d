/** Evidence of machines, as an operator asks for it: of this one, and of others. */
import { randomBytes } from 'node:crypto'
import type { AttestationOptions } from '../swarm/attestation-service.ts'
import { type TpmInit, tpmAttester } from '../swarm/attester-service.ts'
import {
  attestationPolicy,
  type Attester,
  type EvidenceJudge,
  registerSet,
  registerSetText
} from '../trust/attestation.ts'
import { registersMax } from '../trust/limits.ts'
import type { Role } from '../trust/roles.ts'
import { verifyP256 } from '../trust/signing-key.ts'
import { setOf, tpmJudge, tpmRegisters } from '../trust/tpm-quote.ts'
import { attestationShowMs } from './limits.ts'

/** Evidence of machines, of what a peer is started with. */
export interface AttestingInit {
  /**
   * In a swarm with members: give evidence of this machine: by its TPM through tpm2-tools, whose key its certificate names, or by an attester of your own.
   * @default none
   */
  attest?: 'tpm2' | Attester
  /** In a swarm with members: of others some roles count only with evidence of their machines. @default none */
  requireAttested?: RequireAttestedInit
}

/** What evidence others have to give. */
export interface RequireAttestedInit {
  /** Of `driver`, `stage`, `keeper` and `source`: these do not count of whoever gives none. */
  readonly roles: readonly Role[]
  /**
   * What registers of a TPM may hold, as `skein attest show` prints it there (`sha256:0,7=` and 64 hex digits): one of these sets has to be as it says.
   * @default whatever they hold
   */
  readonly registers?: readonly string[]
  /** Judges of other kinds of evidence than a TPM's. @default none */
  readonly judges?: readonly EvidenceJudge[]
}

/** What this machine's TPM says of it. */
export interface MachineEvidence {
  /** What certificates name it by: 64 hex digits. */
  readonly key: string
  /** Values of all registers of SHA-256, 64 hex digits each, from 0 on. */
  readonly registers: readonly string[]
  /** Those that were asked for as a set: what a policy takes ({@link RequireAttestedInit.registers}). */
  readonly set: string
}

/**
 * Asks this machine's TPM what it would answer others.
 * @param registers from 0 to 23, ascending, for the set
 * @throws {AttestationError} when there is no TPM, or tpm2-tools are not here
 */
export async function showEvidence(registers: readonly number[], init: TpmInit = {}): Promise<MachineEvidence> {
  const attester = await tpmAttester(init)
  const all = Array.from({ length: registersMax }, (_, register) => register)
  const asked = { qualifying: new Uint8Array(randomBytes(32)), registers: all }
  const values = tpmRegisters(await attester.evidence(asked, { signal: AbortSignal.timeout(attestationShowMs) }))
  return {
    key: attester.key,
    registers: all.map(register => Buffer.from(values.get(register) ?? []).toString('hex')),
    set: registerSetText(setOf(values, registers))
  }
}

/**
 * What a peer's swarm is started with; nothing where it neither gives nor takes evidence.
 * @throws {InvalidOptionError} {AttestationError}
 */
export async function attestationOf({
  attest,
  requireAttested
}: AttestingInit): Promise<{ readonly attestation?: AttestationOptions }> {
  if (attest === undefined && requireAttested === undefined) return {}
  const { roles, registers = [], judges = [] } = requireAttested ?? { roles: [] }
  const policy =
    requireAttested === undefined
      ? undefined
      : attestationPolicy(roles, registers.map(registerSet), [tpmJudge(verifyP256), ...judges])
  return { attestation: { policy, attester: attest === 'tpm2' ? await tpmAttester() : attest } }
}
