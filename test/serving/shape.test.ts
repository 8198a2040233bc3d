import { describe, expect, test } from 'vitest'
import { stageBytes } from '../../src/route/view.ts'
import { shareMemory } from '../../src/serving/shape.ts'
import { model } from '../route/worlds.ts'

describe('what sessions may take of a budget', () => {
  // Stages of [0, 2) and [2, 4) take 7 + 20 + 2 + 2 and 20 + 5 + 2 + 2 bytes, one session's worth included.
  const shape = model(4)
  const first = { start: 0, end: 2 }
  const second = { start: 2, end: 4 }
  const weights = stageBytes(shape, first) + stageBytes(shape, second) - 2 * (2 + 2)

  test('one stage takes all that the weights leave', () => {
    const shares = shareMemory(shape, 131, [{ range: first, cacheBytesUsed: 0 }], 0)!
    expect(shares.cacheBytesMax[0]! + shares.retainBytesMax).toBe(131 - 27)
    expect(shares.cacheBytesMax[0]).toBe(2 + 50)
  })

  test('an older one makes way for a new one, and keeps what its open sessions hold', () => {
    for (const cacheBytesUsed of [0, 2, 30]) {
      const stages = [
        { range: first, cacheBytesUsed },
        { range: second, cacheBytesUsed: 0 }
      ]
      const shares = shareMemory(shape, 131, stages, 0)!
      expect(shares.cacheBytesMax[0]).toBe(Math.max(2, cacheBytesUsed))
      expect(shares.cacheBytesMax[0]! + shares.cacheBytesMax[1]! + shares.retainBytesMax + weights).toBe(131)
    }
  })

  test('says no while open sessions hold what a new one needs', () => {
    const stages = (cacheBytesUsed: number) => [
      { range: first, cacheBytesUsed },
      { range: second, cacheBytesUsed: 0 }
    ]
    const room = 131 - weights - 2 - 2 * 2
    expect(shareMemory(shape, 131, stages(room), 0)).toBeDefined()
    expect(shareMemory(shape, 131, stages(room + 1), 0)).toBeUndefined()
    expect(shareMemory(shape, 131, stages(room), 5)).toBeUndefined()
  })
})
