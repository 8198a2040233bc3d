import { expect, test } from 'vitest'
import { Choice } from '../../../src/engine/wasm/team.ts'

/** Passes in each way, where a row takes so long in either. */
function passes(choice: Choice, count: number, ms: { alone: number; together: number }) {
  const ways = { alone: 0, together: 0 }
  for (let i = 0; i < count; i++) {
    const way = choice.next()
    ways[way]++
    choice.took(way, ms[way])
  }
  return ways
}

test('all compute together where that is faster, and hardly ever one alone', () => {
  const { alone } = passes(new Choice(), 1_000, { alone: 10, together: 6 })
  expect(alone).toBeGreaterThan(1)
  expect(alone).toBeLessThan(10)
})

test('one computes alone where the others are given no processor, until they are again', () => {
  const choice = new Choice()
  const busy = passes(choice, 1_000, { alone: 10, together: 30 })
  expect(busy.together).toBeLessThan(10)
  expect((busy.alone * 10 + busy.together * 30) / 10_000).toBeLessThan(1.02)
  expect(choice.better).toBe('alone')
  passes(choice, 10_000, { alone: 10, together: 6 })
  expect(choice.better).toBe('together')
})
