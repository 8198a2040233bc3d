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

/**
 * The tiling that serves: the loaded stages with idle peers where they help, unless a plan that also moves
 * loaded peers wins by the margin and can be reached without a pause. Where nothing covers the model yet,
 * the one that loads the fewest bytes: it is there soonest.
 */
export function primaryTiling({ views, all, model, policy, tilings }: PrimaryInit): Tiling {
  const tilers = mostUseful(all, model)
  const anyLoaded = tilers.some(tiler => tiler.loaded.length > 0)
  const fixed = tilers.map(tiler => (tiler.loaded.length > 0 ? { ...tiler, only: tiler.loaded } : tiler))
  // Where what is loaded leaves a gap that nobody idle can fill, somebody loaded must move: those with the least to load.
  const least =
    (anyLoaded ? soonestTiling(tilings, model, fixed, 'speed') : undefined) ??
    soonestTiling(tilings, model, tilers, anyLoaded ? 'bytes' : 'speed')
  if (least !== undefined) {
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
  const gaps: Bridge[] = []
  for (let start = 0; start < model.layers; start++) {
    for (let end = start + 1; end <= model.layers; end++) {
      gaps.push({ start, end, penalty: stageBytes(model, { start, end }) })
    }
  }
  const partial = tilings.leanest({ model, tilers, bridges: gaps })
  // The gap over all layers is always a tiling.
  return partial!
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
