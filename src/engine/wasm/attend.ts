/**
 * One thread's share of attention in a pass: keys and values of its rows go into the pages of their caches, and what it
 * reads of these gives what attention makes of its queries.
 */
import type { CacheType } from '../../base/cache-type.ts'
import { attentionRows, keyTile } from './attention.ts'
import { type CacheForm, cacheForms } from './cache-form.ts'
import { type Job, rotationRows, type Segment, shareOf, type Views } from './job.ts'
import { headWidth, type Kernels, type Rotate, rotationKernel } from './kernels.ts'
import { kindOf, type LayerForms, layerForms } from './layer-kinds.ts'
import { type Layout, type OwnScratch, qkvRows } from './layout.ts'
import { vectorBytes } from '../../model/tiles.ts'
import type { AttentionWeights, LayerVectors } from './weights.ts'

/** Up to {@link attentionRows} rows of one kv head in a segment: tokens, and for each of them the query heads of the group. */
export interface Read {
  readonly segment: Segment
  readonly head: number
  /** Addresses of their queries, and of what they are given. */
  readonly queries: readonly number[]
  readonly outs: readonly number[]
  /** Positions [from, seen) that each of them sees: none before those of the first, none behind those of the last. */
  readonly from: readonly number[]
  readonly seen: readonly number[]
}

/** What a layer of attention has beside its matrices. */
export interface AttendingLayer extends Pick<AttentionWeights, 'keys' | 'values'> {
  readonly vectors: LayerVectors
}

export class Attention {
  readonly #layout: Layout
  readonly #kernels: Kernels
  readonly #views: () => Views
  readonly #index: number
  readonly #own: OwnScratch
  readonly #width: number
  /** Bytes from one row of queries, keys and values to the next. */
  readonly #stride: number
  readonly #forms: Readonly<Record<CacheType, CacheForm>>
  readonly #layers: LayerForms
  /** By rotation. */
  readonly #rotates: readonly Rotate[]
  /** 1 / sum of the weights of each row that is read. */
  readonly #factors = new Float64Array(attentionRows)

  constructor(layout: Layout, kernels: Kernels, { index, views }: { index: number; views: () => Views }) {
    this.#layout = layout
    this.#kernels = kernels
    this.#index = index
    this.#views = views
    this.#own = layout.own[index]!
    this.#width = headWidth(layout.config.headDim)
    this.#stride = 4 * qkvRows(layout.config)
    this.#forms = cacheForms(kernels, this.#width, this.#own)
    this.#layers = layerForms(layout.config)
    this.#rotates = this.#layers.rotations.map(form => kernels[rotationKernel(form)]!)
  }

