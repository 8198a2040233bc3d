import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { BoundedQueue } from '../../src/base/queue.ts'
import { randomAt, seeded } from '../../src/base/rng.ts'
import { formatBytes, parseBytes } from '../../src/base/units.ts'

describe('units', () => {
  it.each([
    ['64MB', 64e6],
    ['1.5 GiB', 1.5 * 1024 ** 3],
    ['4096', 4096],
    ['10k', 10e3],
    ['1b', 1]
  ])('reads %s', (text, bytes) => {
    expect(parseBytes(text)).toBe(bytes)
  })

  it.each(['', 'MB', '-1', '0', '0.2', '1e9', '12 TBs', '64 MB extra', 'NaN'])('refuses %j', text => {
    expect(parseBytes(text)).toBeUndefined()
  })

  it.each([
    [1, '1 B'],
    [999, '999 B'],
    [1000, '1.0 kB'],
    [17_100_000, '17.1 MB'],
    [999_400, '999 kB'],
    [999_500, '1.0 MB'],
    [250e9, '250 GB']
  ])('writes %i as %s', (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text)
  })
})

describe('rng', () => {
  it('is a function of seed and position alone', () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(1000), (seed, position) => {
        const walk = seeded(seed)
        let value = walk()
        for (let i = 0; i < position; i++) value = walk()
        expect(randomAt(seed, position)).toBe(value)
        expect(value).toBeGreaterThanOrEqual(0)
        expect(value).toBeLessThan(1)
      }),
      { numRuns: 50 }
    )
  })

  it('spreads evenly over positions and over seeds', () => {
    for (const draw of [(i: number) => randomAt(7, i), (i: number) => randomAt(i, 7)]) {
      const bins = new Array(16).fill(0)
      for (let i = 0; i < 16_000; i++) bins[Math.floor(draw(i) * 16)]++
      for (const count of bins) expect(Math.abs(count - 1000)).toBeLessThan(150)
    }
  })
})

describe('BoundedQueue', () => {
  it('keeps order and refuses beyond its limit', () => {
    const queue = new BoundedQueue<number>(2)
    expect([queue.push(1), queue.push(2), queue.push(3)]).toEqual([true, true, false])
    expect([queue.shift(), queue.peek(), queue.clear(), queue.shift()]).toEqual([1, 2, [2], undefined])
  })

  it('gives the place of what is taken out of it to others', () => {
    const queue = new BoundedQueue<number>(2)
    for (const item of [1, 2]) queue.push(item)
    expect([queue.remove(1), queue.remove(1), queue.push(3), queue.clear()]).toEqual([true, false, true, [2, 3]])
  })
})
