/** What a tail draws by besides, at each kind of hop, by hand: rule S37 of `protocols/stage.md`. */
import { describe, expect, test } from 'vitest'
import { Terms as WireTerms } from '../../protocols/stage.ts'
import { ProtocolError } from '../../src/errors.ts'
import { readTerms } from '../../src/stage/terms.ts'
import { type Change, facts, Kit, open, peer, terms } from './kit.ts'

const plain = { temperature: 0, topP: 1, topK: 0, seed: 1 }
const filters = { minP: 0.1, logitBias: { 3: -100, 40: 2.5 } }
const filtered: Change = { sampling: { ...plain, ...filters } }

/** The bytes of terms as another driver would have written them. */
function changed(fields: Partial<WireTerms>) {
  const { payload, signature } = terms(filtered)
  return readTerms(WireTerms.encode({ ...WireTerms.decode(payload), ...fields }), signature)
}

function opened(change: Change) {
  const kit = new Kit('C')
  kit.do({ kind: 'add', stage: facts(4, 6) })
  kit.do({ kind: 'accepted', channel: 1, remote: peer('B') })
  return { kit, seen: kit.frame(1, open(2, change)) }
}

describe('S37: the terms of a session with filters', () => {
  test('say so, and that hops must know of them; others say nothing of either', () => {
    const { payload, signature, needs } = terms(filtered)
    expect(needs).toEqual(['filters'])
    expect(readTerms(payload, signature)).toMatchObject({ sampling: { ...plain, ...filters }, needs })
    for (const none of [{}, { minP: 0 }, { logitBias: {} }]) {
      expect(terms({ sampling: { ...plain, ...none } }).payload).toEqual(terms().payload)
    }
    for (const one of [{ minP: 0.5 }, { logitBias: { 1: 1 } }]) {
      const some = terms({ sampling: { ...plain, ...one } })
      expect(readTerms(some.payload, some.signature).sampling).toEqual({ ...plain, ...one })
    }
  })

  test('fit into what terms may take, with as many ids as there may be and the longest route', () => {
    const logitBias = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [2 ** 31 - 1 - i, -99.9]))
    const route = Array.from({ length: 64 }, (_, i) => ({ peer: peer('A'), start: i, end: i + 1 }))
    const { payload, signature } = terms({ sampling: { ...plain, logitBias }, route })
    expect(readTerms(payload, signature).sampling.logitBias).toEqual(logitBias)
  })

  test('that do not need filters, or have some out of range, are no terms', () => {
    const { sampling } = WireTerms.decode(terms(filtered).payload)
    expect(() => changed({ needs: [] })).toThrow(ProtocolError)
    for (const wrong of [
      { minP: 1.5 },
      { minP: Number.NaN },
      { logitBias: [{ id: 1, bias: 101 }] },
      {
        logitBias: [
          { id: 2, bias: 1 },
          { id: 1, bias: 1 }
        ]
      },
      {
        logitBias: [
          { id: 1, bias: 1 },
          { id: 1, bias: 1 }
        ]
      },
      { logitBias: Array.from({ length: 301 }, (_, id) => ({ id, bias: 1 })) }
    ]) {
      expect(() => changed({ sampling: { ...sampling!, ...wrong } })).toThrow(ProtocolError)
    }
  })

  test('open an engine that knows of them', () => {
    expect(opened(filtered).seen).toMatchObject([{ kind: 'open-engine', sampling: { ...plain, ...filters } }])
  })

  test('of ids outside the vocabulary are a violation', () => {
    const { seen } = opened({ sampling: { ...plain, logitBias: { 100: 1 } } })
    expect(seen).toMatchObject([{ kind: 'violation', violation: 'invalid' }])
  })

  test.each<[string, Partial<typeof filters>]>([
    ['another min-p', { minP: 0.2 }],
    ['another amount', { logitBias: { 3: -100, 40: 2 } }],
    ['another id', { logitBias: { 3: -100, 40: 2.5, 41: 1 } as typeof filters.logitBias }]
  ])('S10: keep their sampling in every epoch: %s', (_, change) => {
    const { kit } = opened(filtered)
    kit.do({ kind: 'accepted', channel: 2, remote: peer('B') })
    const seen = kit.frame(2, open(2, { sampling: { ...plain, ...filters, ...change }, epoch: 1, keep: 1 }))
    expect(seen).toContainEqual(
      expect.objectContaining({
        kind: 'send',
        frame: expect.objectContaining({ kind: 'refuse', reason: 'invalid', message: 'a session keeps its sampling' })
      })
    )
  })
})
