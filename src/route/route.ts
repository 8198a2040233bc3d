/**
 * Routing: which stages answer one session. Stages run whole, so a route is a chain of serving stages that
 * lie end to end over [0, L): neighbours that reach each other first, then one numeric class, then least predicted time. More
 * hops must win by a margin.
 */
import type { PeerId, Range } from '../base/ids.ts'
import { hopsMax } from '../limits.ts'
import { flightSlackRatio, routeVariantsMax, sessionShare } from './limits.ts'
import type { LinkLookup } from './cost.ts'
import { hiddenMs, hopWeight, stageMs, turnMs } from './cost.ts'
import { flightOf } from './energy.ts'
import { areApart, type Hop, type ModelShape, type PeerView, viewsWithout, type Without } from './view.ts'

/** What the chooser knows beyond the announced views. */
export interface RouteOptions {
  /** The driver: the sampled token comes back to it, and the next step starts there. */
  readonly from: PeerId
  /** Peers that must not be on the route: lost, or blamed by this session. */
  readonly excluded?: Without
  /**
   * The chooser's own running sessions per peer. They count at once, on top of what peers announce: a router
   * that waits for announcements sends a whole burst the same way (Parallax, pull request 344).
   */
  readonly inflight?: ReadonlyMap<PeerId, number>
  readonly links?: LinkLookup
  /** Class that the session began with: routes of it win over others (promise P3). */
  readonly numericClass?: string
  /**
   * [layers] class of each layer on the session's first route. A route that keeps them all wins over any other, however
   * many hops it has: only it continues the answer bit by bit. Where there is none, the usual order counts.
   */
  readonly layerClasses?: readonly string[]
}

interface Way {
  readonly view: PeerView
  readonly range: Range
  readonly hops: number
  /** Pairs of neighbours that are known not to be connected. */
  readonly apart: number
  /** Pairs of neighbours, the session's class before the first, whose classes differ. */
  readonly mixed: number
  readonly ms: number
  readonly before: Way | null
}

/**
 * Fewest neighbours that cannot reach each other, fewest changes of class; least time, in which more hops count a little more; then the driver as head. The rest
 * follows the order of ids.
 */
function better(a: Way, b: Way, from: PeerId): boolean {
  if (a.apart !== b.apart) return a.apart < b.apart
  if (a.mixed !== b.mixed) return a.mixed < b.mixed
  const [aMs, bMs] = [a.ms * hopWeight(a.hops), b.ms * hopWeight(b.hops)]
  // Sums in another order differ in their last digits; that is no preference.
  if (Math.abs(aMs - bMs) > 1e-6) return aMs < bMs
  return headOf(a) === from && headOf(b) !== from
}

function headOf(way: Way): PeerId {
  let first = way
  while (first.before !== null) first = first.before
  return first.view.peer
}

function passes(way: Way | null, peer: PeerId): boolean {
  for (let step = way; step !== null; step = step.before) if (step.view.peer === peer) return true
  return false
}

/**
 * Time of one visit with the sessions that share the peer, or the steps that wait there where those are more: each adds a row to
 * the passes.
 */
function loadedStageMs(view: PeerView, range: Range, inflight: ReadonlyMap<PeerId, number> | undefined): number {
  const sessions = Math.max(view.sessions, view.queuedSteps ?? 0) + (inflight?.get(view.peer) ?? 0)
  return stageMs(view, range.end - range.start) * (1 + sessions * sessionShare)
}

/**
 * The best chain of serving stages, or undefined when none covers the model. No peer is on it twice. Where batteries are
 * on it, one that is nearly as fast goes before it if its first flat battery lasts longer: sessions then take turns
 * among peers as their charges fall.
 */
export function findRoute(peers: readonly PeerView[], model: ModelShape, options: RouteOptions): Hop[] | undefined {
  const { from, layerClasses } = options
  let stages = stagesOf(peers, model, options)
  let best = layerClasses && bestWay(stages.filter(keepsClasses(layerClasses)), model, options)
  if (best === undefined) best = bestOfClasses(stages, model, options)
  else stages = stages.filter(keepsClasses(layerClasses!))
  if (best === undefined) return undefined
  const { ms, hops: count, apart, mixed } = best
  const flight = ({ view, range }: ServingStage): number => flightOf(view, range.end - range.start, ms, model)
  const least = Math.min(...waysOf(best).map(flight))
  if (Number.isFinite(least)) {
    const flights = [...new Set(stages.map(flight))].filter(each => each > least).sort((a, b) => a - b)
    // A longer flight leaves fewer stages, never more: the longest one is found by halving.
    let low = 0
    let high = flights.length
    while (low < high) {
      const middle = (low + high) >> 1
      const lasting = stages.filter(stage => flight(stage) >= flights[middle]!)
      const way = bestOfClasses(lasting, model, options)
      const isNear = way !== undefined && way.ms * hopWeight(way.hops) <= ms * hopWeight(count) * (1 + flightSlackRatio)
      if (isNear && way.apart <= apart && way.mixed <= mixed) {
        best = way
        low = middle + 1
      } else high = middle
    }
  }
  return waysOf(best).map(({ view, range }) => ({ peer: view.peer, start: range.start, end: range.end }))

  /** One best way per class of the whole route, and one over all: a cheaper mixture must not hide a pure way. */
  function bestOfClasses(list: readonly ServingStage[], shape: ModelShape, by: RouteOptions): Way | undefined {
    let found = bestWay(list, shape, by)
    for (const only of classesOf(list)) {
      const way = bestWay(
        list.filter(({ view }) => view.numericClass === only),
        shape,
        by
      )
      if (way !== undefined && (found === undefined || better(way, found, from))) found = way
    }
    return found
  }
}

