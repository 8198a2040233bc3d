/**
 * What a draft model of the driver's own contributes to one session. It computes in a thread of its own, beside the laps: what it
 * says comes later, as an event. Decides when it is asked, for how many tokens, and how long a step waits for them. Pure.
 */
import type { BestDrafts, DraftGain } from './draft-gain.ts'
import { modelKind } from './drafter.ts'
import type { DraftAsk, Drafted } from './event.ts'
import type { DraftModelInit } from './init.ts'
import {
  draftAheadShare,
  draftCatchUpFactor,
  draftFeedShare,
  draftGainMin,
  draftLagTokens,
  draftSurpriseMax,
  draftTokenMsMin,
  draftWaitFactor,
  draftWaitSlackMs
} from './limits.ts'

/** What one answer adds to the mean of those before, and one that a step did not wait for to its end. */
const tokenWeight = 0.25
const lateWeight = 0.5

export interface ModelDraftsInit extends DraftModelInit {
  /** Ids of the session's model are below this. */
  readonly vocab: number
  /** Tokens of the whole session. */
  readonly tokensMax: number
  readonly gain: DraftGain
  readonly ask: (ask: DraftAsk) => void
}

/** What it was asked last. */
interface Asked {
  readonly length: number
  readonly count: number
  readonly sinceMs: number
  /** Tokens that it had to say, and what it had to read before, as so many. */
  readonly work: number
}

const none: readonly number[] = []

export class ModelDrafts {
  readonly #init: ModelDraftsInit
  /** What it takes for each token, in ms. */
  #tokenMs: number
  /** What it has said last, and of what length the text was that goes on so. */
  #said: readonly number[] = none
  #from = 0
  /** Laps since it was asked last. */
  #laps = 0
  #asked: Asked | undefined
  /** So many drafts a step waits for, which follow the first `length` tokens. */
  #wait: { readonly length: number; readonly drafts: number } | undefined

  constructor(init: ModelDraftsInit) {
    this.#init = init
    this.#tokenMs = init.tokenMs
  }

