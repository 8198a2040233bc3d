/** The first tiling of a plan: the one that serves. */
import type { PeerId, Range } from '../base/ids.ts'
import { isFeasible } from './feasible.ts'
import { weighedUs } from './fastest.ts'
import { fewestHops, plainTiling } from './fewest-hops.ts'
import { longestTiling, tilingFlight } from './lasting.ts'
import { mostUseful } from './most-useful.ts'
import type { PlacePolicy } from './policy.ts'
import { isServed } from './route.ts'
import { type Bridge, layersOf, type Tiler, type Tiling } from './tiling.ts'
import type { Tilings } from './tilings.ts'
import type { ModelShape, PeerView } from './view.ts'
import { heldOnly, holdsAllObtainable, stageBytes } from './view.ts'

interface PrimaryInit {
  readonly views: readonly PeerView[]
  readonly all: readonly Tiler[]
  readonly model: ModelShape
  readonly policy: PlacePolicy
  readonly tilings: Tilings
}

/** What {@link primaryTiling} finds. */
export interface Primary {
  readonly tiling: Tiling
  /** Layers for which the budgets do not suffice. */
  readonly gaps: readonly Range[]
}

/**
 * The tiling that serves: the loaded stages with idle peers where they help, unless a plan that also moves
 * loaded peers wins by the margin and can be reached without a pause. Where nothing covers the model yet,
 * the one that loads the fewest bytes: it is there soonest. Where the budgets cannot cover it, whoever has loaded
 * stays.
 */
export function primaryTiling(init: PrimaryInit): Primary {
  const tilers = mostUseful(init.all, init.model)
  const tiling = wholeTiling(init, tilers)
  return tiling === undefined ? partialTiling(init, tilers) : { tiling, gaps: [] }
}

/** The tiling without gaps; undefined where the budgets do not suffice for one. */
function wholeTiling(init: PrimaryInit, tilers: readonly Tiler[]): Tiling | undefined {
  const { views, model, policy, tilings } = init
  const anyLoaded = tilers.some(tiler => tiler.loaded.length > 0)
  // Where what is loaded leaves a gap that nobody idle can fill, somebody loaded must move: those with the least to load.
  const least =
    (anyLoaded ? soonestTiling(tilings, model, staying(tilers), 'speed') : undefined) ??
    soonestTiling(tilings, model, tilers, anyLoaded ? 'bytes' : 'speed')
  if (least === undefined) return undefined
  if (!anyLoaded) return longestTiling(model, tilers, least)
  // While a model is still being made whole, nobody moves for more than that.
  if (!isServed(views, model)) return least
  // It is asked in both cases: who has dropped its stage to make room must find the same plan as before it did.
  const faster = fasterTiling(tilings, model, tilers, least, policy)
  const moved = faster ?? longerTiling(tilings, model, tilers, least, policy)
  if (moved === undefined) return least
  const stages = new Map<PeerId, Range>()
  for (const tile of moved.tiles) if (tile.view !== null) stages.set(tile.view.peer, layersOf(tile))
  // For a longer flight nobody drops a stage first: the flight of what is left would be another, and the plan with it.
  return isFeasible(views, stages, model, faster === undefined) ? moved : least
}

/**
 * What there is of a model for which the budgets do not suffice. No move makes it answer, and a peer that does not hear the
 * others for some seconds sees just that: if it then moved to where a few bytes less are missing, the layers that it leaves
 * would be missing when it hears them again. What is said to be missing is what the best choice of stages would leave, where
 * that is clearly less.
 */
function partialTiling({ model, policy, tilings }: PrimaryInit, tilers: readonly Tiler[]): Primary {
  const bridges: Bridge[] = []
  for (let start = 0; start < model.layers; start++) {
    for (let end = start + 1; end <= model.layers; end++) {
      bridges.push({ start, end, penalty: stageBytes(model, { start, end }) })
    }
  }
  // The gap over all layers is always a tiling.
  const tiling = tilings.leanest({ model, tilers: staying(tilers), bridges })!
  const least = tilings.leanest({ model, tilers, bridges })!
  const lacking = least.penalty < tiling.penalty * (1 - policy.moveMarginRatio) ? least : tiling
  return { tiling, gaps: lacking.tiles.filter(tile => tile.view === null).map(layersOf) }
}

