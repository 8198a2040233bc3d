import { describe, expect, it } from 'vitest'
import { type Grant, issue, type Signed, signedGrants, swarmIdOf } from '../../src/trust/grant.ts'
import { itemOfCertificate, itemOfStatement } from '../../src/trust/item.ts'
import { keyText } from '../../src/trust/keys.ts'
import { Ledger } from '../../src/trust/ledger.ts'
import { clockToleranceMs, deputyCertificatesMax, deputyStatementsMax } from '../../src/trust/limits.ts'
import { drawEpoch, openEpoch } from '../../src/trust/sealing.ts'
import { type SigningKey, signingKey, verifyKey } from '../../src/trust/signing-key.ts'
import { encodeStatement, type Revocation, readStatement } from '../../src/trust/statement.ts'

const hour = 3_600_000
const start = Date.UTC(2026, 10, 30)
const authority = signingKey()
const recovery = signingKey()
const swarm = swarmIdOf(authority.publicKey, recovery.publicKey)
let serials = 0

/** A key that nobody signs with: making a thousand real ones takes a second. */
function signingKeyLike(n: number): SigningKey {
  const publicKey = new Uint8Array(32).fill(n & 0xff)
  publicKey[0] = n >> 8
  return { ...authority, publicKey, key: keyText(publicKey) }
}

function ledger(): Ledger {
  return new Ledger({ swarm, authority: authority.key, recovery: recovery.key, verify: verifyKey })
}

function grant(issuer: SigningKey, subject: SigningKey, more: Partial<Grant> = {}): Grant {
  return {
    swarm,
    issuer: issuer.key,
    subject: subject.key,
    kind: 'peer',
    serial: (++serials).toString(16).padStart(32, '0'),
    notBeforeMs: start,
    notAfterMs: start + 12 * hour,
    roles: ['driver', 'stage'],
    powers: [],
    labels: ['zone=air'],
    ...more
  }
}

const certificate = (
  issuer: SigningKey,
  subject: SigningKey,
  more?: Partial<Grant>,
  above: Signed[] = []
): Uint8Array => issue(above, grant(issuer, subject, more), issuer.sign)

/** A peer that was invited: its certificate, and the invitation by which it has it. */
function invited(
  peer: SigningKey,
  more: Partial<Grant> = {},
  by: { key: SigningKey; above: Signed[] } = { key: authority, above: [] }
) {
  const invitation = signingKey()
  const given = grant(by.key, invitation, { kind: 'invitation', ...more })
  const above = signedGrants(issue(by.above, given, by.key.sign))
  const own = (subject: SigningKey, change: Partial<Grant> = {}): Uint8Array =>
    issue(above, { ...given, kind: 'peer', issuer: invitation.key, subject: subject.key, ...change }, invitation.sign)
  return { serial: given.serial, certificate: own(peer), own }
}

function deputy(more: Partial<Grant> = {}): { key: SigningKey; certificate: Uint8Array; above: Signed[] } {
  const key = signingKey()
  const bytes = certificate(authority, key, { kind: 'deputy', powers: ['revoke', 'invite'], roles: ['stage'], ...more })
  return { key, certificate: bytes, above: signedGrants(bytes) }
}

function revoking(
  signer: SigningKey,
  revocations: (Partial<Revocation> & Pick<Revocation, 'subject'>)[],
  {
    by,
    number = 1,
    previous = number === 1 ? '' : 'ab'.repeat(32),
    issuedMs = start + hour
  }: { by?: Uint8Array; number?: number; previous?: string; issuedMs?: number } = {}
): Uint8Array {
  const full = revocations.map(one => ({ serial: undefined, reason: 'lost', through: 0, ...one }))
  const statement = {
    swarm,
    signer: signer.key,
    number,
    previous,
    issuedMs,
    revocations: full,
    epoch: undefined,
    succession: undefined
  }
  return itemOfStatement(encodeStatement(statement, signer.sign), by)
}

