/** Log-probabilities of tokens: what they are, to the bit, and what is refused. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { checkSampling } from '../../src/engine/sampler.ts'
import { scoreOf } from '../../src/engine/scores.ts'
import { EngineError, InvalidStepError } from '../../src/errors.ts'

const plain = { temperature: 1, topP: 1, topK: 0, seed: 1 }
const logitsOf = fc
  .array(fc.float({ min: -60, max: 60, noNaN: true }), { minLength: 1, maxLength: 200 })
  .map(values => Float32Array.from(values))

describe('a score', () => {
  it('is the logarithm of the softmax, by any other means to some digits', () => {
    fc.assert(
      fc.property(logitsOf, fc.nat(), (logits, any) => {
        const id = any % logits.length
        const max = Math.max(...logits)
        const all = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - max), 0))
        const { logprob } = scoreOf(logits, id, 0)
        const want = logits[id]! - max - all
        expect(Math.abs(logprob - want)).toBeLessThanOrEqual(1e-6 * Math.max(1, Math.abs(want)))
        expect(logprob).toBe(Math.fround(logprob))
        expect(logprob).toBeLessThanOrEqual(0)
      })
    )
  })

  it('has the likeliest first, ties by the lower id, and the token itself among them with the same number', () => {
    fc.assert(
      fc.property(logitsOf, fc.nat(), fc.nat({ max: 20 }), (logits, any, count) => {
        const id = any % logits.length
        const { logprob, top } = scoreOf(logits, id, count)
        const order = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]! || a - b)
        expect(top.map(each => each.id)).toEqual(order.slice(0, count))
        for (const each of top) expect(each.logprob).toBe(scoreOf(logits, each.id, 0).logprob)
        const own = top.find(each => each.id === id)
        if (own !== undefined) expect(own.logprob).toBe(logprob)
      })
    )
  })

  it('has all probability where all are told', () => {
    const logits = Float32Array.from({ length: 20 }, (_, i) => Math.sin(i) * 4)
    const { top } = scoreOf(logits, 3, 20)
    expect(top.reduce((sum, { logprob }) => sum + Math.exp(logprob), 0)).toBeCloseTo(1, 6)
  })

  it('is these bits on every machine', () => {
    const logits = Float32Array.of(1.5, -2.25, 0.1, 7, 6.9, -30)
    // As 50 decimal digits give them.
    const { logprob, top } = scoreOf(logits, 5, 3)
    const bits = (value: number): number => new Uint32Array(Float32Array.of(value).buffer)[0]!
    expect([logprob, ...top.map(each => each.logprob)].map(bits)).toEqual([
      0xc21696a6, 0xbf25a986, 0xbf3f431e, 0xc0c4b531
    ])
    expect(top.map(({ id }) => id)).toEqual([3, 4, 0])
    expect(scoreOf(Float32Array.of(5), 0, 1)).toEqual({ logprob: 0, top: [{ id: 0, logprob: 0 }] })
    expect(Object.is(scoreOf(Float32Array.of(5), 0, 0).logprob, 0)).toBe(true)
  })

  it('is a number however unlikely the token is', () => {
    const { logprob, top } = scoreOf(Float32Array.of(3e38, -3e38), 1, 2)
    expect([logprob, top[1]!.logprob]).toEqual([-3.4028234663852886e38, -3.4028234663852886e38])
  })

  it('is none of what is not finite', () => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => scoreOf(Float32Array.of(1, bad), 0, 1)).toThrow(EngineError)
    }
  })

  it.each([-1, 21, 1.5, Number.NaN])('is not asked for with %s others', logprobs => {
    expect(() => checkSampling({ ...plain, logprobs })).toThrow(InvalidStepError)
    expect(() => checkSampling({ ...plain, logprobs })).toThrow('logprobs must be a whole number from 0 to 20')
  })
})
