/** What a membership is made of, and what it needs of its peer while it runs. */
import type { Clock } from '../base/clock.ts'
import type { PeerId } from '../base/ids.ts'
import type { VerifyKey } from '../trust/keys.ts'
import type { Epoch } from '../trust/statement.ts'
import type { AttestationOptions } from './attestation-service.ts'
import type { Links } from './links.ts'
import type { MemberFile } from './member-file.ts'

export interface MembershipInit {
  readonly self: PeerId
  readonly file: MemberFile
  /** What was kept of the ledger. */
  readonly items: readonly Uint8Array[]
  /** Keeps what there is now for the next start. */
  readonly keep: (file: MemberFile, items: readonly Uint8Array[]) => Promise<void>
  readonly verify: VerifyKey
  /** Opens what an epoch has for this peer. */
  readonly openEpoch: (epoch: Epoch) => Uint8Array | undefined
  readonly onWarning: (message: string) => void
  /** Which evidence this machine gives and takes. @default none */
  readonly attestation?: AttestationOptions | undefined
  /** So many bytes that nobody can foresee. @default the machine's */
  readonly random?: (bytes: number) => Uint8Array
  /** @default the machine's */
  readonly clock?: Clock
}

/** What a running membership needs of its peer. */
export interface MembershipLinks {
  readonly links: Links
  readonly connected: () => Iterable<PeerId>
  /** A peer that is connected or known is not a member any more, and why. */
  readonly onRefused: (peer: PeerId, refusal: string) => void
  /** Somebody may have become a member. */
  readonly onMembers: () => void
  /** Roles of a peer count that did not. */
  readonly onRoles?: (peer: PeerId) => void
  /** A handshake takes other secrets than before. */
  readonly onSecrets: () => void
  readonly onViolation: (peer: PeerId, kind: string, message: string) => void
}
