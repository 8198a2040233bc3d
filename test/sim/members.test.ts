import { expect, test } from 'vitest'
import { MembersWorld } from '../../sim/members-world.ts'

/** Some 300 ms of a processor each. */
const worlds = 5

test('worlds of members keep their promises', { timeout: 300_000 }, async () => {
  const sums = { revocations: 0, modelKeys: 0, admissions: 0, refusals: 0, doors: 0, checks: 0 }
  for (let seed = 1; seed <= worlds; seed++) {
    const counts = await new MembersWorld(seed).run()
    for (const name of Object.keys(sums) as (keyof typeof sums)[]) sums[name] += counts[name]
  }
  // Each kind of thing has happened.
  expect(Math.min(...Object.values(sums))).toBeGreaterThan(worlds)
})

test('one seed decides a world of members', { timeout: 60_000 }, async () => {
  const [one, two] = [await new MembersWorld(7).run(), await new MembersWorld(7).run()]
  expect(one).toEqual(two)
})
