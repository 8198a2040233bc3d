/** Steps that say what may be drawn, at each kind of hop, by hand: rule S40 of `protocols/stage.md`. */
import { describe, expect, test } from 'vitest'
import { decodeFrame, encodeFrame } from '../../src/stage/codec.ts'
import { keptMaskBytes, type MaskForm } from '../../src/stage/masks.ts'
import { readTerms } from '../../src/stage/terms.ts'
import { type Change, facts, idStep, Kit, open, peer, type Seen, seatOf, step, terms, openHop, sent } from './kit.ts'

const plain = { temperature: 0, topP: 1, topK: 0, seed: 1 }
const masked: Change = { sampling: { ...plain, masked: true } }
const drafting: Change = { ...masked, needs: ['drafts'] }
/** Of a vocabulary of 100. */
const bits = (...bytes: number[]): Uint8Array => Uint8Array.of(...bytes, ...new Uint8Array(13 - bytes.length))
const first: MaskForm = { slot: 0, bits: bits(0x81, 7) }
const second: MaskForm = { slot: 15, runs: Uint8Array.of(98, 2) }
const cost = { computeMs: 1, rows: 3, gatherMs: 0 }
const last = Uint8Array.from({ length: 13 }, (_, i) => (i === 12 ? 0b1100 : 0))

const hop = (index: 0 | 1 | 2, change: Change = masked, width?: number): Kit => openHop(index, change, width)

describe('S40: the terms of a session that is masked', () => {
  test('say that hops must know of masks; others say nothing of them', () => {
    const { payload, signature, needs } = terms(masked)
    expect(needs).toEqual(['masks'])
    expect(readTerms(payload, signature)).toMatchObject({ sampling: { ...plain, masked: true }, needs })
    expect(terms({ sampling: { ...plain, masked: false } }).payload).toEqual(terms().payload)
  })

  test('S10: say so in every epoch', () => {
    const kit = hop(1)
    kit.do({ kind: 'accepted', channel: 2, remote: peer('A') })
    expect(sent(kit.frame(2, open(1, { epoch: 1, keep: 1, sampling: plain })), 2)).toMatchObject([
      { kind: 'refuse', reason: 'invalid', message: 'a session keeps what its steps carry' }
    ])
  })

  test('have the tail count the masks that it keeps as what it retains', () => {
    const bytes = keptMaskBytes(100)
    expect(bytes).toBe(16 * 13)
    for (const [retainBytesMax, isThere] of [
      [bytes, true],
      [bytes - 1, false]
    ] as const) {
      const kit = new Kit('C', { retainBytesMax })
      kit.do({ kind: 'add', stage: facts(4, 6) })
      kit.do({ kind: 'accepted', channel: 1, remote: peer('B') })
      const [effect] = kit.frame(1, open(2, masked))
      expect(effect).toMatchObject(isThere ? { kind: 'open-engine' } : { kind: 'send', frame: { reason: 'no-room' } })
    }
  })
})

describe('S40: a step of a session that is masked', () => {
  test('is read as it was written, with the form of each mask', () => {
    const frame = step(0, 3, { sample: true, drafts: [4, 5], masks: [first, second, { slot: 3 }] })
    expect(decodeFrame(encodeFrame(frame))).toEqual(frame)
    for (const wrong of [
      { masks: [first] },
      { masks: [{ slot: 16 }, first, first] },
      { masks: [{ ...first, runs: second.runs! }, first, first] },
      { sample: false, drafts: undefined }
    ]) {
      expect(() => decodeFrame(encodeFrame({ ...frame, ...wrong })), JSON.stringify(wrong)).toThrow(/mask|sampled/)
    }
  })

  test('goes on with its masks as they came, and gives them to the engine at the tail alone', () => {
    const head = hop(0, drafting)
    const given = idStep(0, [1, 2, 3], { sample: true, drafts: [3], masks: [first, second] })
    expect(head.frame(1, given)).toMatchObject([{ kind: 'compute', step: { sample: false } }])
    const on = step(0, 3, { sample: true, drafts: [3], masks: [first, second] })
    const seen = head.do({
      kind: 'computed',
      seat: seatOf(0, 2),
      hidden: on.input.kind === 'hidden' ? on.input.bytes : undefined,
      tokens: undefined,
      cost
    })
    expect(sent(seen, -1)).toEqual([on])
    expect(hop(2, drafting).frame(1, on)).toMatchObject([
      { kind: 'compute', step: { sample: true, drafts: [3], masks: [first.bits, last] } }
    ])
  })

  test('that goes on in several has the first mask, with the last of them, where its drafts stay behind', () => {
    // Rows of 64 kB and more: a step of 128 tokens takes two frames.
    const width = 40_000
    const kit = hop(0, drafting, width)
    const ids = Array.from({ length: 128 }, (_, i) => i % 100)
    kit.frame(1, idStep(0, ids, { sample: true, drafts: [27], masks: [first, second] }))
    const hidden = new Uint8Array(128 * width * 2)
    const steps = sent(kit.do({ kind: 'computed', seat: seatOf(0, 2), hidden, tokens: undefined, cost }), -1)
    expect(steps.length).toBeGreaterThan(1)
    expect(steps.map(frame => frame.kind === 'step' && frame.masks)).toEqual([
      ...steps.slice(1).map(() => undefined),
      [first]
    ])
  })

  test('names a slot alone where that has a mask of this epoch', () => {
    const kit = hop(2)
    const compute = (seen: readonly Seen[]): unknown => seen.find(({ kind }) => kind === 'compute')
    kit.frame(1, step(0, 2, { sample: true, masks: [second] }))
    kit.do({ kind: 'computed', seat: seatOf(4, 6), hidden: undefined, tokens: [98], cost })
    expect(compute(kit.frame(1, step(2, 1, { sample: true, masks: [{ slot: 15 }] })))).toMatchObject({
      step: { masks: [last] }
    })
    kit.do({ kind: 'computed', seat: seatOf(4, 6), hidden: undefined, tokens: [99], cost })
    const refusal = { kind: 'refuse', reason: 'invalid', hop: 2 }
    expect(sent(kit.frame(1, step(3, 1, { sample: true, masks: [{ slot: 14 }] })), 1)).toMatchObject([refusal])
  })

  test.each<[string, MaskForm]>([
    ['of another vocabulary', { slot: 0, bits: Uint8Array.of(1) }],
    ['with ids that there are not', { slot: 0, bits: Uint8Array.from({ length: 13 }, () => 0xff) }],
    ['that lets nothing through', { slot: 0, bits: bits() }],
    ['whose runs are too long', { slot: 0, runs: Uint8Array.of(99, 2) }],
    ['whose runs are cut', { slot: 0, runs: Uint8Array.of(1, 0x80) }]
  ])('is refused by the tail with a mask %s', (_, mask) => {
    expect(sent(hop(2).frame(1, step(0, 2, { sample: true, masks: [mask] })), 1)).toMatchObject([
      { kind: 'refuse', reason: 'invalid', hop: 2 }
    ])
  })

  test.each<[string, Change, ReturnType<typeof step>]>([
    ['samples without masks', masked, step(0, 2, { sample: true })],
    ['has masks that nobody needs', {}, step(0, 2, { sample: true, masks: [first] })]
  ])('breaks the protocol where it %s', (_, change, frame) => {
    expect(hop(1, change).frame(1, frame)).toContainEqual(
      expect.objectContaining({ kind: 'violation', violation: 'invalid' })
    )
  })
})
