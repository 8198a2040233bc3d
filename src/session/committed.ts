/** What the hops of a session have committed to, before its end and at it, for whoever checks one of them. Pure. */
import { hopsMax } from '../limits.ts'
import type { SignedCommitment } from '../stage/commitment.ts'
import type { SignedTerms } from '../stage/terms.ts'
import type { SessionOutcome } from './event.ts'
import type { SessionInit } from './init.ts'
import { commitEpochsMax, commitEveryTokens } from './limits.ts'

/** What hops of one epoch have committed to before the session ended (rule S42). */
export interface CommittedBefore {
  readonly terms: SignedTerms
  /** Of each hop the newest. */
  readonly commitments: readonly SignedCommitment[]
}

export interface Committed {
  /** Of the last epoch. */
  readonly terms: SignedTerms
  /** Prompt and answer; commitments at the end are about all of them but the last, which no hop was given. */
  readonly ids: readonly number[]
  /** So many of them were there before it: nobody has drawn them. */
  readonly given: number
  /** Of those hops of the last route that could, in its order. They may say anything: nothing of them has been checked. */
  readonly commitments: readonly SignedCommitment[]
  /** By epoch, the first one first: what hops have said that may have been gone by the end. Nothing of that has been checked, either. */
  readonly before: readonly CommittedBefore[]
}

/** So many tokens every hop is to commit to when a session ends so; 0 where it is not asked. */
export function commitTo(outcome: SessionOutcome, tokens: number): number {
  return outcome.kind === 'stopped' ? tokens - 1 : 0
}

/** Has hops commit while a session goes on, and keeps what they say. */
export class Commitments {
  readonly #init: Pick<SessionInit, 'promptIds' | 'answered' | 'commits'>
  /** By epoch, the last one last. */
  readonly #before: { readonly terms: SignedTerms; readonly byHop: Map<number, SignedCommitment> }[] = []
  /** Tokens that hops of the last epoch were asked about. */
  #asked = 0

  constructor(init: Pick<SessionInit, 'promptIds' | 'answered' | 'commits'>) {
    this.#init = init
    this.#asked = this.#given
  }

  get #given(): number {
    const { promptIds, answered = [] } = this.#init
    return promptIds.length + answered.length
  }

  /** An epoch begins: what was asked before was of others. */
  begins(terms: SignedTerms): void {
    this.#before.push({ terms, byHop: new Map() })
    // Whoever has one peer after the other fail keeps no more of them than this.
    if (this.#before.length > commitEpochsMax) this.#before.shift()
  }

  /** Tokens that hops are to commit to now; undefined where they are not asked. @param goes somebody is about to leave the route */
  due(tokens: number, { goes }: { readonly goes: boolean }): number | undefined {
    if (this.#init.commits !== true || tokens - this.#asked < (goes ? 1 : commitEveryTokens)) return undefined
    this.#asked = tokens
    return tokens
  }

  /** A hop of the last epoch has committed to something. */
  came(commitment: SignedCommitment): void {
    const { hop, tokens } = commitment
    if (hop < hopsMax && tokens <= this.#asked) this.#before.at(-1)?.byHop.set(hop, commitment)
  }

  /** All of it. @param commitments at the end; undefined where nobody has said anything then */
  all(ids: readonly number[], commitments: readonly SignedCommitment[] | undefined): Committed | undefined {
    const before = this.#before.flatMap(({ terms, byHop }) =>
      byHop.size === 0 ? [] : [{ terms, commitments: [...byHop.values()] }]
    )
    const last = this.#before.at(-1)
    if (last === undefined || (commitments === undefined && before.length === 0)) return undefined
    return { terms: last.terms, ids, given: this.#given, commitments: commitments ?? [], before }
  }
}
