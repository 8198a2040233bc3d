import { describe, expect, it } from 'vitest'
import { TrustFrame } from '../../protocols/trust.ts'
import { Admission, type Desk, type Outcome } from '../../src/trust/admission.ts'
import type { EpochSecret } from '../../src/trust/epochs.ts'
import { type Grant, issue, swarmIdOf } from '../../src/trust/grant.ts'
import { itemOfCertificate, itemOfStatement } from '../../src/trust/item.ts'
import { Ledger } from '../../src/trust/ledger.ts'
import { type SigningKey, signingKey, verifyKey } from '../../src/trust/signing-key.ts'
import { encodeStatement } from '../../src/trust/statement.ts'

const start = Date.UTC(2026, 10, 30)
const hour = 3_600_000
const authority = signingKey()
const recovery = signingKey()
const swarm = swarmIdOf(authority.publicKey, recovery.publicKey)

interface Member {
  readonly key: SigningKey
  readonly desk: Desk
  readonly learnt: Uint8Array[]
  readonly given: EpochSecret[]
  readonly clocks: Map<string, number>
}

function member({
  epoch = 1,
  of = epoch,
  by = authority,
  at = start,
  more = {}
}: {
  epoch?: number
  of?: number
  by?: SigningKey
  at?: number
  more?: Partial<Grant>
} = {}): Member {
  const key = signingKey()
  const certificate = issue(
    [],
    {
      swarm,
      issuer: by.key,
      subject: key.key,
      kind: 'peer',
      serial: key.key.slice(0, 32),
      notBeforeMs: start - hour,
      notAfterMs: start + 12 * hour,
      roles: ['driver'],
      powers: [],
      labels: [],
      ...more
    },
    by.sign
  )
  const ledger = new Ledger({ swarm, authority: authority.key, recovery: recovery.key, verify: verifyKey })
  if (by === authority) ledger.add(itemOfCertificate(certificate), at)
  const learnt: Uint8Array[] = []
  const given: EpochSecret[] = []
  const clocks = new Map<string, number>()
  const desk: Desk = {
    ledger,
    certificate,
    nowMs: () => at,
    heard: (peer, timeMs) => clocks.set(peer, timeMs),
    epoch,
    secretDigest: new Uint8Array(32).fill(of),
    secrets: () => [{ epoch, secret: new Uint8Array(32).fill(of) }],
    learnt: (items, secrets) => {
      learnt.push(...items)
      given.push(...secrets)
    }
  }
  return { key, desk, learnt, given, clocks }
}

function revoke(who: SigningKey, number = 1): Uint8Array {
  const revocations = [{ subject: who.key, serial: undefined, reason: 'lost', through: 0 }]
  const statement = {
    swarm,
    signer: authority.key,
    number,
    previous: '',
    issuedMs: start,
    revocations,
    epoch: undefined,
    succession: undefined
  }
  return itemOfStatement(encodeStatement(statement, authority.sign), undefined)
}

/** Lets two meet; the first one dials. */
function meet(a: Member, b: Member): { outcomes: [Outcome | undefined, Outcome | undefined]; frames: number } {
  const ends = [
    new Admission({ isDialler: true, remote: b.key.key, desk: a.desk }),
    new Admission({ isDialler: false, remote: a.key.key, desk: b.desk })
  ]
  const outcomes: [Outcome | undefined, Outcome | undefined] = [undefined, undefined]
  let frame: Uint8Array | undefined = ends[0]!.begin()
  let to = 1
  let frames = 0
  while (frame !== undefined) {
    frames++
    const turn = ends[to]!.take(frame)
    outcomes[to] = turn.outcome ?? outcomes[to]
    frame = turn.send
    to = 1 - to
  }
  return { outcomes, frames }
}

