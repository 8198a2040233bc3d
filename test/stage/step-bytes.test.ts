/** Steps and tokens by hand are byte for byte what the generated code writes and reads, and whatever else it reads is left to it. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { StageFrame } from '../../protocols/stage.ts'
import {
  type PlainStep,
  type PlainToken,
  readStep,
  readToken,
  writeStep,
  writeToken
} from '../../src/stage/step-bytes.ts'

const u32 = fc.oneof(fc.constant(0), fc.nat({ max: 300 }), fc.integer({ min: 0, max: 2 ** 32 - 1 }))
const names = ['hop', 'read', 'wait', 'out', 'compute', 'sample', 'back', 'sent'] as const
const span = fc.record(Object.fromEntries(names.map(name => [name, u32])) as Record<(typeof names)[number], typeof u32>)
const spans = fc.array(span, { maxLength: 3 })
const bytes = fc.oneof(fc.uint8Array({ maxLength: 20 }), fc.uint8Array({ minLength: 100, maxLength: 20_000 }))
const steps = fc.record({
  epoch: u32,
  position: u32,
  tokens: u32,
  sampleFrom: u32,
  ids: fc.array(u32, { maxLength: 10 }),
  hidden: bytes.map(each => each as Uint8Array<ArrayBuffer>),
  spans
}) satisfies fc.Arbitrary<PlainStep>
const tokens = fc.record({
  epoch: u32,
  position: u32,
  ids: fc.array(u32, { maxLength: 8 }),
  spans
}) satisfies fc.Arbitrary<PlainToken>
const limits = { ids: 10, spans: 3 }
const all = { limits: { step: limits, token: limits } }

/** The same message whatever holds its bytes. */
const plain = (message: PlainStep | PlainToken | undefined): unknown =>
  message === undefined || !('hidden' in message) ? message : { ...message, hidden: [...message.hidden] }

test('they are written as the generated code writes them', () => {
  fc.assert(
    fc.property(steps, tokens, (step, token) => {
      expect(Buffer.compare(writeStep(step), StageFrame.encode({ step: { ...step, masks: [] } }))).toBe(0)
      expect(writeStep({ ...step, ids: Int32Array.from(step.ids.map(id => id & 0x7fff_ffff)) }).length).toBeGreaterThan(
        1
      )
      expect(Buffer.compare(writeToken(token), StageFrame.encode({ token: { ...token, scores: [] } }))).toBe(0)
    })
  )
})

test('they are read as it reads them', () => {
  fc.assert(
    fc.property(steps, tokens, (step, token) => {
      const [stepBytes, tokenBytes] = [
        StageFrame.encode({ step: { ...step, masks: [] } }),
        StageFrame.encode({ token: { ...token, scores: [] } })
      ]
      expect(plain(readStep(stepBytes, limits))).toEqual(plain(step))
      expect(readToken(tokenBytes, limits)).toEqual(token)
      expect(readStep(tokenBytes, limits)).toBeUndefined()
      expect(readToken(stepBytes, limits)).toBeUndefined()
    })
  )
})

test('what is changed, cut, doubled or longer is read as it reads it, or left to it', () => {
  const change = fc.record({ at: fc.nat(), byte: fc.nat({ max: 255 }), cut: fc.nat({ max: 3 }), twice: fc.boolean() })
  fc.assert(
    fc.property(
      fc.oneof(
        steps.map(step => ({ step: { ...step, masks: [] } })),
        tokens.map(token => ({ token: { ...token, scores: [] } }))
      ),
      change,
      (message, how) => {
        const whole = StageFrame.encode(message)
        const changed = how.twice ? Buffer.concat([whole, whole]) : Buffer.from(whole)
        changed[how.at % Math.min(40, changed.length)] = how.byte
        const read = changed.subarray(0, changed.length - how.cut)
        const [step, token] = [readStep(read, limits), readToken(read, limits)]
        if (step === undefined && token === undefined) return
        const wire = StageFrame.decode(read, all)
        if (step !== undefined) expect(plain({ ...step, masks: [] } as PlainStep)).toEqual(plain(wire.step!))
        if (token !== undefined) expect({ ...token, scores: [] }).toEqual(wire.token)
      }
    ),
    { numRuns: 3_000 }
  )
})

test('more than the limits is left to it, which refuses it', () => {
  const many = Array.from({ length: 11 }, (_, i) => i)
  const step = { epoch: 0, position: 0, tokens: 11, sampleFrom: 11, ids: many, hidden: new Uint8Array(0), spans: [] }
  expect(readStep(writeStep(step), limits)).toBeUndefined()
  expect(() => StageFrame.decode(writeStep(step), all)).toThrow('too many')
  const own = { hop: 0, read: 0, wait: 0, out: 0, compute: 0, sample: 0, back: 0, sent: 0 }
  const token = { epoch: 0, position: 0, ids: [1], spans: [own, own, own, own] }
  expect(readToken(writeToken(token), limits)).toBeUndefined()
})
