import { expect, test } from 'vitest'
import { WorkWorld } from '../../sim/work-world.ts'

/** Some 100 ms of a processor each. */
const worlds = 8

test('worlds in which somebody computes something else keep their promises', { timeout: 300_000 }, async () => {
  const sums = { sessions: 0, refuted: 0, passed: 0, checks: 0 }
  for (let seed = 1; seed <= worlds; seed++) {
    const counts = await new WorkWorld(seed).run()
    for (const name of Object.keys(sums) as (keyof typeof sums)[]) sums[name] += counts[name]
  }
  // Each kind of thing has happened.
  expect(Math.min(...Object.values(sums))).toBeGreaterThan(worlds)
})

test('who falsifies everything once it is known is found, and one seed decides when', { timeout: 60_000 }, async () => {
  const init = { liesRatio: 1, isKnownFirst: true, isMeasured: true }
  const [one, two] = [await new WorkWorld(3, init).run(), await new WorkWorld(3, init).run()]
  expect(one).toEqual(two)
  expect(one.foundAfter).toBeGreaterThan(0)
})
