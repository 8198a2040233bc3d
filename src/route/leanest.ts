/**
 * The search for the tiling that loads the fewest bytes. Up to some 8 peers it keeps every set of peers at every border and is
 * exact; above, it is a beam search whose width follows from a fixed amount of work.
 */
import { assert } from '../base/assert.ts'
import { tilingBeamMax, tilingPeersMax, tilingWorkMax } from './limits.ts'
import { hopMs } from './cost.ts'
import { Tables, timesUsOf } from './tables.ts'
import { type Bridge, half, type PeerSet, setOf, type Tile, type Tiler, type Tiling, uses } from './tiling.ts'
import type { ModelShape } from './view.ts'

export interface TilingQuestion {
  readonly model: ModelShape
  /** In a fixed order, which breaks ties: at most `tilingPeersMax`. */
  readonly tilers: readonly Tiler[]
  readonly bridges?: readonly Bridge[]
  readonly weakMax?: number
}

/** What ways are compared by: most are not worth a label. */
interface Costs {
  readonly penalty: number
  readonly weak: number
  readonly hops: number
  readonly timeUs: number
  readonly newBytes: number
}

/** A way to a border, with the set of peers that it uses. */
interface Label extends Costs, PeerSet {
  readonly at: number
  readonly tiler: number
  readonly before: Label | null
}

/** Penalty, weak peers, bytes; then hops and time. */
function compare(a: Costs, b: Costs): number {
  return a.penalty - b.penalty || a.weak - b.weak || a.newBytes - b.newBytes || a.hops - b.hops || a.timeUs - b.timeUs
}

/** The labels of one border: the best one per set of peers, and of those the `limit` best. */
class Border {
  readonly #limit: number
  #labels = new Map<number, Label>()
  /** Once the limit was passed, no label as bad as this one is needed. */
  #bound: Label | undefined

  constructor(limit: number) {
    this.#limit = limit
  }

