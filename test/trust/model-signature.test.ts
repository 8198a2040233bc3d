import { describe, expect, it } from 'vitest'
import type { ModelId } from '../../src/base/ids.ts'
import { modelSignersMax } from '../../src/trust/limits.ts'
import {
  modelSignature,
  modelSignaturesBytesMax,
  modelSigners,
  rightSignatures,
  trustedSigner,
  withSignature
} from '../../src/trust/model-signature.ts'
import { signingKey, verifyKey } from '../../src/trust/signing-key.ts'

const model = 'ab'.repeat(32) as ModelId
const other = 'cd'.repeat(32) as ModelId
const [alice, bob] = [signingKey(new Uint8Array(32).fill(1)), signingKey(new Uint8Array(32).fill(2))]
const nowMs = Date.UTC(2026, 10, 30)
const none: Uint8Array = new Uint8Array()
const signers = (bytes: Uint8Array, of = model): ReturnType<typeof modelSigners> => modelSigners(of, bytes, verifyKey)

describe('a signature of a model', () => {
  it('says who signed it and when, and has a form that stays', () => {
    const bytes = modelSignature(model, alice, nowMs)
    expect(signers(bytes)).toEqual({ good: [{ key: alice.key, signedMs: nowMs }], bad: [] })
    // Ed25519 draws nothing: another program must come to these bytes.
    expect(Buffer.from(bytes.subarray(0, 73)).toString('hex')).toBe(
      `01${model}8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c000001a229c05400`
    )
    expect(
      verifyKey(
        alice.publicKey,
        Buffer.concat([Buffer.from('skein-model-signature:'), bytes.subarray(0, 73)]),
        bytes.subarray(73)
      )
    ).toBe(true)
  })

  it('is none once any of its bits has changed, nor of another model', () => {
    const bytes = modelSignature(model, alice, nowMs)
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const changed = bytes.slice()
      changed[bit >> 3]! ^= 1 << (bit & 7)
      expect(signers(changed).good, `bit ${bit}`).toEqual([])
    }
    expect(signers(bytes, other)).toEqual({ good: [], bad: [alice.key] })
    // A key that signs statements of a swarm signs no model by that.
    const bare = { ...alice, sign: (data: Uint8Array) => alice.sign(data.subarray('skein-model-signature:'.length)) }
    expect(signers(modelSignature(model, bare, nowMs)).good).toEqual([])
  })

  it('stands beside those of others, once for each key', () => {
    const first = withSignature(none, modelSignature(model, alice, nowMs))!
    const both = withSignature(first, modelSignature(model, bob, nowMs))!
    const again = withSignature(both, modelSignature(model, alice, nowMs + 5))!
    expect(again.length).toBe(both.length)
    expect(signers(again).good).toEqual([
      { key: bob.key, signedMs: nowMs },
      { key: alice.key, signedMs: nowMs + 5 }
    ])
    // What a cut left at the end is no signature, and the next one takes its place.
    expect(signers(both.subarray(0, both.length - 1)).good).toEqual([{ key: alice.key, signedMs: nowMs }])
    expect(signers(withSignature(both.subarray(0, both.length - 1), modelSignature(model, bob, nowMs))!)).toEqual(
      signers(both)
    )
  })

  it('is one of at most 32', () => {
    let all = none
    for (let i = 0; i < modelSignersMax; i++) {
      all = withSignature(all, modelSignature(model, signingKey(new Uint8Array(32).fill(i + 1)), nowMs))!
    }
    expect(all.length).toBe(modelSignaturesBytesMax)
    expect(withSignature(all, modelSignature(model, signingKey(), nowMs))).toBeUndefined()
    expect(withSignature(all, modelSignature(model, alice, nowMs))?.length).toBe(all.length)
  })
})

describe('signatures that somebody sent', () => {
  const byAlice = modelSignature(model, alice, nowMs)
  const add = (here: Uint8Array, sent: Uint8Array): Uint8Array => rightSignatures(model, here, sent, verifyKey)

  it('come beside those that are here, where they are right', () => {
    const byBob = modelSignature(model, bob, nowMs)
    expect(signers(add(byAlice, byBob)).good.map(({ key }) => key)).toEqual([alice.key, bob.key])
    for (const wrong of [byBob.with(100, byBob[100]! ^ 1), modelSignature(other, bob, nowMs), byBob.subarray(1)]) {
      expect(add(byAlice, wrong)).toEqual(byAlice)
    }
  })

  it('take the place of none that is here', () => {
    expect(add(byAlice, modelSignature(model, alice, nowMs + 5))).toEqual(byAlice)
    let all = none
    for (let i = 0; i < modelSignersMax; i++) {
      all = withSignature(all, modelSignature(model, signingKey(new Uint8Array(32).fill(i + 1)), nowMs))!
    }
    expect(add(all, modelSignature(model, signingKey(), nowMs))).toEqual(all)
  })
})

describe('a signer that is trusted', () => {
  const byAlice = modelSignature(model, alice, nowMs)
  const first = (key: string): string => `${key.slice(0, 12)}…`

  it('is the one who signed, whoever else did', () => {
    const all = withSignature(modelSignature(model, bob, nowMs), byAlice)!
    expect(trustedSigner(signers(all), [alice.key])).toEqual({ key: alice.key, signedMs: nowMs })
  })

  it.each([
    ['nobody signed', none, [alice.key], 'is not signed'],
    [
      'another signed',
      byAlice,
      [bob.key],
      `is signed by ${first(alice.key)}, and by none of the keys that are trusted: ${first(bob.key)}`
    ],
    [
      'its own signature was changed',
      byAlice.with(100, byAlice[100]! ^ 1),
      [alice.key],
      `has a signature that names the key ${first(alice.key)} and is not its own: it was changed, or made of another model`
    ],
    [
      "a stranger's signature was changed",
      byAlice.with(100, byAlice[100]! ^ 1),
      [bob.key],
      'has no signature that is right: each was changed, or made of another model'
    ],
    ['no key is trusted', byAlice, [], `is signed by ${first(alice.key)}, and by none of the keys that are trusted: `]
  ])('is missed where %s', (_, bytes, trusted, reason) => {
    expect(trustedSigner(signers(bytes), trusted)).toBe(reason)
  })
})
