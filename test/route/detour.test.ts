import { describe, expect, test } from 'vitest'
import { answerRoute } from '../../src/route/asking.ts'
import { findDetour } from '../../src/route/detour.ts'
import type { Hop, PeerView } from '../../src/route/view.ts'
import { model, peer, peerId, stage } from './worlds.ts'

const shape = model(6)
const hop = (index: number, start: number, end: number): Hop => ({ peer: peerId(index), start, end })
const route = [hop(0, 0, 2), hop(1, 2, 4), hop(2, 4, 6)]
const three = (middle: Partial<PeerView> = {}) => [
  peer(0, 100, { stages: [stage(0, 2)] }),
  peer(1, 100, { stages: [stage(2, 4)], leaving: true, ...middle }),
  peer(2, 100, { stages: [stage(4, 6)] })
]
const detour = (peers: PeerView[]) => findDetour(peers, shape, { from: peerId(9), route })

describe('a way around a peer that is leaving', () => {
  test('keeps every hop that stays, though another way has fewer hops', () => {
    const whole = peer(3, 100, { stages: [stage(0, 6)] })
    expect(detour([...three(), whole, peer(4, 100, { stages: [stage(2, 4)] })])).toEqual([
      hop(0, 0, 2),
      hop(4, 2, 4),
      hop(2, 4, 6)
    ])
    expect(detour([...three(), whole])).toEqual([hop(3, 0, 6)])
  })

  test('may take two stages in its place, but not one that is loading or about to go as well', () => {
    const thirds = [peer(3, 100, { stages: [stage(2, 3)] }), peer(4, 100, { stages: [stage(3, 4)] })]
    expect(detour([...three(), ...thirds])?.map(each => each.peer)).toEqual([0, 3, 4, 2].map(peerId))
    expect(detour([...three(), peer(3, 100, { stages: [stage(2, 4, false)] })])).toBeUndefined()
    expect(detour([...three(), peer(3, 100, { stages: [stage(2, 4)], leaving: true })])).toBeUndefined()
  })

  test('leads through a stage without room, but not for a session that has a place in line', () => {
    const full = { ...stage(2, 4), cacheBytesFree: 0 }
    const peers = [...three({ leaving: false }), peer(3, 100, { stages: [full] })]
    const question = { from: peerId(9), route, excluded: new Set([peerId(1)]), tokensMax: 10 }
    const shape = model(6, { cacheTokens: 1 })
    expect(findDetour(peers, shape, question)).toEqual([hop(0, 0, 2), hop(3, 2, 4), hop(2, 4, 6)])
    expect(findDetour(peers, shape, { ...question, needsRoom: true })).toBeUndefined()
    const roomy = [...peers, peer(4, 100, { stages: [{ ...stage(2, 4), cacheBytesFree: 1e9 }] })]
    expect(findDetour(roomy, shape, { ...question, needsRoom: true })?.[1]).toEqual(hop(4, 2, 4))
  })

  test('a new session takes it only where there is no other way', () => {
    const ask = (peers: PeerView[]) =>
      answerRoute(peers, shape, { from: peerId(9), excluded: new Set(), inflight: new Map(), waitedMs: 0 })
    expect(ask(three())).toMatchObject({ kind: 'hops', hops: route })
    // Two hops more are still better than the one that goes.
    const others = [peer(3, 100, { stages: [stage(2, 3)] }), peer(4, 100, { stages: [stage(3, 4)] })]
    expect(ask([...three(), ...others])).toMatchObject({
      hops: [hop(0, 0, 2), hop(3, 2, 3), hop(4, 3, 4), hop(2, 4, 6)]
    })
  })
})
