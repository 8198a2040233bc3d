/** The fetch decider in virtual time, by table and by any mixture of sources. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { chunkBytes } from '../../src/model/limits.ts'
import type { PeerId } from '../../src/base/ids.ts'
import { seeded } from '../../src/base/rng.ts'
import { ChunkSet, chunkCount } from '../../src/model/chunks.ts'
import { encodeFrame } from '../../src/supply/codec.ts'
import type { FetchEffect, FetchEvent } from '../../src/supply/event.ts'
import { Fetch } from '../../src/supply/fetch.ts'
import type { AnswerFrame } from '../../src/supply/frame.ts'
import { BulkRate } from '../../src/supply/bulk-rate.ts'
import { fetchFrom, makeFile, type Outcome, type SourceInit, sha256 } from './world.ts'

const MiB = 1 << 20
const file = makeFile(8 * MiB - 1000)
const chunks = chunkCount(file.content.length)
const all = Array.from({ length: chunks }, (_, chunk) => chunk)

function expectWhole(outcome: Outcome): void {
  expect(outcome.failed).toBe(undefined)
  expect(Buffer.compare(outcome.content, file.content)).toBe(0)
}

describe('a fetch', () => {
  it.each([
    ['a slow link', { rate: 500, delayMs: 5 }],
    ['a fast one', { rate: 20_000, delayMs: 0.2 }],
    ['a long one', { rate: 2_500, delayMs: 10 }],
    ['a very slow one', { rate: 60, delayMs: 30 }]
  ])('fills %s, and fetches nothing twice', (_, source) => {
    const outcome = fetchFrom(file, { a: source })
    expectWhole(outcome)
    expect(outcome.bytes).toBe(file.content.length)
    expect(outcome.tookMs).toBeLessThan((1.1 * file.content.length) / source.rate + 20 * source.delayMs + 100)
  })

  it('does not queue more than it may (W9)', () => {
    for (const rate of [300, 1_000, 5_000]) {
      const outcome = fetchFrom(file, { a: { rate, delayMs: 2 } })
      expectWhole(outcome)
      expect(outcome.queuedMs).toBeLessThan(16_384 / rate + 170)
    }
  })

  it('uses several sources at once, each as it can', () => {
    const outcome = fetchFrom(file, { a: { rate: 3_000 }, b: { rate: 1_000 }, c: { rate: 500 } })
    expectWhole(outcome)
    expect(outcome.tookMs).toBeLessThan((1.25 * file.content.length) / 4_500 + 100)
    expect(outcome.sent.get('a')!).toBeGreaterThan(outcome.sent.get('b')!)
    expect(outcome.sent.get('b')!).toBeGreaterThan(outcome.sent.get('c')!)
    expect(outcome.bytes).toBeLessThanOrEqual(file.content.length + 2 * chunkBytes)
  })

  it('puts parts together that no one source has', () => {
    const outcome = fetchFrom(file, {
      a: { has: all.filter(chunk => chunk % 3 !== 0) },
      b: { has: all.filter(chunk => chunk % 3 !== 1) },
      c: { has: [0, 1] }
    })
    expectWhole(outcome)
    expect(outcome.bytes).toBe(file.content.length)
  })

  it('goes on where it was (W4)', () => {
    const have = all.slice(0, 20)
    const outcome = fetchFrom(file, { a: {} }, { have })
    expectWhole(outcome)
    expect(outcome.bytes).toBe(file.content.length - 20 * chunkBytes)
  })

  it('asks nobody for what is here already', () => {
    const outcome = fetchFrom(file, { a: {} }, { have: all })
    expectWhole(outcome)
    expect(outcome.bytes).toBe(0)
  })

  it('loses no more than what was under way when a source dies', () => {
    const outcome = fetchFrom(file, { a: { rate: 2_000, diesMs: 2_000 }, b: { rate: 2_000 } })
    expectWhole(outcome)
    expect(outcome.bytes).toBeLessThan(file.content.length + 4 * chunkBytes)
    expect(outcome.violations).toEqual([])
  })

  it('waits for its only source to come back', () => {
    const outcome = fetchFrom(file, { a: { diesMs: 2_000, backMs: 6_000 } })
    expectWhole(outcome)
    expect(outcome.bytes).toBeLessThan(file.content.length + 2 * chunkBytes)
  })

  it('says so when nobody is left', () => {
    const outcome = fetchFrom(file, { a: { diesMs: 2_000 } })
    expect(outcome.failed).toMatch(/nobody has the \d+ bytes of it that are missing/)
    expect(outcome.tookMs).toBeLessThan(13_000)
    expect(fetchFrom(file, {}).failed).toMatch(/nobody has it/)
    expect(fetchFrom(file, { a: { has: [0, 1, 2] } }).failed).toMatch(/nobody has/)
  })

  it('leaves a source that falls silent to others (W11)', () => {
    const outcome = fetchFrom(file, { a: { silentMs: 1_000 }, b: { rate: 1_000 } })
    expectWhole(outcome)
    expect(outcome.tookMs).toBeLessThan(14_000)
    expect(outcome.violations).toEqual([])
  })

  it('ends when its only source falls silent for good', () => {
    const outcome = fetchFrom(file, { a: { silentMs: 1_000 } })
    expect(outcome.failed).toMatch(/nothing|nobody/)
  })

  it('takes the last chunks from whoever is quick', () => {
    const outcome = fetchFrom(file, { quick: { rate: 4_000 }, slow: { rate: 20 } })
    expectWhole(outcome)
    // One chunk takes the slow one 13 s.
    expect(outcome.tookMs).toBeLessThan(3_500)
    expect(outcome.bytes).toBeLessThan(file.content.length + 2 * chunkBytes)
  })

  it.each(['chunks', 'list', 'length', 'garbage', 'unasked'] as const)(
    'drops and names a source that lies about %s, after one chunk (W1, W2, W6)',
    lies => {
      const outcome = fetchFrom(file, { liar: { lies, rate: 4_000 }, honest: { rate: 1_000, delayMs: 3 } })
      expectWhole(outcome)
      const isBytes = lies === 'chunks' || lies === 'list'
      expect(outcome.violations).toEqual([{ peer: 'liar', violation: isBytes ? 'wrong bytes' : 'bad shards frame' }])
      // What was asked for together with the chunk that told.
      expect(outcome.sent.get('liar') ?? 0).toBeLessThanOrEqual(2 * chunkBytes)
      expect(outcome.sent.get('honest')!).toBeGreaterThanOrEqual(file.content.length)
    }
  )

  it('is over when every source lies', () => {
    const outcome = fetchFrom(file, { a: { lies: 'chunks' }, b: { lies: 'length' }, c: { lies: 'garbage' } })
    expect(outcome.failed).toMatch(/nobody has it/)
    expect(new Set(outcome.violations.map(({ peer }) => peer)).size).toBe(3)
  })

  it('takes a file of one chunk without a list', () => {
    const small = makeFile(1_152)
    const outcome = fetchFrom(small, { a: { lies: 'list' } })
    expect(outcome).toMatchObject({ failed: undefined, bytes: 1_152, violations: [] })
    const contradictory = { ...small, wanted: { ...small.wanted, chunks: '0'.repeat(64) } }
    expect(fetchFrom(contradictory, { a: {} }).failed).toMatch(/contradicts itself/)
  })

  it('ends with the exact bytes or a sentence, and blames liars alone, whatever sources do', () => {
    const small = makeFile(5 * chunkBytes - 7)
    const source: fc.Arbitrary<SourceInit> = fc.record(
      {
        has: fc.subarray([0, 1, 2, 3, 4]),
        rate: fc.constantFrom(5, 50, 500, 5_000),
        delayMs: fc.constantFrom(0.1, 3, 80),
        diesMs: fc.integer({ min: 1, max: 4_000 }),
        backMs: fc.integer({ min: 4_000, max: 8_000 }),
        silentMs: fc.integer({ min: 1, max: 4_000 }),
        lies: fc.constantFrom('chunks' as const, 'list' as const, 'length' as const, 'garbage' as const)
      },
      { requiredKeys: [] }
    )
    fc.assert(
      fc.property(fc.array(source, { maxLength: 5 }), fc.subarray([0, 1, 2, 3, 4]), fc.nat(), (list, have, seed) => {
        const sources = Object.fromEntries(list.map((each, i) => [`s${i}`, each]))
        const outcome = fetchFrom(small, sources, { have, seed, limitMs: 900_000 })
        if (outcome.failed === undefined) {
          expect(Buffer.compare(outcome.content, small.content)).toBe(0)
        } else {
          expect(outcome.failed).toMatch(/nobody has|nothing of/)
          // An honest source that has everything and stays is enough.
          const enough = list.some(
            each =>
              (each.has?.length ?? 5) === 5 && !each.lies && each.diesMs === undefined && each.silentMs === undefined
          )
          expect(enough).toBe(false)
        }
        for (const { peer } of outcome.violations) expect(sources[peer]!.lies).toBeDefined()
        expect(new Set(outcome.violations.map(({ peer }) => peer)).size).toBe(outcome.violations.length)
      }),
      { numRuns: 150 }
    )
  })
})

describe('a chunk that is being checked', () => {
  const files = [makeFile(1_000, 1), makeFile(2_000, 2)]
  const peer = 'a' as PeerId

  /** Fetches both files, of one chunk each, from one source until both chunks are to be checked. */
  function checking(): { fetch: Fetch; checks: (FetchEffect & { kind: 'check' })[] } {
    const fetch = new Fetch({ rng: seeded(1), bulkRate: new BulkRate(() => false) })
    const checks: (FetchEffect & { kind: 'check' })[] = []
    const events: FetchEvent[] = files.map(({ wanted }) => ({ kind: 'want', wanted, peers: [peer] }))
    const answer = (frame: AnswerFrame): void => void events.push({ kind: 'frame', peer, bytes: encodeFrame(frame) })
    for (let event = events.shift(); event !== undefined; event = events.shift()) {
      for (const effect of fetch.handle(event, 0)) {
        if (effect.kind === 'check') checks.push(effect)
        else if (effect.kind === 'open') events.push({ kind: 'opened', peer })
        else if (effect.kind === 'list') events.push({ kind: 'resumed', file: effect.file, have: new ChunkSet(1) })
        else if (effect.kind === 'send' && effect.frame.kind === 'watch')
          answer({ kind: 'state', file: effect.frame.file, whole: true, chunks: Uint8Array.of(1) })
        else if (effect.kind === 'send' && effect.frame.kind === 'range-request') {
          const { file, chunk, offset, length } = effect.frame
          const { content } = files.find(({ wanted }) => wanted.file === file)!
          answer({ kind: 'range', file, chunk, offset, data: content.slice(offset, offset + length) })
        }
      }
    }
    return { fetch, checks }
  }
  const kinds = (effects: FetchEffect[]): string[] => effects.map(({ kind }) => kind)

  it('counts when it is right, and is stored then', () => {
    const { fetch, checks } = checking()
    for (const [i, { check, file, bytes, digest }] of checks.entries()) {
      expect(Buffer.compare(sha256(bytes), digest)).toBe(0)
      expect(fetch.progress(file)!.bytes).toBe(0)
      expect(kinds(fetch.handle({ kind: 'checked', check, isRight: true }, 1))).toEqual(['store'])
      expect(kinds(fetch.handle({ kind: 'stored', file, chunk: 0 }, 2))).toEqual(['done'])
      // An answer that comes twice says nothing.
      expect(kinds(fetch.handle({ kind: 'checked', check, isRight: true }, 3))).toEqual([])
      expect(fetch.files).toHaveLength(1 - i)
    }
  })

  it('charges its source once, however many of them are wrong', () => {
    const { fetch, checks } = checking()
    expect(checks).toHaveLength(2)
    const effects = checks.flatMap(({ check }) => fetch.handle({ kind: 'checked', check, isRight: false }, 1))
    expect(kinds(effects)).toEqual(['violation', 'close'])
  })

  it('is not stored when nobody wants it any more, and charged all the same', () => {
    const { fetch, checks } = checking()
    for (const { file } of checks) fetch.handle({ kind: 'drop', file }, 1)
    const [right, wrong] = checks
    expect(kinds(fetch.handle({ kind: 'checked', check: right!.check, isRight: true }, 2))).toEqual([])
    expect(kinds(fetch.handle({ kind: 'checked', check: wrong!.check, isRight: false }, 2))).toEqual([
      'violation',
      'close'
    ])
  })
})
