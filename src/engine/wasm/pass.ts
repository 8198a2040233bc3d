/**
 * One thread's share of a pass through the layers of a stage. All threads run the same code side by side: each takes its
 * part of the rows of a matrix, the heads or the tokens, and they meet at barriers where one needs what others made. A
 * number's own sum is one thread's alone, so that its bits do not depend on how many there are.
 */
import { attentionRows, keyTile, pageHalfBytes, pagePositions, valueSlice } from './attention.ts'
import { headWidth, type Kernels } from './kernels.ts'
import type { Layout, OwnScratch } from './layout.ts'
import { activationBytes, activationsOf } from './activations.ts'
import { tileColumns, tileRows, tileStride, vectorBytes } from '../../model/tiles.ts'
import type { LayerWeights, Matrix } from './weights.ts'

/** Positions that one table of rotations has. */
export const rotationRows = 1_024

/** A pass, as numbers: threads are told of it through shared memory. */
export interface Job {
  /** `layers`: rows of the hidden state, in place; `head`: logits of the first rows. */
  readonly kind: 'layers' | 'head'
  readonly rows: number
  /** Address of the segments, each of {@link segmentNumbers} numbers, and how many there are; none for the head. */
  readonly segments: number
  readonly segmentCount: number
  /** Address of the addresses of cosines and sines, of {@link rotationRows} positions each. */
  readonly rotations: number
  /** Scores of each thread: [attentionRows] rows for so many positions. */
  readonly scores: number
  readonly scorePositions: number
  /** That take part. */
  readonly threads: number
}

/** Rows of one session that lie side by side in a pass. */
export interface Segment {
  /** Of all rows of the pass. */
  readonly first: number
  readonly rows: number
  /** Of its first row: tokens in the cache before it. */
  readonly position: number
  /** Address of the addresses of the cache's pages: by page, and then by layer. */
  readonly pages: number
}

/** Numbers of a segment in memory, in the order of its fields. */
export const segmentNumbers = 4

/** A job as one thread computes it. */
interface Pass extends Job {
  readonly parts: readonly Segment[]
  /** What this thread reads of the caches, for each layer anew. */
  readonly reads: readonly Read[]
}

/** Up to {@link attentionRows} rows of one kv head in a segment: tokens, and for each of them the query heads of the group. */
interface Read {
  readonly segment: Segment
  readonly head: number
  /** Addresses of their queries, and of what they are given. */
  readonly queries: readonly number[]
  readonly outs: readonly number[]
  /** Positions that each of them sees: the last one sees most. */
  readonly seen: readonly number[]
}

/** The memory as this thread sees it. */
export interface Views {
  readonly floats: Float32Array
  readonly integers: Int32Array
}

/** Activations of rows, ready to be multiplied. */
interface Activations {
  readonly at: number
  readonly stride: number
}

function attentionKernels(kernels: Kernels, rows: number) {
  return { queries: kernels[`queries.${rows}`]!, scores: kernels[`scores.${rows}`]!, mix: kernels[`mix.${rows}`]! }
}

export class PassRunner {
  readonly #layout: Layout
  readonly #kernels: Kernels
  readonly #views: () => Views
  readonly #index: number
  readonly #own: OwnScratch
  /** Waits for the others of a pass. */
  readonly #meet: (threads: number) => void
  readonly #width: number
  /** Kernels of attention, by how many rows they take. */
  readonly #attentionOf: readonly ReturnType<typeof attentionKernels>[]
  /** 1 / sum of the weights of each row that is read. */
  readonly #factors = new Float64Array(attentionRows)

  constructor(
    layout: Layout,
    kernels: Kernels,
    { index, views, meet }: { index: number; views: () => Views; meet: (threads: number) => void }
  ) {
    this.#layout = layout
    this.#kernels = kernels
    this.#index = index
    this.#views = views
    this.#meet = meet
    this.#own = layout.own[index]!
    this.#width = headWidth(layout.config.headDim)
    this.#attentionOf = Array.from({ length: attentionRows }, (_, i) => attentionKernels(kernels, i + 1))
  }

