import { describe, expect, test } from 'vitest'
import type { PeerId } from '../../src/base/ids.ts'
import { disconnectedGraceMs, excludedGraceMs, gatheringMs, missingGraceMs } from '../../src/route/limits.ts'
import { answerRoute, noRouteSentence } from '../../src/route/asking.ts'
import { Presence } from '../../src/route/presence.ts'
import { model, peer, peerId, stage } from './worlds.ts'

const shape = model(4)
const none = new Set<PeerId>()
const ask = (peers: Parameters<typeof answerRoute>[0], excluded: ReadonlySet<PeerId>, waitedMs: number) =>
  answerRoute(peers, shape, { from: peerId(9), excluded, inflight: new Map(), waitedMs })

describe('a question for a route', () => {
  const only = [peer(0, 100, { stages: [stage(0, 4)] })]

  test('is answered with hops where there are some', () => {
    expect(ask(only, none, 0)).toEqual({ kind: 'hops', hops: [{ peer: peerId(0), start: 0, end: 4 }] })
  })

  test('asks an excluded peer again after a moment where there is no way around it', () => {
    const excluded = new Set([peerId(0)])
    expect(ask(only, excluded, excludedGraceMs - 1)).toEqual({ kind: 'wait' })
    expect(ask(only, excluded, excludedGraceMs).kind).toBe('hops')
  })

  test('asks at once whom it has doubted for a while, and still not who failed just now', () => {
    const [old, fresh] = [peerId(0), peerId(1)]
    const question = { from: peerId(9), excluded: new Set([old, fresh]), inflight: new Map(), waitedMs: 0 }
    const both = [...only, peer(1, 100, { stages: [stage(0, 4)], layerMs: 0.1 })]
    const answer = answerRoute(both, shape, { ...question, doubtful: new Set([old]) })
    expect(answer).toMatchObject({ kind: 'hops', hops: [{ peer: old }] })
    expect(answerRoute([both[1]!], shape, { ...question, doubtful: new Set([old]) })).toEqual({ kind: 'wait' })
  })

  test('goes to who has shown nothing after all others: those without room, and those that failed a while ago', () => {
    const shape = model(4, { cacheTokens: 1 })
    const [liar, full, failed] = [peerId(0), peerId(1), peerId(2)]
    const peers = [
      { ...peer(0, 100, { stages: [{ ...stage(0, 4), cacheBytesFree: 1e9 }], layerMs: 0 }), isDoubtful: true },
      peer(1, 100, { stages: [{ ...stage(0, 4), cacheBytesFree: 0 }] })
    ]
    const question = { from: peerId(9), inflight: new Map(), waitedMs: 0, tokensMax: 10 }
    expect(answerRoute(peers, shape, { ...question, excluded: none })).toMatchObject({ hops: [{ peer: full }] })
    const tried = { ...question, excluded: new Set([full]) }
    expect(answerRoute(peers, shape, { ...tried, doubtful: tried.excluded })).toMatchObject({ hops: [{ peer: full }] })
    expect(answerRoute(peers, shape, tried)).toMatchObject({ hops: [{ peer: liar }] })
    const only = [peers[0]!, peer(2, 100, { stages: [stage(0, 4)] })]
    expect(answerRoute(only, shape, { ...question, excluded: none })).toMatchObject({ hops: [{ peer: failed }] })
  })

  test('waits while peers load, and gives up soon where the budgets cannot suffice', () => {
    const loading = [peer(0, 100, { stages: [stage(0, 4, false)] })]
    expect(ask(loading, none, 10 * missingGraceMs)).toEqual({ kind: 'wait' })
    const small = [peer(0, 20)]
    expect(ask(small, none, missingGraceMs - 1)).toEqual({ kind: 'wait' })
    expect(ask(small, none, missingGraceMs)).toEqual({ kind: 'lacking' })
    const question = { from: peerId(9), excluded: none, inflight: new Map(), waitedMs: missingGraceMs }
    // More peers may be coming.
    expect(answerRoute(small, shape, { ...question, settledMs: gatheringMs - 1 })).toEqual({ kind: 'wait' })
    expect(answerRoute(small, shape, { ...question, settledMs: gatheringMs })).toEqual({ kind: 'lacking' })
    expect(noRouteSentence(small, shape, none)).toContain('test cannot answer: ')
  })
})

describe('presence', () => {
  test('a short break of a connection is none', () => {
    const presence = new Presence(peerId(0))
    const self = { view: peer(0, 1), connected: true }
    const other = (connected: boolean) => ({ view: peer(1, 1), connected })
    const count = (connected: boolean, nowMs: number) => presence.look([self, other(connected)], nowMs).views.length
    expect(count(true, 0)).toBe(2)
    expect(presence.look([self, other(false)], 100)).toMatchObject({ wakeAtMs: 100 + disconnectedGraceMs })
    expect(count(false, 99 + disconnectedGraceMs)).toBe(2)
    expect(count(false, 100 + disconnectedGraceMs)).toBe(1)
    expect(count(true, 5000)).toBe(2)
    expect(count(false, 5100)).toBe(2)
  })
})
