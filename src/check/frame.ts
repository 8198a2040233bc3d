/** The typed form of every frame of /skein/check/2.0.0, as `codec.ts` reads and writes them. */
import type { Range, SessionId } from '../base/ids.ts'
import type { Protocol } from '../base/protocol.ts'
import type { SignedCommitment } from '../stage/commitment.ts'
import type { SignedTerms } from '../stage/terms.ts'

/** The protocol, and the revisions of it that are spoken here. */
export const checkProtocol: Protocol = { name: '/skein/check', revisions: ['2.0.0'] }

/** What a stage sent in a session of the one who asks. */
export interface RowsAskFrame extends Range {
  readonly kind: 'rows-ask'
  readonly session: SessionId
  readonly tokens: number
}

export interface RowsFrame {
  readonly kind: 'rows'
  readonly position: number
  readonly data: Uint8Array
}

/** A case without its rows, which follow. */
export interface CaseFrame {
  readonly kind: 'case'
  readonly terms: SignedTerms
  readonly commitment: SignedCommitment
  readonly drawn: Uint8Array | undefined
  readonly rowBytes: number
}

/** `same`: what the hop has committed to is what comes out; `differs`: it is not; `cannot`: this peer does not know, and why. */
export type Finding = 'same' | 'differs' | 'cannot'

export interface VerdictFrame {
  readonly kind: 'verdict'
  readonly finding: Finding
  /** One sentence for a person. */
  readonly message: string
}

export type CheckFrame = RowsAskFrame | RowsFrame | CaseFrame | VerdictFrame
