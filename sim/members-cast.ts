/** Who there is in a world of members: keys of an authority, deputies and peers, and what is signed with them. All of it follows from one seed. */
import { Grant as GrantBytes } from '../protocols/trust.ts'
import type { PeerId } from '../src/base/ids.ts'
import type { MemberFile } from '../src/swarm/member-file.ts'
import { type Grant, issue, type Signed, signedGrants, swarmIdOf } from '../src/trust/grant.ts'
import { itemOfCertificate, itemOfStatement } from '../src/trust/item.ts'
import { type KeyText, peerOfKey, type VerifyKey } from '../src/trust/keys.ts'
import type { Ledger } from '../src/trust/ledger.ts'
import { drawEpoch } from '../src/trust/sealing.ts'
import { type SigningKey, signingKey, verifyKey } from '../src/trust/signing-key.ts'
import { encodeStatement, type Epoch, type Revocation } from '../src/trust/statement.ts'
import type { Chance } from './chance.ts'

/** Somebody who may revoke. */
export interface Signer {
  readonly name: string
  readonly key: SigningKey
  /** Of a deputy. */
  readonly certificate: Uint8Array | undefined
}

/** A key that the authority has certified to sign models. */
export interface ModelKey {
  readonly name: string
  readonly key: KeyText
  readonly item: Uint8Array
  readonly serial: string
  readonly notAfterMs: number
}

/** When a world begins, in ms since 1970. */
export const birthMs = Date.UTC(2026, 10, 30)

export class MembersCast {
  readonly authority: SigningKey
  readonly recovery: SigningKey
  readonly swarm: string
  readonly signers: readonly Signer[]
  readonly #chance: Chance
  readonly #checked = new Map<string, boolean>()

