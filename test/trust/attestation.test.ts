/** What stands for a challenge, whose evidence counts until when, and who may ask how often. */
import { describe, expect, it } from 'vitest'
import type { PeerId } from '../../src/base/ids.ts'
import { encodeAnswer, encodeChallenge, readAnswer, readChallenge } from '../../src/trust/attest-frame.ts'
import {
  attestationPolicy,
  bindingOf,
  hasBinding,
  maskOf,
  qualifyingOf,
  registerList,
  registerSet,
  registerSetText,
  registersOf
} from '../../src/trust/attestation.ts'
import { AttestedPeers } from '../../src/trust/attested-peers.ts'
import { PeerBudgets } from '../../src/base/budget.ts'
import { type Grant, issue, readCertificate, signedGrants, swarmIdOf } from '../../src/trust/grant.ts'
import { peerOfKey } from '../../src/trust/keys.ts'
import {
  attestAgainMs,
  attestedMs,
  attestRetryMs,
  challengeBudget,
  challengeBurst,
  challengeEveryMs,
  challengesWaitingMax
} from '../../src/trust/limits.ts'
import { signingKey, verifyKey } from '../../src/trust/signing-key.ts'

const peer = (n: number): PeerId => peerOfKey(new Uint8Array(32).fill(n))
const [prover, verifier, other] = [peer(1), peer(2), peer(3)]
const nonce = new Uint8Array(32).fill(7)

describe('a challenge', () => {
  it('is bound to its nonce, to who is asked and to who asks (E3)', () => {
    const bindings = [
      bindingOf({ nonce, prover, verifier }),
      bindingOf({ nonce: new Uint8Array(32).fill(8), prover, verifier }),
      bindingOf({ nonce, prover: other, verifier }),
      bindingOf({ nonce, prover, verifier: other }),
      bindingOf({ nonce, prover: verifier, verifier: prover })
    ]
    expect(new Set(bindings.map(each => Buffer.from(each).toString('hex'))).size).toBe(bindings.length)
    const all = Buffer.concat(bindings)
    expect(bindings.every(binding => hasBinding(all, binding))).toBe(true)
    // One that lies across two others is none of them.
    expect(hasBinding(all, all.subarray(16, 48))).toBe(false)
    expect(qualifyingOf(all)).not.toEqual(qualifyingOf(all.subarray(32)))
    expect(qualifyingOf(bindings[0]!)).not.toEqual(bindings[0])
  })

  it('travels whole, and is refused otherwise (E2)', () => {
    const asked = { nonce, kinds: ['tpm2', 'sgx'], registers: [0, 7, 23] }
    expect(readChallenge(encodeChallenge(asked))).toEqual(asked)
    expect(() => readChallenge(encodeChallenge({ ...asked, nonce: nonce.subarray(1) }))).toThrow('31 bytes')
    expect(() => readChallenge(encodeChallenge({ ...asked, registers: [24] }))).toThrow('no TPM has')
    expect(() => readChallenge(encodeChallenge({ ...asked, kinds: new Array(9).fill('x') }))).toThrow('cannot be read')
    expect(() => readChallenge(encodeAnswer({ refusal: 'no' }))).toThrow('without a challenge')
    expect(registersOf(maskOf([0, 7, 23]))).toEqual([0, 7, 23])
  })

  it('is answered by evidence or by a sentence, within limits', () => {
    const evidence = { kind: 'tpm2', bindings: new Uint8Array(64), statement: new Uint8Array(8) }
    expect(readAnswer(encodeAnswer({ evidence }))).toEqual({ evidence })
    expect(readAnswer(encodeAnswer({ refusal: 'no\u001b[2J' }))).toEqual({ refusal: 'no?[2J' })
    expect(readAnswer(encodeAnswer({ refusal: '' }))).toEqual({ refusal: 'it does not say why' })
    for (const bytes of [0, 33, 32 * (challengesWaitingMax + 1)]) {
      const bindings = new Uint8Array(bytes)
      expect(() => readAnswer(encodeAnswer({ evidence: { ...evidence, bindings } }))).toThrow(
        `${bytes} bytes of bindings`
      )
    }
    expect(() => readAnswer(new Uint8Array())).toThrow('neither evidence nor a reason')
    expect(() => readAnswer(new Uint8Array([255, 255]))).toThrow('cannot be read')
  })
})

describe('a policy', () => {
  it('is read from what was printed', () => {
    const text = `sha256:0,7=${'ab'.repeat(32)}`
    expect(registerSetText(registerSet(text))).toBe(text)
    expect(registerSet(text.toUpperCase().replace('SHA', 'sha')).digest).toBe('ab'.repeat(32))
    const digest = 'ab'.repeat(32)
    for (const wrong of [
      '',
      '0,7',
      `sha1:0=${digest}`,
      `sha256:7,0=${digest}`,
      `sha256:0,0=${digest}`,
      `sha256:24=${digest}`,
      `sha256:0=ab`
    ]) {
      expect(() => registerSet(wrong), wrong).toThrow('names no registers')
    }
    expect(registerList('0,23')).toEqual([0, 23])
  })

  it('asks for evidence of roles that others look at, and of no other', () => {
    expect(attestationPolicy(['stage', 'driver'], [], []).roles).toEqual(['stage', 'driver'])
    expect(() => attestationPolicy(['gateway'], [], [])).toThrow('not gateway')
    expect(() => attestationPolicy([], [], [])).toThrow('name one')
  })
})

