import { expect, test } from 'vitest'
import { bruteForceMs, byMemory, capacity, chainMs, halda, petals } from '../../sim/baselines.ts'
import { Chance } from '../../sim/chance.ts'
import { drawPeers, measurePlacing, plainShape } from '../../sim/placing.ts'

test('every baseline covers the model within budgets, and none is faster than the exact one', () => {
  const chance = new Chance(3)
  let solved = 0
  for (let i = 0; i < 40; i++) {
    const shape = plainShape(chance.whole(4, 12))
    const peers = drawPeers(chance, chance.whole(2, 6), shape)
    const exact = halda(peers, shape)
    const least = bruteForceMs(peers, shape)
    if (exact === undefined) {
      expect(least).toBeUndefined()
      continue
    }
    solved++
    expect(chainMs(exact, shape)).toBeCloseTo(least!, 6)
    for (const chain of [exact, byMemory(peers, shape, false), byMemory(peers, shape, true), petals(peers, shape)]) {
      if (chain === undefined) continue
      expect(chain[0]!.start).toBe(0)
      expect(chain.at(-1)!.end).toBe(shape.layers)
      for (const [at, { view, start, end }] of chain.entries()) {
        expect(start).toBe(chain[at - 1]?.end ?? 0)
        expect(end - start).toBeLessThanOrEqual(capacity(view, shape))
      }
      expect(chainMs(chain, shape)).toBeGreaterThanOrEqual(least! - 1e-6)
    }
  }
  expect(solved).toBeGreaterThan(20)
})

test('placement beats sharing by memory', () => {
  const { slower, disagreed, bruteForced } = measurePlacing(2, 40)
  expect(disagreed).toBe(0)
  expect(bruteForced).toBeGreaterThan(0)
  expect(slower.memory).toBeGreaterThan(1.1)
  expect(slower.exact).toBeLessThanOrEqual(1)
})
