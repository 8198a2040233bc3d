/** Log-probabilities on their way from the tail to the driver, by hand: rule S38 of `protocols/stage.md`. */
import { describe, expect, test } from 'vitest'
import { StageFrame, Terms as WireTerms } from '../../protocols/stage.ts'
import { ProtocolError } from '../../src/errors.ts'
import { decodeFrame, encodeFrame } from '../../src/stage/codec.ts'
import type { Frame } from '../../src/stage/frame.ts'
import { readTerms } from '../../src/stage/terms.ts'
import { type Change, facts, Kit, open, peer, seatOf, step, terms } from './kit.ts'

const plain = { temperature: 0, topP: 1, topK: 0, seed: 1 }
const scored: Change = { sampling: { ...plain, logprobs: 2 } }
const score = {
  logprob: -1.5,
  top: [
    { id: 7, logprob: -0.25 },
    { id: 3, logprob: -1.5 }
  ]
}

/** The bytes of terms as another driver would have written them. */
function changed(fields: Partial<WireTerms>) {
  const { payload, signature } = terms(scored)
  return readTerms(WireTerms.encode({ ...WireTerms.decode(payload), ...fields }), signature)
}

describe('S38: the terms of a session with log-probabilities', () => {
  test('say so, and that hops must know of them; others say nothing of either', () => {
    for (const logprobs of [0, 1, 20]) {
      const { payload, signature, needs } = terms({ sampling: { ...plain, logprobs } })
      expect(needs).toEqual(['logprobs'])
      expect(readTerms(payload, signature).sampling).toEqual({ ...plain, logprobs })
    }
    expect(terms({ sampling: { ...plain, logprobs: undefined } }).payload).toEqual(terms().payload)
    expect(readTerms(terms().payload, terms().signature).sampling).toEqual(plain)
  })

  test('that do not need them, or want more than 20, are no terms', () => {
    const { sampling } = WireTerms.decode(terms(scored).payload)
    expect(() => changed({ needs: [] })).toThrow(ProtocolError)
    expect(() => changed({ sampling: { ...sampling!, logProbs: 21 } })).toThrow(ProtocolError)
  })

  test('S10: keep their number in every epoch', () => {
    const kit = new Kit('C')
    kit.do({ kind: 'add', stage: facts(4, 6) })
    kit.do({ kind: 'accepted', channel: 1, remote: peer('B') })
    expect(kit.frame(1, open(2, scored))).toMatchObject([{ kind: 'open-engine', sampling: { logprobs: 2 } }])
    kit.do({ kind: 'accepted', channel: 2, remote: peer('B') })
    for (const [i, sampling] of [{ ...plain, logprobs: 3 }, plain].entries()) {
      const seen = kit.frame(2 + i, open(2, { sampling, epoch: 1 + i, keep: 1 }))
      expect(seen).toContainEqual(
        expect.objectContaining({
          frame: expect.objectContaining({ kind: 'refuse', message: 'a session keeps its sampling' })
        })
      )
      kit.do({ kind: 'accepted', channel: 3, remote: peer('B') })
    }
  })
})

describe('S38: a token', () => {
  test('goes to the driver with what the engine says of each id', () => {
    const kit = new Kit('C')
    kit.do({ kind: 'add', stage: facts(4, 6) })
    kit.do({ kind: 'accepted', channel: 1, remote: peer('B') })
    kit.frame(1, open(2, { ...scored, needs: ['drafts'] }))
    kit.do({ kind: 'opened', seat: seatOf(4, 6), length: 0 })
    kit.do({ kind: 'connected', channel: -1 })
    kit.frame(1, step(0, 3, { sample: true, drafts: [7] }))
    const cost = { computeMs: 1, rows: 3, gatherMs: 0 }
    const tokens = { tokens: [7, 4], scores: [score, { ...score, logprob: -2 }] }
    const seen = kit.do({ kind: 'computed', seat: seatOf(4, 6), hidden: undefined, ...tokens, cost })
    expect(seen).toContainEqual({
      kind: 'send',
      channel: -1,
      frame: { kind: 'token', epoch: 0, position: 2, ids: [7, 4], scores: [score, { ...score, logprob: -2 }] }
    })
  })

  test('with 20 of the likeliest takes some 200 bytes, and one without scores none more', () => {
    const top = Array.from({ length: 20 }, (_, i) => ({ id: 100_000 + i, logprob: Math.fround(-i / 3) }))
    const frame: Frame = { kind: 'token', epoch: 0, position: 9, ids: [5], scores: [{ logprob: -1, top }] }
    expect(decodeFrame(encodeFrame(frame))).toEqual(frame)
    expect(encodeFrame(frame).length).toBeLessThan(200)
    expect(encodeFrame({ kind: 'token', epoch: 0, position: 9, ids: [5] }).length).toBe(6)
  })

  test.each<[string, object]>([
    ['fewer scores than ids', { ids: [1, 2], scores: [{ logprob: -1, ids: [], logprobs: [] }] }],
    ['a probability above 1', { scores: [{ logprob: 0.5, ids: [], logprobs: [] }] }],
    ['one that is no number', { scores: [{ logprob: Number.NaN, ids: [], logprobs: [] }] }],
    ['one that is infinite', { scores: [{ logprob: Number.NEGATIVE_INFINITY, ids: [], logprobs: [] }] }],
    ['one of the likeliest above 1', { scores: [{ logprob: -1, ids: [1], logprobs: [1] }] }],
    ['fewer numbers than ids', { scores: [{ logprob: -1, ids: [1, 2], logprobs: [-1] }] }],
    [
      'more of the likeliest than there may be',
      { scores: [{ logprob: -1, ids: new Array(21).fill(1), logprobs: new Array(21).fill(-1) }] }
    ]
  ])('with %s is no frame', (_, fields) => {
    const token = { epoch: 0, position: 1, ids: [1], spans: [], scores: [], ...fields }
    expect(() => decodeFrame(StageFrame.encode({ token }))).toThrow(ProtocolError)
  })
})

