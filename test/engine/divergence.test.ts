import { describe, expect, test } from 'vitest'
import { compare, none, perplexity, predict, sum } from '../../src/engine/divergence.ts'

/** Logits of such probabilities; what is added to all of them changes none. */
const logits = (probabilities: readonly number[], more = 0): Float32Array =>
  Float32Array.from(probabilities, p => Math.log(p) + more)

describe('a prediction beside the reference', () => {
  test('has the divergence of its probabilities, whatever is added to all logits', () => {
    const p = [0.5, 0.25, 0.25]
    const q = [0.25, 0.5, 0.25]
    const { kl, loss, same } = compare(predict(logits(p, 3)), predict(logits(q, -5)), 1)
    expect(kl).toBeCloseTo(0.5 * Math.log(2) - 0.25 * Math.log(2), 5)
    expect(loss).toBeCloseTo(Math.log(2), 5)
    expect(same).toBe(0)
  })

  test('that is the same has none', () => {
    const some = predict(logits([0.1, 0.7, 0.2]))
    expect(compare(some, some, 2)).toEqual({ tokens: 1, loss: expect.closeTo(Math.log(5), 5), kl: 0, same: 1 })
  })

  test('may have logits that float64 has no powers of e for', () => {
    const { kl } = compare(predict(Float32Array.of(2_000, 1_000)), predict(Float32Array.of(1_000, 2_000)), 0)
    expect(kl).toBe(1_000)
  })

  test('is refused where a logit is not finite, or of another vocabulary', () => {
    const some = predict(logits([0.5, 0.5]))
    expect(() => compare(some, predict(Float32Array.of(Number.NaN, 1)), 1)).toThrow('a logit is not finite')
    expect(() => compare(some, predict(Float32Array.of(1)), 0)).toThrow(
      'logits of 1 tokens are compared with those of 2'
    )
  })
})

test('a perplexity is of the mean loss', () => {
  const all = sum([
    { tokens: 1, loss: Math.log(2), kl: 0.5, same: 1 },
    { tokens: 1, loss: Math.log(8), kl: 0.25, same: 0 }
  ])
  expect(all).toEqual({ tokens: 2, loss: expect.closeTo(Math.log(16), 10), kl: 0.75, same: 1 })
  expect(perplexity(all)).toBeCloseTo(4, 10)
  expect(() => perplexity(none)).toThrow('a perplexity needs at least one token')
})
