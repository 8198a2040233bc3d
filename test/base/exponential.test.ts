import fc from 'fast-check'
import { expect, test } from 'vitest'
import { exponential, logarithm, power } from '../../src/base/exponential.ts'

test('is the exponential, to the last bit or so', () => {
  fc.assert(
    fc.property(fc.double({ min: -700, max: 0, noNaN: true }), x => {
      const want = Math.exp(x)
      expect(Math.abs(exponential(x) - want) / want).toBeLessThan(4e-16)
    }),
    { numRuns: 2_000 }
  )
})

test('ends in 0, and begins with 1', () => {
  expect([0, -0, -1e9, Number.NEGATIVE_INFINITY].map(exponential)).toEqual([1, 1, 0, 0])
  // Below the smallest normal number it is still there.
  expect(exponential(-740)).toBeGreaterThan(0)
  expect(exponential(-746)).toBe(0)
})

test('has the logarithm to go with it, and powers', () => {
  fc.assert(
    fc.property(
      fc.double({ min: 1e-6, max: 1e9, noNaN: true }),
      fc.double({ min: -1, max: 1, noNaN: true }),
      (x, y) => {
        expect(Math.abs(logarithm(x) - Math.log(x))).toBeLessThanOrEqual(4e-16 * Math.max(1, Math.abs(Math.log(x))))
        expect(Math.abs(power(x, y) / x ** y - 1)).toBeLessThan(1e-14)
      }
    ),
    { numRuns: 2_000 }
  )
})
