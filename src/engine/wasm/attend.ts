/**
 * One thread's share of attention in a pass: keys and values of its rows go into the pages of their caches, and what it
 * reads of these gives what attention makes of its queries.
 */
import type { CacheType } from '../../base/cache-type.ts'
import { attentionRows, keyTile } from './attention.ts'
import { type CacheForm, cacheForms } from './cache-form.ts'
import { type Job, rotationRows, type Segment, shareOf, type Views } from './job.ts'
import { headWidth, type Kernels } from './kernels.ts'
import { type Layout, type OwnScratch, qkvRows } from './layout.ts'
import { vectorBytes } from '../../model/tiles.ts'
import type { LayerWeights } from './weights.ts'

/** Up to {@link attentionRows} rows of one kv head in a segment: tokens, and for each of them the query heads of the group. */
export interface Read {
  readonly segment: Segment
  readonly head: number
  /** Addresses of their queries, and of what they are given. */
  readonly queries: readonly number[]
  readonly outs: readonly number[]
  /** Positions that each of them sees: the last one sees most. */
  readonly seen: readonly number[]
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
  }

  /** This thread's part of what is read of the caches, the same in each layer: about as many keys as each other one's. */
  reads(job: Job, segments: readonly Segment[]): Read[] {
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
          const read = this.#read(segment, head, row)
          before.push(keys)
          keys += read.seen.at(-1)!
          reads.push(read)
        }
      }
    }
    // Of a lone row a thread reads the heads that it keeps itself.
    if (job.rows === 1) return reads.filter(({ head }) => head >= lone[0] && head < lone[1])
    return reads.filter((_, i) => Math.floor((before[i]! * job.threads) / keys) === this.#index)
  }

  /** @param from of the segment's rows, counted by token and then by query head */
  #read(segment: Segment, head: number, from: number): Read {
    const { config, scratch: s } = this.#layout
    const { heads, kvHeads, headDim } = config
    const group = heads / kvHeads
    const outStride = vectorBytes(heads * headDim)
    const [queries, outs, seen]: [number[], number[], number[]] = [[], [], []]
    for (let row = from; row < Math.min(segment.rows * group, from + attentionRows); row++) {
      const token = Math.floor(row / group)
      const offset = 4 * (head * group + (row % group)) * headDim
      queries.push(s.qkv + (segment.first + token) * this.#stride + offset)
      outs.push(s.attended + (segment.first + token) * outStride + offset)
      seen.push(segment.position + token + 1)
    }
    return { segment, head, queries, outs, seen }
  }

  /** Keeps keys and values of this thread's share. True where others need what it kept before they read. */
  keep(job: Job, segments: readonly Segment[], weights: LayerWeights, index: number): boolean {
    const { kvHeads } = this.#layout.config
    if (job.rows === 1) {
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

  /** Rotates queries and keys of kv heads [from, to) of one row, and puts keys and values into their page. */
  #keep(job: Job, segment: Segment, weights: LayerWeights, index: number, t: number, from: number, to: number): void {
    const k = this.#kernels
    const { config, scratch: s } = this.#layout
    const { heads, kvHeads, headDim } = config
    const { integers } = this.#views()
    const position = segment.position + t - segment.first
    const table = job.rotations / 4 + 2 * Math.floor(position / rotationRows)
    const offset = 2 * headDim * (position % rotationRows)
    const [cos, sin] = [integers[table]! + offset, integers[table + 1]! + offset]
    const row = s.qkv + t * this.#stride
    const group = heads / kvHeads
    k.rotate(row + 4 * from * group * headDim, cos, sin, (to - from) * group)
    k.rotate(row + 4 * (weights.keys + from * headDim), cos, sin, to - from)
    const form = this.#forms[segment.cache]
    for (let head = from; head < to; head++) {
      const key = row + 4 * (weights.keys + head * headDim)
      const value = row + 4 * (weights.values + head * headDim)
      form.store(key, value, this.#head(segment, index, position, head), position % form.positions)
    }
  }

  /** One kv head in the page of a position. */
  #head({ pages, cache }: Segment, index: number, position: number, head: number): number {
    const { positions, headBytes } = this.#forms[cache]
    const table = pages / 4 + Math.floor(position / positions) * this.#layout.weights.layers.length
    return this.#views().integers[table + index]! + headBytes * head
  }

  /** What rows make of the keys and values that they see in one layer. */
  attend(job: Job, { segment, head, queries: rows, outs, seen }: Read, index: number): void {
    const k = this.#kernels
    const { queries, sums } = this.#own
    const { floats } = this.#views()
    const n = rows.length
    const form = this.#forms[segment.cache]
    const kernels = form.kernels[n - 1]!
    kernels.queries(...rows, queries)
    const scoreStride = 4 * job.scorePositions
    const scores = job.scores + this.#index * attentionRows * scoreStride
    const most = seen[n - 1]!
    const end = Math.ceil(most / form.tile) * form.tile
    for (let at = 0; at < most; at += form.positions) {
      const tiles = Math.min(form.positions, end - at) / keyTile
      kernels.scores(queries, this.#head(segment, index, at, head), tiles, scores + 4 * at, scoreStride)
    }
    k.fill(sums, (n * this.#width) / 4, 0)
    for (let i = 0; i < n; i++) {
      const row = scores + i * scoreStride
      floats.fill(Number.NEGATIVE_INFINITY, row / 4 + seen[i]!, row / 4 + end)
      this.#factors[i] = k.softmax(row, end / keyTile)
    }
    for (let at = 0; at < most; at += form.positions) {
      const values = this.#head(segment, index, at, head) + form.values
      const tiles = Math.min(form.positions, end - at) / keyTile
      kernels.mix(scores + 4 * at, scoreStride, values, tiles, sums, 4 * this.#width)
    }
    for (let i = 0; i < n; i++) k.scaled(sums + 4 * i * this.#width, this.#factors[i]!, outs[i]!)
  }
}