  /** Whether a way to this border over a set of peers is better than what is known. */
  wants(set: number, costs: Costs): boolean {
    if (this.#bound !== undefined && compare(costs, this.#bound) >= 0) return false
    const known = this.#labels.get(set)
    return known === undefined || compare(costs, known) < 0
  }

  add(set: number, label: Label): void {
    this.#labels.set(set, label)
    // Sorting at twice the limit costs less than finding the worst for each label that comes.
    if (this.#labels.size >= this.#limit * 2) this.best()
  }

  /** Best first. */
  best(): Label[] {
    const sorted = [...this.#labels.values()].sort(compare).slice(0, this.#limit)
    if (this.#labels.size > this.#limit) {
      this.#bound = sorted.at(-1)
      this.#labels = new Map(sorted.map(label => [setOf(label), label]))
    }
    return sorted
  }
}

/** One peer at one border: the stages that it may take from there on. */
interface Starter extends PeerSet {
  readonly tiler: number
  /** The set of this peer alone. */
  readonly set: number
  readonly twin: number
  readonly isWeak: boolean
  /** [stages] their ends, the furthest first, what they take and what has to be loaded for them. */
  readonly ends: readonly number[]
  readonly timesUs: readonly number[]
  readonly newBytes: readonly number[]
}

/** The tiling with the least penalty, weak peers and bytes to load that the search finds; undefined when it finds none. */
export function leanestTiling(question: TilingQuestion): Tiling | undefined {
  const { model, tilers, bridges = [], weakMax = tilers.length } = question
  assert(tilers.length <= tilingPeersMax, 'a search weighs a bounded number of peers')
  const tables = new Tables(model, tilers, 'costs')
  const edges = tables.ends.reduce((sum, ends) => sum + ends.reduce((all, list) => all + list.length, 0), 0)
  const beam = Math.max(8, Math.min(tilingBeamMax, Math.floor(tilingWorkMax / Math.max(1, edges))))
  /** [layers + 1] labels that reach each border, one per set of peers. */
  const borders = Array.from({ length: model.layers + 1 }, () => new Border(beam))
  borders[0]!.add(0, first)
  const hopUs = Math.round(hopMs(model) * 1000)
  const timesUs = tilers.map(tiler => timesUsOf(tiler, model))
  for (let at = 0; at < model.layers; at++) {
    const over = bridges.filter(({ start }) => start === at)
    const starters = tilers.flatMap(({ weak }, tiler) => starterOf(tiler, at, weak, timesUs[tiler]!, tables) ?? [])
    for (const label of borders[at]!.best()) {
      for (const bridge of over) cross(label, bridge, hopUs, borders[bridge.end]!)
      for (const starter of starters) {
        if (uses(label, starter.tiler) || (starter.twin >= 0 && !uses(label, starter.twin))) continue
        const weakLeft = weakMax - label.weak - (starter.isWeak ? 1 : 0)
        if (weakLeft < 0) continue
        const ends = bridges.length > 0 ? starter.ends.length : endsThatFinish(label, starter, weakLeft, tables)
        take(label, starter, ends, borders)
      }
    }
  }
  const best = borders[model.layers]!.best()[0]
  return best === undefined ? undefined : tilingOf(best, tilers)
}

function starterOf(
  tiler: number,
  at: number,
  isWeak: boolean,
  timesUs: readonly number[],
  tables: Tables
): Starter | undefined {
  const ends = tables.ends[tiler]![at]!
  if (ends.length === 0) return undefined
  const low = tiler < half ? 1 << tiler : 0
  const high = tiler < half ? 0 : 1 << (tiler - half)
  return {
    tiler,
    low,
    high,
    set: setOf({ low, high }),
    twin: tables.twins[tiler]!,
    isWeak,
    ends,
    timesUs: ends.map(end => timesUs[end - at]!),
    newBytes: ends.map(end => tables.newBytes(tiler, at, end))
  }
}

const first: Label = {
  at: 0,
  penalty: 0,
  weak: 0,
  hops: 0,
  timeUs: 0,
  newBytes: 0,
  low: 0,
  high: 0,
  tiler: -1,
  before: null
}

/** Goes on from a label over a bridge. */
function cross(label: Label, bridge: Bridge, hopUs: number, border: Border): void {
  const made = {
    ...label,
    at: bridge.end,
    penalty: label.penalty + bridge.penalty,
    hops: label.hops + 1,
    timeUs: label.timeUs + hopUs,
    tiler: -1,
    before: label
  }
  const set = setOf(label)
  if (border.wants(set, made)) border.add(set, made)
}

/** How many of a peer's stages, the longest first, leave no more than the others can take. */
function endsThatFinish(label: Label, starter: Starter, weakLeft: number, tables: Tables): number {
  const [low, high] = [label.low | starter.low, label.high | starter.high]
  const { ends } = starter
  let count = ends.length
  // Mostly all of them do: the shortest one says so.
  while (count > 0 && !tables.canFinish({ low, high, at: ends[count - 1]! }, tables.ends.length, weakLeft)) count--
  return count
}

/** Goes on from a label with each of a peer's `count` longest stages. */
function take(label: Label, starter: Starter, count: number, borders: readonly Border[]): void {
  const { penalty } = label
  const set = setOf(label) + starter.set
  const weak = label.weak + (starter.isWeak ? 1 : 0)
  const hops = label.hops + 1
  for (let i = 0; i < count; i++) {
    const at = starter.ends[i]!
    const timeUs = label.timeUs + starter.timesUs[i]!
    const newBytes = label.newBytes + starter.newBytes[i]!
    const border = borders[at]!
    if (!border.wants(set, { penalty, weak, hops, timeUs, newBytes })) continue
    const [low, high] = [label.low | starter.low, label.high | starter.high]
    border.add(set, { at, penalty, weak, hops, timeUs, newBytes, low, high, tiler: starter.tiler, before: label })
  }
}

function tilingOf(last: Label, tilers: readonly Tiler[]): Tiling {
  const tiles: Tile[] = []
  for (let label = last; label.before !== null; label = label.before) {
    tiles.push({ start: label.before.at, end: label.at, view: tilers[label.tiler]?.view ?? null })
  }
  const { penalty, weak, hops, timeUs, newBytes } = last
  return { tiles: tiles.reverse(), penalty, weak, hops, timeUs, newBytes }
}
