/**
 * How long a token may take on this route, and which hop is to blame when one takes longer. What a route has shown is
 * kept as a mean and a deviation (RFC 6298); which hop it was is known by asking all of them how far they have come
 * (rules S22, S23). Only laps count, of one token and its drafts: a prompt, a replay and the first token of a route do not.
 * Laps with drafts take longer than those without, and are kept apart.
 */
import { paceDeviations, paceFactor, paceLateMs, paceShare, paceSlowMs, paceStrikes, paceTokensMin } from './limits.ts'
import { sessionShare } from '../route/limits.ts'
import type { StandingFrame } from '../stage/frame.ts'

/** What hops did in a stretch of time: ms per step, by hop, as long as each had its passes for itself. */
type Rates = readonly number[]

interface Round {
  readonly round: number
  readonly hops: (StandingFrame | undefined)[]
}

/** What laps of one kind have needed. */
class Usual {
  /** Those that took as long as usual. */
  laps = 0
  meanMs = 0
  deviationMs = 0

  /** How long the next one may take, in ms; undefined before enough have shown what they need. */
  get deadlineMs(): number | undefined {
    const { meanMs, deviationMs } = this
    if (this.laps < paceTokensMin) return undefined
    return Math.max(meanMs + paceDeviations * deviationMs, paceFactor * meanMs, meanMs + paceLateMs)
  }

  isLate(ms: number): boolean {
    return this.laps >= paceTokensMin && ms > Math.max(paceFactor * this.meanMs, this.meanMs + paceSlowMs)
  }

  learn(ms: number): void {
    this.laps += 1
    if (this.laps === 1) {
      this.meanMs = ms
      this.deviationMs = ms / 2
      return
    }
    this.deviationMs += (Math.abs(this.meanMs - ms) - this.deviationMs) / 4
    this.meanMs += (ms - this.meanMs) / 8
  }
}

export class Pace {
  readonly #hops: number
  readonly #plain = new Usual()
  readonly #drafted = new Usual()
  /** Of the lap under way. */
  #lap: Usual = this.#plain
  /** Late laps in a row. */
  #strikes = 0
  #nextRound = 0
  /** Questions under way: what the answers are for. */
  #first: Round | undefined
  #usual: Round | undefined
  #before: Round | undefined
  #now: Round | undefined
  /** Who had the awaited step at the last answer about a token that is late, and the round of it. */
  #suspect: { readonly hop: number; readonly round: number } | undefined

  /** @param hops of the route. */
  constructor(hops: number) {
    this.#hops = hops
  }

  /** How long the awaited token may take, in ms; undefined before the route has shown what it needs. */
  get deadlineMs(): number | undefined {
    return this.#lap.deadlineMs
  }

  /** A lap begins. */
  stepped(hasDrafts: boolean): void {
    this.#lap = hasDrafts ? this.#drafted : this.#plain
  }

  /**
   * A lap is done. Returns the round to ask the hops in, if it is time for one.
   * `isFair` is false where this peer itself did not run for a while: it is no fault of the route.
   */
  token(ms: number, isFair: boolean): number | undefined {
    this.#suspect = undefined
    if (!isFair) return undefined
    if (this.#lap.isLate(ms)) {
      this.#strikes += 1
      // A hiccup is none of anybody's business; what is slow stays slow.
      if (this.#strikes === 1) return this.#ask(round => (this.#before = round))
      if (this.#strikes === paceStrikes) return this.#ask(round => (this.#now = round))
      return undefined
    }
    this.#strikes = 0
    this.#lap.learn(ms)
    const laps = this.#plain.laps + this.#drafted.laps
    // Between these two lies what every hop usually needs.
    if (laps === 1) return this.#ask(round => (this.#first = round))
    if (laps === paceTokensMin) return this.#ask(round => (this.#usual = round))
    return undefined
  }

  /** The round to ask the hops in where what they say is of no use to tell who is slow. */
  round(): number {
    return this.#nextRound++
  }

  /** A token is late: the round to ask the hops in. */
  late(): number {
    return this.#ask(round => (this.#now = round))
  }

  /**
   * One hop's answer. Returns the hop that is slow, once it is known.
   * @param awaited end of the step that the driver waits for, and how long it has waited; undefined when it does not.
   */
  standing(
    frame: StandingFrame,
    awaited: { readonly end: number; readonly ms: number } | undefined
  ): number | undefined {
    for (const round of [this.#first, this.#usual, this.#before, this.#now]) {
      if (round?.round === frame.round && frame.hop < this.#hops) round.hops[frame.hop] = frame
    }
    if (frame.round !== this.#now?.round) return undefined
    const deadlineMs = this.deadlineMs
    if (awaited !== undefined && deadlineMs !== undefined && awaited.ms >= deadlineMs) {
      // It has had the step all the while: neither the way to it nor the driver kept the token waiting.
      const has = frame.arrived >= awaited.end && frame.length < awaited.end
      if (!has || frame.busyMs < paceShare * deadlineMs) return undefined
      const { hop, round } = frame
      const before = this.#suspect
      if (before?.hop === hop) return before.round === round ? undefined : hop
      this.#suspect = { hop, round }
      return undefined
    }
    if (this.#strikes < paceStrikes || this.#now.hops.some(each => each === undefined)) return undefined
    const slow = this.#slowest()
    if (slow === undefined) this.accept()
    return slow
  }

  /** What this route needs is learnt anew: it is slow because of nobody, or there is no way around who it is. */
  accept(): void {
    this.#plain.laps = 0
    this.#drafted.laps = 0
    this.#strikes = 0
    this.#first = undefined
    this.#usual = undefined
    this.#before = undefined
    this.#now = undefined
    this.#suspect = undefined
  }

  #ask(use: (round: Round) => void): number {
    const round = { round: this.round(), hops: Array.from({ length: this.#hops }, () => undefined) }
    use(round)
    return round.round
  }

  /** The hop whose steps take so much longer than they did that it explains most of the delay. */
  #slowest(): number | undefined {
    const usual = rates(this.#first, this.#usual)
    const late = rates(this.#before, this.#now)
    if (usual === undefined || late === undefined) return undefined
    let worst: number | undefined
    let more = 0
    let sum = 0
    for (let hop = 0; hop < this.#hops; hop++) {
      const grown = late[hop]! - usual[hop]!
      sum += Math.max(0, grown)
      if (grown <= more || late[hop]! < paceFactor * usual[hop]!) continue
      more = grown
      worst = hop
    }
    // Those late tokens took at least so much longer: what lies with no hop lies with a link.
    return more >= paceShare * Math.max(sum, (paceFactor - 1) * this.#lap.meanMs) ? worst : undefined
  }
}

/** ms per step of every hop between two rounds; undefined where one of them is not complete. */
function rates(from: Round | undefined, to: Round | undefined): Rates | undefined {
  if (from === undefined || to === undefined) return undefined
  const all: number[] = []
  for (const [hop, after] of to.hops.entries()) {
    const before = from.hops[hop]
    if (before === undefined || after === undefined || after.steps <= before.steps) return undefined
    const steps = after.steps - before.steps
    // Who shares its passes with more sessions than it did is busier, and no slower for it.
    const others = Math.max(0, (after.rows - before.rows) / steps - 1)
    const computeMs = (after.computeMs - before.computeMs) / (1 + others * sessionShare)
    all.push((computeMs + after.queueMs - before.queueMs) / steps)
  }
  return all
}
