/**
 * Sessions that come again and again: how long each is away between a step and its next one. From that follows how many of
 * them are best computed at a time, and who will be back in a moment. Pure.
 */
import type { PassCost } from './pass-cost.ts'
import { gatherShare, groupsSlackRatio, lapOverdue, lapSlackMs, sharedMs } from './limits.ts'

/** What a lap adds to the mean of those before. */
const weight = 0.25

interface Session {
  /** Between a step of it and its next one; undefined before it has come twice. */
  awayMs: number | undefined
  /** Since when it is away; undefined while a step of it is here. */
  leftMs: number | undefined
}

export class Laps {
  readonly #sessions = new Map<string, Session>()

  /** A step of a few tokens has come. */
  came(session: string, nowMs: number): void {
    const known = this.#sessions.get(session)
    if (known === undefined) {
      this.#sessions.set(session, { awayMs: undefined, leftMs: undefined })
      return
    }
    // Who was away for longer had lost a hop, or was made to wait by a person: that is no lap.
    if (known.leftMs !== undefined && nowMs - known.leftMs < sharedMs) {
      const ms = nowMs - known.leftMs
      known.awayMs = known.awayMs === undefined ? ms : known.awayMs + weight * (ms - known.awayMs)
    }
    known.leftMs = undefined
  }

  /** Its step is over. */
  left(session: string, nowMs: number): void {
    const known = this.#sessions.get(session)
    if (known !== undefined) known.leftMs = nowMs
  }

  forget(session: string): void {
    this.#sessions.delete(session)
  }

  /** Whether another session than this one has a step of a few tokens here, or had one lately. */
  hasOthers(session: string, nowMs: number): boolean {
    for (const [other, { leftMs }] of this.#sessions) {
      if (other !== session && (leftMs === undefined || nowMs - leftMs < sharedMs)) return true
    }
    return false
  }

  /**
   * How many sessions are best computed at a time. All at once is least work; but where others compute them next, those
   * others have nothing to do meanwhile, and then this one has not. With so many groups a lap takes as long as all groups
   * one after the other, or as one of them and its way around, whichever is longer.
   */
  atATime(cost: PassCost, nowMs: number): number {
    const around = this.#around(nowMs)
    const ways = around.flatMap(({ awayMs }) => (awayMs === undefined ? [] : [awayMs]))
    if (ways.length < 2) return Number.POSITIVE_INFINITY
    const awayMs = ways.reduce((sum, ms) => sum + ms, 0) / ways.length
    const lapMs = (groups: number): number => {
      const ms = cost.msOf(Math.ceil(around.length / groups)) ?? 0
      return Math.max(groups * ms, ms + awayMs)
    }
    const counts = Array.from({ length: around.length }, (_, i) => i + 1)
    const least = Math.min(...counts.map(lapMs))
    // Fewer groups are less work for the same.
    const groups = counts.find(count => lapMs(count) <= least * (1 + groupsSlackRatio))!
    return Math.ceil(around.length / groups)
  }

  /**
   * Until when it is worth to wait for who is about to come, rather than to begin now and read the weights for them once
   * more; undefined where nobody is.
   *
   * @param sinceMs since when a pass could have begun
   */
  worthUntilMs(cost: PassCost, sinceMs: number, nowMs: number): number | undefined {
    const saved = (cost.firstMs ?? 0) * (1 - cost.share)
    const latest = sinceMs + gatherShare * saved
    let until: number | undefined
    for (const { awayMs, leftMs } of this.#sessions.values()) {
      if (awayMs === undefined || leftMs === undefined) continue
      const back = leftMs + lapOverdue * awayMs + lapSlackMs
      if (back > nowMs && leftMs + awayMs <= latest) until = Math.max(until ?? 0, Math.min(back, latest))
    }
    return until !== undefined && until > nowMs ? until : undefined
  }

  /** Who is here, or on a lap that is not overdue. */
  #around(nowMs: number): Session[] {
    return [...this.#sessions.values()].filter(
      ({ awayMs, leftMs }) =>
        leftMs === undefined || (awayMs !== undefined && nowMs < leftMs + lapOverdue * awayMs + lapSlackMs)
    )
  }
}
