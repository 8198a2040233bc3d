/** How often a peer asks who is closest to it, on a clock that a test moves. */
import { expect, it } from 'vitest'
import { ClosestService } from '../../src/swarm/closest-service.ts'
import { closestFirstMs, closestMaxMs } from '../../src/swarm/limits.ts'
import { MovedClock } from './moved-clock.ts'

function closest() {
  const clock = new MovedClock()
  const state = { isLarge: true }
  const asked: number[] = []
  let onAsk = (): void => {}
  const service = new ClosestService({
    ask: async () => {
      asked.push(clock.nowMs())
      onAsk()
      throw new Error('it takes too long')
    },
    isLarge: () => state.isLarge,
    clock
  })
  const during = (act: () => void): void => {
    onAsk = act
  }
  return { service, state, asked, during, pass: (ms: number) => clock.pass(ms) }
}

it('R13: who is closest is asked for soon after the start, then less and less often, and anew after a time alone', async () => {
  const { service, asked, pass } = closest()
  service.start()
  await pass(3_000_000)
  const gaps = asked.map((atMs, i) => atMs - (asked[i - 1] ?? 0))
  expect(gaps.slice(0, 3)).toEqual([closestFirstMs, 2 * closestFirstMs, 4 * closestFirstMs])
  expect(gaps.at(-1)).toBe(closestMaxMs)
  const count = asked.length
  service.anew()
  await pass(closestFirstMs)
  expect(asked.length).toBe(count + 1)
  service.stop()
  await pass(3_000_000)
  expect(asked.length).toBe(count + 1)
})

it('R13: and anew where somebody comes while it asks, who may not have been named', async () => {
  const { service, asked, during, pass } = closest()
  service.start()
  during(() => asked.length === 3 && service.anew())
  await pass(3_000_000)
  const gaps = asked.map((atMs, i) => atMs - (asked[i - 1] ?? 0))
  expect(gaps.slice(2, 5)).toEqual([4 * closestFirstMs, closestFirstMs, 2 * closestFirstMs])
  service.stop()
})

it('R13: in a swarm of neighbours alone nothing is asked, and soon once it is larger', async () => {
  const { service, state, asked, pass } = closest()
  state.isLarge = false
  service.start()
  await pass(3_000_000)
  expect(asked).toEqual([])
  state.isLarge = true
  await pass(closestFirstMs)
  expect(asked.length).toBe(1)
  service.stop()
})
