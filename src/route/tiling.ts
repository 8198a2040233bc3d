/**
 * Tilings: stages of different peers that lie end to end over [0, L). A stage runs as one graph, so a route uses it
 * whole and borders must meet exactly. Here are the searches for whether there is one at all, and for the one that loads
 * the fewest bytes; `fastest.ts` has the one that answers soonest.
 *
 * Up to some 8 peers the search for the fewest bytes keeps every set of peers at every border and is exact; above, it is
 * a beam search whose width follows from a fixed amount of work. {@link fewestHops} is exact for 16. Parallax and
 * EdgeShard solve the same shape by dynamic programming over devices (arXiv 2509.26182, 2405.14371).
 */
import { assert } from '../base/assert.ts'
import type { Range } from '../base/ids.ts'
import { fetchWeight, hopSetsLargeMax, hopSetsMax, tilingBeamMax, tilingPeersMax, tilingWorkMax } from './limits.ts'
import { hopMs, stageMs } from './cost.ts'
import type { ModelShape, PeerView } from './view.ts'
import { canHold, lacks, sameRange, shapeAt, stageBytes } from './view.ts'

/** A peer as the search sees it. */
export interface Tiler {
  readonly view: PeerView
  /** What it may load: these ranges only, or null for every range that it can hold. */
  readonly only: readonly Range[] | null
  /** Stages that it has or is loading: they cost no bytes. */
  readonly loaded: readonly Range[]
  readonly weak: boolean
  /** What a hop here costs, in ms (`hopPrices`). @default what it costs over a link that nobody has measured */
  readonly hopMs?: number
  /** Layers that it takes at most, whatever it can hold. @default as many as it can hold */
  readonly layersMax?: number
}

/** A way over layers that takes no peer: a gap, or a stage that another plan already has. */
export interface Bridge extends Range {
  /** What it costs before everything else. */
  readonly penalty: number
}

/** One stage of a tiling, or a bridge, whose `view` is null. */
export interface Tile extends Range {
  readonly view: PeerView | null
}

/** A tiling of [0, L) with its costs; times are whole µs so that sums do not depend on their order. */
export interface Tiling {
  readonly tiles: readonly Tile[]
  readonly penalty: number
  /** How many of its peers are weak. */
  readonly weak: number
  readonly hops: number
  readonly timeUs: number
  /** Resident bytes of stages that are not loaded yet; those of shards to be fetched count {@link fetchWeight} times more. */
  readonly newBytes: number
}

export interface TilingQuestion {
  readonly model: ModelShape
  /** In a fixed order, which breaks ties: at most `tilingPeersMax`. */
  readonly tilers: readonly Tiler[]
  readonly bridges?: readonly Bridge[]
  readonly weakMax?: number
}

interface Label {
  readonly at: number
  readonly penalty: number
  readonly weak: number
  readonly hops: number
  readonly timeUs: number
  readonly newBytes: number
  /** Two sets of 24 bits: indexes of the peers used. */
  readonly low: number
  readonly high: number
  readonly tiler: number
  readonly before: Label | null
}

/** Peers per number of a set: shifts of numbers work on 32 bits. */
export const half = 24

export function uses(label: Pick<Label, 'low' | 'high'>, index: number): boolean {
  return index < half ? (label.low & (1 << index)) !== 0 : (label.high & (1 << (index - half))) !== 0
}

function setOf(label: Pick<Label, 'low' | 'high'>): number {
  return label.high * 2 ** half + label.low
}

/** Penalty, weak peers, bytes; then hops and time. */
function compare(a: Label, b: Label): number {
  return a.penalty - b.penalty || a.weak - b.weak || a.newBytes - b.newBytes || a.hops - b.hops || a.timeUs - b.timeUs
}

