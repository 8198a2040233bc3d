import { expect, test } from 'vitest'
import { bruteForceMs, byMemory, capacity, chainMs, halda, petals } from '../../sim/baselines.ts'
import { Chance } from '../../sim/chance.ts'
import { measureConverging } from '../../sim/converging.ts'
import { flyingKinds, measureFlying } from '../../sim/flying.ts'
import { drawPeers, measureLarge, measurePlacing, plainShape } from '../../sim/placing.ts'

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

test('placement is within 5 % of the least time, and 1.5 times as fast as sharing by memory', () => {
  const { slower, disagreed, bruteForced, aboveExactPercent, twice } = measurePlacing(2, 40)
  expect(disagreed).toBe(0)
  expect(bruteForced).toBeGreaterThan(0)
  expect(slower.memory).toBeGreaterThan(1.5)
  expect(slower.exact).toBeLessThanOrEqual(1)
  expect(aboveExactPercent.max).toBeLessThan(5)
  expect(twice.planned / twice.able).toBeGreaterThan(0.9)
})

test('large swarms are planned as well', () => {
  // What a plan costs is measured by the program; a test would only say how busy its machine is.
  const { aboveExactPercent } = measureLarge(2, 2, () => 0)
  expect(aboveExactPercent.max).toBeLessThan(5)
})

test('batteries of boards on the ground last 1.3 times longer, within 10 % of the least time', () => {
  const { longer, longerAny, slowerPercent, faster } = measureFlying(2, 40, flyingKinds[0]!)
  expect(longer.memory).toBeGreaterThan(1.3)
  expect(longer.memoryAll).toBeGreaterThan(1.3)
  expect(longerAny.memory).toBeGreaterThan(1.1)
  expect(slowerPercent.max).toBeLessThan(15.6)
  expect(faster).toBeGreaterThan(1.4)
})

test('placement rests within seconds of any change', async () => {
  const { changes } = await measureConverging(4, 1)
  for (const { swarms, seconds } of Object.values(changes)) {
    expect(swarms).toBe(1)
    expect(seconds.max).toBeLessThan(8)
  }
  // Three worlds of two minutes: a second of an idle processor.
}, 300_000)