describe('evidence', () => {
  const right = { kind: 'right' } as const
  const wrong = { kind: 'wrong', refusal: 'other registers' } as const
  const none = { kind: 'none', refusal: 'it is switched off' } as const

  it('counts for its time and is asked for again before it is over (E7)', () => {
    const peers = new AttestedPeers()
    const life = peers.connected(prover, 100)
    expect(peers.due(100)).toEqual([prover])
    expect(peers.heard(life, right, 200)).toBe('attested')
    expect(peers.due(200)).toEqual([])
    expect(peers.isAttested(prover, 199 + attestedMs)).toBe(true)
    expect(peers.isAttested(prover, 200 + attestedMs)).toBe(false)
    expect(peers.due(200 + attestAgainMs)).toEqual([prover])
    expect(peers.heard(life, right, 200 + attestAgainMs), 'it was already').toBeUndefined()
    expect(peers.expire(200 + attestedMs)).toEqual([])
    expect(peers.expire(200 + attestAgainMs + attestedMs)).toEqual([prover])
    expect(peers.expire(200 + attestAgainMs + attestedMs), 'once').toEqual([])
  })

  it('that is wrong ends what counted, and none at all does not (E7, E8)', () => {
    const peers = new AttestedPeers()
    const life = peers.connected(prover, 0)
    peers.heard(life, right, 0)
    expect(peers.heard(life, none, 1_000)).toBeUndefined()
    expect(peers.isAttested(prover, 1_000)).toBe(true)
    expect(peers.refusalOf(prover)).toBe('it is switched off')
    expect(peers.due(999 + attestRetryMs)).toEqual([])
    expect(peers.due(1_000 + attestRetryMs)).toEqual([prover])
    expect(peers.heard(life, wrong, 2_000)).toBe('lost')
    expect(peers.isAttested(prover, 2_000)).toBe(false)
    expect(peers.heard(life, wrong, 3_000), 'once').toBeUndefined()
    expect(peers.facts(3_000)).toEqual([{ peer: prover, untilMs: undefined, refusal: 'other registers' }])
    expect(peers.heard(life, right, 4_000)).toBe('attested')
    expect(peers.refusalOf(prover)).toBeUndefined()
  })

  it('counts for the connection on which it was asked for, and no other (E1)', () => {
    const peers = new AttestedPeers()
    const before = peers.connected(prover, 0)
    peers.heard(before, right, 0)
    const after = peers.connected(prover, 10)
    expect(peers.isAttested(prover, 10)).toBe(false)
    expect(peers.due(10)).toEqual([prover])
    expect(peers.heard(before, right, 20), 'an answer that comes late').toBeUndefined()
    expect(peers.isAttested(prover, 20)).toBe(false)
    expect(peers.heard(after, right, 30)).toBe('attested')
    peers.disconnected(prover)
    expect(peers.isAttested(prover, 40)).toBe(false)
    expect(peers.facts(40)).toEqual([])
  })
})

describe('a certificate', () => {
  const [root, recovery] = [signingKey(), signingKey()]
  const swarm = swarmIdOf(root.publicKey, recovery.publicKey)
  const roots = { swarm, authorities: new Set([root.key]) }
  const grant: Grant = {
    ...{
      swarm,
      issuer: root.key,
      subject: root.key,
      kind: 'peer',
      serial: '11'.repeat(16),
      notBeforeMs: 0,
      notAfterMs: 1_000
    },
    ...{ roles: ['stage'], powers: [], labels: [] }
  }
  const [key, otherKey] = ['ab'.repeat(32), 'cd'.repeat(32)]

  it('names the key that signs evidence of its machine, which is the one of its invitation, or none (T1)', () => {
    const invitation = signingKey()
    const read = (invited: object, joined: object): string | undefined => {
      const above = issue([], { ...grant, subject: invitation.key, kind: 'invitation', ...invited }, root.sign)
      const own = { ...grant, issuer: invitation.key, ...joined }
      return readCertificate(issue(signedGrants(above), own, invitation.sign), roots, verifyKey).last.attestKey
    }
    expect(read({ attestKey: key }, { attestKey: key })).toBe(key)
    expect(read({}, {})).toBeUndefined()
    const wrong = 'another attestation key than its invitation'
    expect(() => read({ attestKey: key }, {}), 'whoever found the line has no such machine').toThrow(wrong)
    expect(() => read({ attestKey: key }, { attestKey: otherKey })).toThrow(wrong)
    expect(() => read({}, { attestKey: key })).toThrow(wrong)
  })

  it('has 32 bytes for it, and is otherwise what it was', () => {
    expect(() => readCertificate(issue([], { ...grant, attestKey: 'ab' }, root.sign), roots, verifyKey)).toThrow(
      'attestKey of a grant has 1 bytes, not 32'
    )
    const [plain, named] = [issue([], grant, root.sign), issue([], { ...grant, attestKey: key }, root.sign)]
    // A field of two bytes and 32 more, in a payload and a certificate whose lengths take as many bytes as before or one more.
    expect(named.byteLength - plain.byteLength).toBeLessThanOrEqual(36)
    expect(readCertificate(plain, roots, verifyKey).last).not.toHaveProperty('attestKey')
    expect(readCertificate(named, roots, verifyKey).last.attestKey).toBe(key)
  })
})

describe('who asks', () => {
  it('may do so a few times at once and then now and then, each for itself (E9)', () => {
    const credits = new PeerBudgets(challengeBudget)
    const asked = (who: PeerId, nowMs: number): number => {
      let count = 0
      while (credits.take(who, nowMs)) count++
      return count
    }
    expect(asked(prover, 0)).toBe(challengeBurst)
    expect(asked(prover, challengeEveryMs - 1)).toBe(0)
    expect(asked(prover, challengeEveryMs)).toBe(1)
    expect(asked(other, 0)).toBe(challengeBurst)
    expect(asked(prover, 3 * challengeEveryMs)).toBe(2)
    expect(asked(prover, 1e9)).toBe(challengeBurst)
  })
})
