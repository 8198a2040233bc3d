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
import type { SessionInit } from './init.ts'

const none: readonly number[] = []

/** Drafts that a session has sent, and those of them that were right. */
export interface DraftStats {
  readonly proposed: number
  readonly taken: number
}

export type SpeculationInit = Pick<SessionInit, 'self' | 'drafter' | 'knowsDrafts' | 'tokensMax'>

export class Speculation {
  readonly #init: SpeculationInit
  /** All hops of the epoch know drafts. */
  #isOn = false
  #isStopped = false
  readonly #gain = new DraftGain()
  /** What was proposed for the tokens that are awaited, whether it was sent or not. */
  #proposal: Proposal | undefined
  #proposed = 0
  #taken = 0

  constructor(init: SpeculationInit) {
    this.#init = init
  }

  get stats(): DraftStats {
    return { proposed: this.#proposed, taken: this.#taken }
  }

  /** An epoch begins: what a lap takes on its route is not known. Returns what its hops must know. */
  begins(route: readonly Hop[]): readonly string[] | undefined {
    const { drafter, self, knowsDrafts } = this.#init
    this.#proposal = undefined
    this.#gain.begins()
    const isAble = drafter !== undefined && !this.#isStopped
    this.#isOn = isAble && route.every(({ peer }) => peer === self || knowsDrafts?.(peer) === true)
    return this.#isOn ? [draftsNeed] : undefined
  }

  /** Proposes nothing any more in this session. */
  stop(): void {
    this.#isStopped = true
    this.#isOn = false
    this.#proposal = undefined
  }

  /** The drafts that follow the last of these tokens in the next step. */
  next(ids: readonly number[]): readonly number[] {
    // The answer ends with its last token, and steps with a block.
    const { tokensMax, drafter } = this.#init
    const room = Math.min(tokensMax - ids.length - 1, -ids.length & (attentionBlock - 1), stepDraftsMax)
    this.#proposal = this.#isOn && room > 0 ? drafter!.propose(ids, room) : undefined
    if (this.#proposal === undefined) return none
    return this.#proposal.ids.slice(0, this.#gain.count(this.#proposal.kind, room))
  }

  /**
   * Tokens have come after a step with these drafts.
   *
   * @param ms of the lap; undefined where it says nothing of what laps take.
   */
  came(ids: readonly number[], drafts: readonly number[], ms: number | undefined): void {
    const right = ids.length - 1
    this.#proposed += drafts.length
    this.#taken += right
    if (ms !== undefined) this.#gain.lap(drafts.length, ms)
    const proposal = this.#proposal
    this.#proposal = undefined
    if (proposal === undefined) return
    if (drafts.length > 0) this.#gain.seen(proposal.kind, right, right < drafts.length)
    else if (ids[0] === proposal.ids[0]) this.#gain.seen(proposal.kind, 1, false)
    else this.#gain.seen(proposal.kind, 0, true)
  }
}
