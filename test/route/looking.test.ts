/** How often a peer looks at what has changed. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { lookMaxMs, lookMs, lookShare } from '../../src/route/limits.ts'
import { Looking } from '../../src/route/looking-service.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

/** A look that takes `tookMs` of the virtual clock, and when each began. */
function lookThatTakes(tookMs: number) {
  const looks: number[] = []
  const startMs = performance.now()
  const looking = new Looking(() => {
    looks.push(performance.now() - startMs)
    vi.setSystemTime(Date.now() + tookMs)
    vi.advanceTimersByTime(tookMs)
  })
  return { looks, looking }
}

test('a burst of records is looked at once', () => {
  const { looks, looking } = lookThatTakes(0)
  for (let record = 0; record < 500; record++) looking.changed()
  expect(looks).toEqual([])
  vi.advanceTimersByTime(lookMs)
  expect(looks).toEqual([lookMs])
  vi.advanceTimersByTime(10_000)
  expect(looks.length).toBe(1)
  looking.changed()
  vi.advanceTimersByTime(lookMs)
  expect(looks.length).toBe(2)
})

test('looks that take long leave most of the time to others, however many records come', () => {
  const tookMs = 50
  const { looks, looking } = lookThatTakes(tookMs)
  for (let atMs = 0; atMs < 10_000; atMs++) {
    looking.changed()
    vi.advanceTimersByTime(1)
  }
  expect(looks.length).toBeGreaterThan(10)
  for (const [i, atMs] of looks.slice(1).entries()) {
    expect(atMs - looks[i]!).toBeGreaterThanOrEqual((1 + lookShare) * tookMs - 1)
  }
})

test('what changes is looked at within a second after the last look, and after the end not at all', () => {
  const { looks, looking } = lookThatTakes(2_000)
  looking.now()
  looking.changed()
  vi.advanceTimersByTime(lookMaxMs)
  expect(looks.length).toBe(2)
  looking.changed()
  looking.stop()
  looking.changed()
  vi.advanceTimersByTime(60_000)
  expect(looks.length).toBe(2)
})
