/**
 * Placement: who loads which layers. A pure function that every peer computes from what it knows and
 * follows for its own part; there is no leader. It covers every layer first, then moves serving peers only
 * for a clear win, then covers layers a second time with the peers that are left.
 */
import type { PeerId, Range } from '../base/ids.ts'
import { coverAnew, coverLacking, copyLeast, keepLoaded, releaseSurplus } from './copies.ts'
import { hopPrices } from './cost.ts'
import { coverageOf, taken } from './coverage.ts'
import { isFeasible } from './feasible.ts'
import { type LoadMove, moveByLoad } from './hot.ts'
import { batteryWeakIdleRatio, batteryWeakRatio } from './limits.ts'
import { defaultPolicy, type PlacePolicy } from './policy.ts'
import { primaryTiling } from './primary.ts'
import { isServed } from './route.ts'
import { furthestEnds } from './tables.ts'
import { layersOf, type Tiler } from './tiling.ts'
import { Tilings } from './tilings.ts'
import type { ModelShape, PeerView } from './view.ts'
import { canHold, sameRange, stageBytes } from './view.ts'

/** What the budgets lack. */
export interface Missing {
  /** Layers for which the budgets do not suffice: those that the plan leaves, or that a clearly better choice of stages would. */
  readonly layers: readonly Range[]
  /**
   * Sum of {@link stageBytes} over `layers`: one more peer per range, holding its shards and giving exactly
   * that range's stage bytes, makes the model covered. One range wherever one peer more can do.
   */
  readonly bytes: number
}

export interface Plan {
  /** Every peer that was looked at: the layers it should serve, or null for none. */
  readonly stages: ReadonlyMap<PeerId, Range | null>
  /** [layers] how many planned stages hold each layer. */
  readonly coverage: readonly number[]
  readonly missing: Missing | null
}

/**
 * Who loads what, from one peer's view of the swarm. The order of `peers` does not matter.
 *
 * @param tilings what was found before, for those who ask again and again
 */
export function place(
  peers: readonly PeerView[],
  model: ModelShape,
  policy = defaultPolicy,
  tilings = new Tilings()
): Plan {
  const sorted = sortedPeers(peers)
  const stages = new Map<PeerId, Range | null>(sorted.map(view => [view.peer, null]))
  const prices = hopPrices(sorted, model)
  const tilers = sorted.map(view => tilerOf(view, model, prices)).filter(tiler => tiler !== null)
  const whole: Range = { start: 0, end: model.layers }

  // A person's word is a fact: a pinned peer loads its layers whatever the plan is.
  for (const { view } of tilers) if (view.pinned !== null) stages.set(view.peer, view.pinned)
  const { tiling, gaps } = primaryTiling({ views: sorted, all: tilers, model, policy, tilings })
  for (const tile of tiling.tiles) if (tile.view !== null) stages.set(tile.view.peer, layersOf(tile))
  // Who can hold the whole model and is not needed for a part covers it again without the network, unless it would
  // have to stop serving a part that somebody needs.
  for (const { view, only, weak } of tilers) {
    if (only !== null || weak || stages.get(view.peer) !== null || !canHold(view, model, whole)) continue
    const moved = new Map(stages).set(view.peer, whole)
    if (isFeasible(sorted, moved, model)) stages.set(view.peer, whole)
  }

  const rest = tilers.filter(({ view }) => stages.get(view.peer) === null)
  const isMoving = !isServed(planned(sorted, stages), model)
  if (isMoving) {
    // While serving peers move, a stage that is in no plan may be what lets them do so without a pause; and while a model
    // is still being made whole, whoever is not needed for that would move with each change of the way that it is done.
    const isWhole = isServed(sorted, model)
    for (const { view, loaded, weak } of rest) if (isWhole || !weak) stages.set(view.peer, loaded.at(-1) ?? null)
  }
  keepLoaded(
    rest.filter(({ view }) => stages.get(view.peer) === null),
    stages,
    model
  )
  if (gaps.length === 0) {
    // Whoever is idle goes first: else a loaded peer would move where an idle one could go, the idle one take its place,
    // and the next plan see it the other way round.
    const covering = { tilers, model, policy, tilings }
    coverLacking(covering, stages)
    if (!isMoving) {
      if (releaseSurplus(rest, stages, model, policy)) coverLacking(covering, stages)
      coverAnew(covering, rest, stages)
    }
    copyLeast(tilers, stages, model)
    if (!isMoving && policy.byLoad) {
      const fixed = new Set(tiling.tiles.flatMap(({ view }) => view?.peer ?? []))
      const { copies, moveMarginRatio: marginRatio } = policy
      const move = moveByLoad({ tilers, stages, fixed, model, copies, marginRatio })
      if (move !== undefined && isLasting(move, sorted, stages, model, policy, tilings))
        stages.set(move.peer, move.range)
    }
  }
  // What fits nowhere stays as it is: to drop it gains nothing, and others may come back.
  for (const { view, loaded, weak } of rest) {
    if (stages.get(view.peer) === null && (!weak || gaps.length > 0)) stages.set(view.peer, loaded.at(-1) ?? null)
  }
  const missing =
    gaps.length === 0 ? null : { layers: gaps, bytes: gaps.reduce((sum, gap) => sum + stageBytes(model, gap), 0) }
  return {
    stages,
    coverage: coverageOf(taken(stages), model),
    missing
  }
}

