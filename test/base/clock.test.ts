import { afterEach, describe, expect, it, vi } from 'vitest'
import { systemClock } from '../../src/base/clock.ts'
import { systemRng } from '../../src/base/entropy.ts'
import { drawSessionId, seeded } from '../../src/base/rng.ts'

afterEach(() => void vi.useRealTimers())

describe("the machine's clock", () => {
  it('does a task once, or again and again, until it is stopped', () => {
    vi.useFakeTimers()
    const seen: string[] = []
    systemClock.after(10, () => seen.push('once'))
    systemClock.after(10, () => seen.push('never')).stop()
    const often = systemClock.every(4, () => seen.push('often'))
    vi.advanceTimersByTime(9)
    expect(seen).toEqual(['often', 'often'])
    vi.advanceTimersByTime(1)
    often.stop()
    vi.advanceTimersByTime(100)
    expect(seen).toEqual(['often', 'often', 'once'])
  })

  it('waits until a signal at most, and never rejects', async () => {
    const ending = new AbortController()
    const startMs = systemClock.nowMs()
    const sleeping = systemClock.sleep(60_000, { signal: ending.signal })
    ending.abort(new Error('over'))
    await sleeping
    await systemClock.sleep(60_000, { signal: ending.signal })
    expect(systemClock.nowMs() - startMs).toBeLessThan(10_000)
  })

  it('has deadlines that say so', async () => {
    const signal = systemClock.deadline(1)
    await systemClock.sleep(50)
    expect(signal.reason).toMatchObject({ name: 'TimeoutError' })
  })
})

describe('ids', () => {
  it('are drawn from a generator: the same for a seed, and never the same from the machine', () => {
    expect(drawSessionId(seeded(7))).toBe(drawSessionId(seeded(7)))
    const ids = Array.from({ length: 100 }, () => drawSessionId(systemRng))
    expect(new Set(ids).size).toBe(100)
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{32}$/)
  })

  it('come from numbers in [0, 1) with all 53 bits', () => {
    const drawn = Array.from({ length: 1_000 }, systemRng)
    expect(drawn.every(number => number >= 0 && number < 1)).toBe(true)
    expect(drawn.some(number => (number * 2 ** 53) % 2 === 1)).toBe(true)
    expect(drawn.some(number => number >= 0.5)).toBe(true)
  })
})
