/**
 * What can be seen of a session's commitments without computing anything: which hops have committed to what, and where the two ends of a link
 * have signed different rows. That charges nobody, since nobody else can tell which of the two it is. Pure.
 */
import type { PeerId } from '../base/ids.ts'
import type { Verify } from '../base/signature.ts'
import {
  type Digest,
  drawnRows,
  isCommittedBy,
  rowsOfIds,
  sameDigest,
  type SignedCommitment
} from '../stage/commitment.ts'
import type { RouteHop, SignedTerms } from '../stage/terms.ts'
import { chainOf, whyNotByRows } from './case.ts'

/** What is known of a session that has ended. */
export interface EndedSession {
  readonly terms: SignedTerms
  /** Prompt and answer; the last of them no hop was given. */
  readonly ids: readonly number[]
  /** So many were there before it. */
  readonly given: number
  readonly commitments: readonly SignedCommitment[]
  /** What hops have committed to before its end, by epoch: of each the newest. @default nothing */
  readonly before?: readonly Pick<EndedSession, 'terms' | 'commitments'>[]
  /** Of a row of the model's hidden state. */
  readonly rowBytes: number
}

/** Why a hop cannot be checked that has signed nothing. */
export const whyNoCommitment = 'it has not committed to anything'

export interface HopFinding {
  readonly peer: PeerId
  /** What it says, whose signature may not have been looked at yet; undefined where that is nothing, or cannot be used. */
  readonly commitment: SignedCommitment | undefined
  /** Why it cannot be checked in this session; undefined where it can. */
  readonly why: string | undefined
  /** It, or who is next to it, says something else than it has sent or got. */
  readonly isDisputed: boolean
}

export interface Findings {
  /** [hops] of the route. */
  readonly hops: readonly HopFinding[]
  /** [tokens] of a tail, as a case has them. */
  readonly drawn: Uint8Array
  /** Rows that the head was given. */
  readonly headRows: Uint8Array
}

export interface FindingsInit {
  readonly verify: Verify
  readonly digest: Digest
  /** The numeric class that a peer has announced for the model; undefined where its record is gone. */
  readonly classOf: (peer: PeerId) => string | undefined
}

export function findingsOf({ terms, ids, given, commitments }: EndedSession, init: FindingsInit): Findings {
  const { verify, digest, classOf } = init
  const tokens = ids.length - 1
  const about = digest(terms.payload)
  const said = terms.route.map((_, hop) =>
    commitments.find(each => each.hop === hop && each.tokens === tokens && sameDigest(each.terms, about))
  )
  const headRows = rowsOfIds(ids.slice(0, tokens))
  const drawn = drawnBy(ids, given)
  // The driver knows what it sent, and what it got; but a tail that came later has drawn only some of it.
  const got = terms.epoch === 0 ? chainOf(drawn, tokens, digest) : undefined
  const ends = { sent: chainOf(headRows, tokens, digest), got }
  // A signature is looked at only where that matters: here, where two say different things, and of who is drawn. Mostly nobody is.
  const isSigned = (each: SignedCommitment): boolean => isCommittedBy(terms.route[each.hop]!.peer, each, verify)
  const signed = disputes(said, ends).includes(true)
    ? said.map(each => (each !== undefined && isSigned(each) ? each : undefined))
    : said
  const differs = disputes(signed, ends)
  const hops = terms.route.map(({ peer }, hop): HopFinding => {
    const commitment = signed[hop]
    const announced = classOf(peer)
    const why =
      commitment === undefined
        ? whyNoCommitment
        : commitment.numericClass === '' || commitment.numericClass !== announced
          ? 'it computes in another class than it has announced'
          : // Its tail drew some of what it knows in an epoch before.
            hop === terms.route.length - 1 && terms.epoch > 0
            ? 'its tail changed'
            : whyNotByRows(terms, hop)
    return { peer, commitment, why, isDisputed: differs[hop]! || differs[hop + 1]! }
  })
  return { hops, drawn, headRows }
}

/**
 * What hops have committed to in the middle of a session, who have not committed to all of it: each as a session that ended there. Of one epoch
 * those that are about as many tokens are one.
 */
export function partsOf({ terms: last, ids, given, commitments, before = [], rowBytes }: EndedSession): EndedSession[] {
  const tokens = ids.length - 1
  const atEnd = new Set(commitments.flatMap(({ hop, tokens: all }) => (all === tokens ? [keyOf(last.route[hop])] : [])))
  return before.flatMap(({ terms, commitments: made }) => {
    const counts = new Set(
      made.flatMap(({ hop, tokens: some }) => (atEnd.has(keyOf(terms.route[hop])) || some > tokens ? [] : [some]))
    )
    return [...counts].map(some => ({
      ...{ terms, given, rowBytes, ids: ids.slice(0, some + 1) },
      commitments: made.filter(each => each.tokens === some)
    }))
  })
}

/** Names a stage of a peer. */
function keyOf(hop: RouteHop | undefined): string {
  return hop === undefined ? '' : `${hop.peer} ${hop.start}-${hop.end}`
}

/** [hops + 1] of each link, whether its two ends say different things. */
function disputes(
  said: readonly (SignedCommitment | undefined)[],
  ends: { readonly sent: Uint8Array; readonly got: Uint8Array | undefined }
): boolean[] {
  const sent = [ends.sent, ...said.map(each => each?.output)]
  const got = [...said.map(each => each?.input), ends.got]
  return sent.map((digestSent, i) => {
    const digestGot = got[i]
    return digestSent !== undefined && digestGot !== undefined && !sameDigest(digestSent, digestGot)
  })
}

/** [tokens] what a tail drew after each row. @param given ids that nobody drew */
export function drawnBy(ids: readonly number[], given: number): Uint8Array {
  const tokens = ids.length - 1
  const drafts = Math.max(0, tokens - given)
  return drawnRows(tokens, drafts, ids.slice(given))
}