/** A stage that serves, with its peer. */
interface ServingStage {
  readonly view: PeerView
  readonly range: Range
}

function stagesOf(peers: readonly PeerView[], model: ModelShape, { excluded }: RouteOptions): ServingStage[] {
  return viewsWithout(peers, excluded ?? new Set())
    .flatMap(view => view.stages.filter(stage => stage.serving).map(stage => ({ view, range: stage })))
    .filter(({ range }) => range.start >= 0 && range.start < range.end && range.end <= model.layers)
    .sort((a, b) => a.range.start - b.range.start || (a.view.peer < b.view.peer ? -1 : 1) || a.range.end - b.range.end)
}

function classesOf(stages: readonly ServingStage[]): string[] {
  const classes = [...new Set(stages.map(({ view }) => view.numericClass))].sort()
  return classes.length > 1 ? classes : []
}

/** From head to tail. */
function waysOf(last: Way): Way[] {
  const ways: Way[] = []
  for (let way: Way | null = last; way !== null; way = way.before) ways.push(way)
  return ways.reverse()
}

/** Peers of several stages, which routes may use once: where the last stage of each starts. */
function lastStartsOfTwice(list: readonly ServingStage[]): ReadonlyMap<PeerId, number> {
  const starts = new Map<PeerId, number>()
  const twice = new Map<PeerId, number>()
  for (const { view, range } of list) {
    const last = Math.max(range.start, starts.get(view.peer) ?? 0)
    if (starts.has(view.peer)) twice.set(view.peer, last)
    starts.set(view.peer, last)
  }
  return twice
}

/** The peers on a way that a route could otherwise come to again. */
function spentOf(way: Way, again: ReadonlyMap<PeerId, number>): string {
  if (again.size === 0) return ''
  const spent: PeerId[] = []
  for (let step: Way | null = way; step !== null; step = step.before) {
    if ((again.get(step.view.peer) ?? -1) >= way.range.end) spent.push(step.view.peer)
  }
  return spent.sort().join()
}

/** The best way over these stages, whatever their classes. */
function bestWay(list: readonly ServingStage[], shape: ModelShape, options: RouteOptions): Way | undefined {
  const { from, inflight, links } = options
  /**
   * [layers + 1] the best ways to each stage that ends at a border, one per number of hops: what comes next depends on
   * its peer, and what hops count for is known at the end. A few more where ways differ in who may not come again.
   */
  const ending: Way[][] = Array.from({ length: shape.layers + 1 }, () => [])
  const again = lastStartsOfTwice(list)
  for (const { view, range } of list) {
    const own = loadedStageMs(view, range, inflight)
    const ms = range.end === shape.layers ? own + turnMs(view.peer, from, links) : own
    /** [hops] by the peers of several stages that a way has passed and that have one further on. */
    const best: Map<string, Way>[] = []
    if (range.start === 0) {
      const mixed = options.numericClass === undefined || options.numericClass === view.numericClass ? 0 : 1
      const way = { view, range, hops: 1, apart: 0, mixed, ms: ms + turnMs(from, view.peer, links), before: null }
      best[1] = new Map([[spentOf(way, again), way]])
    }
    for (const before of ending[range.start]!) {
      if (before.hops === hopsMax || passes(before, view.peer)) continue
      const way: Way = {
        view,
        range,
        hops: before.hops + 1,
        apart: before.apart + (areApart(before.view, view) ? 1 : 0),
        mixed: before.mixed + (before.view.numericClass === view.numericClass ? 0 : 1),
        ms: before.ms + ms + hiddenMs(before.view.peer, view.peer, shape, links),
        before
      }
      const ways = best[way.hops] ?? new Map<string, Way>()
      best[way.hops] = ways
      const spent = spentOf(way, again)
      const known = ways.get(spent)
      if (known !== undefined && !better(way, known, from)) continue
      ways.set(spent, way)
      if (ways.size <= routeVariantsMax) continue
      let [worst] = ways
      for (const each of ways) if (better(worst![1], each[1], from)) worst = each
      ways.delete(worst![0])
    }
    for (const ways of best) if (ways !== undefined) ending[range.end]!.push(...ways.values())
  }
  let best: Way | undefined
  for (const way of ending[shape.layers]!) if (best === undefined || better(way, best, from)) best = way
  return best
}

function keepsClasses(layerClasses: readonly string[]): (stage: ServingStage) => boolean {
  return ({ view, range: { start, end } }) =>
    layerClasses.slice(start, end).every(numericClass => numericClass === view.numericClass)
}

/** Whether some route exists: unlike ranges alone, it has no peer twice. */
export function isServed(peers: readonly PeerView[], model: ModelShape): boolean {
  const options: RouteOptions = { from: '' as PeerId }
  const stages = stagesOf(peers, model, options)
  const exists = (list: readonly ServingStage[]): boolean => bestWay(list, model, options) !== undefined
  return (
    exists(stages) || classesOf(stages).some(only => exists(stages.filter(({ view }) => view.numericClass === only)))
  )
}
