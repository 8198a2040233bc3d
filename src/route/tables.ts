/** A question for a tiling in tables: what each peer may take from each layer on, how long that takes it and what it must load. */
import { fetchWeight } from './limits.ts'
import { hopMs, stageMs } from './cost.ts'
import { half, type Tiler } from './tiling.ts'
import type { ModelShape, PeerView } from './view.ts'
import { canHold, lacks, layerReserveBytes, shapeAt } from './view.ts'

/** What follows from a view alone. A view is of one model, stays the same, and is asked about in every search. */
interface Known {
  readonly model: ModelShape
  /** [layers + 1] the furthest end of a stage that starts at each layer; the layer itself where none fits. */
  readonly furthest: readonly number[]
  /** [layers] all ends of stages that start at each layer, the furthest first. */
  readonly ends: readonly (readonly number[])[]
  /** Both of them as a text, and what it has on its disk. */
  readonly endsText: string
  readonly heldText: string
  /** [layers + 1] bytes of the layers below each that are not on its disk. */
  readonly lackedTo: readonly number[]
  /** [layers + 1] its time for so many layers with the hop to it, in µs, at the price of a hop that was asked for last. */
  times: { readonly hopUs: number; readonly us: readonly number[] } | undefined
}

const known = new WeakMap<PeerView, Known>()

function knownOf(view: PeerView, model: ModelShape): Known {
  const before = known.get(view)
  if (before?.model === model) return before
  const furthest = reachOf(view, model)
  const ends = Array.from({ length: model.layers }, (_, start) => endsFrom(model, start, furthest[start]!))
  const { layerBytes } = shapeAt(view, model)
  const lackedTo = [0]
  for (const [layer, lacked] of lacks(view, model).entries()) {
    lackedTo.push(lackedTo[layer]! + (lacked ? layerBytes[layer]! : 0))
  }
  const { held, holdsEmbedding, holdsHead } = view
  const made: Known = {
    model,
    furthest,
    ends,
    endsText: lengthsOf(ends),
    heldText: JSON.stringify([held, holdsEmbedding, holdsHead]),
    lackedTo,
    times: undefined
  }
  known.set(view, made)
  return made
}

/** By model: the lists of {@link endsFrom} that some peer has needed. Peers that hold as much share them. */
const lists = new WeakMap<ModelShape, Map<number, readonly number[]>>()

/** The ends of all stages from one layer up to another, the furthest first. */
function endsFrom(model: ModelShape, start: number, furthest: number): readonly number[] {
  let ofModel = lists.get(model)
  if (ofModel === undefined) {
    ofModel = new Map()
    lists.set(model, ofModel)
  }
  const key = start * (model.layers + 1) + furthest
  let ends = ofModel.get(key)
  if (ends === undefined) {
    ends = Array.from({ length: furthest - start }, (_, i) => furthest - i)
    ofModel.set(key, ends)
  }
  return ends
}

function lengthsOf(ends: readonly (readonly number[])[]): string {
  return ends.map(list => list.length).join()
}

/** [layers + 1] the time of a peer for so many layers with the hop to it, in µs. */
export function timesUsOf(tiler: Tiler, model: ModelShape): readonly number[] {
  const hopUs = Math.round((tiler.hopMs ?? hopMs(model)) * 1000)
  const of = knownOf(tiler.view, model)
  if (of.times?.hopUs !== hopUs) {
    const us = Array.from(
      { length: model.layers + 1 },
      (_, layers) => Math.round(stageMs(tiler.view, layers) * 1000) + hopUs
    )
    of.times = { hopUs, us }
  }
  return of.times.us
}

/** [layers + 1] the furthest end of a stage that starts at each layer; the layer itself where none fits. */
export function furthestEnds(view: PeerView, model: ModelShape): readonly number[] {
  return knownOf(view, model).furthest
}

