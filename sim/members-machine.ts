/** A machine in a world of members, and what must hold of it. */
import type { PeerId } from '../src/base/ids.ts'
import type { MemberFile } from '../src/swarm/member-file.ts'
import type { Membership } from '../src/swarm/membership-service.ts'
import type { KeyText } from '../src/trust/keys.ts'
import type { Ledger } from '../src/trust/ledger.ts'
import type { SigningKey } from '../src/trust/signing-key.ts'
import type { ModelKey } from './members-cast.ts'

export type MembersPromise =
  | 'revoked-connected'
  | 'revocation-late'
  | 'member-locked-out'
  | 'expired-admitted'
  | 'secret-leaked'
  | 'wrong-time'
  | 'forgotten'
  | 'model-key-lost'
  | 'model-key-kept'
  | 'unsettled'
  | 'crash'

export class BrokenMembership extends Error {
  override readonly name = 'BrokenMembership'
  readonly promise: MembersPromise
  constructor(promise: MembersPromise, atMs: number, message: string) {
    super(`${promise} at ${(atMs / 1000).toFixed(2)} s: ${message}`)
    this.promise = promise
  }
}

export interface Disk {
  readonly file: MemberFile
  readonly items: readonly Uint8Array[]
  /** Who was known to be revoked when it was written. */
  readonly revoked: readonly Machine[]
}

export interface Machine {
  readonly name: string
  readonly id: PeerId
  readonly key: SigningKey
  /** What is on its disk. */
  disk: Disk
  /** An older copy of it. */
  old: Disk
  life: { readonly membership: Membership; readonly end: () => void } | undefined
  /** Its wall clock minus the true time. */
  skewMs: number
  /** In whose hands it is: its software does what suits them. */
  isCaptured: boolean
  revokedMs: number | undefined
  /** By its twin or otherwise: it is to be refused by whoever knows. */
  isConflicted: boolean
}

/** Whether it is known to be revoked. */
export function isRevoked(membership: Membership, machine: Machine): boolean {
  return membership.refusalOf(machine.id)?.includes('was revoked') === true
}

/** What two machines are known by together. */
export function pairOf(a: Machine, b: Machine): string {
  return a.name < b.name ? `${a.name} ${b.name}` : `${b.name} ${a.name}`
}

/** A key that signs models, and whether the authority has revoked it. */
export interface KnownModelKey extends ModelKey {
  isRevoked: boolean
}

/** Whether a key is known to have been certified to sign models, whatever that is worth now. */
export function isCertified(ledger: Ledger, key: KeyText): boolean {
  return ledger.modelKeys().some(({ last }) => last.subject === key)
}
