/** Half a swarm that starts from disks of before a revocation: nobody comes back with them. */
import { afterEach, expect, it } from 'vitest'
import { ManyMembers, oldDisks } from './many-members.ts'

let all: ManyMembers | undefined
afterEach(async () => {
  await all?.stop()
})

it('does not bring back a member that was revoked, which starts from its old disk as well (T6)', async () => {
  all = await ManyMembers.start(6)
  const { oldMs, isBack } = await oldDisks(all, 1_500)
  expect(oldMs).toHaveLength(5)
  expect(isBack).toBe(false)
  await all.whole()
  // Those with old disks have come by the door to the secret of today.
  expect(new Set(all.running.map(({ swarm }) => swarm.membership!.epoch))).toEqual(new Set([2]))
})
