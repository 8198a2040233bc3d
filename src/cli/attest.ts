/** `skein attest show`: what this machine can show of itself to others. */
import { showEvidence } from '../index.ts'
import { say, sayJson } from './output.ts'

export interface AttestShowFlags {
  readonly pcrs: readonly number[]
  readonly json?: boolean
}

/** @throws {AttestationError} when there is no TPM */
export async function attestShow({ pcrs, json }: AttestShowFlags): Promise<void> {
  const evidence = await showEvidence(pcrs)
  if (json) {
    sayJson({ event: 'attestation', kind: 'tpm2', ...evidence })
    return
  }
  say(`attestation key ${evidence.key}`)
  say(`registers now ${evidence.set}`)
  for (const [register, value] of evidence.registers.entries()) say(`  ${String(register).padStart(2)}  ${value}`)
  say(`next: skein invite --attest ${evidence.key.slice(0, 12)}… (all of it) names this machine in its certificate`)
}
