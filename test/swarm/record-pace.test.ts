import { describe, expect, it } from 'vitest'
import type { PeerId } from '../../src/base/ids.ts'
import { recordChangesBurstMax, recordChangesPerSecondMax } from '../../src/swarm/limits.ts'
import { RecordPace } from '../../src/swarm/record-pace.ts'

const [a, b] = ['a', 'b'] as PeerId[] as [PeerId, PeerId]

describe('new records of one peer', () => {
  it('count at once while they are few', () => {
    const pace = new RecordPace<number>()
    for (let n = 0; n < recordChangesBurstMax; n++) expect(pace.take(a, n, 0)).toBe(true)
    expect(pace.take(a, 99, 0)).toBe(false)
    expect(pace.take(b, 0, 0)).toBe(true)
  })

  it('wait where they are many, the newest alone, and are due a few times a second', () => {
    const pace = new RecordPace<number>()
    const due: number[] = []
    for (let n = 0; n < 10_000; n++) {
      if (pace.take(a, n, n)) due.push(n)
      due.push(...pace.due(n))
    }
    expect(due.length).toBeLessThanOrEqual(recordChangesBurstMax + 10 * recordChangesPerSecondMax)
    expect(due.length).toBeGreaterThanOrEqual(10 * recordChangesPerSecondMax)
    expect(due).toEqual([...due].sort((x, y) => x - y))
    // The last one is not lost.
    expect(pace.due(12_000)).toEqual([9_999])
    expect(pace.due(20_000)).toEqual([])
  })

  it('wait no more where they count no more', () => {
    const pace = new RecordPace<number>()
    while (pace.take(a, 1, 0));
    pace.drop(a)
    expect(pace.due(10_000)).toEqual([])
  })
})
