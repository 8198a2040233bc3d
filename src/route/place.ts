/**
 * Placement: who loads which layers. A pure function that every peer computes from what it knows and
 * follows for its own part; there is no leader. It covers every layer first, then moves serving peers only
 * for a clear win, then covers layers a second time with the peers that are left.
 */
import type { PeerId, Range } from '../base/ids.ts'
import {
  batteryWeakIdleRatio,
  batteryWeakRatio,
  flightMoveRatio,
  moveMarginRatio,
  placementCopies,
  tilingPeersMax
} from './limits.ts'
import { hopPrices, stageMs } from './cost.ts'
import { coverageOf, distinct, taken, usefulRanges } from './coverage.ts'
import { isFeasible } from './feasible.ts'
import { fastestTiling, weighedUs } from './fastest.ts'
import { heatOf, type LoadMove, moveByLoad } from './hot.ts'
import { longestTiling, tilingFlight } from './lasting.ts'
import { isServed } from './route.ts'
import type { Bridge, Tiler, Tiling } from './tiling.ts'
import { fewestHops, plainTiling } from './fewest-hops.ts'
import { leanestTiling } from './leanest.ts'
import { furthestEnds } from './tables.ts'
import type { ModelShape, PeerView } from './view.ts'
import { canHold, heldOnly, sameRange, stageBytes } from './view.ts'

/** What placement weighs. Every peer of a swarm must use the same. */
export interface PlacePolicy {
  /** Predicted time per token that a plan must win, as a share, before it moves serving peers. */
  readonly moveMarginRatio: number
  /** What a plan must lengthen the flight by, as a factor, before it moves them for that. */
  readonly flightMoveRatio: number
  /** How often to cover each layer where budgets allow, before peers that are left simply copy stages. */
  readonly copies: number
  /** Whether copies follow load. */
  readonly byLoad: boolean
}

export const defaultPolicy: PlacePolicy = { moveMarginRatio, flightMoveRatio, copies: placementCopies, byLoad: true }