  run(job: Job): void {
    if (job.kind === 'head') {
      this.#head(job)
      return
    }
    const parts = this.#segments(job)
    const pass = { ...job, parts, reads: this.#reads(job, parts) }
    for (const [i, layer] of this.#layout.weights.layers.entries()) this.#layer(pass, layer, i)
  }

  #segments({ segments, segmentCount }: Job): Segment[] {
    const { integers } = this.#views()
    return Array.from({ length: segmentCount }, (_, i) => {
      const at = segments / 4 + segmentNumbers * i
      return { first: integers[at]!, rows: integers[at + 1]!, position: integers[at + 2]!, pages: integers[at + 3]! }
    })
  }

  /** This thread's part of what is read of the caches: about as many keys as each other one's. */
  #reads(job: Job, segments: readonly Segment[]): Read[] {
    const { heads, kvHeads } = this.#layout.config
    const group = heads / kvHeads
    const lone = this.#share(job, kvHeads)
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
    const { config, scratch: s, weights } = this.#layout
    const { heads, kvHeads, headDim } = config
    const group = heads / kvHeads
    const stride = 4 * weights.layers[0]!.qkv.rows
    const outStride = vectorBytes(heads * headDim)
    const [queries, outs, seen]: [number[], number[], number[]] = [[], [], []]
    for (let row = from; row < Math.min(segment.rows * group, from + attentionRows); row++) {
      const token = Math.floor(row / group)
      const offset = 4 * (head * group + (row % group)) * headDim
      queries.push(s.qkv + (segment.first + token) * stride + offset)
      outs.push(s.attended + (segment.first + token) * outStride + offset)
      seen.push(segment.position + token + 1)
    }
    return { segment, head, queries, outs, seen }
  }

