/**
 * Search for the tiling of [0, L) whose token comes soonest: least predicted time, in which more hops count a little
 * more ({@link weighedMs}).
 *
 * It walks from border to border, keeps the best way to each border per set of peers that may still matter, and looks
 * on from the most promising ones: those whose time so far, with a lower bound of what is left, is least. The bound is
 * the fractional knapsack (Dantzig, 1957): unused peers take the rest in the order of their time per layer, visit and
 * hop shared over the most layers that they can take. What the bound says cannot win is dropped, so a search that did
 * not have to leave anything else out is exact.
 */
import { assert } from '../base/assert.ts'
import { fastestBeamMax, fastestWorkMax, tilingPeersMax } from './limits.ts'
import { hopWeight } from './cost.ts'
import { Tables, timesUsOf } from './tables.ts'
import { half, type Tile, type Tiler, type Tiling, uses } from './tiling.ts'
import type { ModelShape } from './view.ts'

interface Way {
  readonly at: number
  readonly weak: number
  readonly hops: number
  readonly timeUs: number
  readonly newBytes: number
  readonly low: number
  readonly high: number
  /** A free peer of this stretch takes less than it could. */
  readonly isPartial: boolean
  readonly tiler: number
  readonly before: Way | null
  /** How much more it has cost than layers are worth ({@link Search}), in µs: never less than that of the way before. */
  readonly regretUs: number
  /** Lower bound of the weighed time of every tiling that begins like this. */
  bound: number
}

/** What a peer could take of what is left, from one border on. */
interface Taker {
  readonly index: number
  readonly layers: number
  /** Its time for one of these layers, visit and hop shared among them, in µs. */
  readonly perLayerUs: number
}

/** Sums in another order differ in their last digits, and nothing is decided by less than this. */
const slackUs = 1

export interface FastestOptions {
  /** @default no bound */
  readonly weakMax?: number
  /** Nothing is looked for that is weighed to take longer, in µs. @default no bound */
  readonly atMostUs?: number
  /** Whether any tiling within `atMostUs` will do. @default false */
  readonly any?: boolean
}

/** The tiling with the least weighed time that the search finds; undefined when it finds none. */
export function fastestTiling(
  model: ModelShape,
  tilers: readonly Tiler[],
  { weakMax = tilers.length, atMostUs = Number.POSITIVE_INFINITY, any = false }: FastestOptions = {}
): Tiling | undefined {
  assert(tilers.length <= tilingPeersMax, 'a search weighs a bounded number of peers')
  const search = new Search(model, tilers, weakMax, atMostUs)
  // The first looks are narrow: what they find tells the last one what to leave out.
  search.look('few', 1)
  if (!any || !search.hasFound) search.look('few', 4)
  if (!any) search.look('all', fastestBeamMax)
  return search.tiling()
}

/** The time of a tiling as its hops weigh it, in µs. */
export function weighedUs({ timeUs, hops }: Pick<Tiling, 'timeUs' | 'hops'>): number {
  return timeUs * hopWeight(hops)
}

class Search {
  readonly #model: ModelShape
  readonly #tilers: readonly Tiler[]
  readonly #weakMax: number
  readonly #tables: Tables
  readonly #timesUs: readonly (readonly number[])[]
  /** [layers] who may take something from there on, the cheapest first. */
  readonly #takers: (readonly Taker[])[]
  /** [layers] indexes of peers that can start at each layer. */
  readonly #starters: (readonly number[])[]
  /** [layers + 1] sets of the peers that may still take something. */
  readonly #masks: { readonly low: number; readonly high: number }[]
  /** Borders that some stage must meet: starts of fixed ranges and of held shards. */
  readonly #anchors: readonly boolean[]
  /**
   * What a layer is worth: the time per layer of the last peer that the bound needs for the whole model. A peer that
   * takes layers for less than that gains, for more it loses; what the others could gain at most is a second bound
   * (Lagrange's), looser than the first, that grows by a number for each stage.
   */
  readonly #worthUs: number
  /** [tilers] what a peer gains at most, in µs: 0 or negative. */
  readonly #gainsUs: readonly number[]
  /** Lower bound of all tilings; infinite where the peers cannot take all layers. */
  readonly #leastUs: number
  readonly #atMostUs: number
  #best: Way | undefined
  #isExact = false