describe('an admission', () => {
  it('admits two members to one another, and each has the other in its ledger then', () => {
    const [a, b] = [member(), member()]
    const { outcomes, frames } = meet(a, b)
    expect(outcomes.map(outcome => outcome?.isAdmitted)).toEqual([true, true])
    expect(frames).toBe(5)
    expect(a.desk.ledger.digest).toEqual(b.desk.ledger.digest)
    expect(a.learnt).toHaveLength(1)
    expect([a.clocks.get(b.key.key), b.clocks.get(a.key.key)]).toEqual([start, start])
    expect(meet(b, a).frames, 'who know the same').toBe(4)
  })

  it('refuses whoever has no certificate, one of another key, an expired one: by name, at both ends', () => {
    const good = member()
    const stranger = member({ by: signingKey() })
    const old = member({ at: start + 13 * hour })
    for (const [dialler, listener] of [
      [good, stranger],
      [stranger, good]
    ] as const) {
      expect(() => meet(dialler, listener)).toThrow('signed by no authority of this swarm')
    }
    const late = meet(good, old).outcomes
    expect(late[0]).toMatchObject({ isAdmitted: false, byRemote: true })
    expect(late[1]).toMatchObject({ isAdmitted: false, byRemote: false, refusal: expect.stringContaining('ended on') })
    const thief: Member = { ...member(), desk: { ...member().desk, certificate: good.desk.certificate } }
    const copied = meet(thief, member()).outcomes
    expect(copied[1]).toMatchObject({
      isAdmitted: false,
      refusal: expect.stringContaining('has no certificate of this swarm')
    })
  })

  it('refuses a member that only the other end knows to be revoked, whichever end that is', () => {
    for (const who of [0, 1] as const) {
      const pair = [member(), member()] as const
      pair[1 - who]!.desk.ledger.add(revoke(pair[who].key), start)
      const { outcomes } = meet(pair[0], pair[1])
      expect(outcomes[1 - who]).toMatchObject({
        isAdmitted: false,
        byRemote: false,
        refusal: expect.stringContaining('was revoked: lost')
      })
    }
  })

  it('refuses a member of whose revocation the two learn in this very admission', () => {
    const [a, b] = [member(), member()]
    // The captured one itself has it, as after it was told by others.
    a.desk.ledger.add(revoke(a.key), start)
    const { outcomes } = meet(a, b)
    expect(outcomes[1]).toMatchObject({ isAdmitted: false })
    expect(outcomes[0]?.isAdmitted).not.toBe(true)
  })

  it('tells who has been away of another authority before it judges a certificate by it', () => {
    const next = signingKey()
    const statement = {
      swarm,
      signer: recovery.key,
      number: 1,
      previous: '',
      issuedMs: start,
      revocations: [],
      epoch: undefined
    }
    const succession = itemOfStatement(
      encodeStatement({ ...statement, succession: { authority: next.key } }, recovery.sign),
      undefined
    )
    const fresh = member({ by: next })
    fresh.desk.ledger.add(succession, start)
    for (const isDialler of [true, false]) {
      const away = member()
      const { outcomes } = isDialler ? meet(fresh, away) : meet(away, fresh)
      expect(outcomes.map(outcome => outcome?.isAdmitted)).toEqual([true, true])
    }
  })

  it('gives the newest secret to a member that has only an older one, and to nobody else', () => {
    const [awake, away] = [member({ epoch: 5 }), member({ epoch: 2 })]
    meet(away, awake)
    expect(away.given.map(({ epoch }) => epoch)).toEqual([5])
    expect(awake.given).toEqual([])
    // Two halves of a split swarm have begun an epoch each.
    const [left, right] = [member({ epoch: 5, of: 6 }), member({ epoch: 5, of: 7 })]
    meet(left, right)
    expect([left, right].map(({ given }) => given.map(({ secret }) => secret[0]))).toEqual([[7], [6]])
    const captured = member({ epoch: 2 })
    awake.desk.ledger.add(revoke(captured.key), start)
    meet(captured, awake)
    expect(captured.given).toEqual([])
  })

  it('ends by a sentence at frames that are none, or out of turn', () => {
    const [a, b] = [member(), member()]
    const end = (): Admission => new Admission({ isDialler: false, remote: a.key.key, desk: b.desk })
    expect(() => end().take(new Uint8Array([0xff, 0xff, 0xff]))).toThrow('cannot be read')
    expect(() => end().take(TrustFrame.encode({ verdict: { refusal: '' } }))).toThrow('begins without a hello')
    const twice = end()
    const hello = new Admission({ isDialler: true, remote: b.key.key, desk: a.desk }).begin()
    twice.take(hello)
    expect(() => twice.take(hello)).toThrow('two hellos')
    const fresh = new Admission({ isDialler: false, remote: a.key.key, desk: member().desk })
    expect(
      fresh.take(
        TrustFrame.encode({ hello: { timeMs: 1, digest: new Uint8Array(32), epoch: 1, secret: new Uint8Array() } })
      ).outcome
    ).toMatchObject({ isAdmitted: false })
  })
})
