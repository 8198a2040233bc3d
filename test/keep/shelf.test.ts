/** The keeper's decider by table, and by property against a model that keeps everything. Rules are those of keep.md. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { KeepRequest, PutRequest } from '../../src/keep/message.ts'
import { Shelf, type ShelfInit } from '../../src/keep/shelf.ts'
import {
  keepEntryBytesMax,
  keepPutBytesBurstMax,
  keepPutBytesPerSecondMax,
  keepTtlMaxMs
} from '../../src/keep/limits.ts'
import { peer } from './kit.ts'

const id = (name: string): string => name.padStart(64, '0')
const part = (bytes: number, fill = 1): Uint8Array => new Uint8Array(bytes).fill(fill)
const put = (of: Partial<PutRequest> = {}): PutRequest => ({
  kind: 'put',
  id: id('a'),
  base: 0,
  version: 10,
  from: 0,
  parts: [part(10)],
  ttlMs: 1000,
  ...of
})
const [A, B, C] = [peer('A'), peer('B'), peer('C')]
const kept = (version: number) => ({ kind: 'kept', version })
const refused = (reason: string, version: number) => ({ kind: 'refused', reason, version })

describe('a shelf', () => {
  test('K4: replaces what an entry held from a part on, and gives it back whole', () => {
    const shelf = new Shelf()
    expect(shelf.handle(A, put({ parts: [part(1), part(2), part(3)] }), 0).answer).toEqual(kept(10))
    const next = put({ base: 10, version: 12, from: 2, parts: [part(4), part(5)] })
    expect(shelf.handle(A, next, 0)).toEqual({ answer: kept(12), saved: [id('a')], erased: [] })
    const { answer } = shelf.handle(B, { kind: 'get', id: id('a') }, 400)
    expect(answer).toEqual({ kind: 'entry', version: 12, parts: [part(1), part(2), part(4), part(5)], leftMs: 600 })
    expect(shelf.bytes).toBe(12)
  })

  test.each<[string, PutRequest, object]>([
    ['K5: the same version', put({ version: 20 }), refused('stale', 20)],
    ['K5: an older version', put({ version: 19 }), refused('stale', 20)],
    ['K5: an older version, whoever sends it', put({ version: 5, base: 4, from: 1 }), refused('stale', 20)],
    ['K6: on top of another version', put({ base: 19, version: 21, from: 1 }), refused('gap', 20)],
    ['K6: beyond what is there', put({ base: 20, version: 21, from: 3 }), refused('gap', 20)],
    ['K6: on top of nothing', put({ id: id('b'), base: 20, version: 21, from: 1 }), refused('gap', 0)],
    ['K7: more than an entry may have', put({ version: 21, parts: [part(101)] }), refused('no-room', 20)],
    ['K7: more with what is there', put({ base: 20, version: 21, from: 2, parts: [part(90)] }), refused('no-room', 20)]
  ])('%s is refused, and nothing changes', (_, request, answer) => {
    const shelf = new Shelf({ entryBytesMax: 100 })
    shelf.handle(A, put({ version: 20, parts: [part(10), part(10)] }), 0)
    expect(shelf.handle(B, request, 0)).toEqual({ answer, saved: [], erased: [] })
    expect(shelf.entry(id('a'))).toMatchObject({ version: 20, owner: A, bytes: 20 })
  })

  test('K7: a peer puts so many bytes at once and a second, and takes none of that from anybody else', () => {
    const shelf = new Shelf()
    const large = put({ parts: [part(keepEntryBytesMax)] })
    const all = keepPutBytesBurstMax / keepEntryBytesMax
    for (let n = 1; n <= all; n++) {
      expect(shelf.handle(A, { ...large, id: id(`a${n}`), version: n }, 0).answer).toEqual(kept(n))
    }
    expect(shelf.handle(A, put({ id: id('b') }), 0).answer).toEqual(refused('no-room', 0))
    expect(shelf.handle(B, put({ id: id('c') }), 0).answer).toEqual(kept(10))
    const later = 1_000 + (1_000 * keepEntryBytesMax) / keepPutBytesPerSecondMax
    expect(shelf.handle(A, { ...large, id: id('d') }, later).answer).toEqual(kept(10))
  })

  test('K8: what is past its time is unknown, and gone; a put begins its time anew', () => {
    const shelf = new Shelf()
    shelf.handle(A, put(), 0)
    shelf.handle(A, put({ version: 11, ttlMs: 500 }), 900)
    expect(shelf.expire(1399)).toEqual([])
    const result = shelf.handle(A, { kind: 'get', id: id('a') }, 1400)
    expect(result).toEqual({ answer: refused('unknown', 0), saved: [], erased: [id('a')] })
    expect(shelf.handle(A, put({ version: 3 }), 1400).answer).toEqual(kept(3))
  })

  test('K9: removes what it is told to', () => {
    const shelf = new Shelf()
    shelf.handle(A, put(), 0)
    const remove: KeepRequest = { kind: 'remove', id: id('a') }
    expect(shelf.handle(B, remove, 0)).toEqual({ answer: kept(0), saved: [], erased: [id('a')] })
    expect(shelf.handle(B, remove, 0).answer).toEqual(refused('unknown', 0))
    expect(shelf.bytes).toBe(0)
  })

  test('K7: a peer with too much loses its own least recent entries, and nobody else any', () => {
    const shelf = new Shelf({ peerEntriesMax: 2, peerBytesMax: 100 })
    shelf.handle(B, put({ id: id('b') }), 0)
    for (const name of ['1', '2']) shelf.handle(A, put({ id: id(name) }), 0)
    shelf.handle(A, put({ id: id('1'), version: 11 }), 0)
    expect(shelf.handle(A, put({ id: id('3') }), 0).erased).toEqual([id('2')])
    expect(shelf.handle(A, put({ id: id('4'), parts: [part(95)] }), 0).erased).toEqual([id('1'), id('3')])
    expect(shelf.entry(id('b'))).toBeDefined()
  })

  test('K7: where all together have too much, whoever holds most loses', () => {
    const shelf = new Shelf({ bytesMax: 100, fairBytes: 30 })
    shelf.handle(A, put({ id: id('a'), parts: [part(10)] }), 0)
    shelf.handle(B, put({ id: id('1'), parts: [part(40)] }), 0)
    shelf.handle(B, put({ id: id('2'), parts: [part(40)] }), 0)
    expect(shelf.handle(C, put({ id: id('c'), parts: [part(20)] }), 0).erased).toEqual([id('1')])
    const many = new Shelf({ entriesMax: 3, fairEntries: 1 })
    many.handle(A, put({ id: id('a'), parts: [part(90)] }), 0)
    for (const name of ['1', '2']) many.handle(B, put({ id: id(name) }), 0)
    expect(many.handle(C, put({ id: id('c') }), 0).erased).toEqual([id('1')])
  })

  test('K7: hundreds of identities with an entry each cost nobody a fair share that was there before', () => {
    const shelf = new Shelf()
    const mine = ['1', '2', '3'].map(name => id(name))
    for (const each of mine) shelf.handle(A, put({ id: each, parts: [part(2_000)] }), 0)
    const flood = Array.from({ length: 600 }, (_, i) =>
      shelf.handle(peer(`flood${i}`), put({ id: id(`f${i}`), parts: [part(30_000)] }), 1)
    )
    expect(flood.map(({ answer }) => answer.kind)).toContain('refused')
    expect(flood.flatMap(({ erased }) => erased)).toEqual([])
    for (const each of mine) expect(shelf.entry(each)).toMatchObject({ owner: A })
    // What it had goes on growing, and more may come: who came last makes room.
    const grown = shelf.handle(A, put({ id: mine[0]!, base: 10, version: 11, from: 1, parts: [part(30_000)] }), 2)
    expect(grown.answer).toEqual(kept(11))
    const more = shelf.handle(A, put({ id: id('4'), parts: [part(1_000)] }), 2)
    expect(more.answer).toEqual(kept(10))
    const { length: taken } = flood.filter(({ answer }) => answer.kind === 'kept')
    expect([...grown.erased, ...more.erased]).toEqual([id(`f${taken - 1}`)])
    for (const each of mine) expect(shelf.entry(each)).toBeDefined()
    expect(shelf.handle(peer('late'), put({ id: id('late'), parts: [part(60_000)] }), 3)).toEqual({
      answer: refused('no-room', 0),
      saved: [],
      erased: []
    })
  })

  test('K7: above its fair share a peer makes room for who has less', () => {
    const shelf = new Shelf({ entriesMax: 10, fairEntries: 4 })
    for (let i = 0; i < 6; i++) shelf.handle(A, put({ id: id(`a${i}`) }), 0)
    for (let i = 0; i < 4; i++) shelf.handle(B, put({ id: id(`b${i}`) }), 0)
    expect(shelf.handle(C, put({ id: id('c0') }), 0).erased).toEqual([id('a0')])
    expect(shelf.handle(C, put({ id: id('c1') }), 0).erased).toEqual([id('a1')])
    expect(shelf.handle(C, put({ id: id('c2') }), 0)).toEqual({ answer: refused('no-room', 0), saved: [], erased: [] })
  })

  test('takes back after a restart what still fits, no longer than any ttl', () => {
    const shelf = new Shelf({ entryBytesMax: 50 })
    const saved = (name: string, bytes: number, untilMs: number) => ({
      id: id(name),
      owner: A,
      version: 5,
      parts: [part(bytes)],
      untilMs
    })
    expect(shelf.restore(saved('a', 50, 100), 0)).toEqual([])
    expect(shelf.restore(saved('b', 51, 100), 0)).toEqual([id('b')])
    expect(shelf.restore(saved('c', 10, 5), 5)).toEqual([id('c')])
    expect(shelf.restore(saved('d', 10, 2 * keepTtlMaxMs), 0)).toEqual([])
    expect(shelf.entry(id('d'))!.untilMs).toBe(keepTtlMaxMs)
  })

  test('whatever comes, bounds hold, versions only grow, and what is there is what was last put', () => {
    const bounds: Required<ShelfInit> = {
      peerEntriesMax: 3,
      peerBytesMax: 60,
      entriesMax: 5,
      bytesMax: 100,
      entryBytesMax: 40,
      fairEntries: 1,
      fairBytes: 20
    }
    const action = fc.record({
      remote: fc.constantFrom(A, B, C),
      kind: fc.constantFrom('put', 'put', 'put', 'extend', 'get', 'remove'),
      name: fc.constantFrom('1', '2', '3', '4', '5', '6'),
      version: fc.integer({ min: 1, max: 30 }),
      sizes: fc.array(fc.integer({ min: 1, max: 25 }), { minLength: 1, maxLength: 3 }),
      from: fc.integer({ min: 1, max: 3 }),
      passMs: fc.integer({ min: 0, max: 300 })
    })
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), actions => {
        const shelf = new Shelf(bounds)
        const model = new Map<string, { version: number; parts: Uint8Array[]; owner: string; untilMs: number }>()
        let nowMs = 0
        for (const [i, { remote, kind, name, version, sizes, from, passMs }] of actions.entries()) {
          nowMs += passMs
          const parts = sizes.map(size => part(size, i))
          const before = model.get(id(name))
          const request: KeepRequest =
            kind === 'put'
              ? put({ id: id(name), version, parts })
              : kind === 'extend'
                ? put({ id: id(name), base: before?.version ?? 1, version: version + 1, from, parts })
                : { kind: kind === 'get' ? 'get' : 'remove', id: id(name) }
          const { answer, saved, erased } = shelf.handle(remote, request, nowMs)
          for (const gone of erased) model.delete(gone)
          if (answer.kind === 'kept' && request.kind === 'put') {
            if (before !== undefined && before.untilMs > nowMs) expect(request.version).toBeGreaterThan(before.version)
            const whole = [...(before?.parts.slice(0, request.from) ?? []), ...parts]
            model.set(id(name), { version: request.version, parts: whole, owner: remote, untilMs: nowMs + 1000 })
            expect(saved).toEqual([id(name)])
          }
          for (const [key, entry] of model) if (entry.untilMs > nowMs) expect(shelf.entry(key)).toMatchObject(entry)
          const bytes = [...model.values()].map(({ parts }) => parts.reduce((sum, { length }) => sum + length, 0))
          expect(shelf.bytes).toBe(bytes.reduce((sum, each) => sum + each, 0))
          expect(shelf.bytes).toBeLessThanOrEqual(bounds.bytesMax)
          expect(shelf.size).toBe(model.size)
          expect(shelf.size).toBeLessThanOrEqual(bounds.entriesMax)
          for (const owner of [A, B, C]) {
            const mine = [...model.values()].filter(entry => entry.owner === owner)
            expect(mine.length).toBeLessThanOrEqual(bounds.peerEntriesMax)
          }
        }
      }),
      { numRuns: 300 }
    )
  })
})
