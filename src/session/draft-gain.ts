/**
 * Decides how many drafts a step has. It learns what a lap takes without drafts and what each of them adds, on this route,
 * and how often drafts are right, in this text: from those that were sent, and from the first of those that were not, which
 * costs nothing. Drafts are sent where they are expected to get the answer on faster; what has to be tried to know that is
 * tried so seldom that it takes less than 5 % of the time even where it gains nothing. Pure.
 */
import {
  draftGainMin,
  draftLookShare,
  draftLapsFirst,
  draftMoreGuess,
  draftMoreMax,
  draftMoreMin,
  draftPlainLaps,
  draftPlainLapsLittle,
  draftSurpriseMax,
  draftTrialLaps,
  draftsLittleGain
} from './limits.ts'

/** A lap within one process may take no time that a clock shows. */
const lapMsMin = 0.01
/** What a lap adds to the mean of those before. */
const lapWeight = 0.25
/** What is left of what was seen before, after each draft that was seen. */
const fading = 15 / 16
/** What is guessed counts as so many drafts that were seen. */
const guessed = 4
/**
 * How often drafts of each kind are right until some have shown it: cautious for those that cost nothing to look at. A model's
 * take time, and whoever chose it has a reason: they are tried as soon as that many would pay.
 */
const rightGuess = [0.1, 0.2, 0.4, 0.7, 0.8, 0.6] as const

interface Shown {
  right: number
  seen: number
}

/** How many drafts are best, and how many times the tokens they are expected to give in the same time. */
export interface BestDrafts {
  readonly drafts: number
  readonly gain: number
}

/** What drafts take before they can be sent. */
export interface DraftTime {
  /** Of each draft that is not there yet, in ms. */
  readonly draftMs: number
  /** Drafts that are there. */
  readonly ready: number
}

const atOnce: DraftTime = { draftMs: 0, ready: 0 }

export class DraftGain {
  /** A lap without drafts, in ms; undefined until enough have been seen. */
  #plainMs: number | undefined
  /** The quickest of the first ones: the very first may have made what later ones find. */
  #firstMs = Number.POSITIVE_INFINITY
  #firstLaps = 0
  /** What each draft adds to that, as a share of it. */
  #more: number = draftMoreGuess
  #draftedLaps = 0
  /** Laps since the last one without drafts, and with. */
  #sincePlain = 0
  #sinceDrafts = 0
  readonly #shown: readonly Shown[] = rightGuess.map(right => ({ right: right * guessed, seen: guessed }))

  /** Another route: what laps take is learnt anew. */
  begins(): void {
    this.#plainMs = undefined
    this.#firstMs = Number.POSITIVE_INFINITY
    this.#firstLaps = 0
    this.#more = draftMoreGuess
    this.#draftedLaps = 0
    this.#sincePlain = 0
    this.#sinceDrafts = 0
  }

  /** A lap with so many drafts took so long. */
  lap(drafts: number, tookMs: number): void {
    const ms = Math.max(lapMsMin, tookMs)
    this.#sincePlain = drafts === 0 ? 0 : this.#sincePlain + 1
    this.#sinceDrafts = drafts === 0 ? this.#sinceDrafts + 1 : 0
    const plainMs = this.#plainMs
    if (plainMs === undefined) {
      if (drafts > 0) return
      this.#firstMs = Math.min(this.#firstMs, ms)
      this.#firstLaps += 1
      if (this.#firstLaps === draftLapsFirst) this.#plainMs = this.#firstMs
      return
    }
    // A lap in which somebody was given no processor shows little of what laps take.
    const seen = Math.min(ms, draftSurpriseMax * plainMs * (1 + drafts * this.#more))
    if (drafts === 0) this.#plainMs = plainMs + lapWeight * (seen - plainMs)
    else {
      const more = Math.max(draftMoreMin, Math.min(draftMoreMax, (seen / plainMs - 1) / drafts))
      // The guess counts as one lap.
      this.#draftedLaps += 1
      this.#more += Math.max(lapWeight, 1 / (1 + this.#draftedLaps)) * (more - this.#more)
    }
  }

  /** Of drafts of a kind so many were right, and then one was `wrong` or none. */
  seen(kind: number, right: number, wrong: boolean): void {
    const shown = this.#shown[kind]!
    for (let i = 0; i < right + (wrong ? 1 : 0); i++) {
      shown.right = shown.right * fading + (i < right ? 1 : 0)
      shown.seen = shown.seen * fading + 1
    }
  }

  /** How many drafts of this kind the next step has, of `max` at most. */
  count(kind: number, max: number): number {
    if (this.#plainMs === undefined || max < 1) return 0
    const best = this.best(kind, max)
    if (best.gain >= draftGainMin) return this.isPlainDue(best) ? 0 : best.drafts
    // If drafts took no time at all, would they be worth it? Then what they take is looked at, now and then.
    return 1 + this.share(kind) >= draftGainMin && this.#sinceDrafts >= draftTrialLaps ? 1 : 0
  }

  /** A lap without drafts, in ms; undefined until enough have been seen. */
  get plainMs(): number | undefined {
    return this.#plainMs
  }

  /** What part of the drafts of this kind is right. */
  share(kind: number): number {
    const { right, seen } = this.#shown[kind]!
    return right / seen
  }

  /** Whether what a lap takes without drafts has to be looked at again before more drafts are sent, which gain so much. */
  isPlainDue({ gain }: BestDrafts): boolean {
    return this.#sincePlain >= (gain < draftsLittleGain ? draftPlainLapsLittle : draftPlainLaps)
  }

  /**
   * Whether it is time to look, for so many ms, how often drafts of this kind are right, `laps` after the last look, though
   * they are not expected to gain anything.
   */
  isLookDue(kind: number, laps: number, ms: number): boolean {
    if (this.#plainMs === undefined || laps < draftTrialLaps) return false
    return 1 + this.share(kind) >= draftGainMin && ms <= draftLookShare * laps * this.#plainMs
  }

  /** How many drafts of this kind give the most tokens for the time, of `max` at most; none before it is known what a lap takes. */
  best(kind: number, max: number, { draftMs, ready } = atOnce): BestDrafts {
    const plainMs = this.#plainMs
    const share = this.share(kind)
    let best = { drafts: 0, gain: 1 }
    let tokens = 1
    for (let drafts = 1; plainMs !== undefined && drafts <= max; drafts++) {
      tokens += share ** drafts
      const gain = tokens / (1 + drafts * this.#more + (Math.max(0, drafts - ready) * draftMs) / plainMs)
      if (gain > best.gain) best = { drafts, gain }
    }
    return best
  }
}