/** Whether a move can be made without a pause, and the plan that follows would not take it back. */
function isLasting(
  { peer, range: to }: LoadMove,
  views: readonly PeerView[],
  stages: ReadonlyMap<PeerId, Range | null>,
  model: ModelShape,
  policy: PlacePolicy,
  tilings: Tilings
): boolean {
  if (!isFeasible(views, new Map(stages).set(peer, to), model)) return false
  const after = views.map(view => {
    const target = view.peer === peer ? to : (stages.get(view.peer) ?? null)
    return { ...view, stages: target === null ? [] : [{ ...target, serving: true }] }
  })
  const next = place(after, model, { ...policy, byLoad: false }, tilings).stages.get(peer) ?? null
  return next !== null && sameRange(next, to)
}

/** The views with those serving stages only that a plan asks for. */
export function planned(views: readonly PeerView[], stages: ReadonlyMap<PeerId, Range | null>): PeerView[] {
  return views.map(view => {
    const target = stages.get(view.peer) ?? null
    return { ...view, stages: view.stages.filter(stage => target !== null && sameRange(stage, target)) }
  })
}

/** By id, one view per peer, so that every peer breaks ties alike. */
function sortedPeers(peers: readonly PeerView[]): PeerView[] {
  const byId = new Map(peers.map(view => [view.peer, view]))
  return [...byId.values()].sort((a, b) => (a.peer < b.peer ? -1 : 1))
}

/** A peer as the search sees it, or null when it can hold nothing. */
function tilerOf(view: PeerView, model: ModelShape, prices: ReadonlyMap<PeerId, number>): Tiler | null {
  if (view.leaving === true) return null
  if (view.pinned !== null && (view.isStuck === true || !canHold(view, model, view.pinned))) return null
  // A stage that a smaller budget no longer allows does not count as loaded.
  const loaded = view.stages.filter(stage => canHold(view, model, stage)).map(layersOf)
  if (view.isStuck === true && loaded.length === 0) return null
  const bound = loaded.length > 0 ? batteryWeakRatio : batteryWeakIdleRatio
  const weak = view.battery !== null && view.battery < bound
  const free = view.isStuck === true ? loaded : null
  const only = view.pinned === null ? free : [layersOf(view.pinned)]
  if (only === null && furthestEnds(view, model).every((end, start) => end === start || start === model.layers)) {
    return null
  }
  return { view, only, loaded, weak, hopMs: prices.get(view.peer)! }
}
