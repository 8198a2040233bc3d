/**
 * One admission (protocols/trust.md): the two ends of a new connection show one another their certificates and give one another what they know
 * of members, before either answers anything else. The end that dialled speaks first, then they take turns, at most five frames in all. Pure:
 * frames in, frames out.
 */
import { TrustFrame } from '../../protocols/trust.ts'
import { sameBytes } from '../base/same-bytes.ts'
import { ProtocolError } from '../errors.ts'
import type { EpochSecret } from './epochs.ts'
import { type Certificate, owned, signedGrants } from './grant.ts'
import { certificateBytes, itemBytes, itemsWithin, readFrame } from './frame.ts'
import { itemOfCertificate } from './item.ts'
import type { KeyText } from './keys.ts'
import type { Ledger, Standing } from './ledger.ts'

/** What both ends of an admission have of their peer: one desk for all connections. */
export interface Desk {
  readonly ledger: Ledger
  /** This peer's own certificate. */
  readonly certificate: Uint8Array
  nowMs(): number
  /** The clock of somebody with a certificate of this swarm. */
  heard(key: KeyText, timeMs: number): void
  /** The newest epoch of which this peer has the secret. */
  readonly epoch: number
  /** SHA-256 of the secret by which it takes handshakes now. */
  readonly secretDigest: Uint8Array
  /** What a member lacks that has only older ones. */
  secrets(): readonly EpochSecret[]
  /** Items that were not known, in their order; and secrets that a member gives. */
  learnt(items: readonly Uint8Array[], secrets: readonly EpochSecret[]): void
}

export type Outcome =
  | { readonly isAdmitted: true; readonly certificate: Certificate }
  /** `byRemote`: the other end refuses this peer. */
  | { readonly isAdmitted: false; readonly refusal: string; readonly byRemote: boolean }

export interface Turn {
  readonly send?: Uint8Array
  readonly outcome?: Outcome
}

export interface AdmissionInit {
  readonly isDialler: boolean
  /** The key that the handshake has shown. */
  readonly remote: KeyText
  readonly desk: Desk
}

export class Admission {
  readonly #init: AdmissionInit
  #hello: NonNullable<TrustFrame['hello']> | undefined
  /** Whether the two ends know different things. */
  #differs = false
  #isLast = false

  constructor(init: AdmissionInit) {
    this.#init = init
  }

  /** What the end that dialled says first. */
  begin(): Uint8Array {
    return this.#encode({ hello: this.#ownHello() })
  }

  /** @throws {ProtocolError} when the bytes are no frame of an admission, or not the one whose turn it is */
  take(bytes: Uint8Array): Turn {
    const frame = readFrame(bytes)
    const { desk, remote, isDialler } = this.#init
    const refusal = frame.verdict?.refusal
    if (refusal !== undefined && refusal !== '') {
      return { outcome: { isAdmitted: false, refusal, byRemote: true } }
    }
    if (this.#hello === undefined) {
      if (frame.hello === undefined) throw new ProtocolError('an admission begins without a hello')
      this.#hello = frame.hello
      this.#differs = !sameBytes(frame.hello.digest, desk.ledger.digest)
    } else if (frame.hello !== undefined) throw new ProtocolError('an admission has two hellos')
    this.#learn(frame)
    if (frame.hello !== undefined) this.#show(frame.hello)
    const standing = this.#standing(remote)
    if (!standing.isMember) return this.#refuse(standing.refusal)
    if (!isDialler && frame.hello !== undefined) {
      return { send: this.#encode({ hello: this.#ownHello(), ...(this.#differs ? this.#known() : {}) }) }
    }
    return this.#goOn(frame, standing.certificate)
  }

  /** After both hellos: items, where there is something to tell, then a verdict each. */
  #goOn(frame: TrustFrame, certificate: Certificate): Turn {
    const admitted: Outcome = { isAdmitted: true, certificate }
    const items = frame.known === undefined ? {} : { items: this.#itemsFor(frame.known.digests) }
    if (this.#init.isDialler && frame.hello !== undefined && this.#differs) {
      return { send: this.#encode({ ...this.#known(), ...items }) }
    }
    if (this.#isLast) return { outcome: admitted }
    this.#isLast = true
    const send = this.#encode({ ...items, verdict: { refusal: '' }, secrets: this.#secretsFor() })
    return frame.verdict === undefined ? { send } : { send, outcome: admitted }
  }

  #refuse(refusal: string): Turn {
    return {
      send: refusing(refusal),
      outcome: { isAdmitted: false, refusal, byRemote: false }
    }
  }

  /** Takes what the other end gives; what it should not have given ends the admission. */
  #learn({ items, secrets }: TrustFrame): void {
    const { desk } = this.#init
    desk.ledger.addAll(items.map(itemBytes), desk.nowMs(), learnt => desk.learnt(learnt, []))
    if (secrets.length > 0) desk.learnt([], secrets)
  }

  /** The other end's certificate. */
  #show({ certificate, timeMs }: NonNullable<TrustFrame['hello']>): void {
    const { desk, remote } = this.#init
    if (certificate === undefined || certificate.grants.length === 0) return
    const item = itemOfCertificate(certificateBytes(certificate))
    if (desk.ledger.add(item, desk.nowMs())) desk.learnt([item], [])
    if (desk.ledger.isKnown(remote)) desk.heard(remote, timeMs)
  }

  #standing(remote: KeyText): Standing {
    const { desk } = this.#init
    return desk.ledger.standingOf(remote, desk.nowMs())
  }

  #ownHello(): NonNullable<TrustFrame['hello']> {
    const { desk } = this.#init
    return {
      certificate: { grants: signedGrants(desk.certificate) },
      timeMs: desk.nowMs(),
      digest: owned(desk.ledger.digest),
      epoch: desk.epoch,
      secret: owned(desk.secretDigest)
    }
  }

  #known(): { known: NonNullable<TrustFrame['known']> } {
    return { known: { digests: owned(this.#init.desk.ledger.names) } }
  }

  #itemsFor(names: Uint8Array): TrustFrame['items'] {
    return itemsWithin(this.#init.desk.ledger.lackedBy(names))
  }

  #secretsFor(): TrustFrame['secrets'] {
    const { desk } = this.#init
    // Halves of a swarm may have begun epochs of one number: whom one of them was not sealed to has it from those who have both.
    const { epoch: theirs = 0, secret = new Uint8Array() } = this.#hello ?? {}
    if (theirs > desk.epoch || (theirs === desk.epoch && sameBytes(secret, desk.secretDigest))) return []
    return desk.secrets().map(({ epoch, secret }) => ({ epoch, secret: owned(secret) }))
  }

  #encode(frame: Partial<TrustFrame>): Uint8Array {
    const first = frame.hello === undefined ? [] : itemsWithin(this.#init.desk.ledger.successions())
    return TrustFrame.encode({ ...frame, items: [...first, ...(frame.items ?? [])], secrets: frame.secrets ?? [] })
  }
}

/** The last frame to one that is refused. */
export function refusing(refusal: string): Uint8Array {
  return TrustFrame.encode({ verdict: { refusal } })
}
