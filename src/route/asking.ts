/** What one look at the swarm answers to a session that asks for a route: hops, patience, or why there are none. */
import type { PeerId } from '../base/ids.ts'
import { excludedGraceMs, gatheringMs, missingGraceMs } from './limits.ts'
import { announcedLinks, type LinkLookup } from './cost.ts'
import { explainNoRoute } from './explain.ts'
import { place } from './place.ts'
import { type RoomQuestion, withRoom } from './room.ts'
import { findRoute } from './route.ts'
import type { Search } from './searches.ts'
import type { Hop, ModelShape, PeerView, Without } from './view.ts'

export interface RouteQuestion extends RoomQuestion {
  /** The driver. */
  readonly from: PeerId
  readonly excluded: Without
  /** Those of the excluded that failed so long ago that they are asked before anyone waits. */
  readonly doubtful?: Without
  readonly inflight: ReadonlyMap<PeerId, number>
  /** @default as the views announce them */
  readonly links?: LinkLookup
  /** How long the session has waited already, in ms. */
  readonly waitedMs: number
  /** How long ago this peer began, or met or lost another one, in ms. @default infinite */
  readonly settledMs?: number
  /** [layers] the numeric classes that the session began with; undefined before its first route. */
  readonly layerClasses?: readonly string[]
  /** Finds the plan that says whether budgets suffice. @default {@link place} */
  readonly search?: Search
}

export type RouteAnswer =
  | { readonly kind: 'hops'; readonly hops: readonly Hop[] }
  /** Look again at the next change: peers are loading, or others may appear. */
  | { readonly kind: 'wait' }
  /** The present budgets cannot cover the model, and no more peers have come for a while. */
  | { readonly kind: 'lacking' }

const nobody: Without = new Set()

/**
 * Stages without room for the session are left out where that leaves a way, and before that who is about to go. Where there is no
 * way around the excluded peers, those that can still be reached are asked again a moment after they failed: a broken connection
 * may have been all that was wrong with them. Who has shown nothing when asked for a step comes after all these: it says that it
 * has room when all others are full, and would have every session of a busy swarm first.
 */
export function answerRoute(peers: readonly PeerView[], model: ModelShape, question: RouteQuestion): RouteAnswer {
  const { excluded, doubtful, waitedMs, settledMs = Number.POSITIVE_INFINITY, search = place, ...room } = question
  const { from, inflight, links = announcedLinks(peers), layerClasses } = room
  const options = { from, inflight, links, ...(layerClasses === undefined ? {} : { layerClasses }) }
  const leaving: Without = new Set(peers.flatMap(view => (view.leaving === true ? [view.peer] : [])))
  const unproven: Without = new Set(peers.flatMap(view => (view.isDoubtful === true ? [view.peer] : [])))
  const roomy = withRoom(peers, model, room)
  const around = (views: readonly PeerView[], without: Without): Hop[] | undefined =>
    (leaving.size > 0 ? findRoute(views, model, { ...options, excluded: without.union(leaving) }) : undefined) ??
    findRoute(views, model, { ...options, excluded: without })
  const retried = doubtful !== undefined && doubtful.size > 0 ? excluded.difference(doubtful) : undefined
  const find = (last: Without): Hop[] | undefined => {
    const without = excluded.union(last)
    return (
      (roomy === peers ? undefined : around(roomy, without)) ??
      around(peers, without) ??
      (retried === undefined ? undefined : findRoute(peers, model, { ...options, excluded: retried.union(last) }))
    )
  }
  const hops =
    find(unproven) ??
    (unproven.size > 0 ? find(nobody) : undefined) ??
    (waitedMs >= excludedGraceMs ? findRoute(peers, model, options) : undefined)
  if (hops !== undefined) return { kind: 'hops', hops }
  const isSettled = waitedMs >= missingGraceMs && settledMs >= gatheringMs
  const missing = isSettled ? (search(peers, model)?.missing ?? null) : null
  return missing === null ? { kind: 'wait' } : { kind: 'lacking' }
}

/** The sentence for a person whose session gets no route; undefined where that takes a search for which it is too early. */
export function noRouteSentence(peers: readonly PeerView[], model: ModelShape, excluded: Without): string
export function noRouteSentence(
  peers: readonly PeerView[],
  model: ModelShape,
  excluded: Without,
  search: Search
): string | undefined
export function noRouteSentence(
  peers: readonly PeerView[],
  model: ModelShape,
  excluded: Without,
  search: Search = place
): string | undefined {
  const why = explainNoRoute(peers, model, excluded, search)
  return why === undefined ? undefined : `${model.name} cannot answer: ${why?.reason ?? 'no route was found'}`
}
