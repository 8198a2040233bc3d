/** What the peers do that the first tiling of a plan leaves: they keep stages, cover layers again, and copy stages. */
import type { PeerId, Range } from '../base/ids.ts'
import { coverageOf, distinct, taken, usefulRanges } from './coverage.ts'
import { heatOf } from './hot.ts'
import { mostUseful } from './most-useful.ts'
import type { PlacePolicy } from './policy.ts'
import { layersOf, type Tiler } from './tiling.ts'
import type { Tilings } from './tilings.ts'
import type { ModelShape } from './view.ts'
import { canHold, sameRange } from './view.ts'

/** Who may cover layers again, and how often. */
interface Covering {
  readonly tilers: readonly Tiler[]
  readonly model: ModelShape
  readonly policy: PlacePolicy
  readonly tilings: Tilings
}

/** Peers that are left keep a stage that lies on some whole route of planned and loaded stages. */
export function keepLoaded(rest: readonly Tiler[], stages: Map<PeerId, Range | null>, model: ModelShape): void {
  const loaded = rest.filter(tiler => !tiler.weak).flatMap(tiler => tiler.loaded)
  const useful = usefulRanges([...taken(stages), ...loaded], model)
  for (const { view, loaded: own, weak } of rest) {
    const kept = own.findLast(stage => useful.some(range => sameRange(range, stage)))
    if (kept !== undefined && !weak) stages.set(view.peer, kept)
  }
}

/** While some layer lacks copies, stages whose layers all have more than enough are free to move there. Says if some are. */
export function releaseSurplus(
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
export function coverLacking({ tilers, model, policy, tilings }: Covering, stages: Map<PeerId, Range | null>): void {
  for (let round = 1; round < policy.copies; round++) {
    const candidates = mostUseful(idleOf(tilers, stages), model)
    const coverage = coverageOf(taken(stages), model)
    if (candidates.length === 0 || Math.min(...coverage) >= policy.copies) break
    const bridges = distinct(taken(stages)).map(stage => ({
      ...stage,
      penalty: coverage.slice(stage.start, stage.end).filter(copies => copies < policy.copies).length
    }))
    const again = tilings.leanest({ model, tilers: candidates, bridges })
    for (const tile of again?.tiles ?? []) if (tile.view !== null) stages.set(tile.view.peer, layersOf(tile))
    if (again === undefined || again.tiles.every(tile => tile.view === null)) break
  }
}

/**
 * Where some layer still lacks copies, those who are left give up the stages that they have if others in their place leave
 * fewer layers without: a second way of other borders than the first one's can end short of the model's end, with nobody
 * free to go on. Fewer each time, so this comes to rest.
 */
export function coverAnew(covering: Covering, rest: readonly Tiler[], stages: Map<PeerId, Range | null>): void {
  const { model, policy } = covering
  const lacking = (plan: ReadonlyMap<PeerId, Range | null>): number => {
    return coverageOf(taken(plan), model).reduce((sum, copies) => sum + Math.max(0, policy.copies - copies), 0)
  }
  const before = lacking(stages)
  if (before === 0) return
  const anew = new Map(stages)
  for (const { view, weak } of rest) if (!weak) anew.set(view.peer, null)
  coverLacking(covering, anew)
  if (lacking(anew) >= before) return
  for (const { view } of rest) stages.set(view.peer, anew.get(view.peer)!)
}

function idleOf(tilers: readonly Tiler[], stages: ReadonlyMap<PeerId, Range | null>): Tiler[] {
  return tilers.filter(({ view, weak }) => !weak && stages.get(view.peer) === null)
}

/** Whoever has nothing then copies the planned stage at which most steps wait, else the one that is covered least. */
export function copyLeast(tilers: readonly Tiler[], stages: Map<PeerId, Range | null>, model: ModelShape): void {
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
