/** What the hops of a session have committed to at its end, for whoever checks one of them. Pure. */
import type { SignedCommitment } from '../stage/commitment.ts'
import type { SignedTerms } from '../stage/terms.ts'
import type { SessionOutcome } from './event.ts'
import type { SessionInit } from './init.ts'

export interface Committed {
  /** Of the last epoch. */
  readonly terms: SignedTerms
  /** Prompt and answer; commitments are about all of them but the last, which no hop was given. */
  readonly ids: readonly number[]
  /** So many of them were there before it: nobody has drawn them. */
  readonly given: number
  /** Of those hops of the last route that could, in its order. They may say anything: nothing of them has been checked. */
  readonly commitments: readonly SignedCommitment[]
}

/** So many tokens every hop is to commit to when a session ends so; 0 where it is not asked. */
export function commitTo(outcome: SessionOutcome, tokens: number): number {
  return outcome.kind === 'stopped' ? tokens - 1 : 0
}

export function committedBy(
  commitments: readonly SignedCommitment[],
  terms: SignedTerms,
  ids: readonly number[],
  { promptIds, answered = [] }: Pick<SessionInit, 'promptIds' | 'answered'>
): Committed {
  return { terms, ids, given: promptIds.length + answered.length, commitments }
}
