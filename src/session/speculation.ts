/**
 * The drafts of one session: what is proposed with the next step, and what came of the last (rule S32). It never decides what
 * the answer is: the tail draws every token. Pure.
 */
import { attentionBlock } from '../model/limits.ts'
import { stepDraftsMax } from '../engine/limits.ts'
import type { Hop } from '../route/view.ts'
import { draftsNeed } from '../stage/frame.ts'
import type { Proposal } from './drafter.ts'
import { DraftGain } from './draft-gain.ts'
import type { DraftAsk, DraftEvent } from './event.ts'
import type { SessionInit } from './init.ts'
import { ModelDrafts } from './model-drafts.ts'

const none: readonly number[] = []

/** Drafts that a session has sent, and those of them that were right. */
export interface DraftStats {
  readonly proposed: number
  readonly taken: number
}

export interface SpeculationInit
  extends Pick<SessionInit, 'self' | 'drafter' | 'draftModel' | 'knowsDrafts' | 'tokensMax' | 'vocab'> {
  /** Asks the draft model. */
  readonly ask: (ask: DraftAsk) => void
}

export class Speculation {
  readonly #init: SpeculationInit
  /** All hops of the epoch know drafts. */
  #isOn = false
  #isStopped = false
  readonly #gain = new DraftGain()
  #model: ModelDrafts | undefined
  /** What the text itself proposed for the tokens that are awaited, whether it was sent or not. */
  #proposal: Proposal | undefined
  /** The drafts of the last step, if there were any, are those. */
  #isProposed = false
  #proposed = 0
  #taken = 0

  constructor(init: SpeculationInit) {
    this.#init = init
    const { draftModel, tokensMax, vocab, ask } = init
    if (draftModel !== undefined)
      this.#model = new ModelDrafts({ ...draftModel, tokensMax, vocab, gain: this.#gain, ask })
  }

  get stats(): DraftStats {
    return { proposed: this.#proposed, taken: this.#taken }
  }

  /** An epoch begins: what a lap takes on its route is not known. Returns what its hops must know. */
  begins(route: readonly Hop[]): readonly string[] | undefined {
    const { drafter, self, knowsDrafts } = this.#init
    this.#proposal = undefined
    this.#gain.begins()
    this.#model?.unwait()
    const isAble = drafter !== undefined && !this.#isStopped
    this.#isOn = isAble && route.every(({ peer }) => peer === self || knowsDrafts?.(peer) === true)
    return this.#isOn ? [draftsNeed] : undefined
  }

  /** Proposes nothing any more in this session. */
  stop(): void {
    this.#isStopped = true
    this.#isOn = false
    this.#proposal = undefined
    this.#model = undefined
  }

  /**
   * The drafts that follow the last of these tokens in the next step; undefined where that waits for them, until an
   * {@link heard} says which.
   */
  next(text: readonly number[], nowMs: number): readonly number[] | undefined {
    // The answer ends with its last token, and steps with a block.
    const { tokensMax, drafter } = this.#init
    const room = Math.min(tokensMax - text.length - 1, -text.length & (attentionBlock - 1), stepDraftsMax)
    this.#proposal = this.#isOn && room > 0 ? drafter!.propose(text, room) : undefined
    this.#isProposed = false
    if (!this.#isOn || room < 1) return none
    const drafts = this.#fromModel(this.#model, text, room, nowMs)
    if (drafts === undefined || drafts.length > 0 || this.#proposal === undefined) return drafts
    this.#isProposed = true
    return this.#proposal.ids.slice(0, this.#gain.count(this.#proposal.kind, room))
  }

  /** The draft model's drafts, where they are expected to gain more than those of the text; undefined where they are waited for. */
  #fromModel(
    model: ModelDrafts | undefined,
    text: readonly number[],
    room: number,
    nowMs: number
  ): readonly number[] | undefined {
    if (model === undefined) return none
    const best = model.best(text, room)
    const { kind, ids } = this.#proposal ?? { kind: 0, ids: none }
    if (best.gain > this.#gain.best(kind, Math.min(room, ids.length)).gain)
      return this.#gain.isPlainDue(best) ? none : model.take(text, best.drafts, nowMs)
    model.look(text, nowMs)
    return none
  }

  /** Something of the draft model. Returns the drafts of a step that need not wait any more; undefined where none waited, or still does. */
  heard(event: DraftEvent, text: readonly number[], nowMs: number): readonly number[] | undefined {
    if (event.kind === 'drafted') return this.#model?.drafted(event, text, nowMs)
    if (event.kind === 'draft-late') return this.#model?.late(event.length, text, nowMs)
    const waited = this.#model?.unwait() === true
    this.#model = undefined
    return waited ? none : undefined
  }

  /**
   * Tokens have come that follow the text, after a step with these drafts.
   *
   * @param ms of the lap; undefined where it says nothing of what laps take.
   */
  came(
    text: readonly number[],
    ids: readonly number[],
    { drafts, ms }: { readonly drafts: readonly number[]; readonly ms: number | undefined }
  ): void {
    const right = ids.length - 1
    this.#proposed += drafts.length
    this.#taken += right
    if (ms !== undefined) this.#gain.lap(drafts.length, ms)
    this.#model?.came(text, ids)
    const proposal = this.#proposal
    this.#proposal = undefined
    if (proposal === undefined) return
    if (drafts.length > 0 && this.#isProposed) this.#gain.seen(proposal.kind, right, right < drafts.length)
    else if (ids[0] === proposal.ids[0]) this.#gain.seen(proposal.kind, 1, false)
    else this.#gain.seen(proposal.kind, 0, true)
  }
}