/** The peers, those who have loaded something with nothing else to choose; a person's word is a fact. */
function staying(tilers: readonly Tiler[]): readonly Tiler[] {
  return tilers.map(tiler =>
    tiler.loaded.length > 0 && tiler.view.pinned === null ? { ...tiler, only: tiler.loaded } : tiler
  )
}

/** A tiling that moves serving peers and is worth it: fewer weak peers or clearly less time. */
function fasterTiling(
  tilings: Tilings,
  model: ModelShape,
  tilers: readonly Tiler[],
  kept: Tiling,
  { moveMarginRatio }: PlacePolicy
): Tiling | undefined {
  // Nothing slower than this is of use, unless it has fewer weak peers.
  const atMostUs = weighedUs(kept) * (1 - moveMarginRatio)
  const moved = fullTiling(tilings, model, tilers, 'speed', kept.weak > 0 ? undefined : atMostUs)
  if (moved === undefined || moved.weak > kept.weak) return undefined
  return moved.weak < kept.weak || weighedUs(moved) <= atMostUs ? longestTiling(model, tilers, moved) : undefined
}

/** A tiling that moves serving peers and is worth it: a clearly longer flight and nearly the least time. */
function longerTiling(
  tilings: Tilings,
  model: ModelShape,
  tilers: readonly Tiler[],
  kept: Tiling,
  { flightMoveRatio }: PlacePolicy
): Tiling | undefined {
  if (!tilers.some(({ view, weak }) => view.battery !== null && !weak)) return undefined
  const fastest = fullTiling(tilings, model, tilers, 'speed')
  if (fastest === undefined || fastest.weak !== kept.weak) return undefined
  const tokenMs = fastest.timeUs / 1000
  const least = tilingFlight(kept, tokenMs, model) * flightMoveRatio
  const longer = longestTiling(model, tilers, fastest, least)
  return tilingFlight(longer, tokenMs, model) >= least && Number.isFinite(least) ? longer : undefined
}

/** A full tiling of what is on disk, where there is one: to fetch shards first would keep everybody waiting. */
function soonestTiling(
  tilings: Tilings,
  model: ModelShape,
  tilers: readonly Tiler[],
  order: 'speed' | 'bytes'
): Tiling | undefined {
  // Where everybody has all that others could give, there is one question.
  if (tilers.every(({ view }) => holdsAllObtainable(view))) return fullTiling(tilings, model, tilers, order)
  const onDisk = tilers.map(tiler => ({ ...tiler, view: heldOnly(tiler.view) }))
  return fullTiling(tilings, model, onDisk, order) ?? fullTiling(tilings, model, tilers, order)
}

/**
 * The best tiling without gaps and with the fewest weak peers, or undefined.
 *
 * @param atMostUs none that is slower, as hops weigh it, is looked for.
 */
function fullTiling(
  tilings: Tilings,
  model: ModelShape,
  tilers: readonly Tiler[],
  order: 'speed' | 'bytes',
  atMostUs?: number
): Tiling | undefined {
  const weakPeers = tilers.filter(tiler => tiler.weak).length
  for (let weakMax = 0; weakMax <= weakPeers; weakMax++) {
    const found =
      order === 'speed'
        ? tilings.fastest(model, tilers, { weakMax, ...(atMostUs === undefined ? {} : { atMostUs }) })
        : tilings.leanest({ model, tilers, weakMax })
    if (found !== undefined || atMostUs !== undefined) return found
    // Where budgets are so tight that the search has left out all that fits, this one finds it.
    const any = fewestHops(model, tilers, weakMax)
    if (any !== undefined) return plainTiling(model, tilers, any)
  }
  return undefined
}