/** [layers + 1] the time of a peer for so many layers with the hop to it, in µs. */
export function timesUsOf(tiler: Tiler, model: ModelShape): number[] {
  const hopUs = Math.round((tiler.hopMs ?? hopMs(model)) * 1000)
  return Array.from({ length: model.layers + 1 }, (_, layers) => Math.round(stageMs(tiler.view, layers) * 1000) + hopUs)
}

/** [layers + 1] the furthest end of a stage that starts at each layer; the layer itself where none fits. */
export function furthestEnds(view: PeerView, model: ModelShape): number[] {
  const furthest = new Array<number>(model.layers + 1).fill(model.layers)
  let end = 0
  for (let start = 0; start < model.layers; start++) {
    // What fits from here fits from the next layer too, so the end never moves back.
    end = Math.max(end, start)
    while (end < model.layers && canHold(view, model, { start, end: end + 1 })) end++
    furthest[start] = end
  }
  return furthest
}

/** The question in tables: what each peer may take from each layer on, and peers that differ in their id only. */
export class Tables {
  readonly layers: number
  readonly ends: (readonly number[])[][]
  readonly twins: number[]
  /** Most layers that each peer can take, largest first, with its index. */
  readonly reaches: { readonly index: number; readonly layers: number }[]
  /** [tilers] the model as each peer's engine has it. */
  readonly #shapes: readonly ModelShape[]
  /** By those shapes: [layers + 1] bytes of the layers below each. */
  readonly #bytesTo = new Map<ModelShape, readonly number[]>()
  /** [tilers][layers + 1] bytes to be fetched below each layer; undefined for who has all that it can load. */
  readonly #lackedTo: (readonly number[] | undefined)[]
  readonly #tilers: readonly Tiler[]

  /** For `hops`, speeds and what is loaded make no difference between peers. */
  constructor(model: ModelShape, tilers: readonly Tiler[], purpose: 'hops' | 'costs') {
    this.layers = model.layers
    this.#tilers = tilers
    this.#shapes = tilers.map(({ view }) => shapeAt(view, model))
    for (const shape of new Set(this.#shapes)) {
      const bytesTo = [0]
      for (const [layer, bytes] of shape.layerBytes.entries()) {
        bytesTo.push(bytesTo[layer]! + bytes + shape.cacheBytesPerLayer)
      }
      this.#bytesTo.set(shape, bytesTo)
    }
    this.#lackedTo = tilers.map(({ view }, index) => {
      if (view.obtainable === undefined) return undefined
      const lackedTo = [0]
      for (const [layer, lacked] of lacks(view, model).entries()) {
        lackedTo.push(lackedTo[layer]! + (lacked ? this.#shapes[index]!.layerBytes[layer]! : 0))
      }
      return lackedTo
    })
    this.ends = tilers.map(tiler => {
      const { layersMax = model.layers } = tiler
      if (tiler.only !== null) {
        const only = tiler.only.filter(
          range => canHold(tiler.view, model, range) && range.end - range.start <= layersMax
        )
        return Array.from({ length: model.layers }, (_, start) =>
          only
            .filter(range => range.start === start)
            .map(range => range.end)
            .sort((a, b) => b - a)
        )
      }
      const furthest = furthestEnds(tiler.view, model)
      return Array.from({ length: model.layers }, (_, start) => {
        const ends: number[] = []
        for (let end = Math.min(furthest[start]!, start + layersMax); end > start; end--) ends.push(end)
        return ends
      })
    })
    const keys = tilers.map((tiler, index) => {
      const { visitMs, layerMs } = tiler.view
      const plain = tiler.only === null && (purpose === 'hops' || tiler.loaded.length === 0)
      const engine = this.#shapes.indexOf(this.#shapes[index]!)
      const ends = this.ends[index]!.map(list => list.length).join()
      // Those who differ in what they would have to fetch differ in bytes.
      if (plain && purpose === 'costs' && tiler.view.obtainable !== undefined) {
        const { held, holdsEmbedding, holdsHead } = tiler.view
        return JSON.stringify([
          visitMs,
          layerMs,
          tiler.hopMs,
          tiler.weak,
          ends,
          held,
          holdsEmbedding,
          holdsHead,
          engine
        ])
      }
      return plain
        ? `${purpose === 'hops' ? '' : `${visitMs},${layerMs},${tiler.hopMs},${engine}`};${tiler.weak};${ends}`
        : null
    })
    this.twins = keys.map((key, index) => (key === null || index === 0 ? -1 : keys.lastIndexOf(key, index - 1)))
    this.reaches = this.ends
      .map((ends, index) => ({
        index,
        layers: ends.reduce((most, list, start) => Math.max(most, (list[0] ?? start) - start), 0)
      }))
      .sort((a, b) => b.layers - a.layers || a.index - b.index)
  }

  /** What a peer must load for a stage; shards to be fetched count {@link fetchWeight} times more. */
  newBytes(tiler: number, start: number, end: number): number {
    if (this.#tilers[tiler]!.loaded.some(range => range.start === start && range.end === end)) return 0
    return this.#bytes(tiler, start, end) + fetchWeight * this.#lackedBytes(tiler, start, end)
  }

  #bytes(tiler: number, start: number, end: number): number {
    const model = this.#shapes[tiler]!
    const bytesTo = this.#bytesTo.get(model)!
    let bytes = model.stageBytes + bytesTo[end]! - bytesTo[start]!
    if (start === 0 || (end === model.layers && model.tiedEmbeddings)) bytes += model.embeddingBytes
    if (end === model.layers) bytes += model.headBytes
    return bytes
  }

  /** Bytes of shards that a peer would have to fetch for a stage. */
  #lackedBytes(tiler: number, start: number, end: number): number {
    const lackedTo = this.#lackedTo[tiler]
    if (lackedTo === undefined) return 0
    const model = this.#shapes[tiler]!
    const { holdsEmbedding, holdsHead } = this.#tilers[tiler]!.view
    let bytes = lackedTo[end]! - lackedTo[start]!
    if (!holdsEmbedding && (start === 0 || (end === model.layers && model.tiedEmbeddings)))
      bytes += model.embeddingBytes
    if (!holdsHead && end === model.layers) bytes += model.headBytes
    return bytes
  }

