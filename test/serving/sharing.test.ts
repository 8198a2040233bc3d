import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ModelId } from '../../src/base/ids.ts'
import { demandHalfLifeMs, demandWeightMax, shareChangeMs } from '../../src/serving/limits.ts'
import { Demand } from '../../src/serving/demand.ts'
import { type Claim, shareBudget, Shares } from '../../src/serving/sharing.ts'

const id = (n: number): ModelId => String(n).padStart(64, '0') as ModelId
const claim = (n: number, change: Partial<Claim> = {}): Claim => ({
  model: id(n),
  wholeBytes: 1000,
  leastBytes: 100,
  isPinned: false,
  demand: 0,
  ...change
})
const shares = (budget: number, claims: readonly Claim[]): number[] => {
  const map = shareBudget(budget, claims)
  return claims.map(({ model }) => map.get(model)!)
}

describe('one budget, several models', () => {
  it('a model alone has all of it', () => {
    expect(shares(640, [claim(1)])).toEqual([640])
    expect(shares(5000, [claim(1)])).toEqual([5000])
  })

  it('goes by size, and by demand up to a bound', () => {
    expect(shares(900, [claim(1), claim(2, { wholeBytes: 2000 })])).toEqual([300, 600])
    expect(shares(900, [claim(1, { demand: 1 }), claim(2)])).toEqual([600, 300])
    const [asked, idle] = shares(1000, [
      claim(1, { demand: 1e6, wholeBytes: 10_000 }),
      claim(2, { wholeBytes: 10_000 })
    ])
    expect(asked! / idle!).toBeCloseTo(demandWeightMax)
  })

  it('nobody gets more than the whole while another has less', () => {
    expect(shares(1500, [claim(1, { wholeBytes: 400, demand: 3 }), claim(2, { wholeBytes: 2000 })])).toEqual([
      400, 1100
    ])
  })

  it('what is pinned comes first, and the rest serves what it can', () => {
    const pinned = claim(1, { isPinned: true, leastBytes: 700 })
    expect(shares(1000, [claim(2), pinned])).toEqual([300, 700])
    // 50 bytes are too few for any stage of the other: it does without.
    expect(shares(750, [claim(2), pinned])).toEqual([0, 750])
  })

  it('no share is too small for a stage where the others can spare what it lacks; else it is none', () => {
    const small = claim(2, { wholeBytes: 200, leastBytes: 150 })
    const [large, least] = shares(600, [claim(1), small])
    expect(least).toBeGreaterThanOrEqual(150)
    expect(large! + least!).toBeGreaterThanOrEqual(598)
    expect(shares(200, [claim(1, { leastBytes: 100 }), small])).toEqual([200, 0])
  })

  it('whatever the claims: never more than the budget, never a share of no use, the same in any order', () => {
    const claims = fc.uniqueArray(
      fc
        .record({
          n: fc.nat({ max: 1000 }),
          wholeBytes: fc.integer({ min: 1, max: 1e9 }),
          part: fc.double({ min: 0.01, max: 1, noNaN: true }),
          isPinned: fc.boolean(),
          demand: fc.nat({ max: 64 })
        })
        .map(({ n, wholeBytes, part, isPinned, demand }) => {
          const leastBytes = Math.max(1, Math.floor(wholeBytes * part))
          return claim(n, { wholeBytes, leastBytes, isPinned, demand })
        }),
      { minLength: 1, maxLength: 6, selector: ({ model }) => model }
    )
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2e9 }), claims, (budget, all) => {
        const got = shareBudget(budget, all)
        const sum = [...got.values()].reduce((total, bytes) => total + bytes, 0)
        expect(sum).toBeLessThanOrEqual(budget)
        for (const { model, leastBytes, isPinned } of all) {
          const bytes = got.get(model)!
          if (!isPinned && bytes > 0) expect(bytes).toBeGreaterThanOrEqual(leastBytes)
        }
        const swapped = shareBudget(budget, all.toReversed())
        for (const { model } of all) expect(swapped.get(model)).toBe(got.get(model))
        // Nothing lies idle while somebody has a share.
        if (sum > 0) expect(budget - sum).toBeLessThanOrEqual(2 * all.length)
      }),
      { numRuns: 2000 }
    )
  })
})

describe('shares over time', () => {
  it('models that come count at once; demand after a while, and only where it moves something', () => {
    const now = new Shares()
    expect(now.look(1000, [claim(1)], 0)).toBe(true)
    expect(now.look(1000, [claim(1), claim(2)], 1)).toBe(true)
    expect([now.of(id(1)), now.of(id(2))]).toEqual([500, 500])
    const wanted = [claim(1, { demand: 3 }), claim(2)]
    expect(now.look(1000, wanted, shareChangeMs)).toBe(false)
    expect(now.look(1000, wanted, shareChangeMs + 1)).toBe(true)
    expect(now.of(id(1))).toBe(800)
    // Back to where it was: not at once, and not for a small change.
    expect(now.look(1000, [claim(1), claim(2)], shareChangeMs + 2)).toBe(false)
    expect(now.look(1000, [claim(1, { demand: 4 }), claim(2)], 3 * shareChangeMs)).toBe(false)
    expect(now.look(1000, [claim(1), claim(2)], 3 * shareChangeMs)).toBe(true)
    expect(now.look(1000, [claim(2)], 3 * shareChangeMs)).toBe(true)
    expect([now.of(id(1)), now.of(id(2))]).toEqual([0, 1000])
  })
})

describe('demand', () => {
  it('counts sessions, forgets them, and changes by factors of two only', () => {
    const demand = new Demand()
    expect(demand.of(id(1), 0)).toBe(0)
    for (let i = 0; i < 16; i++) demand.asked(id(1), 0)
    expect(demand.of(id(1), 0)).toBe(16)
    expect(demand.of(id(1), demandHalfLifeMs)).toBe(8)
    expect(demand.of(id(1), 10 * demandHalfLifeMs)).toBe(0)
    expect(demand.of(id(2), 0)).toBe(0)
  })
})
