/** Which hop is slow, and when a token is late. Rule numbers are those of `protocols/stage.md`. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { paceFactor, paceLateMs, paceSlowMs, paceStrikes, paceTokensMin } from '../../src/session/limits.ts'
import { Pace } from '../../src/session/pace.ts'
import type { StandingFrame } from '../../src/stage/frame.ts'

/** A route in lockstep: each token takes what its hops and links take, and all hops answer every question. */
class Route {
  readonly pace: Pace
  readonly #steps: number[]
  readonly #computeMs: number[]
  readonly #rows: number[]
  slow: number | undefined
  asks = 0

  constructor(hops: number) {
    this.pace = new Pace(hops)
    this.#steps = Array.from({ length: hops }, () => 0)
    this.#computeMs = [...this.#steps]
    this.#rows = [...this.#steps]
  }

  /** @param rows of the passes of each hop */
  token(hopMs: readonly number[], linkMs = 1, isFair = true, rows = 1): this {
    for (const [hop, ms] of hopMs.entries()) {
      this.#steps[hop]! += 1
      this.#computeMs[hop]! += ms
      this.#rows[hop]! += rows
    }
    const ms = hopMs.reduce((sum, each) => sum + each, linkMs)
    const round = this.pace.token(ms, isFair)
    if (round !== undefined) this.answer(round)
    return this
  }

  tokens(count: number, hopMs: readonly number[], linkMs = 1): this {
    for (let i = 0; i < count; i++) this.token(hopMs, linkMs)
    return this
  }

