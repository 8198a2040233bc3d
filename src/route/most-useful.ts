/** Which peers one search for a tiling weighs, where there are more than it can. */
import { stageMs } from './cost.ts'
import { tilingPeersMax } from './limits.ts'
import { furthestEnds } from './tables.ts'
import type { Tiler } from './tiling.ts'
import type { ModelShape } from './view.ts'

/** At most as many peers as one search weighs: those that serve the fastest way now, those that hold most, the fast. */
export function mostUseful(tilers: readonly Tiler[], model: ModelShape): readonly Tiler[] {
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
