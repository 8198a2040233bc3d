import { describe, expect, it } from 'vitest'
import { TrustedTime } from '../../src/trust/time.ts'

const today = Date.UTC(2026, 10, 30)
const hour = 3_600_000
const year = 365 * 24 * hour

describe('trusted time', () => {
  it('is that of the machine, where nothing speaks against it', () => {
    const time = new TrustedTime(0)
    expect(time.now({ wallMs: today, steadyMs: 5 })).toBe(today)
    expect(time.now({ wallMs: today + hour, steadyMs: 5 + hour })).toBe(today + hour)
  })

  it('is no earlier than what was signed: a machine that starts in 1970 goes on from there', () => {
    const time = new TrustedTime(today)
    expect(time.now({ wallMs: 0, steadyMs: 0 })).toBe(today)
    expect(time.now({ wallMs: hour, steadyMs: hour })).toBe(today + hour)
    time.signed(today + 3 * hour)
    expect(time.now({ wallMs: hour, steadyMs: hour })).toBe(today + 3 * hour)
  })

  it('does not run backwards with the clock', () => {
    const time = new TrustedTime(0)
    time.now({ wallMs: today, steadyMs: 0 })
    expect(time.now({ wallMs: today - year, steadyMs: hour })).toBe(today + hour)
  })

  it('follows a clock that is being set, and one that jumps only when two members say the same', () => {
    const time = new TrustedTime(0)
    time.now({ wallMs: today, steadyMs: 0 })
    expect(time.now({ wallMs: today + 60_000, steadyMs: 0 }), 'a minute').toBe(today + 60_000)
    const jumped = { wallMs: today + year, steadyMs: 0 }
    expect(time.now(jumped)).toBe(today + 60_000)
    time.heard('a', today + year, jumped)
    expect(time.now(jumped), 'one member').toBe(today + 60_000)
    time.heard('b', today + year + 5_000, jumped)
    expect(time.now(jumped), 'two members').toBe(today + year)
  })

  it('comes back from a start with a clock far ahead, when two members or more agree', () => {
    const time = new TrustedTime(today - hour)
    const ahead = { wallMs: today + 70 * year, steadyMs: 0 }
    expect(time.now(ahead)).toBe(today + 70 * year)
    time.heard('a', today, ahead)
    expect(time.settle(ahead), 'one member').toBe(today + 70 * year)
    time.heard('b', today + 20_000, ahead)
    expect(Math.abs(time.settle(ahead) - today)).toBeLessThanOrEqual(20_000)
    expect(Math.abs(time.now(ahead) - today), 'and stays').toBeLessThanOrEqual(20_000)
  })

  it('goes on to what two members say, on a machine without a clock chip that has been off for long', () => {
    const time = new TrustedTime(today)
    const first = { wallMs: 0, steadyMs: 0 }
    time.heard('a', today + 5 * hour, first)
    expect(time.settle(first)).toBe(today)
    time.heard('b', today + 5 * hour, first)
    expect(time.settle(first)).toBe(today + 5 * hour)
  })

  it('goes back behind the time at which it ran last, since its clock may have been ahead then', () => {
    const time = new TrustedTime(today + 3 * hour)
    time.signed(today - hour)
    const clocks = { wallMs: today, steadyMs: 0 }
    expect(time.now(clocks)).toBe(today + 3 * hour)
    for (const peer of ['a', 'b']) time.heard(peer, today, clocks)
    expect(time.settle(clocks)).toBe(today)
  })

  it('listens to who is here, and to nobody who went long ago', () => {
    const time = new TrustedTime(0)
    const first = { wallMs: today + 3 * hour, steadyMs: 0 }
    for (const peer of ['gone', 'lost', 'left']) time.heard(peer, today + 3 * hour, first)
    const later = { wallMs: today + 4 * hour, steadyMs: hour }
    for (const peer of ['a', 'b']) {
      time.heard(peer, today + hour, later)
      time.here(peer, true)
    }
    const last = { wallMs: today + 5 * hour, steadyMs: 2 * hour }
    expect(time.settle(last)).toBe(today + 2 * hour)
    time.here('a', false)
    time.heard('c', today, last)
    expect(time.settle(last), 'one of each').toBe(today + 2 * hour)
  })

  it('is not talked into a time before what is signed, nor by a minority', () => {
    const time = new TrustedTime(0)
    time.signed(today)
    const right = { wallMs: today + hour, steadyMs: 0 }
    time.now(right)
    for (const peer of ['a', 'b', 'c']) time.heard(peer, today - year, right)
    expect(time.settle(right)).toBe(today + hour)
    const other = new TrustedTime(today - year)
    other.now(right)
    for (const peer of ['a', 'b']) other.heard(peer, today - hour, right)
    for (const peer of ['c', 'd', 'e']) other.heard(peer, today + hour, right)
    expect(other.settle(right)).toBe(today + hour)
  })
})
