/** Members as a person sees them. Pure. */
import type { PeerId } from '../base/ids.ts'
import { type Certificate, hexBytes } from './grant.ts'
import { type KeyText, peerOfKey } from './keys.ts'
import type { Ledger } from './ledger.ts'
import type { Power, Role } from './roles.ts'

/** A member as it is known here. */
export interface MemberFacts {
  readonly peer: PeerId
  readonly roles: readonly Role[]
  readonly labels: readonly string[]
  /** The key that signs evidence of its machine, by its digest of 64 hex digits; missing where its certificate names none. */
  readonly attestKey?: string
  /** When its certificate ends, in ms since 1970. */
  readonly notAfterMs: number
  /** Why it may nothing now; undefined for a member. */
  readonly refusal: string | undefined
}

/** A deputy as it is known here. */
export interface DeputyFacts {
  /** Its key: 64 hex digits. */
  readonly key: string
  readonly powers: readonly Power[]
  /** When its grant ends, in ms since 1970. */
  readonly notAfterMs: number
  /** Why it may nothing now; undefined where it may. */
  readonly refusal: string | undefined
}

/** A key that may sign models, as it is known here. */
export interface ModelKeyFacts {
  /** 64 hex digits. */
  readonly key: string
  /** When its grant ends, in ms since 1970. */
  readonly notAfterMs: number
  /** Why what it signs counts for nothing now; undefined where it counts. */
  readonly refusal: string | undefined
}

/** Keys that an authority has certified to sign models: those that count, and those that did. */
export function modelKeyFacts(ledger: Ledger, nowMs: number): ModelKeyFacts[] {
  return ledger.modelKeys().map(certificate => ({
    key: certificate.last.subject,
    notAfterMs: certificate.notAfterMs,
    refusal: ledger.refusalOf(certificate, nowMs)
  }))
}

/** Deputies, as far as they have been heard of: by what they signed, or by whom they invited. */
export function deputyFacts(ledger: Ledger, nowMs: number): DeputyFacts[] {
  return ledger.deputies().map(certificate => ({
    key: certificate.last.subject,
    powers: certificate.last.powers,
    notAfterMs: certificate.notAfterMs,
    refusal: ledger.refusalOf(certificate, nowMs)
  }))
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
      ...(last.attestKey === undefined ? {} : { attestKey: last.attestKey }),
      notAfterMs,
      refusal: standing.isMember ? undefined : standing.refusal
    }
  })
}