describe('S39: the prompt of a session', () => {
  const asked: Change = { sampling: { ...plain, promptLogprobs: 2, promptTokens: 5 } }
  const ints = (...ids: number[]): Int32Array => Int32Array.from(ids)
  const rows = (count: number) => ({ position: 1, scores: new Array(count).fill(score) })

  function tail(change: Change = asked): Kit {
    const kit = new Kit('C')
    kit.do({ kind: 'add', stage: facts(4, 6) })
    kit.do({ kind: 'accepted', channel: 1, remote: peer('B') })
    kit.frame(1, open(2, change))
    kit.do({ kind: 'opened', seat: seatOf(4, 6), length: 0 })
    kit.do({ kind: 'connected', channel: -1 })
    return kit
  }
  const cost = { computeMs: 1, rows: 3, gatherMs: 0 }

  test('has terms that need ids, too, and that say where it ends', () => {
    const { payload, signature, needs } = terms(asked)
    expect(needs).toEqual(['ids', 'prompt-logprobs'])
    expect(readTerms(payload, signature).sampling).toEqual({ ...plain, promptLogprobs: 2, promptTokens: 5 })
    const wire = WireTerms.decode(payload)
    const with_ = (fields: Partial<WireTerms>) => () => readTerms(WireTerms.encode({ ...wire, ...fields }), signature)
    expect(with_({ needs: ['prompt-logprobs'] })).toThrow(ProtocolError)
    expect(with_({ needs: ['ids'] })).toThrow(ProtocolError)
    expect(with_({ sampling: { ...wire.sampling!, promptLogProbs: 21 } })).toThrow(ProtocolError)
  })

  test('is told of before the token that follows it', () => {
    const kit = tail()
    const seen = kit.frame(1, step(0, 5, { sample: true, ids: ints(1, 2, 3, 4, 5) }))
    expect(seen).toMatchObject([{ kind: 'compute', step: { scoresFrom: 0 } }])
    const result = { hidden: undefined, tokens: [9], prompt: rows(4), cost }
    const sent = kit.do({ kind: 'computed', seat: seatOf(4, 6), ...result })
    expect(sent.flatMap(effect => (effect.kind === 'send' && effect.channel === -1 ? [effect.frame] : []))).toEqual([
      { kind: 'scores', epoch: 0, position: 1, scores: rows(4).scores },
      { kind: 'token', epoch: 0, position: 5, ids: [9] }
    ])
  })

  test('is told of from keep on in a later epoch, and by no hop of a stretch', () => {
    const kit = tail({ ...asked, epoch: 1, keep: 3 })
    expect(kit.frame(1, step(0, 3, { epoch: 1, ids: ints(1, 2, 3) }))).toMatchObject([{ step: { scoresFrom: 3 } }])
    const stretch = new Kit('C')
    stretch.do({ kind: 'add', stage: facts(4, 6) })
    stretch.do({ kind: 'accepted', channel: 1, remote: peer('B') })
    stretch.frame(1, open(2, { ...asked, epoch: 1, keep: 3, stretch: { from: 2, to: 3 } }))
    stretch.do({ kind: 'opened', seat: seatOf(4, 6), length: 0 })
    const [compute] = stretch.frame(1, step(0, 3, { epoch: 1, ids: ints(1, 2, 3) }))
    expect(compute).toMatchObject({ kind: 'compute' })
    expect((compute as { step: object }).step).not.toHaveProperty('scoresFrom')
    expect((tail({}).frame(1, step(0, 3))[0] as { step: object }).step).not.toHaveProperty('scoresFrom')
  })

  test('reaches the driver from the tail of its epoch', () => {
    const kit = new Kit('D')
    kit.do({ kind: 'drive', session: terms().session })
    kit.do({ kind: 'admit', session: terms().session, epoch: 0, tail: peer('C') })
    kit.do({ kind: 'accepted', channel: 1, remote: peer('C') })
    kit.frame(1, open(3, asked))
    const frame = { kind: 'scores', epoch: 0, ...rows(2) } as const
    expect(kit.frame(1, frame)).toEqual([{ kind: 'deliver-scores', session: terms().session, scores: frame }])
    const [first] = kit.frame(1, { ...frame, epoch: 1 })
    expect(first).toMatchObject({ kind: 'violation', violation: 'invalid' })
  })

  test('is told of in frames of at most 128 tokens, and at least one', () => {
    const frame: Frame = { kind: 'scores', epoch: 3, position: 77, scores: new Array(128).fill(score) }
    expect(decodeFrame(encodeFrame(frame))).toEqual(frame)
    for (const scores of [[], new Array(129).fill(score)]) {
      expect(() => decodeFrame(encodeFrame({ ...frame, scores }))).toThrow(ProtocolError)
    }
  })
})