  /** This thread's part of so many. */
  #share({ threads }: Job, units: number): readonly [from: number, to: number] {
    if (threads === 1) return [0, units]
    return [Math.floor((units * this.#index) / threads), Math.floor((units * (this.#index + 1)) / threads)]
  }

  #barrier({ threads }: Job): void {
    if (threads > 1) this.#meet(threads)
  }

  #head(job: Job): void {
    const { norm, output } = this.#layout.weights.head!
    const activations = this.#normed(job, norm, output)
    const stride = 4 * output.rows
    this.#multiply(
      job,
      output,
      activations,
      this.#layout.scratch.logits,
      stride,
      this.#share(job, output.rows / tileRows)
    )
    this.#barrier(job)
  }

  #layer(job: Pass, weights: LayerWeights, index: number): void {
    const { config, scratch: s, start } = this.#layout
    const { qkv, o, gateUp, down } = weights
    this.#multiply(
      job,
      qkv,
      this.#normed(job, weights.norm1, qkv),
      s.qkv,
      4 * qkv.rows,
      this.#share(job, qkv.rows / tileRows)
    )
    this.#barrier(job)
    this.#attention(job, index, 4 * qkv.rows)
    this.#barrier(job)
    const attended = this.#quantised(job, o, s.attended, vectorBytes(config.heads * config.headDim))
    this.#add(job, o, attended, this.#kernels.sum)
    this.#feedForward(job, gateUp, this.#normed(job, weights.norm2, gateUp), down)
    this.#barrier(job)
    const isLast = start + index + 1 === config.layers
    const hidden = this.#downActivations(job, down, 4 * gateUp.rows)
    this.#add(job, down, hidden, isLast ? this.#kernels.sum : this.#kernels.sumAtEdge)
  }

  // ── Products ────────────────────────────────────────────────────────────────────────────────────

  /** Rows of the hidden state after a norm, for a product with `matrix`. */
  #normed(job: Job, weight: number, matrix: Matrix): Activations {
    const k = this.#kernels
    const { scratch: s, config } = this.#layout
    if (job.rows === 1) {
      // Each thread for itself: it takes less than meeting.
      k.norm(s.x, weight, this.#own.normed)
      return this.#quantised(job, matrix, this.#own.normed, 0)
    }
    const stride = vectorBytes(config.hidden)
    const [from, to] = this.#share(job, job.rows)
    for (let t = from; t < to; t++) k.norm(s.x + t * stride, weight, s.normed + t * stride)
    return this.#quantised(job, matrix, s.normed, stride)
  }

  /** Rows of float32 as a product with `matrix` takes them. Of several rows each thread has made its share, and meets here. */
  #quantised(job: Job, { type, blocks }: Matrix, from: number, stride: number): Activations {
    const k = this.#kernels
    if (type === 'f32') {
      if (job.rows > 1) this.#barrier(job)
      return { at: from, stride }
    }
    if (job.rows === 1) {
      k[`quantise.${activationsOf(type)}.one`](from, blocks, this.#own.activations)
      return { at: this.#own.activations, stride: 0 }
    }
    const { activations } = this.#layout.scratch
    const form = activationsOf(type)
    const bytes = blocks * activationBytes[form].compact
    const [first, last] = this.#share(job, job.rows)
    for (let t = first; t < last; t++) k[`quantise.${form}.many`](from + t * stride, blocks, activations + t * bytes)
    this.#barrier(job)
    return { at: activations, stride: bytes }
  }

  /** Tiles [from, to) of a matrix with all rows. */
  #multiply(
    { rows }: Job,
    matrix: Matrix,
    activations: Activations,
    out: number,
    outStride: number,
    [from, to]: readonly [from: number, to: number]
  ): void {
    if (from === to) return
    const k = this.#kernels
    const { type, blocks } = matrix
    const w = matrix.at + from * tileStride(matrix)
    const first = out + 4 * tileRows * from
    if (rows === 1) k[`product.${type}.one`](w, blocks, to - from, activations.at, first)
    else k[`product.${type}.many`](w, blocks, to - from, activations.at, activations.stride, first, outStride, rows)
  }

  /** x = x + matrix · activations, by `sum`; then all meet. */
  #add(job: Job, matrix: Matrix, activations: Activations, sum: Kernels['sum']): void {
    const { scratch: s, config } = this.#layout
    const [from, to] = this.#share(job, matrix.rows / tileRows)
    const stride = 4 * matrix.rows
    this.#multiply(job, matrix, activations, s.y, stride, [from, to])
    const at = 4 * tileRows * from
    const vectors = ((to - from) * tileRows) / 4
    if (vectors > 0) {
      for (let t = 0; t < job.rows; t++) sum(s.x + t * vectorBytes(config.hidden) + at, s.y + t * stride + at, vectors)
    }
    this.#barrier(job)
  }

  /** Gate and up, and what both make, quantised for the last matrix of the layer: blocks of columns by thread. */
  #feedForward(job: Job, gateUp: Matrix, activations: Activations, down: Matrix): void {
    const k = this.#kernels
    const { scratch: s, config } = this.#layout
    const gateBytes = vectorBytes(config.intermediate)
    const [from, to] = this.#share(job, gateBytes / (4 * tileColumns))
    if (from === to) return
    const perBlock = tileColumns / tileRows
    const up = gateBytes / (4 * tileRows)
    const stride = 4 * gateUp.rows
    this.#multiply(job, gateUp, activations, s.gateUp, stride, [from * perBlock, to * perBlock])
    this.#multiply(job, gateUp, activations, s.gateUp, stride, [up + from * perBlock, up + to * perBlock])
    for (let t = 0; t < job.rows; t++) {
      const gate = s.gateUp + t * stride + 4 * tileColumns * from
      k.gate(gate, gate + gateBytes, ((to - from) * tileColumns) / 4)
      if (down.type === 'f32') continue
      const form = job.rows === 1 ? 'one' : 'many'
      const bits = activationsOf(down.type)
      const bytes = activationBytes[bits][job.rows === 1 ? 'spread' : 'compact']
      // Not where the activations of gate and up are: another thread may still read those.
      k[`quantise.${bits}.${form}`](gate, to - from, s.downActivations + (t * down.blocks + from) * bytes)
    }
  }

  #downActivations(job: Job, { type, blocks }: Matrix, gateUpStride: number): Activations {
    const { scratch: s } = this.#layout
    if (type === 'f32') return { at: s.gateUp, stride: gateUpStride }
    return { at: s.downActivations, stride: job.rows === 1 ? 0 : blocks * activationBytes[activationsOf(type)].compact }
  }

  // ── Attention ───────────────────────────────────────────────────────────────────────────────────

  #attention(pass: Pass, index: number, stride: number): void {
    const { kvHeads } = this.#layout.config
    if (pass.rows === 1) {
      // A thread keeps and reads its own heads: nobody need wait.
      const [from, to] = this.#share(pass, kvHeads)
      if (from < to) this.#keep(pass, pass.parts[0]!, index, 0, stride, from, to)
    } else {
      const [first, last] = this.#share(pass, pass.rows)
      for (const segment of pass.parts) {
        const end = Math.min(last, segment.first + segment.rows)
        for (let t = Math.max(first, segment.first); t < end; t++) {
          this.#keep(pass, segment, index, t, stride, 0, kvHeads)
        }
      }
      this.#barrier(pass)
    }
    for (const read of pass.reads) this.#attend(pass, read, index)
  }

  /** Rotates queries and keys of kv heads [from, to) of one row, and puts keys and values into their page. */
  #keep(job: Job, segment: Segment, index: number, t: number, stride: number, from: number, to: number): void {
    const k = this.#kernels
    const { config, scratch: s } = this.#layout
    const { heads, kvHeads, headDim } = config
    const { integers } = this.#views()
    const position = segment.position + t - segment.first
    const table = job.rotations / 4 + 2 * Math.floor(position / rotationRows)
    const offset = 2 * headDim * (position % rotationRows)
    const [cos, sin] = [integers[table]! + offset, integers[table + 1]! + offset]
    const row = s.qkv + t * stride
    const group = heads / kvHeads
    k.rotate(row + 4 * from * group * headDim, cos, sin, (to - from) * group)
    k.rotate(row + 4 * (heads + from) * headDim, cos, sin, to - from)
    const at = position % pagePositions
    const half = pageHalfBytes(this.#width)
    for (let head = from; head < to; head++) {
      const key = row + 4 * (heads + head) * headDim
      const keys = this.#page(segment, index, position, head)
      const tile = 4 * keyTile * this.#width * Math.floor(at / keyTile)
      k.store(key, key + 4 * kvHeads * headDim, keys + tile + 4 * (at % keyTile), keys + half + 4 * valueSlice * at)
    }
  }

  /** Keys of one kv head in the page of a position. */
  #page({ pages }: Segment, index: number, position: number, head: number): number {
    const table = pages / 4 + Math.floor(position / pagePositions) * this.#layout.weights.layers.length
    return this.#views().integers[table + index]! + 2 * pageHalfBytes(this.#width) * head
  }

  #attend(job: Job, { segment, head, queries: rows, outs, seen }: Read, index: number): void {
    const k = this.#kernels
    const { queries, sums } = this.#own
    const { floats } = this.#views()
    const n = rows.length
    const kernels = this.#attentionOf[n - 1]!
    kernels.queries(...rows, queries)
    const scoreStride = 4 * job.scorePositions
    const scores = job.scores + this.#index * attentionRows * scoreStride
    const most = seen[n - 1]!
    const end = Math.ceil(most / keyTile) * keyTile
    for (let at = 0; at < most; at += pagePositions) {
      const tiles = Math.min(pagePositions, end - at) / keyTile
      kernels.scores(queries, this.#page(segment, index, at, head), tiles, scores + 4 * at, scoreStride)
    }
    k.fill(sums, (n * this.#width) / 4, 0)
    for (let i = 0; i < n; i++) {
      const row = scores + i * scoreStride
      floats.fill(Number.NEGATIVE_INFINITY, row / 4 + seen[i]!, row / 4 + end)
      this.#factors[i] = k.softmax(row, end / keyTile)
    }
    const half = pageHalfBytes(this.#width)
    for (let at = 0; at < most; at += pagePositions) {
      const values = this.#page(segment, index, at, head) + half
      const tiles = Math.min(pagePositions, end - at) / keyTile
      kernels.mix(scores + 4 * at, scoreStride, values, tiles, sums, 4 * this.#width)
    }
    for (let i = 0; i < n; i++) k.scaled(sums + 4 * i * this.#width, this.#factors[i]!, outs[i]!)
  }
}
