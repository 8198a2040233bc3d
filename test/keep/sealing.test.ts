import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeAnswer, decodeRequest, encodeAnswer, encodeRequest } from '../../src/keep/codec.ts'
import { KeptHead } from '../../protocols/keep.ts'
import { packHead, runBytes, unpackHead, unpackTokens } from '../../src/keep/kept.ts'
import type { KeepAnswer, KeepRequest } from '../../src/keep/message.ts'
import { Sealing } from '../../src/keep/sealing.ts'
import { keepEntryBytesMax, keepPadBytes, keepPartsMax, keepTtlMaxMs, keepVersionMax } from '../../src/keep/limits.ts'
import { identityOf } from '../../src/swarm/identity.ts'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { key, otherKey, peer, question } from './kit.ts'

const tokens = (start: number, ids: number[], stop?: 'eos' | 'length') => ({ start, ids, stop, exact: true })

/** An entry of three parts, the last one at version 12. */
function entry(sealing = new Sealing(key, 'n')) {
  const sealer = sealing.begin(question)
  const parts = [
    sealer.head(10),
    sealer.tokens(1, 11, tokens(0, [5, 6])),
    sealer.tokens(2, 12, tokens(2, [7], 'length'))
  ]
  return { version: 12, parts }
}

describe('a sealed session', () => {
  test('opens with its key and name, and only then', () => {
    const sealed = entry()
    expect(new Sealing(key, 'n').open(sealed)).toEqual({
      ...question,
      ids: [5, 6, 7],
      stop: 'length',
      exact: true,
      peers: []
    })
    for (const stranger of [new Sealing(otherKey, 'n'), new Sealing(key, 'm')]) {
      expect(() => stranger.open(sealed)).toThrow('does not open with this key')
    }
  })

  test('is the same session however its name is written', () => {
    expect(new Sealing(key, 'n\u00e9').open(entry(new Sealing(key, 'ne\u0301'))).ids).toEqual([5, 6, 7])
  })

  test('does not open when any byte is changed', () => {
    const sealing = new Sealing(key, 'n')
    fc.assert(
      fc.property(fc.nat(2), fc.nat(), fc.integer({ min: 1, max: 255 }), (which, at, flip) => {
        const sealed = entry(sealing)
        const part = sealed.parts[which]!
        part[at % part.length]! ^= flip
        expect(() => sealing.open(sealed)).toThrow(/does not open/)
      })
    )
  })

  test('K10: does not open with parts left out, moved, doubled, of another answer, or under another version', () => {
    const sealing = new Sealing(key, 'n')
    const { parts, version } = entry(sealing)
    const [head, first, last] = parts as [Uint8Array, Uint8Array, Uint8Array]
    const other = entry(sealing).parts
    const older = sealing.begin(question)
    const head2 = older.head(10)
    const gap = [head2, older.tokens(1, 12, tokens(1, [6]))]
    for (const wrong of [
      [],
      [first, last],
      [head, last],
      [head, last, first],
      [head, first, first],
      [head, other[1]!, last],
      [other[0]!, first, last],
      gap,
      [head, first.subarray(0, 20), last]
    ]) {
      expect(() => sealing.open({ version, parts: wrong })).toThrow()
    }
    expect(() => sealing.open({ version: 13, parts })).toThrow('passed off as version 13')
    // What was once the whole is still a session: the tokens that it lacks are computed again.
    expect(sealing.open({ version: 11, parts: [head, first] })).toMatchObject({ ids: [5, 6], stop: undefined })
  })

  test('tells its keeper nothing: other ids everywhere, other bytes each time, sizes in steps', () => {
    const sealing = new Sealing(key, 'n')
    const ids = [
      sealing.id(peer('A')),
      sealing.id(peer('B')),
      new Sealing(key, 'm').id(peer('A')),
      new Sealing(otherKey, 'n').id(peer('A'))
    ]
    expect(new Set(ids).size).toBe(4)
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{64}$/)
    expect(sealing.id(peer('A'))).toBe(new Sealing(key, 'n').id(peer('A')))
    const sealer = sealing.begin(question)
    const sizes = [1, 2, 40].map(n => sealer.tokens(1, 5, tokens(0, new Array(n).fill(9))).length)
    expect(new Set(sizes)).toEqual(new Set([keepPadBytes + 36]))
    expect(sealer.head(5)).not.toEqual(sealer.head(5))
  })

  test('K10: keeps the type of its caches, and is no session to who does not know of types', () => {
    const head = packHead(new Uint8Array(runBytes), { ...question, cache: 'i8' })
    expect(unpackHead(head).question).toEqual({ ...question, cache: 'i8' })
    const usual = packHead(new Uint8Array(runBytes), { ...question, cache: 'f32' })
    expect(unpackHead(usual).question).toEqual(question)
    const fields = (bytes: Uint8Array) =>
      KeptHead.decode(bytes.subarray(4, 4 + new DataView(bytes.buffer).getUint32(0, true)))
    expect(fields(head)).toMatchObject({ topP: 0, cache: { type: 1, topP: question.sampling.topP } })
    const padded = new Uint8Array(4096)
    const later = KeptHead.encode({ ...fields(head), cache: { type: 7, topP: 1 } })
    new DataView(padded.buffer).setUint32(0, later.length, true)
    padded.set(later, 4)
    expect(() => unpackHead(padded)).toThrow('has caches of a type that this Skein does not know')
  })

  test('K10: keeps its penalties, and is no session to who does not know of them', () => {
    const penalties = { presencePenalty: 0.5, frequencyPenalty: 0, repetitionPenalty: 1.1 }
    const { topP } = question.sampling
    for (const cache of [{}, { cache: 'i8' as const }]) {
      const penalised = { ...question, ...cache, sampling: { ...question.sampling, ...penalties } }
      const head = packHead(new Uint8Array(runBytes), penalised)
      expect(unpackHead(head).question).toEqual(penalised)
      const fields = KeptHead.decode(head.subarray(4, 4 + new DataView(head.buffer).getUint32(0, true)))
      expect(fields).toMatchObject({ topP: 0, penalties: { topP, presence: 0.5, repetition: 1.1 } })
      // Nor to who knows of types of caches alone.
      expect(fields.cache?.topP ?? 0).toBe(0)
    }
    const broken = { ...question.sampling, presencePenalty: Number.NaN }
    const head = packHead(new Uint8Array(runBytes), { ...question, sampling: broken })
    expect(() => unpackHead(head)).toThrow('no session could have')
  })

  test('K10: keeps what else its tokens are drawn by, and is no session to who does not know of that', () => {
    const filters = { minP: 0.05, logitBias: { 3: -100, 70: 1.5 } }
    const { topP } = question.sampling
    const penalties = { presencePenalty: 0.5, frequencyPenalty: 0, repetitionPenalty: 1.1 }
    for (const drawn of [filters, { minP: 0.2 }, { logitBias: { 9: 1 } }, { ...penalties, ...filters }]) {
      for (const cache of [{}, { cache: 'i8' as const }]) {
        const filtered = { ...question, ...cache, sampling: { ...question.sampling, ...drawn } }
        const head = packHead(new Uint8Array(runBytes), filtered)
        expect(unpackHead(head).question).toEqual(filtered)
        const fields = KeptHead.decode(head.subarray(4, 4 + new DataView(head.buffer).getUint32(0, true)))
        expect(fields).toMatchObject({ topP: 0, filters: { topP } })
        expect([fields.cache?.topP ?? 0, fields.penalties?.topP ?? 0]).toEqual([0, 0])
      }
    }
    const broken = { ...question.sampling, minP: Number.NaN }
    const head = packHead(new Uint8Array(runBytes), { ...question, sampling: broken })
    expect(() => unpackHead(head)).toThrow('no session could have')
  })

  test('K10: keeps what its answer must be, and is no session to who does not know of grammars', () => {
    const { topP } = question.sampling
    const json = { spec: JSON.stringify({ kind: 'regex', pattern: 'é+' }) }
    for (const grammar of [json, { ...json, after: 0 }, { ...json, after: 7 }]) {
      for (const more of [{}, { minP: 0.2 }, { presencePenalty: 0.5, frequencyPenalty: 0, repetitionPenalty: 1.1 }]) {
        const held = { ...question, cache: 'i8' as const, sampling: { ...question.sampling, ...more }, grammar }
        const head = packHead(new Uint8Array(runBytes), held)
        expect(unpackHead(head).question).toEqual(held)
        const fields = KeptHead.decode(head.subarray(4, 4 + new DataView(head.buffer).getUint32(0, true)))
        expect(fields).toMatchObject({ topP: 0, grammar: { topP } })
        expect([fields.cache, fields.penalties, fields.filters].map(each => each?.topP ?? 0)).toEqual([0, 0, 0])
      }
    }
    const head = packHead(new Uint8Array(runBytes), { ...question, grammar: { spec: '{' } })
    expect(() => unpackHead(head)).toThrow('what was kept has a grammar that is no JSON')
  })

  test('what was sealed with the key but is no session does not count', () => {
    const run = new Uint8Array(runBytes)
    const bad = [{ promptIds: [] }, { maxTokens: 0 }, { ttlMs: 0 }, { ttlMs: keepTtlMaxMs + 1 }]
    for (const change of bad) {
      expect(() => unpackHead(packHead(run, { ...question, ...change }))).toThrow('no session could have')
    }
    const sampling = { ...question.sampling, topP: 2 }
    expect(() => unpackHead(packHead(run, { ...question, sampling }))).toThrow('no session could have')
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), bytes => {
        for (const read of [unpackHead, unpackTokens]) {
          try {
            read(bytes)
          } catch (error) {
            expect(error).toMatchObject({ name: 'ProtocolError' })
          }
        }
      })
    )
  })
})