/** What the budgets lack. */
export interface Missing {
  /** Layers that no stage of the plan holds. */
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

/** Who loads what, from one peer's view of the swarm. The order of `peers` does not matter. */
export function place(peers: readonly PeerView[], model: ModelShape, policy: PlacePolicy = defaultPolicy): Plan {
  const sorted = sortedPeers(peers)
  const stages = new Map<PeerId, Range | null>(sorted.map(view => [view.peer, null]))
  const prices = hopPrices(sorted, model)
  const tilers = sorted.map(view => tilerOf(view, model, prices)).filter(tiler => tiler !== null)
  const whole: Range = { start: 0, end: model.layers }

  // A person's word is a fact: a pinned peer loads its layers whatever the plan is.
  for (const { view } of tilers) if (view.pinned !== null) stages.set(view.peer, view.pinned)
  const primary = primaryTiling(sorted, tilers, model, policy)
  for (const tile of primary.tiles) if (tile.view !== null) stages.set(tile.view.peer, range(tile))
  // Who can hold the whole model and is not needed for a part covers it again without the network, unless it would
  // have to stop serving a part that somebody needs.
  for (const { view, only, weak } of tilers) {
    if (only !== null || weak || stages.get(view.peer) !== null || !canHold(view, model, whole)) continue
    const moved = new Map(stages).set(view.peer, whole)
    if (isFeasible(sorted, moved, model)) stages.set(view.peer, whole)
  }

  const gaps = primary.tiles.filter(tile => tile.view === null).map(range)
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
    coverLacking(tilers, stages, model, policy)
    if (!isMoving) {
      if (releaseSurplus(rest, stages, model, policy)) coverLacking(tilers, stages, model, policy)
      coverAnew(rest, tilers, stages, model, policy)
    }
    copyLeast(tilers, stages, model)
    if (!isMoving && policy.byLoad) {
      const fixed = new Set(primary.tiles.flatMap(({ view }) => view?.peer ?? []))
      const { copies, moveMarginRatio: marginRatio } = policy
      const move = moveByLoad({ tilers, stages, fixed, model, copies, marginRatio })
      if (move !== undefined && isLasting(move, sorted, stages, model, policy)) stages.set(move.peer, move.range)
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
  policy: PlacePolicy
): boolean {
  if (!isFeasible(views, new Map(stages).set(peer, to), model)) return false
  const after = views.map(view => {
    const target = view.peer === peer ? to : (stages.get(view.peer) ?? null)
    return { ...view, stages: target === null ? [] : [{ ...target, serving: true }] }
  })
  const next = place(after, model, { ...policy, byLoad: false }).stages.get(peer) ?? null
  return next !== null && sameRange(next, to)
}

function range({ start, end }: Range): Range {
  return { start, end }
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
  const loaded = view.stages.filter(stage => canHold(view, model, stage)).map(range)
  if (view.isStuck === true && loaded.length === 0) return null
  const bound = loaded.length > 0 ? batteryWeakRatio : batteryWeakIdleRatio
  const weak = view.battery !== null && view.battery < bound
  const free = view.isStuck === true ? loaded : null
  const only = view.pinned === null ? free : [range(view.pinned)]
  if (only === null && furthestEnds(view, model).every((end, start) => end === start || start === model.layers)) {
    return null
  }
  return { view, only, loaded, weak, hopMs: prices.get(view.peer)! }
}

/**
 * The tiling that serves: the loaded stages with idle peers where they help, unless a plan that also moves
 * loaded peers wins by the margin and can be reached without a pause. Where nothing covers the model yet,
 * the one that loads the fewest bytes: it is there soonest.
 */
function primaryTiling(
  views: readonly PeerView[],
  all: readonly Tiler[],
  model: ModelShape,
  policy: PlacePolicy
): Tiling {
  const tilers = mostUseful(all, model)
  const anyLoaded = tilers.some(tiler => tiler.loaded.length > 0)
  const fixed = tilers.map(tiler => (tiler.loaded.length > 0 ? { ...tiler, only: tiler.loaded } : tiler))
  // Where what is loaded leaves a gap that nobody idle can fill, somebody loaded must move: those with the least to load.
  const least =
    (anyLoaded ? soonestTiling(model, fixed, 'speed') : undefined) ??
    soonestTiling(model, tilers, anyLoaded ? 'bytes' : 'speed')
  if (least !== undefined) {
    if (!anyLoaded) return longestTiling(model, tilers, least)
    // While a model is still being made whole, nobody moves for more than that.
    if (!isServed(views, model)) return least
    // It is asked in both cases: who has dropped its stage to make room must find the same plan as before it did.
    const faster = fasterTiling(model, tilers, least, policy)
    const moved = faster ?? longerTiling(model, tilers, least, policy)
    if (moved === undefined) return least
    const stages = new Map<PeerId, Range>()
    for (const tile of moved.tiles) if (tile.view !== null) stages.set(tile.view.peer, range(tile))
    // For a longer flight nobody drops a stage first: the flight of what is left would be another, and the plan with it.
    return isFeasible(views, stages, model, faster === undefined) ? moved : least
  }
  const gaps: Bridge[] = []
  for (let start = 0; start < model.layers; start++) {
    for (let end = start + 1; end <= model.layers; end++) {
      gaps.push({ start, end, penalty: stageBytes(model, { start, end }) })
    }
  }
  const partial = leanestTiling({ model, tilers, bridges: gaps })
  // The gap over all layers is always a tiling.
  return partial!
}

/** A tiling that moves serving peers and is worth it: fewer weak peers or clearly less time. */
function fasterTiling(
  model: ModelShape,
  tilers: readonly Tiler[],
  kept: Tiling,
  { moveMarginRatio }: PlacePolicy
): Tiling | undefined {
  // Nothing slower than this is of use, unless it has fewer weak peers.
  const atMostUs = weighedUs(kept) * (1 - moveMarginRatio)
  const moved = fullTiling(model, tilers, 'speed', kept.weak > 0 ? undefined : atMostUs)
  if (moved === undefined || moved.weak > kept.weak) return undefined
  return moved.weak < kept.weak || weighedUs(moved) <= atMostUs ? longestTiling(model, tilers, moved) : undefined
}

/** A tiling that moves serving peers and is worth it: a clearly longer flight and nearly the least time. */
function longerTiling(
  model: ModelShape,
  tilers: readonly Tiler[],
  kept: Tiling,
  { flightMoveRatio }: PlacePolicy
): Tiling | undefined {
  if (!tilers.some(({ view, weak }) => view.battery !== null && !weak)) return undefined
  const fastest = fullTiling(model, tilers, 'speed')
  if (fastest === undefined || fastest.weak !== kept.weak) return undefined
  const tokenMs = fastest.timeUs / 1000
  const least = tilingFlight(kept, tokenMs, model) * flightMoveRatio
  const longer = longestTiling(model, tilers, fastest, least)
  return tilingFlight(longer, tokenMs, model) >= least && Number.isFinite(least) ? longer : undefined
}

/** A full tiling of what is on disk, where there is one: to fetch shards first would keep everybody waiting. */
function soonestTiling(model: ModelShape, tilers: readonly Tiler[], order: 'speed' | 'bytes'): Tiling | undefined {
  const fetching = tilers.some(({ view }) => view.obtainable !== undefined)
  const onDisk = fetching
    ? fullTiling(
        model,
        tilers.map(tiler => ({ ...tiler, view: heldOnly(tiler.view) })),
        order
      )
    : undefined
  return onDisk ?? fullTiling(model, tilers, order)
}

/**
 * The best tiling without gaps and with the fewest weak peers, or undefined.
 *
 * @param atMostUs none that is slower, as hops weigh it, is looked for.
 */
function fullTiling(
  model: ModelShape,
  tilers: readonly Tiler[],
  order: 'speed' | 'bytes',
  atMostUs?: number
): Tiling | undefined {
  const weakPeers = tilers.filter(tiler => tiler.weak).length
  for (let weakMax = 0; weakMax <= weakPeers; weakMax++) {
    const found =
      order === 'speed'
        ? fastestTiling(model, tilers, { weakMax, ...(atMostUs === undefined ? {} : { atMostUs }) })
        : leanestTiling({ model, tilers, weakMax })
    if (found !== undefined || atMostUs !== undefined) return found
    // Where budgets are so tight that the search has left out all that fits, this one finds it.
    const any = fewestHops(model, tilers, weakMax)
    if (any !== undefined) return plainTiling(model, tilers, any)
  }
  return undefined
}

/** At most as many peers as one search weighs: those that serve the fastest way now, those that hold most, the fast. */
function mostUseful(tilers: readonly Tiler[], model: ModelShape): readonly Tiler[] {
  if (tilers.length <= tilingPeersMax) return tilers
  const chosen = new Set(loadedWay(tilers, model))
  const reach = new Map(
    tilers.map(tiler => [
      tiler,
      furthestEnds(tiler.view, model).reduce((most, end, start) => Math.max(most, end - start), 0)
    ])
  )
  const byId = (a: Tiler, b: Tiler): number => (a.view.peer < b.view.peer ? -1 : 1)
  const largest = [...tilers].sort(
    (a, b) => Number(a.weak) - Number(b.weak) || reach.get(b)! - reach.get(a)! || byId(a, b)
  )
  const perLayerMs = ({ view, hopMs }: Tiler, layers: number): number => (stageMs(view, layers) + hopMs!) / layers
  const ranked = [...tilers].sort(
    (a, b) =>
      Number(a.weak) - Number(b.weak) || perLayerMs(a, reach.get(a)!) - perLayerMs(b, reach.get(b)!) || byId(a, b)
  )
  // A third of the places goes to who holds most, so that layers are covered; a third to who is fastest; a third to
  // an even choice among the rest: shards may be unevenly held.
  for (const tiler of largest) if (chosen.size < tilingPeersMax / 3) chosen.add(tiler)
  for (const tiler of ranked) if (chosen.size < (tilingPeersMax * 2) / 3) chosen.add(tiler)
  const others = ranked.filter(tiler => !chosen.has(tiler))
  const stride = Math.max(1, Math.ceil(others.length / (tilingPeersMax - chosen.size)))
  for (let index = 0; index < others.length && chosen.size < tilingPeersMax; index += stride) chosen.add(others[index]!)
  return tilers.filter(tiler => chosen.has(tiler))
}

/** The tilers of the fastest way over stages that are loaded; none when they leave a gap. */
function loadedWay(tilers: readonly Tiler[], model: ModelShape): Tiler[] {
  interface Way {
    readonly weak: number
    readonly ms: number
    readonly tilers: Tiler[]
  }
  const ways: (Way | undefined)[] = [{ weak: 0, ms: 0, tilers: [] }]
  const stages = tilers
    .flatMap(tiler => (tiler.only ?? tiler.loaded).map(stage => ({ tiler, ...stage })))
    .sort((a, b) => a.start - b.start)
  for (const { tiler, start, end } of stages) {
    const way = ways[start]
    if (way === undefined) continue
    const made: Way = {
      weak: way.weak + (tiler.weak ? 1 : 0),
      ms: way.ms + stageMs(tiler.view, end - start) + tiler.hopMs!,
      tilers: [...way.tilers, tiler]
    }
    const known = ways[end]
    if (known === undefined || (made.weak - known.weak || made.ms - known.ms) < 0) {
      ways[end] = made
    }
  }
  return ways[model.layers]?.tilers ?? []
}

/** Peers that are left keep a stage that lies on some whole route of planned and loaded stages. */
function keepLoaded(rest: readonly Tiler[], stages: Map<PeerId, Range | null>, model: ModelShape): void {
  const loaded = rest.filter(tiler => !tiler.weak).flatMap(tiler => tiler.loaded)
  const useful = usefulRanges([...taken(stages), ...loaded], model)
  for (const { view, loaded: own, weak } of rest) {
    const kept = own.findLast(stage => useful.some(range => sameRange(range, stage)))
    if (kept !== undefined && !weak) stages.set(view.peer, kept)
  }
}

/** While some layer lacks copies, stages whose layers all have more than enough are free to move there. Says if some are. */
function releaseSurplus(
  rest: readonly Tiler[],
  stages: Map<PeerId, Range | null>,
  model: ModelShape,
  policy: PlacePolicy
): boolean {
  const coverage = coverageOf(taken(stages), model)
  let released = false
  if (Math.min(...coverage) >= policy.copies) return released
  for (const { view } of rest) {
    const stage = stages.get(view.peer) ?? null
    if (stage === null || coverage.slice(stage.start, stage.end).some(copies => copies <= policy.copies)) continue
    stages.set(view.peer, null)
    released = true
    for (let layer = stage.start; layer < stage.end; layer++) coverage[layer]!--
  }
  return released
}

/**
 * Idle peers cover layers again that lack copies. Their stages must meet the borders of others to be of use, so a search
 * tiles [0, L) with new stages where they can and planned ones elsewhere.
 */
function coverLacking(
  tilers: readonly Tiler[],
  stages: Map<PeerId, Range | null>,
  model: ModelShape,
  policy: PlacePolicy
): void {
  for (let round = 1; round < policy.copies; round++) {
    const candidates = mostUseful(idleOf(tilers, stages), model)
    const coverage = coverageOf(taken(stages), model)
    if (candidates.length === 0 || Math.min(...coverage) >= policy.copies) break
    const bridges = distinct(taken(stages)).map(stage => ({
      ...stage,
      penalty: coverage.slice(stage.start, stage.end).filter(copies => copies < policy.copies).length
    }))
    const again = leanestTiling({ model, tilers: candidates, bridges })
    for (const tile of again?.tiles ?? []) if (tile.view !== null) stages.set(tile.view.peer, range(tile))
    if (again === undefined || again.tiles.every(tile => tile.view === null)) break
  }
}

/**
 * Where some layer still lacks copies, those who are left give up the stages that they have if others in their place leave
 * fewer layers without: a second way of other borders than the first one's can end short of the model's end, with nobody
 * free to go on. Fewer each time, so this comes to rest.
 */
function coverAnew(
  rest: readonly Tiler[],
  tilers: readonly Tiler[],
  stages: Map<PeerId, Range | null>,
  model: ModelShape,
  policy: PlacePolicy
): void {
  const lacking = (plan: ReadonlyMap<PeerId, Range | null>): number => {
    return coverageOf(taken(plan), model).reduce((sum, copies) => sum + Math.max(0, policy.copies - copies), 0)
  }
  const before = lacking(stages)
  if (before === 0) return
  const anew = new Map(stages)
  for (const { view, weak } of rest) if (!weak) anew.set(view.peer, null)
  coverLacking(tilers, anew, model, policy)
  if (lacking(anew) >= before) return
  for (const { view } of rest) stages.set(view.peer, anew.get(view.peer)!)
}

function idleOf(tilers: readonly Tiler[], stages: ReadonlyMap<PeerId, Range | null>): Tiler[] {
  return tilers.filter(({ view, weak }) => !weak && stages.get(view.peer) === null)
}

/** Whoever has nothing then copies the planned stage at which most steps wait, else the one that is covered least. */
function copyLeast(tilers: readonly Tiler[], stages: Map<PeerId, Range | null>, model: ModelShape): void {
  const views = tilers.map(({ view }) => view)
  // Large peers first: the small ones have less choice, but the large spans have fewer takers.
  const left = idleOf(tilers, stages)
    .filter(({ loaded }) => loaded.length === 0)
    .sort((a, b) => b.view.budgetBytes - a.view.budgetBytes || (a.view.peer < b.view.peer ? -1 : 1))
  for (const { view, only } of left) {
    if (only !== null) continue
    const coverage = coverageOf(taken(stages), model)
    const least = (stage: Range) => Math.min(...coverage.slice(stage.start, stage.end))
    const heat = (stage: Range) => heatOf(stage, views, stages)
    const choice = usefulRanges(distinct(taken(stages)), model)
      .filter(stage => canHold(view, model, stage))
      .sort(
        (a, b) => heat(b) - heat(a) || least(a) - least(b) || b.end - b.start - (a.end - a.start) || a.start - b.start
      )[0]
    if (choice !== undefined) stages.set(view.peer, choice)
  }
}