  /** Whether one free peer can hold all that another can, and is not weak where the other is strong; of equals, the first. */
  holdsAllOf(one: number, other: number): boolean {
    const [a, b] = [this.#tilers[one]!, this.#tilers[other]!]
    if (a.only !== null || b.only !== null || (a.weak && !b.weak)) return false
    let more = a.weak !== b.weak
    for (let start = 0; start < this.layers; start++) {
      const difference = this.ends[one]![start]!.length - this.ends[other]![start]!.length
      if (difference < 0) return false
      if (difference > 0) more = true
    }
    return more || one < other
  }

  /**
   * Whether the unused peers, `weak` weak ones at most, could take what is left in `hops` hops if borders and
   * ends were no matter.
   */
  canFinish({ low, high, at }: { low: number; high: number; at: number }, hops: number, weak: number): boolean {
    let left = this.layers - at
    let hopsLeft = hops
    let weakLeft = weak
    for (const { index, layers } of this.reaches) {
      if (left <= 0) return true
      if (hopsLeft <= 0) return false
      if (index < half ? (low & (1 << index)) !== 0 : (high & (1 << (index - half))) !== 0) continue
      if (this.#tilers[index]!.weak && weakLeft-- <= 0) continue
      left -= layers
      hopsLeft--
    }
    return left <= 0
  }
}

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

/** The labels of one border: the best one per set of peers, and of those the `limit` best. */
class Border {
  readonly #limit: number
  #labels = new Map<number, Label>()
  /** Once the limit was passed, no label as bad as this one is needed. */
  #bound: Label | undefined

  constructor(limit: number) {
    this.#limit = limit
  }

  add(label: Label): void {
    if (this.#bound !== undefined && compare(label, this.#bound) >= 0) return
    const key = setOf(label)
    const known = this.#labels.get(key)
    if (known !== undefined && compare(label, known) >= 0) return
    this.#labels.set(key, label)
    // Sorting at twice the limit costs less than finding the worst for each label that comes.
    if (this.#labels.size >= this.#limit * 2) this.best()
  }

  /** Best first. */
  best(): Label[] {
    const sorted = [...this.#labels.values()].sort((a, b) => compare(a, b)).slice(0, this.#limit)
    if (this.#labels.size > this.#limit) {
      this.#bound = sorted.at(-1)
      this.#labels = new Map(sorted.map(label => [setOf(label), label]))
    }
    return sorted
  }
}

/** The tiling with the least penalty, weak peers and bytes to load that the search finds; undefined when it finds none. */
export function leanestTiling(question: TilingQuestion): Tiling | undefined {
  const { model, tilers } = question
  assert(tilers.length <= tilingPeersMax, 'a search weighs a bounded number of peers')
  const tables = new Tables(model, tilers, 'costs')
  const weakMax = question.weakMax ?? tilers.length
  const bridges = Array.from({ length: model.layers }, (_, start) =>
    (question.bridges ?? []).filter(bridge => bridge.start === start)
  )
  const bridged = (question.bridges ?? []).length > 0
  const hopUs = Math.round(hopMs(model) * 1000)
  const timesUs = tilers.map(tiler => timesUsOf(tiler, model))
  const edges = tables.ends.reduce((sum, ends) => sum + ends.reduce((all, list) => all + list.length, 0), 0)
  const beam = Math.max(8, Math.min(tilingBeamMax, Math.floor(tilingWorkMax / Math.max(1, edges))))

  /** [layers + 1] labels that reach each border, one per set of peers. */
  const borders = Array.from({ length: model.layers + 1 }, () => new Border(beam))
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
  borders[0]!.add(first)
  for (let at = 0; at < model.layers; at++) {
    for (const label of borders[at]!.best()) {
      for (const bridge of bridges[at]!) {
        borders[bridge.end]!.add({
          ...label,
          at: bridge.end,
          penalty: label.penalty + bridge.penalty,
          hops: label.hops + 1,
          timeUs: label.timeUs + hopUs,
          tiler: -1,
          before: label
        })
      }
      for (let tiler = 0; tiler < tilers.length; tiler++) {
        if (uses(label, tiler)) continue
        const twin = tables.twins[tiler]!
        if (twin >= 0 && !uses(label, twin)) continue
        const { weak } = tilers[tiler]!
        const weakLeft = weakMax - label.weak - (weak ? 1 : 0)
        if (weakLeft < 0) continue
        const low = tiler < half ? label.low | (1 << tiler) : label.low
        const high = tiler < half ? label.high : label.high | (1 << (tiler - half))
        for (const end of tables.ends[tiler]![at]!) {
          // Ends come furthest first: where one leaves too much, the shorter ones do too.
          if (!bridged && !tables.canFinish({ low, high, at: end }, tilers.length, weakLeft)) break
          borders[end]!.add({
            at: end,
            penalty: label.penalty,
            weak: label.weak + (weak ? 1 : 0),
            hops: label.hops + 1,
            timeUs: label.timeUs + timesUs[tiler]![end - at]!,
            newBytes: label.newBytes + tables.newBytes(tiler, at, end),
            low,
            high,
            tiler,
            before: label
          })
        }
      }
    }
  }
  const best = borders[model.layers]!.best()[0]
  if (best === undefined) return undefined
  const tiles: Tile[] = []
  for (let label = best; label.before !== null; label = label.before) {
    tiles.push({ start: label.before.at, end: label.at, view: tilers[label.tiler]?.view ?? null })
  }
  const { penalty, weak, hops, timeUs, newBytes } = best
  return { tiles: tiles.reverse(), penalty, weak, hops, timeUs, newBytes }
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
