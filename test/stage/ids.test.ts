/** Steps that carry the ids of their tokens to the tail, at each kind of hop, by hand: rule S36 of `protocols/stage.md`. */
import { describe, expect, test } from 'vitest'
import { Terms as WireTerms } from '../../protocols/stage.ts'
import { ProtocolError } from '../../src/errors.ts'
import { decodeFrame, encodeFrame } from '../../src/stage/codec.ts'
import type { Frame } from '../../src/stage/frame.ts'
import { stepBytesMax } from '../../src/stage/limits.ts'
import { readTerms } from '../../src/stage/terms.ts'
import {
  type Change,
  facts,
  idStep,
  Kit,
  open,
  peer,
  prepare,
  seatOf,
  states,
  step,
  terms,
  openHop,
  sent
} from './kit.ts'

const plain = { temperature: 0, topP: 1, topK: 0, seed: 1 }
const penalties = { presencePenalty: 0.5, frequencyPenalty: 0, repetitionPenalty: 1.25, promptTokens: 3 }
const sampling = { ...plain, ...penalties }
const penalised: Change = { sampling }
const ints = (...ids: number[]): Int32Array => Int32Array.from(ids)

const hop = (index: 0 | 1 | 2, change: Change = penalised, width?: number): Kit => openHop(index, change, width)

const [head, middle] = [seatOf(0, 2), seatOf(2, 4)]

/** The bytes of terms as another driver would have written them. */
function changed(fields: Partial<WireTerms>) {
  const { payload, signature } = terms(penalised)
  return readTerms(WireTerms.encode({ ...WireTerms.decode(payload), ...fields }), signature)
}

describe('S36: the terms of a session with penalties', () => {
  test('say so, and that hops must know of ids; others say nothing of either', () => {
    const { payload, signature, needs } = terms({ ...penalised, needs: ['drafts'], cache: 'i8' })
    expect(needs).toEqual(['drafts', 'cache', 'ids'])
    expect(readTerms(payload, signature)).toMatchObject({ sampling, needs })
    for (const none of [{}, { repetitionPenalty: 1, promptTokens: 9 }, { presencePenalty: 0 }]) {
      const usual = terms({ sampling: { ...plain, ...none } })
      expect(WireTerms.decode(usual.payload).needs).toEqual([])
      expect(readTerms(usual.payload, usual.signature).sampling).toEqual(plain)
    }
    expect(terms({ sampling: { ...plain, presencePenalty: 0 } }).payload).toEqual(terms().payload)
  })

  test('that do not need ids, or have penalties out of range, are no terms', () => {
    const wire = WireTerms.decode(terms(penalised).payload)
    expect(() => changed({ needs: [] })).toThrow(ProtocolError)
    for (const wrong of [{ presencePenalty: 2.5 }, { frequencyPenalty: Number.NaN }, { repetitionPenalty: -1 }]) {
      expect(() => changed({ sampling: { ...wire.sampling!, ...wrong } })).toThrow(ProtocolError)
    }
  })

  test('open an engine that knows of them', () => {
    const kit = new Kit('C')
    kit.do({ kind: 'add', stage: facts(4, 6) })
    kit.do({ kind: 'accepted', channel: 1, remote: peer('B') })
    const { payload, signature } = terms(penalised)
    const { tokensMax } = readTerms(payload, signature)
    // The kit's caches take a byte for each token; the tail holds the ids beside them.
    const chargedBytes = tokensMax + 4 * tokensMax
    expect(kit.frame(1, open(2, penalised))).toMatchObject([{ kind: 'open-engine', sampling, chargedBytes }])
  })

  test.each<[string, Change]>([
    ['its sampling', { sampling: { ...sampling, presencePenalty: 1 } }],
    ['its sampling', { sampling: { ...sampling, promptTokens: 4 } }],
    ['what its steps carry', { sampling: plain }]
  ])('S10: keep %s in every epoch', (what, change) => {
    const kit = hop(1)
    kit.do({ kind: 'accepted', channel: 2, remote: peer('A') })
    expect(sent(kit.frame(2, open(1, { epoch: 1, keep: 1, ...change })), 2)).toMatchObject([
      { kind: 'refuse', reason: 'invalid', message: `a session keeps ${what}` }
    ])
  })
})