const refusal = (book: Ledger, peer: SigningKey, nowMs = start + hour): string => {
  const standing = book.standingOf(peer.key, nowMs)
  return standing.isMember ? '' : standing.refusal
}

describe('a ledger', () => {
  it('knows a member by a certificate of the authority, for as long as it is valid', () => {
    const book = ledger()
    const peer = signingKey()
    expect(refusal(book, peer)).toContain('has no certificate of this swarm')
    expect(book.add(itemOfCertificate(certificate(authority, peer)), start)).toBe(true)
    const standing = book.standingOf(peer.key, start + hour)
    expect(standing.isMember && [...standing.roles]).toEqual(['driver', 'stage'])
    // A clock that is a little behind shuts nobody out.
    expect(book.standingOf(peer.key, start - clockToleranceMs).isMember).toBe(true)
    expect(refusal(book, peer, start - clockToleranceMs - 1)).toContain(
      'begins on 2026-11-30 00:00 UTC: a clock is wrong'
    )
    expect(refusal(book, peer, start + 12 * hour)).toContain('ended on 2026-11-30 12:00 UTC')
  })

  it('takes no certificate of a stranger, another swarm, a changed one, or one that gives more than its issuer has', () => {
    const book = ledger()
    const stranger = signingKey()
    const peer = signingKey()
    const wrong = (bytes: Uint8Array, why: string): void =>
      expect(() => book.add(itemOfCertificate(bytes), start)).toThrow(why)
    wrong(certificate(stranger, peer), 'signed by no authority of this swarm')
    wrong(certificate(authority, peer, { swarm: 'ab'.repeat(32) }), 'of another swarm')
    const changed = certificate(authority, peer)
    changed[Buffer.from(changed).indexOf('driver')]! ^= 1
    expect(() => book.add(itemOfCertificate(changed), start)).toThrow()
    wrong(issue([], grant(authority, peer), stranger.sign), 'wrong signature')
    const air = invited(peer, { roles: ['stage'] })
    wrong(air.own(peer, { roles: ['stage', 'driver'] }), 'gives the role driver, which its invitation does not have')
    wrong(air.own(peer, { labels: ['zone=ground'] }), 'other labels than its invitation')
    wrong(air.own(peer, { serial: 'cd'.repeat(16) }), 'has a peer that its invitation may not name')
    wrong(air.own(peer, { kind: 'deputy' }), 'has a deputy that its invitation may not name')
    const noInvites = deputy({ powers: ['revoke'] })
    wrong(
      certificate(noInvites.key, peer, { roles: ['stage'] }, noInvites.above),
      'has a peer that its deputy may not name'
    )
    wrong(certificate(signingKey(), peer, {}, noInvites.above), 'has a gap')
  })

  it('ends a certificate with the first of its grants', () => {
    const book = ledger()
    const peer = signingKey()
    const air = invited(peer, { notAfterMs: start + 2 * hour })
    book.add(itemOfCertificate(air.own(peer, { notAfterMs: start + 10 * hour })), start)
    expect(refusal(book, peer, start + hour)).toBe('')
    expect(refusal(book, peer, start + 2 * hour)).toContain('ended on')
  })

  it('refuses both of two machines that used one invitation, and names them', () => {
    const book = ledger()
    const [one, two, three] = [signingKey(), signingKey(), signingKey()]
    const air = invited(one)
    book.add(itemOfCertificate(air.certificate), start)
    expect(refusal(book, one)).toBe('')
    book.add(itemOfCertificate(air.own(two)), start)
    for (const peer of [one, two]) expect(refusal(book, peer)).toContain('have certificates by one invitation')
    // A third proves no more: who has an invitation cannot fill the ledger with it.
    expect(book.add(itemOfCertificate(air.own(three)), start)).toBe(false)
  })

  it('revokes a peer by its key and by its serial, for all certificates and for good', () => {
    const book = ledger()
    const [lost, other] = [signingKey(), signingKey()]
    const air = invited(lost)
    book.add(itemOfCertificate(air.certificate), start)
    book.add(itemOfCertificate(certificate(authority, other)), start)
    book.add(revoking(authority, [{ subject: lost.key, serial: air.serial }]), start)
    expect(refusal(book, lost)).toContain('was revoked: lost')
    expect(refusal(book, other)).toBe('')
    book.add(itemOfCertificate(certificate(authority, lost)), start)
    expect(refusal(book, lost), 'a newer certificate of the same key').toContain('was revoked')
    const again = signingKey()
    book.add(itemOfCertificate(air.own(again)), start)
    expect(refusal(book, again), 'the same invitation with another key').toContain('was revoked')
  })

  it('lets a deputy revoke peers within its time, and nobody above them', () => {
    const book = ledger()
    const ground = deputy()
    const second = deputy()
    const peer = signingKey()
    book.add(itemOfCertificate(certificate(authority, peer)), start)
    book.add(itemOfCertificate(second.certificate), start)
    book.add(
      revoking(ground.key, [{ subject: authority.key }, { subject: second.key.key }, { subject: recovery.key }], {
        by: ground.certificate
      }),
      start
    )
    expect(refusal(book, peer), 'whom the authority granted').toBe('')
    const late = revoking(ground.key, [{ subject: peer.key }], {
      by: ground.certificate,
      issuedMs: start + 13 * hour,
      number: 3
    })
    expect(() => book.add(late, start)).toThrow('outside of the time')
    const stranger = signingKey()
    expect(() => book.add(revoking(stranger, [{ subject: peer.key }]), start)).toThrow(
      'signed by one who may make none'
    )
    const flier = certificate(authority, stranger)
    expect(() => book.add(revoking(stranger, [{ subject: peer.key }], { by: flier }), start)).toThrow('may make none')
    book.add(revoking(ground.key, [{ subject: peer.key }], { by: ground.certificate, number: 2 }), start)
    expect(refusal(book, peer)).toContain('was revoked')
  })

  it('knows keys that sign models by the authority alone, which alone revokes one', () => {
    const book = ledger()
    const [ground, signer] = [deputy(), signingKey()]
    const byDeputy = certificate(ground.key, signer, { kind: 'model', roles: [] }, ground.above)
    expect(() => book.add(itemOfCertificate(byDeputy), start)).toThrow('has a model that its deputy may not name')
    const own = certificate(authority, signer, { kind: 'model', roles: [] })
    book.add(itemOfCertificate(own), start)
    const [known] = book.modelKeys()
    expect(known!.last.subject).toBe(signer.key)
    expect(refusal(book, signer), 'it signs models and is no member').toContain('has no certificate of this swarm')
    book.add(revoking(ground.key, [{ subject: signer.key }], { by: ground.certificate }), start)
    expect(book.refusalOf(known!, start + hour)).toBeUndefined()
    const ended = `the certificate of the key ${signer.key.slice(0, 12)}… ended on 2026-11-30 12:00 UTC`
    expect(book.refusalOf(known!, start + 12 * hour)).toBe(ended)
    book.add(revoking(authority, [{ subject: signer.key }]), start)
    expect(book.refusalOf(known!, start + hour)).toBe(`the key ${signer.key.slice(0, 12)}… was revoked: lost`)
  })

  it('lets nothing count that a captured deputy goes on saying', () => {
    const book = ledger()
    const ground = deputy()
    const [before, after] = [signingKey(), signingKey()]
    for (const peer of [before, after]) book.add(itemOfCertificate(certificate(authority, peer)), start)
    book.add(revoking(ground.key, [{ subject: before.key }], { by: ground.certificate }), start)
    book.add(revoking(authority, [{ subject: ground.key.key, through: 1 }]), start)
    book.add(revoking(ground.key, [{ subject: after.key }], { by: ground.certificate, number: 2 }), start)
    expect(refusal(book, before)).toContain('was revoked')
    expect(refusal(book, after)).toBe('')
    expect(book.alarms().join()).toContain('was revoked and goes on making statements')
    const guest = signingKey()
    book.add(itemOfCertificate(certificate(ground.key, guest, { roles: ['stage'] }, ground.above)), start)
    expect(refusal(book, guest), 'whom a revoked deputy let in').toContain('was revoked')
  })

  it('comes to the same whoever hears of what first, and loses no revocation in a merge', () => {
    const [a, b] = [deputy(), deputy()]
    const peers = [signingKey(), signingKey(), signingKey()]
    const items = [
      ...peers.map(peer => itemOfCertificate(certificate(authority, peer))),
      revoking(a.key, [{ subject: peers[0]!.key }], { by: a.certificate }),
      revoking(b.key, [{ subject: peers[1]!.key }], { by: b.certificate })
    ]
    const [left, right] = [ledger(), ledger()]
    for (const item of [...items.slice(0, 3), items[3]!]) left.add(item, start)
    for (const item of [items[4]!, ...items.slice(0, 3).reverse()]) right.add(item, start)
    expect(left.digest).not.toEqual(right.digest)
    const [forRight, forLeft] = [left.lackedBy(right.names), right.lackedBy(left.names)]
    expect([forRight.length, forLeft.length]).toEqual([1, 1])
    for (const item of forRight) expect(right.add(item, start)).toBe(true)
    for (const item of forLeft) expect(left.add(item, start)).toBe(true)
    expect(left.digest).toEqual(right.digest)
    for (const book of [left, right])
      expect(peers.map(peer => refusal(book, peer) === '')).toEqual([false, false, true])
  })

  it('leaves room for all others, whatever the stolen key of a deputy says or whom it lets in', () => {
    const book = ledger()
    const mad = deputy()
    const secret = drawEpoch(4_000_000_000, [])
    const said = (number: number): Uint8Array => {
      const statement = {
        swarm,
        signer: mad.key.key,
        number,
        previous: number === 1 ? '' : 'ab'.repeat(32),
        issuedMs: start,
        revocations: []
      }
      return itemOfStatement(
        encodeStatement({ ...statement, epoch: secret.epoch, succession: undefined }, mad.key.sign),
        mad.certificate
      )
    }
    for (let number = 1; number <= deputyStatementsMax; number++) book.add(said(number), start)
    expect(() => book.add(said(deputyStatementsMax + 1), start)).toThrow('has made 256 statements already: revoke it')
    expect(book.epochs(), 'numbers have an end').toEqual([])
    for (let i = 0; i < deputyCertificatesMax; i++) {
      book.add(
        itemOfCertificate(certificate(mad.key, { ...signingKeyLike(i) }, { roles: ['stage'] }, mad.above)),
        start
      )
    }
    const one = itemOfCertificate(certificate(mad.key, signingKey(), { roles: ['stage'] }, mad.above))
    expect(() => book.add(one, start)).toThrow('has let in 1024 already')
    const peer = signingKey()
    expect(book.add(itemOfCertificate(certificate(authority, peer)), start)).toBe(true)
    expect(book.add(revoking(authority, [{ subject: mad.key.key }]), start)).toBe(true)
    expect(refusal(book, peer)).toBe('')
  })

  it('tells of what came before a wrong item, and takes no serial of one that it has no room for', () => {
    const book = ledger()
    const good = itemOfCertificate(certificate(authority, signingKey()))
    const told: Uint8Array[] = []
    const wrong = itemOfCertificate(certificate(signingKey(), signingKey()))
    expect(() => book.addAll([good, wrong], start, items => told.push(...items))).toThrow('no authority')
    expect(told).toEqual([good])
    const mad = deputy()
    for (let i = 0; i < deputyCertificatesMax; i++) {
      book.add(itemOfCertificate(certificate(mad.key, signingKeyLike(i), { roles: ['stage'] }, mad.above)), start)
    }
    const peer = signingKey()
    const air = invited(peer)
    book.add(itemOfCertificate(air.certificate), start)
    const same = certificate(mad.key, signingKey(), { roles: ['stage'], serial: air.serial }, mad.above)
    expect(() => book.add(itemOfCertificate(same), start)).toThrow('has let in 1024 already')
    expect(refusal(book, peer)).toBe('')
  })

  it('says of a signer that statements are missing, or that two have one number', () => {
    const book = ledger()
    book.add(revoking(authority, [{ subject: signingKey().key }], { number: 3 }), start)
    expect(book.alarms().join()).toContain('statement 1 of signer')
    book.add(revoking(authority, [{ subject: signingKey().key }], { number: 3 }), start)
    expect(book.alarms().join()).toContain('two statements with number 3')
  })

  it('follows another authority that the first one or its recovery key names', () => {
    const book = ledger()
    const next = signingKey()
    const [peer, old] = [signingKey(), signingKey()]
    book.add(itemOfCertificate(certificate(authority, old)), start)
    const bytes = certificate(next, peer)
    expect(() => book.add(itemOfCertificate(bytes), start)).toThrow('no authority')
    const statement = { swarm, signer: recovery.key, number: 1, previous: '', issuedMs: start, epoch: undefined }
    const revocations = [{ subject: authority.key, serial: undefined, reason: 'stolen', through: 0 }]
    book.add(
      itemOfStatement(
        encodeStatement({ ...statement, revocations, succession: { authority: next.key } }, recovery.sign),
        undefined
      ),
      start
    )
    book.add(itemOfCertificate(bytes), start)
    expect(refusal(book, peer)).toBe('')
    expect(refusal(book, old), 'whom the stolen authority had let in').toContain('was revoked: stolen')
    book.add(revoking(authority, [{ subject: peer.key }]), start)
    expect(refusal(book, peer), 'the stolen key revokes nobody').toBe('')
  })

  it('forgets a certificate a day after it ended, and never takes it back', () => {
    const book = ledger()
    const item = itemOfCertificate(certificate(authority, signingKey()))
    book.add(item, start)
    book.expire(start + 40 * hour)
    expect(book.names.byteLength).toBe(0)
    expect(book.add(item, start + 40 * hour)).toBe(false)
  })

  it('has the authority alone say that it is no earlier: no grant of the years to come ends what others have (T14)', () => {
    const known = ledger()
    const peer = signingKey()
    const far = { notBeforeMs: start + 1_000 * hour, notAfterMs: start + 2_000 * hour }
    const { own } = invited(peer, { notAfterMs: start + 2_000 * hour })
    known.add(itemOfCertificate(own(peer, far)), start)
    known.add(itemOfCertificate(certificate(authority, signingKey(), far)), start)
    const by = deputy({ notAfterMs: start + 2_000 * hour })
    const late = { by: by.certificate, issuedMs: start + 1_000 * hour }
    known.add(revoking(by.key, [{ subject: peer.key }], late), start)
    expect(known.items()).toHaveLength(3)
    expect(known.signedMs).toBe(0)
    known.add(revoking(authority, [{ subject: peer.key }], { issuedMs: start + 5 }), start)
    expect(known.signedMs).toBe(start + 5)
  })
})

describe('an epoch', () => {
  it('opens for those to whom it is sealed, and for nobody else', () => {
    const [in1, in2, out] = [signingKey(), signingKey(), signingKey()]
    const { secret, epoch } = drawEpoch(4, [in1.key, in2.key])
    const bytes = encodeStatement(
      {
        swarm,
        signer: authority.key,
        number: 1,
        previous: '',
        issuedMs: start,
        revocations: [],
        epoch,
        succession: undefined
      },
      authority.sign
    )
    const read = readStatement(bytes, swarm, verifyKey).epoch!
    expect(openEpoch(read, in1.seed)).toEqual(secret)
    expect(openEpoch(read, in2.seed)).toEqual(secret)
    expect(openEpoch(read, out.seed)).toBeUndefined()
    const swapped = { ...read, sealed: new Map([[out.key, read.sealed.get(in1.key)!]]) }
    expect(openEpoch(swapped, out.seed)).toBeUndefined()
  })
})
