/** What is announced of measured round trips: coarse, and seldom another value. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { rttHoldLooks, rttHoldRatio, rttStepLeastMs, rttStepRatio, rttStepsMax } from '../../src/swarm/limits.ts'
import { RoundTrips, rttOfStep, stepOfRtt } from '../../src/swarm/round-trips.ts'

const one = (rttMs: number | undefined) => new Map([[7, rttMs]])

describe('a step', () => {
  it('stands for a round trip that is nearly the measured one', () => {
    const rtts = fc.double({ min: 0.001, max: 60_000, noNaN: true })
    fc.assert(
      fc.property(rtts, rttMs => {
        const ms = rttOfStep(stepOfRtt(rttMs))!
        if (rttMs < rttStepLeastMs) expect(ms).toBe(rttStepLeastMs)
        else {
          expect(ms).toBeLessThanOrEqual(rttMs)
          expect(ms * rttStepRatio).toBeGreaterThan(rttMs * (1 - 1e-9))
        }
        expect(stepOfRtt(ms)).toBe(stepOfRtt(rttMs))
      })
    )
  })

  it('0 says that nobody has measured, and one above the scale is its last', () => {
    expect(stepOfRtt(undefined)).toBe(0)
    expect(rttOfStep(0)).toBeUndefined()
    expect(rttOfStep(255)).toBe(rttOfStep(rttStepsMax))
    expect(stepOfRtt(1e9)).toBe(rttStepsMax)
  })
})

describe('what is announced of a link', () => {
  it('is its first measure, and nothing before that', () => {
    const trips = new RoundTrips()
    expect(trips.look(one(undefined))).toEqual(new Map())
    expect(trips.look(one(10))).toEqual(one(rttOfStep(stepOfRtt(10))))
    // It is asked again while it is connected, and kept while a new measure is on its way.
    expect(trips.look(one(undefined))).toEqual(one(rttOfStep(stepOfRtt(10))))
    expect(trips.look(new Map())).toEqual(new Map())
  })

  it('stays while its round trip varies by a third, as it does under load', () => {
    const around = fc.tuple(
      fc.double({ min: 1, max: 1_000, noNaN: true }),
      fc.array(fc.double({ min: 0.7, max: 1.4, noNaN: true }), { minLength: 1, maxLength: 50 })
    )
    fc.assert(
      fc.property(around, ([rttMs, factors]) => {
        const trips = new RoundTrips()
        const said = trips.look(one(rttMs))
        for (const factor of factors) expect(trips.look(one(rttMs * factor))).toEqual(said)
      })
    )
  })

  it('stays where it is another one for a moment, and changes where that lasts', () => {
    const trips = new RoundTrips()
    const said = trips.look(one(10))
    for (let look = 0; look < 20; look++) {
      for (let away = 1; away < rttHoldLooks; away++) expect(trips.look(one(300))).toEqual(said)
      expect(trips.look(one(10))).toEqual(said)
    }
    for (let away = 1; away < rttHoldLooks; away++) trips.look(one(300))
    expect(trips.look(one(300))).toEqual(one(rttOfStep(stepOfRtt(300))))
    for (let away = 1; away < rttHoldLooks; away++) trips.look(one(5))
    expect(trips.look(one(5))).toEqual(one(rttOfStep(stepOfRtt(5))))
  })

  it('never changes at every look, whatever is measured', () => {
    const series = fc.array(fc.double({ min: 0.01, max: 60_000, noNaN: true }), { minLength: 2, maxLength: 60 })
    fc.assert(
      fc.property(series, rtts => {
        const trips = new RoundTrips()
        const said = rtts.map(rttMs => trips.look(one(rttMs)).get(7)!)
        const changes = said.filter((ms, i) => i > 0 && ms !== said[i - 1]).length
        expect(changes).toBeLessThanOrEqual(Math.floor((rtts.length - 1) / rttHoldLooks))
      })
    )
    expect(rttHoldRatio).toBeGreaterThan(1)
  })
})
