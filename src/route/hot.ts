/**
 * Copies of stages by load. A stage at whose copies steps always wait sets the pace of the whole model: then a peer whose own stage
 * others serve as well copies that one instead, if what the slowest stretch of layers can give grows by the margin of all moves
 * (so the same peers are never moved in a circle). Where load has brought copies and has gone for long, they even out again. Both
 * follow from what records say, so every peer finds the same move, one at a time. Petals adds up what servers give per block and moves
 * one where the least of that would gain a quarter; there every server looks at itself, in its own time. Pure.
 */
import type { PeerId, Range } from '../base/ids.ts'
import { stageMs } from './cost.ts'
import { coverageOf, distinct, taken } from './coverage.ts'
import { coolSteps, hopMarginRatio, hotSteps } from './limits.ts'
import type { Tiler } from './tiling.ts'
import { canHold, type ModelShape, type PeerView, sameRange } from './view.ts'

/** Whoever says that its stage takes no time gives no more than this. */
const rateMsMin = 0.01

const none: Range = { start: -1, end: -1 }

/** One stage of a plan with all of its copies. */
interface Copies {
  readonly range: Range
  readonly count: number
  /** Steps at a time at all copies together, lately; undefined where one of them does not say, or does not serve yet. */
  readonly load: number | undefined
  /** The most of that for some minutes. */
  readonly peak: number | undefined
}

export interface LoadMove {
  readonly peer: PeerId
  readonly range: Range
}

interface MovesInit {
  readonly tilers: readonly Tiler[]
  /** The plan so far. */
  readonly stages: ReadonlyMap<PeerId, Range | null>
  /** Peers of the way that serves fastest. */
  readonly fixed: ReadonlySet<PeerId>
  readonly model: ModelShape
  /** Copies of each layer that come before any load. */
  readonly copies: number
  /** What the slowest layers must gain by a move, as a share of what they can give. */
  readonly marginRatio: number
}

/** Steps at a time that each copy of a planned stage has, from {@link hotSteps} on; 0 for one that has fewer or does not say. */
export function heatOf(range: Range, views: readonly PeerView[], stages: ReadonlyMap<PeerId, Range | null>): number {
  const { count, load = 0 } = copiesOf(range, views, stages, { soon: true })
  const each = load / Math.max(1, count)
  return each >= hotSteps ? each : 0
}

/** The one peer that would do better with another stage than with the one that it has, or undefined. */
export function moveByLoad(init: MovesInit): LoadMove | undefined {
  const { tilers, stages } = init
  const views = tilers.map(({ view }) => view)
  const all = distinct(taken(stages)).map(range => copiesOf(range, views, stages))
  return hotMove(init, all) ?? coolMove(init, all)
}

/** To the stage with the longest queue per copy, from wherever its layers gain the most by it. */
function hotMove(init: MovesInit, all: readonly Copies[]): LoadMove | undefined {
  const { tilers, stages, model, marginRatio } = init
  const each = ({ load = 0, count }: Copies): number => load / count
  const hot = all.filter(copies => each(copies) >= hotSteps).sort((a, b) => each(b) - each(a) || byRange(a, b))
  const views = tilers.map(({ view }) => view)
  const before = givenBy(views, stages, model)
  for (const { range } of hot) {
    const needed = Math.min(...before.slice(range.start, range.end)) * (1 + marginRatio)
    for (const { range: from, load, count } of all) {
      if (load === undefined || count < 2 || sameRange(from, range)) continue
      const peer = moverOf(init, from, range)
      if (peer === undefined) continue
      const after = givenBy(views, new Map(stages).set(peer, range), model)
      if (Math.min(...after) >= needed) return { peer, range }
    }
  }
  return undefined
}

/** [layers] tokens per ms that the copies of a plan can give together. */
function givenBy(views: readonly PeerView[], stages: ReadonlyMap<PeerId, Range | null>, model: ModelShape): number[] {
  const given = new Array<number>(model.layers).fill(0)
  for (const view of views) {
    const stage = stages.get(view.peer) ?? null
    if (stage === null) continue
    const rate = 1 / Math.max(stageMs(view, stage.end - stage.start), rateMsMin)
    for (let layer = stage.start; layer < stage.end; layer++) given[layer]! += rate
  }
  return given
}

/** From a stage with more copies than its load asks for, to one with at least two fewer. */
function coolMove(init: MovesInit, all: readonly Copies[]): LoadMove | undefined {
  const isCool = ({ peak, count }: Copies): boolean => peak !== undefined && peak / (count - 1) < coolSteps
  const sources = all
    .filter(copies => copies.count > 2 && isCool(copies))
    .sort((a, b) => b.count - a.count || byRange(a, b))
  const targets = all.toSorted((a, b) => a.count - b.count || byRange(a, b))
  for (const from of sources) {
    for (const to of targets) {
      if (to.count > from.count - 2) break
      const mover = moverOf(init, from.range, to.range)
      if (mover !== undefined) return { peer: mover, range: to.range }
    }
  }
  return undefined
}

/** Who may go from one stage to another: the fastest there, of those that nobody needs where they are. */
function moverOf({ tilers, stages, fixed, model, copies }: MovesInit, from: Range, to: Range): PeerId | undefined {
  const before = coverageOf(taken(stages), model)
  const after = before.map((count, layer) => count - (holds(from, layer) ? 1 : 0) + (holds(to, layer) ? 1 : 0))
  const enough = (coverage: readonly number[]): number =>
    coverage.reduce((sum, count) => sum + Math.min(count, copies), 0)
  // Two copies of every layer come before any load.
  if (after.some(count => count < 1) || enough(after) < enough(before)) return undefined
  const here = tilers
    .filter(({ view, weak }) => !weak && sameRange(stages.get(view.peer) ?? none, from))
    .map(({ view, only }) => ({ view, only, ms: stageMs(view, from.end - from.start) }))
  // The way that serves fastest stays as fast: who is on it may go where another one is as good.
  const isFree = ({ peer }: PeerView, ms: number): boolean =>
    !fixed.has(peer) || here.some(other => other.view.peer !== peer && other.ms <= ms * (1 + hopMarginRatio))
  const layers = to.end - to.start
  return here
    .filter(({ view, only, ms }) => only === null && isFree(view, ms) && canHold(view, model, to))
    .map(({ view }) => view)
    .sort((a, b) => stageMs(a, layers) - stageMs(b, layers) || (a.peer < b.peer ? -1 : 1))[0]?.peer
}

/** @param options.soon copies that do not serve yet count, too, as ones that share the load */
function copiesOf(
  range: Range,
  views: readonly PeerView[],
  stages: ReadonlyMap<PeerId, Range | null>,
  { soon = false }: { soon?: boolean } = {}
): Copies {
  let count = 0
  let load: number | undefined = 0
  let peak: number | undefined = 0
  for (const view of views) {
    const target = stages.get(view.peer) ?? null
    if (target === null || !sameRange(target, range)) continue
    count++
    const stage = view.stages.find(each => each.serving && sameRange(each, range))
    if (stage === undefined && soon) continue
    load = load === undefined || stage?.load === undefined ? undefined : load + stage.load
    peak = peak === undefined || stage?.peak === undefined ? undefined : peak + stage.peak
  }
  return { range, count, load, peak }
}

function holds({ start, end }: Range, layer: number): boolean {
  return layer >= start && layer < end
}

function byRange({ range: a }: Copies, { range: b }: Copies): number {
  return a.start - b.start || a.end - b.end
}
