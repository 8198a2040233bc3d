/** What hops say of where the time of a step went. Rule numbers are those of `protocols/stage.md`. */
import { describe, expect, test } from 'vitest'
import type { SessionId } from '../../src/base/ids.ts'
import { decodeFrame, encodeFrame } from '../../src/stage/codec.ts'
import type { Frame, StepFrame, TokenFrame } from '../../src/stage/frame.ts'
import { stageFrameBytesMax, stepBytesMax } from '../../src/stage/limits.ts'
import { asksForSpans, type HopSpans, traceContext } from '../../src/stage/trace.ts'
import { type Change, facts, Kit, open, peer, type Seen, seatOf, session, states, step } from './kit.ts'

const traced: Change = { trace: traceContext(session, 0) }
const of = (hop: number, change: Partial<HopSpans> = {}): HopSpans => ({
  hop,
  readMs: 0,
  waitMs: 0,
  outMs: 0,
  computeMs: 0,
  sampleMs: 0,
  backMs: 0,
  sentMs: 0,
  ...change
})

/** A hop with its engine open and its next stream (-1) connected; its stream up is 1. */
function hop(index: 1 | 2, change: Change): Kit {
  const kit = new Kit('ABC'[index]!)
  const [start, end] = [2 * index, 2 * index + 2]
  kit.do({ kind: 'add', stage: facts(start, end) })
  kit.do({ kind: 'accepted', channel: 1, remote: peer('DAB'[index]!) })
  kit.frame(1, open(index, change))
  kit.do({ kind: 'opened', seat: seatOf(start, end), length: 0 })
  kit.do({ kind: 'connected', channel: -1 })
  return kit
}

const [middle, tail] = [seatOf(2, 4), seatOf(4, 6)]
const sent = (seen: readonly Seen[]): Frame[] =>
  seen.flatMap(effect => (effect.kind === 'send' && effect.channel === -1 ? [effect.frame] : []))

/** The frame of a step comes, whose bytes were read `readMs` ago. */
function comes(kit: Kit, frame: StepFrame, readMs = 0): Seen[] {
  return kit.do({ kind: 'frame', channel: 1, frame, bytes: 10, readAtMs: kit.nowMs - readMs })
}

const cost = { computeMs: 5, rows: 1, gatherMs: 0, spans: { outMs: 1, sampleMs: 2, backMs: 0.5 } }

describe('S34: a hop of a traced session', () => {
  test('appends its own spans to those that came, and all of them add up to the time that it had the step', () => {
    const kit = hop(1, traced)
    kit.nowMs = 100
    comes(kit, step(0, 1, { sample: true, spans: [of(0, { computeMs: 7 })] }), 0.25)
    kit.nowMs += 10
    const effects = kit.do({ kind: 'computed', seat: middle, hidden: states(0, 1), tokens: undefined, cost })
    const [frame] = sent(effects) as StepFrame[]
    const own = of(1, { readMs: 0.25, waitMs: 3.5, outMs: 1, computeMs: 3, sampleMs: 2, backMs: 0.5 })
    expect(frame!.spans).toEqual([of(0, { computeMs: 7 }), own])
    const { hop: _, ...times } = own
    expect(Object.values(times).reduce((sum, ms) => sum + ms, 0)).toBe(10.25)
  })

  test('says with the next step how long it took to send this one', () => {
    const kit = hop(1, traced)
    comes(kit, step(0, 1, { sample: true }))
    kit.do({ kind: 'computed', seat: middle, hidden: states(0, 1), tokens: undefined, cost })
    kit.stages.sent(-1, 30, 0.125)
    // Other frames say nothing of that.
    kit.stages.sent(-1, 30)
    kit.stages.sent(1, 30, 9)
    comes(kit, step(1, 1, { sample: true }))
    const effects = kit.do({ kind: 'computed', seat: middle, hidden: states(1, 1), tokens: undefined, cost })
    expect((sent(effects)[0] as StepFrame).spans).toMatchObject([{ hop: 1, sentMs: 0.125 }])
  })

  test('sends them with the token at the tail', () => {
    const kit = hop(2, traced)
    comes(kit, step(0, 1, { sample: true, spans: [of(0), of(1)] }))
    const effects = kit.do({ kind: 'computed', seat: tail, hidden: undefined, tokens: [9], cost })
    expect((sent(effects)[0] as TokenFrame).spans!.map(each => each.hop)).toEqual([0, 1, 2])
  })

  test('passes on none that name itself or who comes after it', () => {
    const kit = hop(1, traced)
    comes(kit, step(0, 1, { sample: true, spans: [of(0), of(1, { waitMs: 99 }), of(2), of(63)] }))
    const effects = kit.do({ kind: 'computed', seat: middle, hidden: states(0, 1), tokens: undefined, cost })
    expect((sent(effects)[0] as StepFrame).spans).toMatchObject([{ hop: 0 }, { hop: 1, waitMs: 0 }])
  })

  test('says nothing where the terms are not traced, whatever came', () => {
    for (const trace of [undefined, traced.trace!.replace(/1$/, '0'), traced.trace!.replace(/^00/, '01'), 'x']) {
      const kit = hop(1, trace === undefined ? {} : { trace })
      comes(kit, step(0, 1, { sample: true, spans: [of(0)] }))
      const effects = kit.do({ kind: 'computed', seat: middle, hidden: states(0, 1), tokens: undefined, cost })
      expect((sent(effects)[0] as StepFrame).spans, `${trace}`).toBeUndefined()
    }
  })
})

test('a trace context is one of W3C, of the session and its epoch', () => {
  const context = traceContext('0f'.repeat(16) as SessionId, 0xffff_ffff)
  expect(context).toBe(`00-${'0f'.repeat(16)}-0000000100000000-01`)
  expect(asksForSpans(context)).toBe(true)
  expect(asksForSpans('')).toBe(false)
})

test('spans of all hops of the longest route fit beside the largest step', () => {
  const forever = 2 ** 40
  const most = of(63, {
    readMs: forever,
    waitMs: forever,
    outMs: forever,
    computeMs: forever,
    sampleMs: forever,
    backMs: forever,
    sentMs: forever
  })
  const spans = Array.from({ length: 64 }, () => most)
  const input = { kind: 'hidden', bytes: new Uint8Array(stepBytesMax) } as const
  const bytes = encodeFrame(step(2 ** 31 - 200, 128, { epoch: 2 ** 32 - 1, input, spans }))
  expect(bytes.length).toBeLessThan(stageFrameBytesMax)
  expect(decodeFrame(bytes)).toMatchObject({ spans: { length: 64 } })
  expect(() => decodeFrame(encodeFrame(step(0, 1, { spans: [...spans, most] })))).toThrow('too many')
})
