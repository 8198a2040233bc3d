/**
 * A case: what a hop was given in a session, what it says that it gave for it, and its signature under both. Whoever has one, and layers of that
 * class, can see for himself whether it is so; where it is not, the case is evidence against the hop, and nobody else could have made it. Pure.
 */
import type { PeerId } from '../base/ids.ts'
import type { Verify } from '../base/signature.ts'
import {
  type Digest,
  isCommittedBy,
  nothingDrawn,
  RowChain,
  sameDigest,
  type SignedCommitment
} from '../stage/commitment.ts'
import { masksNeed } from '../stage/frame.ts'
import { isGenuine, type RouteHop, type SignedTerms } from '../stage/terms.ts'

export interface WorkCase {
  readonly terms: SignedTerms
  readonly commitment: SignedCommitment
  /** [tokens, rowBytes] what the hop was given: ids at the head, else hidden states, each with its id behind it where steps carry these. */
  readonly rows: Uint8Array
  /** [tokens] of a tail: the ids that it drew, of 4 bytes each; undefined before it. */
  readonly drawn: Uint8Array | undefined
}

/** The hop that a case is about. */
export function hopOf({ terms, commitment }: Pick<WorkCase, 'terms' | 'commitment'>): RouteHop {
  return terms.route[commitment.hop]!
}

/** Whose work it is about. */
export function accusedOf(about: Pick<WorkCase, 'terms' | 'commitment'>): PeerId {
  return hopOf(about).peer
}

/** Whether a hop of a session can be checked by its rows alone: what a tail draws may depend on more than these. */
export function whyNotByRows(
  { route, needs = [] }: Pick<SignedTerms, 'route' | 'needs'>,
  hop: number
): string | undefined {
  if (hop < route.length - 1) return undefined
  const need = needs.find(each => each === masksNeed)
  return need === undefined ? undefined : `its tail draws by more than its rows ('${need}')`
}

/** Why a case is none against anybody, in one sentence; undefined where it is well made. */
export function whyNoCase(about: WorkCase, { verify, digest }: { verify: Verify; digest: Digest }): string | undefined {
  const { terms, commitment, rows, drawn } = about
  const { hop, tokens } = commitment
  if (!isGenuine(terms, verify)) return 'its terms are not signed by the driver that they name'
  if (!sameDigest(commitment.terms, digest(terms.payload))) return 'its commitment is about other terms'
  if (hop >= terms.route.length || tokens > terms.tokensMax) return 'its commitment is about no hop of its route'
  const { peer } = terms.route[hop]!
  if (!isCommittedBy(peer, commitment, verify)) return `${peer} has not signed what it is said to have`
  if (!sameDigest(chainOf(rows, tokens, digest), commitment.input))
    return `the rows are not those that ${peer} was given`
  const isTail = hop === terms.route.length - 1
  if (isTail !== (drawn !== undefined)) return 'what a tail has drawn belongs to a case about one'
  if (drawn !== undefined && !sameDigest(chainOf(drawn, tokens, digest), commitment.output)) {
    return `what was drawn is not what ${peer} has signed`
  }
  return whyNotByRows(terms, hop)
}

/** The digest of some rows, as hops commit to them. */
export function chainOf(rows: Uint8Array, tokens: number, digest: Digest): Uint8Array {
  if (rows.length === 0 || rows.length % tokens !== 0) return new Uint8Array(0)
  const chain = new RowChain(digest)
  chain.push(0, rows, tokens)
  return chain.at(tokens)!
}

/** A part of a session that is computed in one step. Rows of a tail after which it drew say what: the first of them, and drafts. */
export interface CheckStep {
  readonly position: number
  readonly tokens: number
  /** Undefined where nothing was drawn. */
  readonly drafts: readonly number[] | undefined
  /** What is to be drawn: the drafts, and one more. */
  readonly drawn: readonly number[] | undefined
}

/** The steps that compute a case again: as many rows at once as a step may have. @param draftsMax of a step */
export function* checkSteps(
  { commitment: { tokens }, drawn }: Pick<WorkCase, 'commitment' | 'drawn'>,
  { stepTokens, draftsMax }: { readonly stepTokens: number; readonly draftsMax: number }
): Generator<CheckStep> {
  const view = drawn && new DataView(drawn.buffer, drawn.byteOffset, drawn.byteLength)
  const idAfter = (row: number): number =>
    row < tokens ? (view?.getUint32(4 * row, true) ?? nothingDrawn) : nothingDrawn
  let position = 0
  while (position < tokens) {
    const border = (Math.floor(position / stepTokens) + 1) * stepTokens
    let end = position
    while (end < Math.min(border, tokens) && idAfter(end) === nothingDrawn) end++
    if (end > position) {
      yield { position, tokens: end - position, drafts: undefined, drawn: undefined }
      position = end
      continue
    }
    while (end < tokens && end - position <= draftsMax && idAfter(end) !== nothingDrawn) end++
    const ids = Array.from({ length: end - position }, (_, i) => idAfter(position + i))
    yield { position, tokens: end - position, drafts: ids.slice(0, -1), drawn: ids }
    position = end
  }
}
