import { describe, expect, it } from 'vitest'
import { Budget, PeerBudgets } from '../../src/base/budget.ts'
import type { PeerId } from '../../src/base/ids.ts'

describe('a budget', () => {
  it('is so many at once and so many a second, and never more than at once', () => {
    const budget = new Budget({ perSecond: 10, burst: 20 })
    expect(budget.take(0, 21)).toBe(false)
    expect(budget.take(0, 20)).toBe(true)
    expect(budget.take(0)).toBe(false)
    expect(budget.take(100)).toBe(true)
    expect(budget.take(100)).toBe(false)
    expect(budget.take(1_000_000, 20)).toBe(true)
    expect(budget.take(1_000_000)).toBe(false)
  })

  it('is one for each peer, and stays the same while the peer is remembered', () => {
    const budgets = new PeerBudgets({ perSecond: 1, burst: 2, peersMax: 2 })
    const [a, b, c] = ['a', 'b', 'c'] as [PeerId, PeerId, PeerId]
    expect([budgets.take(a, 0), budgets.take(a, 0), budgets.take(a, 0)]).toEqual([true, true, false])
    expect(budgets.take(b, 0, 2)).toBe(true)
    expect(budgets.take(a, 0)).toBe(false)
    // b took nothing for longest: it is forgotten, and has a full one again.
    expect(budgets.take(c, 0)).toBe(true)
    expect(budgets.take(b, 0, 2)).toBe(true)
  })
})
