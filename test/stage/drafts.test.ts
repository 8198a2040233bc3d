/** Steps that end with drafts, at each kind of hop, by hand. Rule numbers are those of `protocols/stage.md`. */
import { describe, expect, test } from 'vitest'
import type { Frame } from '../../src/stage/frame.ts'
import { stepBytesMax } from '../../src/stage/limits.ts'
import { type Change, idStep, type Kit, open, peer, prepare, seatOf, states, step, openHop, sent } from './kit.ts'

const needs: Change = { needs: ['drafts'] }

const hop = (index: 0 | 1 | 2, change: Change = needs, width?: number): Kit => openHop(index, change, width)

const [head, middle, tail] = [seatOf(0, 2), seatOf(2, 4), seatOf(4, 6)]

describe('S32: a step with drafts', () => {
  test('goes on with their ids, and its engine hears of them at the tail alone', () => {
    const first = hop(0)
    const frame = idStep(0, [1, 2, 3, 4], { sample: true, drafts: [3, 4] })
    expect(first.frame(1, frame)).toMatchObject([
      { kind: 'compute', step: { tokens: 4, sample: false, drafts: undefined } }
    ])
    const next = step(0, 4, { sample: true, drafts: [3, 4] })
    expect(sent(first.computed(head, { hidden: states(0, 4) }), -1)).toEqual([next])
    const second = hop(1)
    second.frame(1, next)
    expect(sent(second.computed(middle, { hidden: states(0, 4) }), -1)).toEqual([next])
    const last = hop(2)
    expect(last.frame(1, next)).toMatchObject([{ kind: 'compute', step: { tokens: 4, sample: true, drafts: [3, 4] } }])
    expect(sent(last.computed(tail, { tokens: [3, 9] }), -1)).toEqual([
      { kind: 'token', epoch: 0, position: 2, ids: [3, 9] }
    ])
  })

  test.each<[string, Change, Frame]>([
    ['where the terms do not need them', {}, step(0, 2, { sample: true, drafts: [1] })],
    ['outside the vocabulary', needs, step(0, 2, { sample: true, drafts: [100] })]
  ])('is a violation %s', (_, change, frame) => {
    const [first] = hop(1, change).frame(1, frame)
    expect(first).toMatchObject({ kind: 'violation', violation: 'invalid' })
  })

  test('the step after a wrong draft is a rollback: it goes on as it is, also in what is retained', () => {
    const kit = hop(1)
    kit.frame(1, step(0, 6, { sample: true, drafts: [3, 4, 5] }))
    kit.computed(middle, { hidden: states(0, 6) })
    // The first draft was right.
    const anew = Uint8Array.from(states(4, 1), byte => byte + 100)
    kit.frame(1, step(4, 1, { sample: true }))
    expect(sent(kit.computed(middle, { hidden: anew }), -1)).toEqual([
      step(4, 1, { sample: true, input: { kind: 'hidden', bytes: anew } })
    ])
    // A stand-in for the next hop gets what counts.
    kit.do({ kind: 'accepted', channel: 2, remote: peer('A') })
    kit.frame(2, open(1, { ...needs, epoch: 1, keep: 5 }))
    kit.do({ kind: 'connected', channel: -2 })
    const replayed = sent(kit.frame(-2, { kind: 'ack', epoch: 1, length: 3, steps: 0, tokens: 0 }), -2)
    const bytes = Uint8Array.from([...states(3, 1), ...anew])
    expect(replayed).toEqual([step(3, 2, { epoch: 1, input: { kind: 'hidden', bytes } })])
  })

  test('is nothing that a hop has come to: Standing does not count drafts', () => {
    const kit = hop(1)
    kit.frame(1, step(0, 6, { sample: true, drafts: [3, 4, 5] }))
    const standing = (): unknown => sent(kit.frame(1, { kind: 'ask', epoch: 0, round: kit.nowMs }), 1)[0]
    expect(standing()).toMatchObject({ arrived: 3, length: 0 })
    kit.computed(middle, { hidden: states(0, 6) })
    kit.nowMs += 100
    expect(standing()).toMatchObject({ arrived: 3, length: 3 })
    // All were wrong.
    kit.frame(1, step(3, 1, { sample: true }))
    kit.nowMs += 100
    expect(standing()).toMatchObject({ arrived: 4, length: 3, busyMs: 100 })
  })

  test('leaves nothing of its drafts to a later epoch: the hop may have been off the route when they were found wrong', () => {
    const kit = hop(1)
    kit.frame(1, step(0, 6, { sample: true, drafts: [3, 4, 5] }))
    kit.computed(middle, { hidden: states(0, 6) })
    kit.do({ kind: 'accepted', channel: 2, remote: peer('A') })
    expect(sent(kit.frame(2, open(1, { ...needs, epoch: 5, keep: 50 })), 2)).toMatchObject([{ kind: 'ack', length: 3 }])
  })

  test('goes on from its sampled row at the latest, whatever the driver says that the next hop has', () => {
    const kit = hop(1)
    kit.frame(1, step(0, 8))
    kit.computed(middle, { hidden: states(0, 8) })
    kit.do({ kind: 'accepted', channel: 2, remote: peer('A') })
    kit.frame(2, open(1, { ...needs, epoch: 1, keep: 8 }))
    kit.do({ kind: 'connected', channel: -2 })
    kit.frame(-2, { kind: 'ack', epoch: 1, length: 8, steps: 0, tokens: 0 })
    const change = { epoch: 1, sample: true, drafts: [4, 5, 6, 7, 8] }
    kit.frame(2, step(2, 8, change))
    expect(sent(kit.computed(middle, { hidden: states(2, 8) }), -2)).toEqual([step(4, 6, change)])
  })

  test('feeds a stand-in without its drafts', () => {
    const kit = hop(0)
    kit.frame(1, idStep(0, [1, 2, 3, 4, 5], { sample: true, drafts: [4, 5] }))
    kit.computed(head, { hidden: states(0, 5) })
    const route = open(0).terms.route.with(1, { peer: peer('X'), start: 2, end: 4 })
    kit.frame(1, prepare(0, 1, 2, { route, keep: 3 }))
    kit.do({ kind: 'connected', channel: -2 })
    expect(sent(kit.frame(-2, { kind: 'ack', epoch: 1, length: 0, steps: 0, tokens: 0 }), -2)).toEqual([
      step(0, 3, { epoch: 1 })
    ])
    kit.frame(1, idStep(3, [9]))
    expect(sent(kit.computed(head, { hidden: states(3, 1) }), -2)).toEqual([step(3, 1, { epoch: 1 })])
  })

  test('goes on without them where a frame does not hold it', () => {
    // Four rows to a frame.
    const width = stepBytesMax / 2 / 4
    const kit = hop(0, { ...needs, tokensMax: 8 }, width)
    kit.frame(1, idStep(0, [1, 2, 3, 4, 5, 6], { sample: true, drafts: [5, 6] }))
    const seen = kit.do({
      kind: 'computed',
      seat: head,
      hidden: new Uint8Array(6 * 2 * width),
      tokens: undefined,
      cost: { computeMs: 1, rows: 6, gatherMs: 0 }
    })
    const frames = sent(seen, -1)
    expect(frames).toMatchObject([{ kind: 'step', position: 0, tokens: 4, sample: true }])
    expect(frames[0]).not.toHaveProperty('drafts')
  })
})