  constructor(chance: Chance, deputies: number) {
    this.#chance = chance
    this.authority = this.drawKey()
    this.recovery = this.drawKey()
    this.swarm = swarmIdOf(this.authority.publicKey, this.recovery.publicKey)
    const named = Array.from({ length: deputies }, (_, i): Signer => {
      const key = this.drawKey()
      const certificate = this.#certificate(this.authority, [], key.key, {
        kind: 'deputy',
        powers: ['revoke'],
        notAfterMs: birthMs + 1e9
      })
      return { name: `deputy-${i}`, key, certificate }
    })
    this.signers = [{ name: 'authority', key: this.authority, certificate: undefined }, ...named]
  }

  bytes(count: number): Uint8Array {
    return Uint8Array.from({ length: count }, () => this.#chance.whole(0, 255))
  }

  drawKey(): SigningKey {
    return signingKey(this.bytes(32))
  }

  /** Signatures are checked once in a world: all peers see the same ones. */
  readonly verify: VerifyKey = (key, data, signature) => {
    const name = Buffer.from(signature).toString('base64')
    let isGood = this.#checked.get(name)
    if (isGood === undefined) {
      isGood = verifyKey(key, data, signature)
      this.#checked.set(name, isGood)
    }
    return isGood
  }

  /** What a machine has after it has joined by an invitation of its own. */
  joined(key: SigningKey, { notBeforeMs, notAfterMs }: { notBeforeMs: number; notAfterMs: number }): MemberFile {
    const invitation = this.drawKey()
    const above = signedGrants(
      this.#certificate(this.authority, [], invitation.key, { kind: 'invitation', notBeforeMs, notAfterMs })
    )
    return this.fileOf(this.under(above, invitation, key.key, { notBeforeMs, notAfterMs }))
  }

  /** Two certificates by one invitation. */
  twins(
    keys: readonly [SigningKey, SigningKey],
    times: { notBeforeMs: number; notAfterMs: number }
  ): [MemberFile, MemberFile] {
    const invitation = this.drawKey()
    const serial = Buffer.from(this.bytes(16)).toString('hex')
    const above = signedGrants(
      this.#certificate(this.authority, [], invitation.key, { kind: 'invitation', serial, ...times })
    )
    const [one, two] = keys.map(({ key }) => this.fileOf(this.under(above, invitation, key, { serial, ...times })))
    return [one!, two!]
  }

  under(above: Signed[], by: SigningKey, subject: KeyText, more: Partial<Grant>): Uint8Array {
    const serial = more.serial ?? serialOf(above)
    return this.#certificate(by, above, subject, { ...more, serial })
  }

  /** Another certificate of a peer, straight from the authority. */
  renewal(subject: KeyText, notBeforeMs: number, notAfterMs: number): Uint8Array {
    return itemOfCertificate(this.#certificate(this.authority, [], subject, { notBeforeMs, notAfterMs }))
  }

  /** Has a key sign models from now on. */
  modelKey(name: string, notBeforeMs: number, notAfterMs: number): ModelKey {
    const { key } = this.drawKey()
    const serial = Buffer.from(this.bytes(16)).toString('hex')
    const certificate = this.#certificate(this.authority, [], key, {
      kind: 'model',
      serial,
      notBeforeMs,
      notAfterMs,
      roles: []
    })
    return { name, key, item: itemOfCertificate(certificate), serial, notAfterMs }
  }

  /** A revocation of a key that the authority has named, as a machine in the wrong hands would have a deputy make it, too. */
  keyRevocation(
    signer: Signer,
    { key, serial }: ModelKey,
    { ledger, nowMs }: { ledger: Ledger; nowMs: number }
  ): Uint8Array {
    return this.#statement(
      signer,
      { ledger, nowMs },
      [{ subject: key, serial, reason: 'stolen', through: 0 }],
      undefined
    )
  }

  fileOf(certificate: Uint8Array): MemberFile {
    return {
      name: 'world',
      authority: this.authority.publicKey,
      recovery: this.recovery.publicKey,
      certificate,
      discovery: new Uint8Array(32),
      secrets: [{ epoch: 1, secret: new Uint8Array(32).fill(1) }],
      timeMs: birthMs
    }
  }

  /** A revocation by what one peer knows, with an epoch for all others of whom it knows. */
  revocation(
    signer: Signer,
    subject: KeyText,
    { ledger, epoch, nowMs }: { ledger: Ledger; epoch: number; nowMs: number }
  ): Uint8Array {
    const serials = new Set(
      ledger.certificates().flatMap(({ last: own }) => (own.subject === subject ? [own.serial] : []))
    )
    const revocations: Revocation[] = [...serials].map(serial => ({ subject, serial, reason: 'lost', through: 0 }))
    const remaining = new Set(ledger.certificates().map(({ last: own }) => own.subject))
    const others = [...remaining].filter(key => key !== subject && ledger.standingOf(key, nowMs).isMember)
    return this.#statement(
      signer,
      { ledger, nowMs },
      revocations,
      drawEpoch(epoch + 1, others, count => this.bytes(count)).epoch
    )
  }

  #statement(
    signer: Signer,
    { ledger, nowMs }: { ledger: Ledger; nowMs: number },
    revocations: readonly Revocation[],
    epoch: Epoch | undefined
  ): Uint8Array {
    const last = ledger.lastOf(signer.key.key)
    const statement = {
      swarm: this.swarm,
      signer: signer.key.key,
      number: (last?.number ?? 0) + 1,
      previous: last?.digest ?? '',
      issuedMs: Math.floor(nowMs),
      revocations,
      epoch,
      succession: undefined
    }
    return itemOfStatement(encodeStatement(statement, signer.key.sign), signer.certificate)
  }

  #certificate(by: SigningKey, above: Signed[], subject: KeyText, more: Partial<Grant>): Uint8Array {
    return issue(
      above,
      {
        swarm: this.swarm,
        issuer: by.key,
        subject,
        kind: 'peer',
        serial: Buffer.from(this.bytes(16)).toString('hex'),
        notBeforeMs: birthMs - 1e6,
        notAfterMs: birthMs + 1e9,
        roles: ['driver', 'stage'],
        powers: [],
        labels: [],
        ...more
      },
      by.sign
    )
  }
}

function serialOf(above: readonly Signed[]): string {
  // Of an invitation the serial is field 5 of its grant: whoever makes a certificate reads it there.
  const { payload } = above.at(-1)!
  return Buffer.from(GrantBytes.decode(payload).serial).toString('hex')
}

export function peerOf(key: SigningKey): PeerId {
  return peerOfKey(key.publicKey)
}
