/** Noise of reports: how likely each number is, and that a request changes no more of the figures than the noise is made for. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { reportTokensMax } from '../../src/audit/limits.ts'
import { type Below, discreteLaplace } from '../../src/audit/noise.ts'
import {
  type AuditFigures,
  type CountedRequest,
  errorOf,
  figuresOf,
  hourMs,
  noisedFigures,
  withNoise
} from '../../src/audit/report.ts'
import { seeded } from '../../src/base/rng.ts'

function belowOf(seed: number): Below {
  const rng = seeded(seed)
  return max => Math.floor(rng() * max)
}

it.each([
  [1, 1],
  [7, 1],
  [7000, 1300],
  [3, 2]
])('is %d/%d wide as the discrete Laplace distribution says, to what 40,000 draws can tell', (t, s) => {
  const below = belowOf(t)
  const draws = 40_000
  const times = new Map<number, number>()
  for (let i = 0; i < draws; i++) {
    const x = discreteLaplace({ t, s }, below)
    times.set(x, (times.get(x) ?? 0) + 1)
  }
  const decay = Math.exp(-s / t)
  const chance = (x: number): number => ((1 - decay) / (1 + decay)) * decay ** Math.abs(x)
  let chi = 0
  let cells = 0
  let rest = draws
  let restExpected = draws
  for (let x = -60; x <= 60; x++) {
    const expected = draws * chance(x)
    if (expected < 20) continue
    const found = times.get(x) ?? 0
    chi += (found - expected) ** 2 / expected
    cells += 1
    rest -= found
    restExpected -= expected
  }
  if (restExpected >= 20) chi += (rest - restExpected) ** 2 / restExpected
  // Mean and spread of a sum of so many squares; five times that is one run in a million.
  expect(chi).toBeLessThan(cells + 5 * Math.sqrt(2 * cells) + 5)
  expect(cells).toBeGreaterThan(5)
})

it('has no number that another sum cannot have: it is whole, whatever it is added to', () => {
  const below = belowOf(3)
  for (let i = 0; i < 1000; i++)
    expect(Number.isSafeInteger(discreteLaplace({ t: 3_584_000, s: 10 }, below))).toBe(true)
})

const request: fc.Arbitrary<CountedRequest> = fc.record({
  wallMs: fc.integer({ min: -hourMs, max: 6 * hourMs }),
  model: fc.constantFrom('a', 'b', 'secret', null),
  tokens: fc.nat(100_000),
  outcome: fc.constantFrom('stop', 'length', 'cancelled', 'SessionFailedError')
})
const of = { fromMs: 0, toMs: 5 * hourMs, models: ['a', 'b'], tokensMax: reportTokensMax }

/** The seven figures, each a list of numbers. */
function listed({ requests, tokens, byModel, byHour, byOutcome }: AuditFigures): [most: number, values: number[]][] {
  return [
    [1, [requests]],
    [reportTokensMax, [tokens]],
    [1, byModel.map(each => each.requests)],
    [reportTokensMax, byModel.map(each => each.tokens)],
    [1, byHour.map(each => each.requests)],
    [reportTokensMax, byHour.map(each => each.tokens)],
    [1, Object.values(byOutcome)]
  ]
}

it('is made for what one request changes: two logs that differ in one are as far apart as that, in each of seven figures', () => {
  fc.assert(
    fc.property(fc.array(request, { maxLength: 30 }), request, (others, one) => {
      const [without, withIt] = [listed(figuresOf(others, of)), listed(figuresOf([...others, one], of))]
      expect(without).toHaveLength(noisedFigures)
      for (const [i, [most, values]] of without.entries()) {
        // Which figures there are must not depend on what was asked.
        expect(withIt[i]![1]).toHaveLength(values.length)
        const change = values.reduce((sum, value, j) => sum + Math.abs(value - withIt[i]![1][j]!), 0)
        expect(change).toBeLessThanOrEqual(most)
      }
    }),
    { numRuns: 500 }
  )
})

it('names models that were given, and no other one; without noise each that was asked for', () => {
  const one = { wallMs: 1, model: 'secret', tokens: 9, outcome: 'stop' }
  expect(figuresOf([one], of).byModel.map(({ model, requests }) => [model, requests])).toEqual([
    ['a', 0],
    ['b', 0],
    ['others', 1]
  ])
  expect(figuresOf([one], { fromMs: 0, toMs: hourMs }).byModel).toEqual([{ model: 'secret', requests: 1, tokens: 9 }])
})

it('is on each figure by itself, as wide as it says: 95 of 100 are within that', () => {
  const figures = figuresOf([], of)
  const below = belowOf(5)
  const epsilonMilli = 1000
  const { requests, tokens } = errorOf(epsilonMilli)
  expect([requests, tokens]).toEqual([21, 10_737])
  const off: boolean[] = []
  for (let i = 0; i < 400; i++) {
    for (const [most, values] of listed(withNoise(figures, epsilonMilli, below))) {
      for (const value of values) off.push(Math.abs(value) > (most === 1 ? requests : tokens))
    }
  }
  const share = off.filter(Boolean).length / off.length
  expect(share).toBeGreaterThan(0.03)
  expect(share).toBeLessThan(0.055)
})