  constructor(model: ModelShape, tilers: readonly Tiler[], weakMax: number, atMostUs: number) {
    this.#atMostUs = atMostUs
    this.#model = model
    this.#tilers = tilers
    this.#weakMax = weakMax
    this.#tables = new Tables(model, tilers, 'costs')
    const { layers } = model
    this.#timesUs = tilers.map(tiler => timesUsOf(tiler, model))
    const { ends } = this.#tables
    const anchors = new Array<boolean>(layers + 1).fill(false)
    for (const { only, view } of tilers) {
      for (const { start } of only ?? (view.obtainable === undefined ? view.held : [])) {
        if (start > 0 && start < layers) anchors[start] = true
      }
    }
    this.#anchors = anchors
    const reach = new Array<number>(tilers.length).fill(0)
    this.#takers = []
    this.#masks = [{ low: 0, high: 0 }]
    this.#starters = []
    let takers: Taker[] = []
    let mask = { low: 0, high: 0 }
    for (let at = layers - 1; at >= 0; at--) {
      let isNew = false
      const starters: number[] = []
      for (let index = 0; index < tilers.length; index++) {
        const furthest = ends[index]![at]![0]
        if (furthest === undefined) continue
        starters.push(index)
        if (furthest - at <= reach[index]!) continue
        reach[index] = furthest - at
        mask =
          index < half
            ? { ...mask, low: mask.low | (1 << index) }
            : { ...mask, high: mask.high | (1 << (index - half)) }
        isNew = true
      }
      if (isNew) {
        takers = reach
          .flatMap((most, index) =>
            most === 0 ? [] : [{ index, layers: most, perLayerUs: this.#timesUs[index]![most]! / most }]
          )
          .sort((a, b) => a.perLayerUs - b.perLayerUs || a.index - b.index)
      }
      this.#takers[at] = takers
      this.#masks[layers - at] = mask
      this.#starters[at] = starters
    }
    this.#masks.reverse()
    let left = layers
    let worthUs = 0
    for (const taker of takers) {
      if (left <= 0) break
      left -= taker.layers
      worthUs = taker.perLayerUs
    }
    this.#worthUs = worthUs
    this.#gainsUs = reach.map((most, index) =>
      most === 0 ? 0 : Math.min(0, this.#timesUs[index]![most]! - most * this.#worthUs)
    )
    this.#leastUs =
      left > 0 ? Number.POSITIVE_INFINITY : this.#gainsUs.reduce((sum, gain) => sum + gain, layers * this.#worthUs)
  }

  get hasFound(): boolean {
    return this.#best !== undefined
  }

  /** What a tiling must not be slower than. */
  get #mostUs(): number {
    return (this.#best?.bound ?? this.#atMostUs) + slackUs
  }

  /**
   * @param ends `few`: where peers may take any number of layers, all but one of a stretch take all they can. Where
   *   layers weigh the same no other choice is better: of two that could take more, the slower one gives to the faster.
   */
  look(ends: 'few' | 'all', beam: number): void {
    if (this.#isExact || this.#leastUs === Number.POSITIVE_INFINITY) return
    const { layers } = this.#model
    const borders: Map<number, Way>[] = Array.from({ length: layers + 1 }, () => new Map())
    let isComplete = ends === 'all'
    let work = fastestWorkMax
    borders[0]!.set(0, {
      at: 0,
      weak: 0,
      hops: 0,
      timeUs: 0,
      newBytes: 0,
      low: 0,
      high: 0,
      isPartial: false,
      tiler: -1,
      before: null,
      regretUs: 0,
      bound: 0
    })
    for (let at = 0; at < layers; at++) {
      const ways: Way[] = []
      for (const way of borders[at]!.values()) {
        way.bound = this.#bound(way)
        if (way.bound < Number.POSITIVE_INFINITY && way.bound <= this.#mostUs) ways.push(way)
      }
      borders[at]!.clear()
      ways.sort((a, b) => a.bound - b.bound || a.newBytes - b.newBytes || a.high - b.high || a.low - b.low)
      // What is left of the work is shared among the borders that are left.
      const share = work / (layers - at)
      let spent = 0
      for (const [rank, way] of ways.entries()) {
        if (rank >= beam || (spent > share && rank >= 4)) {
          isComplete = false
          break
        }
        spent += this.#extend(way, borders, ends === 'all')
      }
      work -= spent
    }
    for (const way of borders[layers]!.values()) {
      way.bound = weighedUs(way)
      if (way.bound > this.#mostUs) continue
      const best = this.#best
      if (best === undefined || isBetter(way, best)) this.#best = way
    }
    this.#isExact = isComplete
  }

  #extend(way: Way, borders: readonly Map<number, Way>[], takesAll: boolean): number {
    const { at } = way
    const mostUs = this.#mostUs
    let work = 0
    for (const index of this.#starters[at]!) {
      if (uses(way, index)) continue
      const twin = this.#tables.twins[index]!
      if (twin >= 0 && !uses(way, twin)) continue
      const { weak: isWeak, only } = this.#tilers[index]!
      const weak = way.weak + (isWeak ? 1 : 0)
      if (weak > this.#weakMax) continue
      const low = index < half ? way.low | (1 << index) : way.low
      const high = index < half ? way.high : way.high | (1 << (index - half))
      const times = this.#timesUs[index]!
      const ends = this.#tables.ends[index]![at]!
      const furthest = ends[0]!
      const isFree = only === null
      for (const end of ends) {
        const isShort = isFree && end < furthest
        if (isShort && way.isPartial && !takesAll && !this.#anchors[end]) continue
        work++
        const hops = way.hops + 1
        const regretUs = way.regretUs + times[end - at]! - (end - at) * this.#worthUs - this.#gainsUs[index]!
        if ((this.#leastUs + regretUs) * hopWeight(hops) > mostUs) continue
        const timeUs = way.timeUs + times[end - at]!
        const mask = this.#masks[end]!
        const key = (high & mask.high) * 2 ** half + (low & mask.low) + Math.min(hops, 31) * 2 ** (2 * half)
        const newBytes = way.newBytes + this.#tables.newBytes(index, at, end)
        const known = borders[end]!.get(key)
        // Of ways that differ only in who is done, the sooner one; then the one that loads less.
        if (known !== undefined && (known.weak - weak || known.timeUs - timeUs || known.newBytes - newBytes) <= 0)
          continue
        const isPartial = isFree && (way.isPartial || isShort)
        borders[end]!.set(key, {
          at: end,
          weak,
          hops,
          timeUs,
          newBytes,
          low,
          high,
          isPartial,
          tiler: index,
          before: way,
          regretUs,
          bound: 0
        })
      }
    }
    return work
  }

  /** Least weighed time of what begins with a way, or infinity where the unused peers cannot take what is left. */
  #bound(way: Way): number {
    const { at, low, high } = way
    let left = this.#model.layers - at
    let timeUs = way.timeUs
    // One weak peer or another: which of them would be known at the end only.
    const takesWeak = way.weak < this.#weakMax
    for (const { index, layers, perLayerUs } of this.#takers[at]!) {
      if (index < half ? (low & (1 << index)) !== 0 : (high & (1 << (index - half))) !== 0) continue
      if (!takesWeak && this.#tilers[index]!.weak) continue
      const taken = Math.min(left, layers)
      timeUs += taken * perLayerUs
      left -= taken
      if (left === 0) return timeUs * hopWeight(way.hops + 1)
    }
    return Number.POSITIVE_INFINITY
  }

  tiling(): Tiling | undefined {
    const best = this.#best
    if (best === undefined) return undefined
    const tiles: Tile[] = []
    for (let way = best; way.before !== null; way = way.before) {
      tiles.push({ start: way.before.at, end: way.at, view: this.#tilers[way.tiler]!.view })
    }
    const { weak, hops, timeUs, newBytes } = best
    return { tiles: tiles.reverse(), penalty: 0, weak, hops, timeUs, newBytes }
  }
}

function isBetter(a: Way, b: Way): boolean {
  return (a.weak - b.weak || a.bound - b.bound || a.hops - b.hops || a.newBytes - b.newBytes) < 0
}
