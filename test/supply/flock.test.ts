/** Several who fetch at once, in virtual time: one copy over a slow link serves all, and steps get between its chunks. */
import { describe, expect, it } from 'vitest'
import { fetchTogether } from './flock.ts'
import { makeFile } from './world.ts'

const files = [1_600_000, 600_000, 600_001, 600_002, 600_003, 1_152].map((bytes, i) => makeFile(bytes, i + 1))
const total = files.reduce((sum, { content }) => sum + content.length, 0)

/** Bytes per ms. */
const mbit = (rate: number): number => (rate * 1e6) / 8 / 1e3

describe('four who lack a model that one peer has behind a slow link', () => {
  it.each([
    [20, 10],
    [5, 5],
    [50, 1]
  ])('have it within what the link needs plus 20 %: %d Mbit/s, %d ms', (rate, delayMs) => {
    const { failed, violations, tookMs, linkBytes } = fetchTogether({ files, fetchers: 4, rate: mbit(rate), delayMs })
    expect({ failed, violations }).toEqual({ failed: [], violations: 0 })
    expect(linkBytes).toBeLessThan(1.1 * total)
    expect(tookMs).toBeLessThan((1.2 * total) / mbit(rate))
  })

  it('have it although they begin one after another', () => {
    const startMs = (fetcher: number): number => 400 * fetcher
    const { failed, linkBytes } = fetchTogether({ files, fetchers: 4, rate: mbit(20), delayMs: 10, startMs })
    expect(failed).toEqual([])
    // Whoever begins later has not heard what was asked for before.
    expect(linkBytes).toBeLessThan(1.3 * total)
  })

  it('let the steps of a session pass that the holder has part in (W9, W10)', () => {
    const { failed, stepWaitMs } = fetchTogether({ files, fetchers: 4, rate: mbit(20), delayMs: 10, stepMs: 37 })
    expect(failed).toEqual([])
    // A token takes 40 ms here at the least: this is less than a tenth.
    expect(stepWaitMs).toBeLessThan(3)
  })

  it('slow those steps down less on a link that is slower than that (W9)', () => {
    const { failed, stepWaitMs } = fetchTogether({ files, fetchers: 4, rate: mbit(5), delayMs: 10, stepMs: 37 })
    expect(failed).toEqual([])
    // Four windows of 16 KiB would be 105 ms, and half as much again by what each takes for quick.
    expect(stepWaitMs).toBeLessThan(135)
  })
})
