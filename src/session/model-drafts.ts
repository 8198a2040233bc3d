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
  draftWaitFactor,
  draftWaitSlackMs
} from './limits.ts'

/** What a wait adds to the mean of those before. */
const waitWeight = 0.25

export interface ModelDraftsInit extends DraftModelInit {
  /** Ids of the session's model are below this. */
  readonly vocab: number
  /** Tokens of the whole session. */
  readonly tokensMax: number
  readonly gain: DraftGain
  readonly ask: (ask: DraftAsk) => void
}

/** A step that waits for drafts. */
interface Wait {
  readonly length: number
  readonly drafts: number
  readonly sinceMs: number
  /** Tokens that the model had to say, and what it had to read before, as so many. */
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
  #wait: Wait | undefined

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
    if (ready.length >= drafts) return this.#sent(text, ready.slice(0, drafts))
    if (this.#isBehind(text)) {
      this.#ask(text, drafts)
      return none
    }
    const work = drafts - ready.length + draftFeedShare * this.#lag(text)
    this.#wait = { length: text.length, drafts, sinceMs: nowMs, work }
    this.#ask(text, drafts, draftWaitFactor * work * this.#tokenMs + draftWaitSlackMs)
    return undefined
  }

  /** Where its drafts are not expected to gain anything: asks for one now and then, and sees whether it was right. */
  look(text: readonly number[]): void {
    const { gain } = this.#init
    const ms = this.#tokenMs + this.#readMs(text)
    if (this.#room(text) > 0 && gain.isLookDue(modelKind, this.#laps, ms)) this.#ask(text, 1)
  }

  /** It has said something. Returns the drafts for a step that has waited for them, if they are there now. */
  drafted({ length, ids }: Drafted, text: readonly number[], nowMs: number): readonly number[] | undefined {
    // The two models may have ids of their own beyond those that they share.
    const end = ids.findIndex(id => id >= this.#init.vocab)
    this.#from = length
    this.#said = end < 0 ? ids : ids.slice(0, end)
    const wait = this.#wait
    if (wait === undefined) return undefined
    const ready = this.after(text)
    if (ready.length < wait.drafts && end < 0) return undefined
    this.#wait = undefined
    this.#tokenMs += waitWeight * ((nowMs - wait.sinceMs) / wait.work - this.#tokenMs)
    return this.#sent(text, ready.slice(0, wait.drafts))
  }

  /** A step has waited long enough: it goes with the drafts that are there. */
  late(length: number, text: readonly number[], nowMs: number): readonly number[] | undefined {
    const wait = this.#wait
    if (wait?.length !== length) return undefined
    this.#wait = undefined
    // It takes so long at least.
    this.#tokenMs = Math.max(this.#tokenMs, (nowMs - wait.sinceMs) / wait.work)
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
  #sent(text: readonly number[], drafts: readonly number[]): readonly number[] {
    const { length } = drafts
    if (length > 0 && this.#init.gain.share(modelKind) ** (length + 1) >= draftAheadShare)
      this.#ask(text, 2 * length + 1)
    return drafts
  }

  #ask(text: readonly number[], count: number, waitMs?: number): void {
    this.#laps = 0
    this.#init.ask({ text, length: text.length, count: Math.min(count, this.#room(text)), waitMs })
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
