/** What a peer provides is told until enough have heard it, on a clock that a test moves. */
import { expect, it } from 'vitest'
import type { ContentId } from '../../src/base/ids.ts'
import {
  dhtBucketSize,
  dhtTellMs,
  provideAgainMaxMs,
  provideAgainMinMs,
  provideGrowth,
  provideLookMs,
  provideSettleMs
} from '../../src/swarm/limits.ts'
import { ProvideService } from '../../src/swarm/provide-service.ts'
import { MovedClock } from './moved-clock.ts'

const [x, y] = ['x'.repeat(64), 'y'.repeat(64)] as ContentId[] as [ContentId, ContentId]

/** `told`: how many hear it each time; null when the query never ends. */
function providing({ others = 40, told = dhtBucketSize as number | null } = {}) {
  const clock = new MovedClock()
  const state = { others, told }
  const said: { content: ContentId; atMs: number }[] = []
  const untold: ContentId[] = []
  const service = new ProvideService({
    tell: async (content, { signal }) => {
      said.push({ content, atMs: clock.nowMs() })
      if (state.told !== null) return state.told
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    },
    untell: async content => void untold.push(content),
    others: () => state.others,
    clock
  })
  service.start()
  return { service, state, said, untold, pass: (ms: number) => clock.pass(ms) }
}

it('R13: what enough were told is said once; what is new comes after it, what is dropped is not said again', async () => {
  const { service, said, untold, pass } = providing()
  await service.provide([x])
  await service.provide([x, y])
  await pass(3_600_000)
  expect(said.map(({ content }) => content)).toEqual([x, y])
  await service.provide([y])
  await pass(3_600_000)
  expect(said.length).toBe(2)
  expect(untold).toEqual([x])
})

it('R13: what too few were told is said again, less and less often, until enough have heard it', async () => {
  const { service, state, said, pass } = providing({ told: dhtBucketSize / 2 - 1 })
  await service.provide([x])
  await pass(1_000_000)
  const gaps = said.map(({ atMs }, i) => atMs - (said[i - 1]?.atMs ?? 0)).slice(1)
  expect(gaps[0]).toBeGreaterThanOrEqual(provideAgainMinMs)
  expect(gaps[0]).toBeLessThanOrEqual(provideAgainMinMs + provideLookMs)
  expect(gaps.at(-1)).toBeGreaterThanOrEqual(provideAgainMaxMs)
  state.told = dhtBucketSize / 2
  await pass(2 * provideAgainMaxMs)
  const count = said.length
  await pass(1_000_000)
  expect(said.length).toBe(count)
})

it('R13: a query that does not end is given up, and the next one has its turn', async () => {
  const { service, state, said, pass } = providing({ told: null })
  void service.provide([x, y])
  await pass(dhtTellMs + 1)
  expect(said.map(({ content }) => content)).toEqual([x, y])
  state.told = dhtBucketSize
  await pass(dhtTellMs + provideAgainMinMs + 2 * provideLookMs)
  expect(said.map(({ content }) => content)).toEqual([x, y, x, y])
})

it('R13: in a swarm that has grown it is said again, as to whom a peer meets that was alone', async () => {
  const { service, state, said, pass } = providing({ others: 0, told: 0 })
  await service.provide([x])
  state.others = 1
  state.told = 1
  await pass(60_000)
  expect(said.length).toBe(1)
  void service.anew()
  await pass(provideSettleMs)
  expect(said.length).toBe(2)
  state.others = provideGrowth * dhtBucketSize - 1
  await pass(60_000)
  expect(said.length).toBe(2)
  state.others++
  state.told = dhtBucketSize
  await pass(provideLookMs)
  expect(said.length).toBe(3)
  service.stop()
  state.others *= provideGrowth
  await pass(60_000)
  expect(said.length).toBe(3)
})
