/** Members as a person sees them. Pure. */
import type { PeerId } from '../base/ids.ts'
import { type Certificate, hexBytes } from './grant.ts'
import { type KeyText, peerOfKey } from './keys.ts'
import type { Ledger } from './ledger.ts'
import type { Role } from './roles.ts'

/** A member as it is known here. */
export interface MemberFacts {
  readonly peer: PeerId
  readonly roles: readonly Role[]
  readonly labels: readonly string[]
  /** When its certificate ends, in ms since 1970. */
  readonly notAfterMs: number
  /** Why it may nothing now; undefined for a member. */
  readonly refusal: string | undefined
}

/** One line for each key, by its best certificate. */
export function memberFacts(ledger: Ledger, nowMs: number): MemberFacts[] {
  const newest = new Map<KeyText, Certificate>()
  for (const certificate of ledger.certificates()) {
    if (!newest.has(certificate.last.subject)) newest.set(certificate.last.subject, certificate)
  }
  return [...newest].map(([key, certificate]) => {
    const standing = ledger.standingOf(key, nowMs)
    const { last, notAfterMs } = standing.isMember ? standing.certificate : certificate
    return {
      peer: peerOfKey(hexBytes(key)),
      roles: last.roles,
      labels: last.labels,
      notAfterMs,
      refusal: standing.isMember ? undefined : standing.refusal
    }
  })
}