test("the device's key is its own, always the same, and not the identity's", async () => {
  const privateKey = await generateKeyPair('Ed25519')
  const derived = identityOf(privateKey).derive('skein session key')
  expect(derived).toEqual(identityOf(privateKey).derive('skein session key'))
  expect(derived).toHaveLength(32)
  expect(derived).not.toEqual(identityOf(privateKey).derive('another purpose'))
  expect(derived).not.toEqual(privateKey.raw.slice(0, 32))
  expect(derived).not.toEqual(identityOf(await generateKeyPair('Ed25519')).derive('skein session key'))
})

describe('frames', () => {
  const id = 'ab'.repeat(32)
  const put: KeepRequest & { kind: 'put' } = {
    kind: 'put',
    id,
    base: 3,
    version: 2 ** 50,
    from: 1,
    parts: [new Uint8Array([1, 2])],
    ttlMs: 5
  }

  test('are read as they were written', () => {
    const requests: KeepRequest[] = [put, { ...put, base: 0, from: 0 }, { kind: 'get', id }, { kind: 'remove', id }]
    for (const request of requests) expect(decodeRequest(encodeRequest(request))).toEqual(request)
    const answers: KeepAnswer[] = [
      { kind: 'kept', version: 4 },
      { kind: 'entry', version: 4, parts: [new Uint8Array([1])], leftMs: 77 },
      ...(['unknown', 'gap', 'stale', 'no-room'] as const).map(
        reason => ({ kind: 'refused', reason, version: 9 }) as const
      )
    ]
    for (const answer of answers) expect(decodeAnswer(encodeAnswer(answer))).toEqual(answer)
  })

  test.each<[string, Partial<typeof put>]>([
    ['a short id', { id: 'ab' }],
    ['a version that does not grow', { version: 3 }],
    ['a version too high', { version: keepVersionMax + 1 }],
    ['a beginning on top of something', { from: 0 }],
    ['a continuation of nothing', { base: 0 }],
    ['no parts', { parts: [] }],
    ['an empty part', { parts: [new Uint8Array(0)] }],
    ['too many parts', { parts: new Array(keepPartsMax + 1).fill(new Uint8Array(1)) }],
    ['parts beyond the last', { from: keepPartsMax }],
    ['too many bytes', { parts: [new Uint8Array(keepEntryBytesMax + 1)] }],
    ['no time', { ttlMs: 0 }],
    ['too long a time', { ttlMs: keepTtlMaxMs + 1 }]
  ])('K3: %s is no put', (_, change) => {
    expect(() => decodeRequest(encodeRequest({ ...put, ...change }))).toThrow(
      expect.objectContaining({ name: 'ProtocolError' })
    )
  })

  test('K3: garbage, answers among requests and requests among answers are violations', () => {
    const read = (decode: (bytes: Uint8Array) => unknown, bytes: Uint8Array): unknown => {
      try {
        return decode(bytes)
      } catch (error) {
        expect(error).toMatchObject({ name: 'ProtocolError' })
        return undefined
      }
    }
    for (let i = 0; i < 500; i++) {
      const bytes = new Uint8Array(randomBytes(i % 40))
      read(decodeRequest, bytes)
      read(decodeAnswer, bytes)
    }
    expect(read(decodeRequest, encodeAnswer({ kind: 'kept', version: 1 }))).toBeUndefined()
    expect(read(decodeAnswer, encodeRequest({ kind: 'get', id }))).toBeUndefined()
    expect(read(decodeRequest, new Uint8Array(0))).toBeUndefined()
    expect(read(decodeAnswer, new Uint8Array(0))).toBeUndefined()
  })
})