  /** This thread's part of what is read of the caches, by kind of layer: about as many keys as each other one's. */
  reads(job: Job, segments: readonly Segment[]): Read[][] {
    const windows = this.#layers.kinds.map(({ window, convolution }) =>
      convolution === undefined ? (window ?? Number.POSITIVE_INFINITY) : 0
    )
    const seen = [...new Set(windows)].filter(window => window > 0)
    const made = new Map(seen.map(window => [window, this.#reads(job, segments, window)]))
    return windows.map(window => made.get(window) ?? [])
  }

  #reads(job: Job, segments: readonly Segment[], window: number): Read[] {
    const { heads, kvHeads } = this.#layout.config
    const group = heads / kvHeads
    const lone = shareOf(job, this.#index, kvHeads)
    const reads: Read[] = []
    /** Keys that are read before each of them, and by all. */
    const before: number[] = []
    let keys = 0
    for (const segment of segments) {
      for (let head = 0; head < kvHeads; head++) {
        for (let row = 0; row < segment.rows * group; row += attentionRows) {
          const read = this.#read(segment, head, row, window)
          before.push(keys)
          keys += read.seen.at(-1)! - read.from[0]!
          reads.push(read)
        }
      }
    }
    // Of a lone row a thread reads the heads that it keeps itself.
    if (job.rows === 1) return reads.filter(({ head }) => head >= lone[0] && head < lone[1])
    return reads.filter((_, i) => Math.floor((before[i]! * job.threads) / keys) === this.#index)
  }

  /** @param first of the segment's rows, counted by token and then by query head */
  #read(segment: Segment, head: number, first: number, window: number): Read {
    const { config, scratch: s } = this.#layout
    const { heads, kvHeads, headDim } = config
    const group = heads / kvHeads
    const outStride = vectorBytes(heads * headDim)
    const [queries, outs, from, seen]: [number[], number[], number[], number[]] = [[], [], [], []]
    for (let row = first; row < Math.min(segment.rows * group, first + attentionRows); row++) {
      const token = Math.floor(row / group)
      const offset = 4 * (head * group + (row % group)) * headDim
      queries.push(s.qkv + (segment.first + token) * this.#stride + offset)
      outs.push(s.attended + (segment.first + token) * outStride + offset)
      const end = segment.position + token + 1
      from.push(Math.max(0, end - window))
      seen.push(end)
    }
    return { segment, head, queries, outs, from, seen }
  }

  /** Keeps keys and values of this thread's share. True where others need what it kept before they read. */
  keep(job: Job, segments: readonly Segment[], weights: AttendingLayer, index: number): boolean {
    const { kvHeads, attention } = this.#layout.config
    if (job.rows === 1 && attention?.headNorm !== 'all') {
      // A thread keeps and reads its own heads: nobody need wait.
      const [from, to] = shareOf(job, this.#index, kvHeads)
      if (from < to) this.#keep(job, segments[0]!, weights, index, 0, from, to)
      return false
    }
    const [first, last] = shareOf(job, this.#index, job.rows)
    for (const segment of segments) {
      const end = Math.min(last, segment.first + segment.rows)
      for (let t = Math.max(first, segment.first); t < end; t++) {
        this.#keep(job, segment, weights, index, t, 0, kvHeads)
      }
    }
    return true
  }

  /**
   * Adds biases to kv heads [from, to) of one row and their queries, norms and rotates queries and keys, and puts keys and values
   * into their page.
   */
  #keep(job: Job, segment: Segment, weights: AttendingLayer, index: number, t: number, from: number, to: number): void {
    const { headDim } = this.#layout.config
    const position = segment.position + t - segment.first
    const row = this.#layout.scratch.qkv + t * this.#stride
    this.#shape(row, weights, from, to)
    this.#rotate(job, row, weights, index, position, from, to)
    const form = this.#forms[segment.cache]
    for (let head = from; head < to; head++) {
      const key = row + 4 * (weights.keys + head * headDim)
      const value = row + 4 * (weights.values + head * headDim)
      form.store(key, value, this.#head(segment, index, position, head), position % form.positions)
    }
  }

  /** What comes before rotation. */
  #shape(row: number, { vectors, keys, values }: AttendingLayer, from: number, to: number): void {
    const k = this.#kernels
    const { heads, kvHeads, headDim, attention } = this.#layout.config
    const group = heads / kvHeads
    if (vectors.qkvBias !== undefined) {
      const parts = [
        { at: 0, bias: 0, size: group * headDim },
        { at: keys, bias: heads * headDim, size: headDim },
        { at: values, bias: (heads + kvHeads) * headDim, size: headDim }
      ]
      for (const { at, bias, size } of parts)
        k.add!(row + 4 * (at + from * size), vectors.qkvBias + 4 * (bias + from * size), (to - from) * size)
    }
    if (attention?.headNorm === undefined) return
    const all = attention.headNorm === 'all'
    k['norm.queries']!(row + 4 * from * group * headDim, vectors.qNorm!, all ? 1 : (to - from) * group)
    k['norm.keys']!(row + 4 * (keys + from * headDim), vectors.kNorm!, all ? 1 : to - from)
  }

  #rotate(
    job: Job,
    row: number,
    weights: AttendingLayer,
    index: number,
    position: number,
    from: number,
    to: number
  ): void {
    const { config, start } = this.#layout
    const { heads, kvHeads, headDim } = config
    const { rotations, kinds } = this.#layers
    const { rotation } = kinds[kindOf(config, start + index)]!
    if (rotation === undefined) return
    const { integers } = this.#views()
    const table = job.rotations / 4 + 2 * (Math.floor(position / rotationRows) * rotations.length + rotation)
    const offset = 2 * rotations[rotation]!.dims * (position % rotationRows)
    const [cos, sin] = [integers[table]! + offset, integers[table + 1]! + offset]
    const rotate = this.#rotates[rotation]!
    const group = heads / kvHeads
    rotate(row + 4 * from * group * headDim, cos, sin, (to - from) * group)
    rotate(row + 4 * (weights.keys + from * headDim), cos, sin, to - from)
  }

  /** One kv head in the page of a position. */
  #head({ pages, cache }: Segment, index: number, position: number, head: number): number {
    const { positions, headBytes } = this.#forms[cache]
    const table = pages / 4 + Math.floor(position / positions) * this.#layout.weights.layers.length
    return this.#views().integers[table + index]! + headBytes * head
  }

  /** What rows make of the keys and values that they see in one layer. */
  attend(job: Job, { segment, head, queries: rows, outs, from, seen }: Read, index: number): void {
    const k = this.#kernels
    const { queries, sums } = this.#own
    const { floats } = this.#views()
    const n = rows.length
    const form = this.#forms[segment.cache]
    const kernels = form.kernels[n - 1]!
    kernels.queries(...rows, queries)
    const scoreStride = 4 * job.scorePositions
    const scores = job.scores + this.#index * attentionRows * scoreStride
    // Pages that nobody sees are left out, and sums are in order of positions: what is not seen adds nothing to them.
    const first = from[0]! - (from[0]! % form.positions)
    const most = seen[n - 1]!
    const end = Math.ceil(most / form.tile) * form.tile
    for (let at = first; at < most; at += form.positions) {
      const tiles = Math.min(form.positions, end - at) / keyTile
      kernels.scores(queries, this.#head(segment, index, at, head), tiles, scores + 4 * at, scoreStride)
    }
    k.fill(sums, (n * this.#width) / 4, 0)
    for (let i = 0; i < n; i++) {
      const row = scores + i * scoreStride + 4 * first
      const tiles = (end - first) / keyTile
      k.capScores?.(row, 2 * tiles)
      floats.fill(Number.NEGATIVE_INFINITY, row / 4, row / 4 + from[i]! - first)
      floats.fill(Number.NEGATIVE_INFINITY, row / 4 + seen[i]! - first, row / 4 + end - first)
      this.#factors[i] = k.softmax(row, tiles)
    }
    for (let at = first; at < most; at += form.positions) {
      const values = this.#head(segment, index, at, head) + form.values
      const tiles = Math.min(form.positions, end - at) / keyTile
      kernels.mix(scores + 4 * at, scoreStride, values, tiles, sums, 4 * this.#width)
    }
    for (let i = 0; i < n; i++) k.scaled(sums + 4 * i * this.#width, this.#factors[i]!, outs[i]!)
  }
}