describe('S36: a step of a session with penalties', () => {
  test('goes on with the ids of all its tokens, drafts among them, and gives them to the engine at the tail alone', () => {
    const needs: Change = { ...penalised, needs: ['drafts'] }
    const first = hop(0, needs)
    const seen = first.frame(1, idStep(0, [1, 2, 300 % 100, 4], { sample: true, drafts: [4] }))
    expect(seen).toMatchObject([{ kind: 'compute', step: { ids: undefined } }])
    const next = step(0, 4, { sample: true, drafts: [4], ids: ints(1, 2, 0, 4) })
    expect(sent(first.computed(head, { hidden: states(0, 4) }), -1)).toEqual([next])
    const second = hop(1, needs)
    expect(second.frame(1, next)).toMatchObject([{ kind: 'compute', step: { ids: undefined } }])
    expect(sent(second.computed(middle, { hidden: states(0, 4) }), -1)).toEqual([next])
    expect(hop(2, needs).frame(1, next)).toMatchObject([
      { kind: 'compute', step: { sample: true, drafts: [4], ids: ints(1, 2, 0, 4) } }
    ])
  })

  test('is as it was where there are none: no byte more', () => {
    const first = hop(0, {})
    first.frame(1, idStep(0, [1, 2, 3], { sample: true }))
    const [next] = sent(first.computed(head, { hidden: states(0, 3) }), -1)
    expect(next).not.toHaveProperty('ids')
    // Frame and Step: a tag and a length; tokens and sampleFrom 2 bytes each; hidden a tag, a length and the states.
    expect(encodeFrame(next!).length).toBe(2 + 2 + 2 + 2 + states(0, 3).length)
    expect(encodeFrame({ ...next, ids: ints(1, 2, 3) } as Frame).length).toBe(encodeFrame(next!).length + 6)
  })

  test.each<[string, Change, Frame]>([
    ['without ids', penalised, step(0, 2, { sample: true })],
    [
      'with the ids of its drafts alone',
      { ...penalised, needs: ['drafts'] },
      step(0, 2, { sample: true, drafts: [1] })
    ],
    ['with ids that nobody needs', {}, step(0, 2, { ids: ints(1, 2) })],
    ['with ids outside the vocabulary', penalised, step(0, 2, { ids: ints(1, 100) })]
  ])('is a violation %s', (_, change, frame) => {
    const [first] = hop(1, change).frame(1, frame)
    expect(first).toMatchObject({ kind: 'violation', violation: 'invalid' })
  })

  test('has the ids of all its tokens or none', () => {
    const bytes = encodeFrame(step(0, 3, { ids: ints(1, 2) }))
    expect(() => decodeFrame(bytes)).toThrow('a step with hidden states has the ids of its drafts, or all of them')
  })

  test('S12, P4: is retained and replayed with its ids, as they are after a rollback', () => {
    const kit = hop(1)
    kit.frame(1, step(0, 6, { ids: ints(1, 2, 3, 4, 5, 6) }))
    kit.computed(middle, { hidden: states(0, 6) })
    kit.frame(1, step(4, 2, { ids: ints(14, 15) }))
    kit.computed(middle, { hidden: states(4, 2) })
    kit.do({ kind: 'accepted', channel: 2, remote: peer('A') })
    kit.frame(2, open(1, { ...penalised, epoch: 1, keep: 6 }))
    kit.do({ kind: 'connected', channel: -2 })
    const replayed = kit.frame(-2, { kind: 'ack', epoch: 1, length: 2, steps: 0, tokens: 0 })
    expect(sent(replayed, -2)).toEqual([step(2, 4, { epoch: 1, ids: ints(3, 4, 14, 15) })])
  })

  test('S13: goes on without what the next hop has, ids included', () => {
    const kit = hop(1)
    kit.frame(1, step(0, 6, { ids: ints(1, 2, 3, 4, 5, 6) }))
    kit.computed(middle, { hidden: states(0, 6) })
    kit.do({ kind: 'accepted', channel: 2, remote: peer('A') })
    kit.frame(2, open(1, { ...penalised, epoch: 1, keep: 4 }))
    kit.do({ kind: 'connected', channel: -2 })
    kit.frame(-2, { kind: 'ack', epoch: 1, length: 4, steps: 0, tokens: 0 })
    kit.frame(2, step(2, 4, { epoch: 1, sample: true, ids: ints(3, 4, 5, 6) }))
    expect(sent(kit.computed(middle, { hidden: states(2, 4) }), -2)).toEqual([
      step(4, 2, { epoch: 1, sample: true, ids: ints(5, 6) })
    ])
  })

  test('S20: is fed to a stand-in with its ids', () => {
    const kit = hop(0)
    kit.frame(1, idStep(0, [1, 2, 3]))
    kit.computed(head, { hidden: states(0, 3) })
    const route = open(0).terms.route.with(1, { peer: peer('X'), start: 2, end: 4 })
    kit.frame(1, prepare(0, 1, 2, { ...penalised, route, keep: 3 }))
    kit.do({ kind: 'connected', channel: -2 })
    expect(sent(kit.frame(-2, { kind: 'ack', epoch: 1, length: 0, steps: 0, tokens: 0 }), -2)).toEqual([
      step(0, 3, { epoch: 1, ids: ints(1, 2, 3) })
    ])
  })

  test('S8: takes them with it where it goes on in several', () => {
    // Four rows to a frame.
    const width = stepBytesMax / 2 / 4
    const kit = hop(0, { ...penalised, tokensMax: 8 }, width)
    kit.frame(1, idStep(0, [1, 2, 3, 4, 5, 6], { sample: true }))
    const cost = { computeMs: 1, rows: 6, gatherMs: 0 }
    const seen = kit.do({ kind: 'computed', seat: head, hidden: new Uint8Array(12 * width), tokens: undefined, cost })
    expect(sent(seen, -1)).toMatchObject([{ ids: ints(1, 2, 3, 4) }, { ids: ints(5, 6), sample: true }])
  })

  test('S3: is counted with its ids in what is reserved', () => {
    expect(hop(1).stages.retainBytes - hop(1, {}).stages.retainBytes).toBe(4 * terms().tokensMax)
  })
})
