import { expect, test } from 'vitest'
import { Agenda } from '../../sim/agenda.ts'

test('a delay that is too small for the clock moves it all the same', () => {
  const agenda = new Agenda()
  const times: number[] = []
  // What an engine asks for whose peer's clock shows less, and so tells smaller times apart.
  const again = (): void => {
    times.push(agenda.nowMs)
    if (times.length < 10) agenda.after(3.6e-12, again)
  }
  agenda.at(74936.63689174496, again)
  agenda.run(80_000)
  expect(new Set(times).size).toBe(10)
  expect(times.at(-1)! - times[0]!).toBeLessThan(1e-3)
})

test('no delay at all happens at the same time, in its order', () => {
  const agenda = new Agenda()
  const seen: string[] = []
  agenda.at(74936.63689174496, () => {
    agenda.after(0, () => seen.push(`second at ${agenda.nowMs}`))
    seen.push(`first at ${agenda.nowMs}`)
  })
  agenda.run(80_000)
  expect(seen).toEqual(['first at 74936.63689174496', 'second at 74936.63689174496'])
})

test('what goes around in a circle without time is told, and does not run for ever', async () => {
  const circling = new Agenda()
  const again = (): void => void circling.after(0, again)
  circling.at(5, again)
  await expect(circling.live(10)).rejects.toThrow('time stands still at 5 ms')
  // As many appointments in time that moves are no circle.
  const busy = new Agenda()
  let left = 1_100_000
  const next = (): void => {
    if (left-- > 0) busy.after(1e-3, next)
  }
  busy.at(5, next)
  busy.run(10_000)
  expect(left).toBe(-1)
})
