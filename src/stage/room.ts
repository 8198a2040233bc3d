/**
 * Who gives way when a session finds no room (rule S27): first the caches that nobody comes back to, then those that
 * nobody uses, then what one driver holds beyond its share. Giving way is no failure of anybody: a session whose seat gave
 * way goes on elsewhere, or here again, by replay.
 */
import type { PeerId } from '../base/ids.ts'
import { orphanYieldMs, seatYieldMs } from './limits.ts'
import type { Seat } from './seat.ts'

/** What a seat takes of the thing that is scarce: bytes, or itself. */
export type Measure = (seat: Seat) => number

/**
 * The seats that shall end so that `wanting` finds `need` more, the first to go first; none where they would not do.
 *
 * @param seats all that share what is scarce; `wanting` may be among them
 */
export function givingWay(
  seats: Iterable<Seat>,
  wanting: Seat,
  { need, measure, nowMs }: { readonly need: number; readonly measure: Measure; readonly nowMs: number }
): readonly Seat[] {
  const others = holding(seats, wanting)
  // Who cannot wait for a moment would have to let go of what it has at the hops before, whose turn it then misses.
  const graceMs = wanting.terms.room === undefined && wanting.terms.stretch === undefined ? 0 : orphanYieldMs
  const orphans = others
    .filter(({ orphanedMs }) => orphanedMs !== undefined && nowMs - orphanedMs >= graceMs)
    .sort((a, b) => a.orphanedMs! - b.orphanedMs!)
  const idle = others
    .filter(seat => seat.orphanedMs === undefined && seat.quietMs(nowMs) >= seatYieldMs)
    .sort((a, b) => b.quietMs(nowMs) - a.quietMs(nowMs))
  const going: Seat[] = []
  let left = need
  for (const seat of [...orphans, ...idle]) {
    if (left <= 0) break
    going.push(seat)
    left -= measure(seat)
  }
  if (left <= 0) return going
  const rest = others.filter(seat => !going.includes(seat))
  const shared = beyondShare(rest, wanting, { need: left, measure })
  return shared === undefined ? [] : [...going, ...shared]
}

/**
 * Seats of drivers that hold so much that each of them still holds as much as `wanting`'s will, after these are gone: whoever
 * has given way can not take the place back. Undefined where they would not do.
 */
function beyondShare(
  seats: readonly Seat[],
  wanting: Seat,
  { need, measure }: { readonly need: number; readonly measure: Measure }
): readonly Seat[] | undefined {
  const held = new Map<PeerId, number>()
  for (const seat of seats) held.set(seat.driver, (held.get(seat.driver) ?? 0) + measure(seat))
  const own = (held.get(wanting.driver) ?? 0) + measure(wanting)
  // Of one driver's seats the shortest goes first: it costs least to compute again.
  const candidates = seats.filter(({ driver }) => driver !== wanting.driver).sort((a, b) => a.length - b.length)
  const going: Seat[] = []
  let left = need
  while (left > 0) {
    const seat = candidates
      .filter(each => !going.includes(each) && held.get(each.driver)! - measure(each) >= own)
      .reduce<Seat | undefined>(
        (most, each) => (most === undefined || held.get(each.driver)! > held.get(most.driver)! ? each : most),
        undefined
      )
    if (seat === undefined) return undefined
    going.push(seat)
    held.set(seat.driver, held.get(seat.driver)! - measure(seat))
    left -= measure(seat)
  }
  return going
}

/**
 * Seats whose turn is over, the longest first (rule S31): none where they would not do. A driver that has no seat takes turns
 * with all others; one that has some takes more only from those that will still have as many, or seats would go round in a
 * circle, and what is computed again for each of them be for nothing. Seats are counted here, and not what they take: a long session
 * has its turn among short ones.
 */
export function byTurns(
  seats: Iterable<Seat>,
  wanting: Seat,
  { need, measure, nowMs }: { readonly need: number; readonly measure: Measure; readonly nowMs: number }
): readonly Seat[] {
  const holders = holding(seats, wanting)
  const held = new Map<PeerId, number>()
  for (const seat of holders) held.set(seat.driver, (held.get(seat.driver) ?? 0) + 1)
  // Where more is taken than there is, as after a budget has sunk, one that gives way makes no room for another.
  if (need > measure(wanting)) return []
  const own = (held.get(wanting.driver) ?? 0) + 1
  const mustHave = own === 1 ? 1 : own + 1
  const going: Seat[] = []
  let left = need
  for (const seat of holders.sort((a, b) => a.turn.sinceMs - b.turn.sinceMs)) {
    if (left <= 0) break
    const { driver } = seat
    if (driver === wanting.driver || held.get(driver)! < mustHave || !seat.turn.isOver(nowMs)) continue
    going.push(seat)
    held.set(driver, held.get(driver)! - 1)
    left -= measure(seat)
  }
  return left <= 0 ? going : []
}

/** Others that have room, and do not give way already. */
function holding(seats: Iterable<Seat>, wanting: Seat): Seat[] {
  return [...seats].filter(seat => seat !== wanting && !seat.isInLine && !seat.isGoing)
}