function reachOf(view: PeerView, model: ModelShape): number[] {
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
  readonly ends: readonly (readonly (readonly number[])[])[]
  readonly twins: readonly number[]
  /** Most layers that each peer can take, largest first, with its index. */
  readonly reaches: readonly { readonly index: number; readonly layers: number }[]
  /** [tilers] the model as each peer's engine has it. */
  readonly #shapes: readonly ModelShape[]
  /** [tilers][layers + 1] bytes of the layers below each, as that engine has them. */
  readonly #bytesTo: readonly (readonly number[])[]
  /** [tilers][layers + 1] bytes to be fetched below each layer; undefined for who has all that it can load. */
  readonly #lackedTo: readonly (readonly number[] | undefined)[]
  readonly #tilers: readonly Tiler[]

  /** For `hops`, speeds and what is loaded make no difference between peers. */
  constructor(model: ModelShape, tilers: readonly Tiler[], purpose: 'hops' | 'costs') {
    this.layers = model.layers
    this.#tilers = tilers
    this.#shapes = tilers.map(({ view }) => shapeAt(view, model))
    this.#bytesTo = bytesBelow(this.#shapes)
    this.#lackedTo = tilers.map(({ view }) =>
      view.obtainable === undefined ? undefined : knownOf(view, model).lackedTo
    )
    this.ends = tilers.map(tiler => endsOf(tiler, model))
    this.twins = twinsOf(this.#keys(model, purpose))
    this.reaches = this.ends
      .map((ends, index) => ({
        index,
        layers: ends.reduce((most, list, start) => Math.max(most, (list[0] ?? start) - start), 0)
      }))
      .sort((a, b) => b.layers - a.layers || a.index - b.index)
  }

  /** [tilers] the same text for those that differ in their id only, or null for who is like nobody else. */
  #keys(model: ModelShape, purpose: 'hops' | 'costs'): (string | null)[] {
    return this.#tilers.map((tiler, index) => {
      if (tiler.only !== null || (purpose === 'costs' && tiler.loaded.length > 0)) return null
      const { view, weak, hopMs } = tiler
      const { endsText, heldText } = knownOf(view, model)
      const ends = tiler.layersMax === undefined ? endsText : lengthsOf(this.ends[index]!)
      if (purpose === 'hops') return `${weak};${ends}`
      const engine = this.#shapes.indexOf(this.#shapes[index]!)
      // Those who differ in what they would have to fetch differ in bytes.
      const lacked = view.obtainable === undefined ? '' : heldText
      return `${view.visitMs},${view.layerMs},${hopMs},${engine};${weak};${ends};${lacked}`
    })
  }

  /** What a peer must load for a stage; shards to be fetched count {@link fetchWeight} times more. */
  newBytes(tiler: number, start: number, end: number): number {
    for (const range of this.#tilers[tiler]!.loaded) if (range.start === start && range.end === end) return 0
    return this.#bytes(tiler, start, end) + fetchWeight * this.#lackedBytes(tiler, start, end)
  }

  #bytes(tiler: number, start: number, end: number): number {
    const model = this.#shapes[tiler]!
    const bytesTo = this.#bytesTo[tiler]!
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

/** [layers] ends of the stages that a peer may take from each layer on, the furthest first. */
function endsOf({ view, only, layersMax }: Tiler, model: ModelShape): readonly (readonly number[])[] {
  if (only === null) {
    const { ends } = knownOf(view, model)
    return layersMax === undefined
      ? ends
      : ends.map((list, start) => (list.length <= layersMax ? list : endsFrom(model, start, start + layersMax)))
  }
  const most = layersMax ?? model.layers
  const allowed = only.filter(range => range.end - range.start <= most && canHold(view, model, range))
  return Array.from({ length: model.layers }, (_, start) =>
    allowed
      .filter(range => range.start === start)
      .map(range => range.end)
      .sort((a, b) => b - a)
  )
}

/** [tilers][layers + 1] bytes of the layers below each; engines that take the same share a list. */
function bytesBelow(shapes: readonly ModelShape[]): (readonly number[])[] {
  const lists = new Map<ModelShape, readonly number[]>()
  for (const shape of new Set(shapes)) {
    const bytesTo = [0]
    for (const [layer, bytes] of shape.layerBytes.entries()) {
      bytesTo.push(bytesTo[layer]! + bytes + layerReserveBytes(shape, layer))
    }
    lists.set(shape, bytesTo)
  }
  return shapes.map(shape => lists.get(shape)!)
}

/** [tilers] the index of the last one before each that has the same key; -1 where there is none. */
function twinsOf(keys: readonly (string | null)[]): number[] {
  const last = new Map<string, number>()
  return keys.map((key, index) => {
    if (key === null) return -1
    const twin = last.get(key) ?? -1
    last.set(key, index)
    return twin
  })
}