  answer(round: number): void {
    this.asks += 1
    for (let hop = 0; hop < this.#steps.length; hop++) {
      const steps = this.#steps[hop]!
      const done = { steps, computeMs: this.#computeMs[hop]!, rows: this.#rows[hop]! }
      const slow = this.pace.standing(standing(round, hop, done), undefined)
      this.slow ??= slow
    }
  }
}

function standing(round: number, hop: number, change: Partial<StandingFrame> = {}): StandingFrame {
  return {
    kind: 'standing',
    epoch: 0,
    round,
    hop,
    arrived: 0,
    length: 0,
    busyMs: 0,
    steps: 0,
    computeMs: 0,
    queueMs: 0,
    rows: 0,
    gatherMs: 0,
    place: 0,
    placeMs: 0,
    ...change
  }
}

describe('when a token is late', () => {
  test('never before the route has shown what it needs', () => {
    const route = new Route(2).tokens(paceTokensMin - 1, [10, 10])
    expect(route.pace.deadlineMs).toBeUndefined()
    expect(route.token([10, 10]).pace.deadlineMs).toBeGreaterThan(0)
  })

  test.each([5, 50, 500, 5000])('a route of %d ms a token is given what it has shown, and more', ms => {
    const { pace } = new Route(1).tokens(100, [ms], 0)
    expect(pace.deadlineMs).toBeCloseTo(Math.max(ms + paceLateMs, paceFactor * ms), 0)
  })

  test('one that varies is given more', () => {
    const route = new Route(1)
    for (let i = 0; i < 200; i++) route.token([i % 2 === 0 ? 200 : 1000])
    expect(route.pace.deadlineMs).toBeGreaterThan(2000)
    expect(route.slow).toBeUndefined()
  })
})

describe('S23: who is slow', () => {
  test.each([0, 1, 2])('hop %i at a tenth of its speed', hop => {
    const usual = [30, 40, 50]
    const route = new Route(3).tokens(20, usual)
    const slow = usual.map((ms, i) => (i === hop ? 10 * ms : ms))
    route.tokens(paceStrikes - 1, slow)
    expect(route.slow).toBeUndefined()
    expect(route.token(slow).slow).toBe(hop)
  })

  test('not who has come to share its passes with others, but who takes longer than that', () => {
    const shared = (rows: number): number | undefined => {
      const route = new Route(2).tokens(20, [100, 40])
      for (let i = 0; i < 50; i++) route.token([350, 40], 1, true, rows)
      return route.slow
    }
    expect(shared(8)).toBeUndefined()
    expect(shared(1)).toBe(0)
  })

  test('not who has a hiccup', () => {
    const route = new Route(3)
    for (let i = 0; i < 100; i++) route.tokens(20, [30, 40, 50]).tokens(paceStrikes - 1, [30, 900, 50])
    expect(route.slow).toBeUndefined()
  })

  test('not what no person would notice', () => {
    expect(new Route(2).tokens(20, [2, 2]).tokens(100, [2, 2 + paceSlowMs - 10]).slow).toBeUndefined()
  })

  test('nobody when a link takes the time, and it is what the route needs from then on', () => {
    const route = new Route(2).tokens(20, [30, 30]).tokens(paceStrikes, [30, 30], 500)
    expect(route.slow).toBeUndefined()
    expect(route.pace.deadlineMs).toBeUndefined()
    const { asks } = route
    route.tokens(200, [30, 30], 500)
    expect(route.asks - asks).toBe(2)
    expect(route.slow).toBeUndefined()
  })

  test('nobody when all of them slow down alike', () => {
    expect(new Route(4).tokens(20, [30, 30, 30, 30]).tokens(50, [200, 200, 200, 200]).slow).toBeUndefined()
  })

  test('nobody when this peer itself did not run', () => {
    const route = new Route(2).tokens(20, [30, 30])
    for (let i = 0; i < 50; i++) route.token([30, 30], 5000, false)
    expect(route.slow).toBeUndefined()
  })

  test('whoever has the awaited step too long, in two answers that follow one another', () => {
    const { pace } = new Route(3).tokens(20, [30, 30, 30])
    const ms = pace.deadlineMs! + 10
    const stuck = (round: number): (number | undefined)[] =>
      [
        standing(round, 0, { arrived: 9, length: 9 }),
        standing(round, 1, { arrived: 9, length: 8, busyMs: ms - 30 }),
        standing(round, 2, { arrived: 8, length: 8 })
      ].map(frame => pace.standing(frame, { end: 9, ms }))
    const round = pace.late()
    expect(stuck(round)).toEqual([undefined, undefined, undefined])
    // The same answers again are no news.
    expect(stuck(round)).toEqual([undefined, undefined, undefined])
    expect(stuck(pace.late())).toEqual([undefined, 1, undefined])
  })

  test('not who got the step a moment ago, nor anybody while it is on its way', () => {
    const { pace } = new Route(2).tokens(20, [30, 30])
    const ms = pace.deadlineMs! + 10
    for (let i = 0; i < 5; i++) {
      const round = pace.late()
      expect(pace.standing(standing(round, 0, { arrived: 9, length: 9 }), { end: 9, ms })).toBeUndefined()
      const late = standing(round, 1, { arrived: 9, length: 8, busyMs: 3 })
      expect(
        pace.standing(i % 2 === 0 ? late : standing(round, 1, { arrived: 8, length: 8 }), { end: 9, ms })
      ).toBeUndefined()
    }
  })

  test('answers to older questions, of hops that are not there, or with counts that run backwards, say nothing', () => {
    const { pace } = new Route(2).tokens(20, [30, 30])
    const old = pace.late()
    pace.late()
    const frame = standing(old, 1, { arrived: 9, length: 8, busyMs: 1e6 })
    expect(pace.standing(frame, { end: 9, ms: 1e6 })).toBeUndefined()
    expect(pace.standing({ ...frame, hop: 99 }, { end: 9, ms: 1e6 })).toBeUndefined()
  })

  test('whatever hops usually need and however they vary, none that stays within twice that is slow', () => {
    const routes = fc.record({
      hops: fc.array(fc.double({ min: 1, max: 500, noNaN: true }), { minLength: 1, maxLength: 6 }),
      factors: fc.array(fc.double({ min: 1, max: 2, noNaN: true }), { minLength: 60, maxLength: 300 })
    })
    fc.assert(
      fc.property(routes, ({ hops, factors }) => {
        const route = new Route(hops.length)
        for (const [i, factor] of factors.entries()) {
          route.token(hops.map((ms, hop) => ms * (i % hops.length === hop ? factor : 1)))
        }
        expect(route.slow).toBeUndefined()
      })
    )
  })

  test('whoever falls to a tenth of its speed is found, if that is to be noticed', () => {
    const routes = fc.record({
      hops: fc.array(fc.double({ min: 20, max: 100, noNaN: true }), { minLength: 1, maxLength: 4 }),
      who: fc.nat(),
      noise: fc.infiniteStream(fc.double({ min: 0.9, max: 1.1, noNaN: true }))
    })
    fc.assert(
      fc.property(routes, ({ hops, who, noise }) => {
        const slow = who % hops.length
        const route = new Route(hops.length)
        const next = (): number => noise.next().value
        for (let i = 0; i < 30; i++) route.token(hops.map(ms => ms * next()))
        const sum = hops.reduce((a, b) => a + b, 0)
        for (let i = 0; i < 30; i++) route.token(hops.map((ms, hop) => ms * next() * (hop === slow ? 10 : 1)))
        if (9 * hops[slow]! > Math.max(2 * sum, 2 * paceSlowMs)) expect(route.slow).toBe(slow)
        else expect([undefined, slow]).toContain(route.slow)
      })
    )
  })
})
