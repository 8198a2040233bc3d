/** The search for a tiling with the fewest hops: whether there is one at all. Exact for 16 peers. */
import { assert } from '../base/assert.ts'
import { hopSetsLargeMax, hopSetsMax, tilingPeersMax } from './limits.ts'
import { Tables, timesUsOf } from './tables.ts'
import { half, setOf, type Tile, type Tiler, type Tiling, uses } from './tiling.ts'
import type { ModelShape } from './view.ts'
import { sameRange, shapeAt, stageBytes } from './view.ts'

/** Who takes which end, in order: the first starts at layer 0. */
export type TilerOrder = readonly { readonly tiler: number; readonly end: number }[]

/**
 * A tiling with the fewest hops and at most `weakMax` weak peers; undefined when there is none. Exact up to
 * 16 peers. For each number of hops in turn it walks over sets of peers. Two facts keep them few: what fits in
 * a range fits in a part of it, so only the furthest border that a set reaches matters (and the starts of fixed
 * ranges); and where k others can each hold all that a peer can, k hops never need that peer.
 */
export function fewestHops(
  model: ModelShape,
  tilers: readonly Tiler[],
  weakMax = tilers.length
): TilerOrder | undefined {
  assert(tilers.length <= tilingPeersMax, 'a search weighs a bounded number of peers')
  const tables = new Tables(model, tilers, 'hops')
  const betters = tilers.map(
    (_, index) => tilers.filter((_, other) => other !== index && tables.holdsAllOf(other, index)).length
  )
  for (let hops = 1; hops <= tilers.length; hops++) {
    if (!tables.canFinish({ low: 0, high: 0, at: 0 }, hops, weakMax)) continue
    const found = tilingOf(hops, model, tilers, tables, weakMax, index => betters[index]! < hops)
    if (found !== undefined) return found
  }
  return undefined
}

interface Reach {
  readonly at: number
  readonly low: number
  readonly high: number
  readonly weak: number
  readonly tiler: number
  readonly before: Reach | null
}

/** A tiling of exactly `hops` peers among the admitted, or undefined. */
function tilingOf(
  hops: number,
  model: ModelShape,
  tilers: readonly Tiler[],
  tables: Tables,
  weakMax: number,
  admitted: (tiler: number) => boolean
): TilerOrder | undefined {
  const anchors = [...new Set(tilers.flatMap(tiler => (tiler.only ?? []).map(range => range.start)))]
    .filter(start => start > 0)
    .sort((a, b) => a - b)
  const admittedTilers = tilers.map((_, index) => index).filter(admitted)
  const limit = admittedTilers.length <= 16 ? hopSetsMax : hopSetsLargeMax
  let level: Reach[] = [{ at: 0, low: 0, high: 0, weak: 0, tiler: -1, before: null }]
  for (let hop = 1; hop <= hops; hop++) {
    // Per set of peers, and per stretch up to and with a start of a fixed range, only the furthest border counts.
    const next = new Map<number, Reach>()
    for (const reach of level) {
      for (const tiler of admittedTilers) {
        if (uses(reach, tiler)) continue
        const twin = tables.twins[tiler]!
        if (twin >= 0 && !uses(reach, twin)) continue
        const weak = reach.weak + (tilers[tiler]!.weak ? 1 : 0)
        if (weak > weakMax) continue
        const ends = tables.ends[tiler]![reach.at]!
        const furthest = ends[0]
        if (furthest === undefined) continue
        const free = tilers[tiler]!.only === null
        const low = tiler < half ? reach.low | (1 << tiler) : reach.low
        const high = tiler < half ? reach.high : reach.high | (1 << (tiler - half))
        for (const at of free ? (anchors.length > 0 ? [furthest, ...anchors] : [furthest]) : ends) {
          if (at <= reach.at || at > furthest) continue
          const made: Reach = { at, low, high, weak, tiler, before: reach }
          if (at === model.layers) return orderOf(made)
          if (!tables.canFinish(made, hops - hop, weakMax - weak)) continue
          let stretch = 0
          while (stretch < anchors.length && anchors[stretch]! < at) stretch++
          const key = setOf(made) * (anchors.length + 1) + stretch
          const known = next.get(key)
          if (known === undefined || known.at < at) next.set(key, made)
        }
      }
    }
    level = [...next.values()]
    if (level.length > limit) level = level.sort((a, b) => b.at - a.at || setOf(a) - setOf(b)).slice(0, limit)
  }
  return undefined
}

function orderOf(last: Reach): TilerOrder {
  const order: { tiler: number; end: number }[] = []
  for (let reach = last; reach.before !== null; reach = reach.before) order.push({ tiler: reach.tiler, end: reach.at })
  return order.reverse()
}

/** The tiling of {@link fewestHops} with its costs: what is used when no other search finds one. */
export function plainTiling(model: ModelShape, tilers: readonly Tiler[], order: TilerOrder): Tiling {
  const tiles: Tile[] = []
  let weak = 0
  let timeUs = 0
  let newBytes = 0
  let start = 0
  for (const { tiler: index, end } of order) {
    const tiler = tilers[index]!
    tiles.push({ start, end, view: tiler.view })
    if (tiler.weak) weak++
    timeUs += timesUsOf(tiler, model)[end - start]!
    const isLoaded = tiler.loaded.some(range => sameRange(range, { start, end }))
    if (!isLoaded) newBytes += stageBytes(shapeAt(tiler.view, model), { start, end })
    start = end
  }
  return { tiles, penalty: 0, weak, hops: tiles.length, timeUs, newBytes }
}