  /** What it has said that follows this text; none where it has said that another text follows. */
  after(text: readonly number[]): readonly number[] {
    const known = text.length - this.#from
    if (known < 0 || known >= this.#said.length) return none
    for (let i = 0; i < known; i++) if (this.#said[i] !== text[this.#from + i]) return none
    return known === 0 ? this.#said : this.#said.slice(known)
  }

  /** What drafts of it would gain now, of `max` at most; `drafts` is 0 where none would. */
  best(text: readonly number[], max: number): BestDrafts {
    const { gain, tokensMax } = this.#init
    const room = Math.min(max, this.#room(text))
    const time = { draftMs: this.#tokenMs, ready: this.after(text).length }
    const best = gain.best(modelKind, room, time)
    if (best.gain < draftGainMin) return { drafts: 0, gain: 1 }
    const restMs = (tokensMax - text.length) * (1 - 1 / best.gain) * gain.plainMs!
    const isWorthIt = !this.#isBehind(text) || draftCatchUpFactor * this.#readMs(text) <= restMs
    return isWorthIt ? best : { drafts: 0, gain: 1 }
  }

  /**
   * So many drafts are to follow the text. Returns them; undefined where the step waits for them. A model that has to read much
   * before does so beside the lap, and there are none.
   */
  take(text: readonly number[], drafts: number, nowMs: number): readonly number[] | undefined {
    const ready = this.after(text)
    if (ready.length >= drafts) return this.#sent(text, ready.slice(0, drafts), nowMs)
    const waits = !this.#isBehind(text)
    if (waits) this.#wait = { length: text.length, drafts }
    this.#ask(text, drafts, { nowMs, waits })
    return waits ? undefined : none
  }

  /** Where its drafts are not expected to gain anything: asks for one now and then, and sees whether it was right. */
  look(text: readonly number[], nowMs: number): void {
    const { gain } = this.#init
    const ms = this.#tokenMs + this.#readMs(text)
    if (this.#room(text) > 0 && gain.isLookDue(modelKind, this.#laps, ms)) this.#ask(text, 1, { nowMs })
  }

  /** It has said something. Returns the drafts for a step that has waited for them, if they are there now. */
  drafted({ length, ids }: Drafted, text: readonly number[], nowMs: number): readonly number[] | undefined {
    // The two models may have ids of their own beyond those that they share.
    const end = ids.findIndex(id => id >= this.#init.vocab)
    this.#from = length
    this.#said = end < 0 ? ids : ids.slice(0, end)
    if (this.#asked?.length === length && ids.length >= this.#asked.count) {
      this.#took(this.#asked, tokenWeight, nowMs)
      this.#asked = undefined
    }
    const wait = this.#wait
    if (wait === undefined) return undefined
    const ready = this.after(text)
    if (ready.length < wait.drafts && end < 0) return undefined
    this.#wait = undefined
    return this.#sent(text, ready.slice(0, wait.drafts), nowMs)
  }

  /** A step has waited long enough: it goes with the drafts that are there. */
  late(length: number, text: readonly number[], nowMs: number): readonly number[] | undefined {
    const wait = this.#wait
    if (wait?.length !== length) return undefined
    this.#wait = undefined
    // It takes so long at least. Once it has answered it is known how long it took.
    if (this.#asked?.length === length) this.#took(this.#asked, lateWeight, nowMs)
    return this.after(text).slice(0, wait.drafts)
  }

  /** No step waits any more. True when one did. */
  unwait(): boolean {
    const waited = this.#wait !== undefined
    this.#wait = undefined
    return waited
  }

  /** Tokens have come that follow the text. */
  came(text: readonly number[], ids: readonly number[]): void {
    this.#laps += 1
    const said = this.after(text)
    const seen = Math.min(said.length, ids.length)
    if (seen === 0) return
    let right = 0
    while (right < seen && said[right] === ids[right]) right++
    this.#init.gain.seen(modelKind, right, right < seen)
  }

  /** Drafts go out; it works ahead where it is likely that all of them are right. */
  #sent(text: readonly number[], drafts: readonly number[], nowMs: number): readonly number[] {
    const { length } = drafts
    const isLikely = length > 0 && this.#init.gain.share(modelKind) ** (length + 1) >= draftAheadShare
    if (isLikely) this.#ask(text, 2 * length + 1, { nowMs })
    return drafts
  }

  #ask(text: readonly number[], wanted: number, { nowMs, waits = false }: { nowMs: number; waits?: boolean }): void {
    const { length } = text
    const count = Math.min(wanted, this.#room(text))
    const work = Math.max(1, count - this.after(text).length) + draftFeedShare * this.#lag(text)
    this.#laps = 0
    this.#asked = { length, count, sinceMs: nowMs, work }
    const waitMs = waits ? draftWaitFactor * work * this.#tokenMs + draftWaitSlackMs : undefined
    this.#init.ask({ text, length, count, waitMs })
  }

  #took({ sinceMs, work }: Asked, weight: number, nowMs: number): void {
    // Once in a while somebody is given no processor, which says little of what a model takes.
    const seen = Math.min((nowMs - sinceMs) / work, draftSurpriseMax * Math.max(draftTokenMsMin, this.#tokenMs))
    this.#tokenMs += weight * (seen - this.#tokenMs)
  }

  /** Tokens that may follow, in this session and for this model. */
  #room(text: readonly number[]): number {
    return Math.min(this.#init.contextMax, this.#init.tokensMax) - text.length
  }

  /** Tokens of the text that it has not read. */
  #lag(text: readonly number[]): number {
    return Math.max(0, text.length - this.#from - this.#said.length)
  }

  #isBehind(text: readonly number[]): boolean {
    return this.#lag(text) > draftLagTokens
  }

  #readMs(text: readonly number[]): number {
    return draftFeedShare * this.#lag(text) * this.#tokenMs
  }
}
