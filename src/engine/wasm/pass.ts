/**
 * One thread's share of a pass through the layers of a section. All threads run the same code side by side: each takes its
 * part of the rows of a matrix, the heads or the tokens, and they meet at barriers where one needs what others made. A
 * number's own sum is one thread's alone, so that its bits do not depend on how many there are.
 */
import { Attention, type Read } from './attend.ts'
import { ExpertRunner } from './experts.ts'
import { type Job, readSegment, type Segment, segmentNumbers, shareOf, type Views } from './job.ts'
import { Convolution } from './convolution.ts'
import type { Kernels } from './kernels.ts'
import { kindOf } from './layer-kinds.ts'
import { convolutionRows, type Layout, type OwnScratch, qkvRows } from './layout.ts'
import { multiplyTiles, operandOf, type Rows, type Tiles } from './product.ts'
import { type ActivationForm, activationBytes, activationsOf } from './activations.ts'
import { tileColumns, tileRows, vectorBytes } from '../../model/tiles.ts'
import type { LayerWeights, Matrix } from './weights.ts'

/** A job as one thread computes it. */
interface Pass extends Job {
  readonly parts: readonly Segment[]
  /** What this thread reads of the caches, by kind of layer; for each layer anew. */
  readonly reads: readonly (readonly Read[])[]
}

/** What becomes of a product before it is added to the hidden state: addresses of vectors. */
interface After {
  readonly bias: number | undefined
  readonly norm: number | undefined
}

/** How a thread waits for the others of a pass. */
export interface Meetings {
  meet(threads: number): void
  /** At the edge of a layer, where a pass may change hands: how many threads go on with it, 0 where this one does not. */
  meetAtEdge(job: Job): number
}

export class PassRunner {
  readonly #layout: Layout
  readonly #kernels: Kernels
  readonly #attention: Attention
  readonly #experts: ExpertRunner
  readonly #convolution: Convolution
  readonly #views: () => Views
  readonly #index: number
  readonly #own: OwnScratch
  readonly #meetings: Meetings

  constructor(
    layout: Layout,
    kernels: Kernels,
    { index, views, ...meetings }: { index: number; views: () => Views } & Meetings
  ) {
    this.#layout = layout
    this.#kernels = kernels
    this.#attention = new Attention(layout, kernels, { index, views })
    this.#experts = new ExpertRunner(layout, kernels, { index, views, barrier: job => this.#barrier(job) })
    this.#convolution = new Convolution(layout, kernels, { index, views })
    this.#index = index
    this.#views = views
    this.#meetings = meetings
    this.#own = layout.own[index]!
  }

  /**
   * Computes this thread's share. When it returns, all have met: what they made is there.
   * @param onNearEnd called when the attention of the last layer has been computed
   * @returns how many threads were left in the end, 0 where this one was none of them.
   */
  run(job: Job, onNearEnd?: () => void): number {
    if (job.kind === 'head') {
      this.#head(job)
      return job.threads
    }
    let pass = this.#begin(job, this.#segments(job))
    const { layers } = this.#layout.weights
    for (const [i, layer] of layers.entries()) {
      this.#layer(pass, layer, i, i === layers.length - 1 ? onNearEnd : undefined)
      if (pass.threads === 1) continue
      const threads = this.#meetings.meetAtEdge(job)
      if (threads === 0) return 0
      if (threads !== pass.threads) pass = this.#begin({ ...job, threads }, pass.parts)
    }
    return pass.threads
  }

  #begin(job: Job, parts: readonly Segment[]): Pass {
    return { ...job, parts, reads: this.#attention.reads(job, parts) }
  }

  #segments({ segments, segmentCount }: Job): Segment[] {
    const { integers } = this.#views()
    return Array.from({ length: segmentCount }, (_, i) => readSegment(integers, segments + 4 * segmentNumbers * i))
  }

  /** This thread's part of so many. */
  #share(job: Job, units: number): readonly [from: number, to: number] {
    return shareOf(job, this.#index, units)
  }

  #barrier({ threads }: Job): void {
    if (threads > 1) this.#meetings.meet(threads)
  }

  #head(job: Job): void {
    const { norm, output } = this.#layout.weights.head!
    const rows = this.#normed(job, norm)
    this.#quantise(job, [output], rows)
    const logits = this.#layout.scratch.logits!
    this.#multiplyAll(job, [output], rows, logits, 4 * output.rows)
    const [from, to] = this.#share(job, output.rows / tileRows)
    const cap = this.#kernels.capLogits
    if (cap !== undefined && from < to) {
      for (let t = 0; t < job.rows; t++) cap(logits + 4 * (t * output.rows + tileRows * from), 2 * (to - from))
    }
    this.#barrier(job)
  }

  #layer(job: Pass, weights: LayerWeights, index: number, onNearEnd?: () => void): void {
    const { config, start } = this.#layout
    const { mixer, gateUp, down, vectors } = weights
    const before = this.#normed(job, vectors.norm1)
    this.#quantise(job, mixer.before, before)
    const mixed = this.#mix(job, weights, index, before)
    onNearEnd?.()
    this.#barrier(job)
    this.#quantise(job, [mixer.after], mixed)
    const afterMixer = { bias: vectors.oBias, norm: vectors.norm1After }
    this.#multiplyOwn(job, mixer.after, this.#activations(job, mixer.after, mixed))
    this.#add(job, mixer.after, afterMixer, this.#kernels.sum)
    this.#barrier(job)
    const between = this.#normed(job, vectors.norm2)
    this.#quantise(job, gateUp, between)
    if (weights.experts !== undefined) this.#experts.run(job, weights.experts, between)
    else {
      this.#feedForward(job, weights, between)
      this.#barrier(job)
      this.#multiplyOwn(job, down, this.#downActivations(job, down))
    }
    const isLast = start + index + 1 === config.layers
    const afterDown = { bias: vectors.downBias, norm: vectors.norm2After }
    const sum = isLast ? this.#kernels.sum : this.#kernels.sumAtEdge
    this.#add(job, down, afterDown, sum)
  }

  /** The product before attention or a convolution, and what that makes of its outputs. */
  #mix(job: Pass, { mixer, vectors }: LayerWeights, index: number, rows: Rows): Rows {
    const { config, scratch: s, start } = this.#layout
    const { hidden, heads, headDim } = config
    const isAttention = mixer.kind === 'attention'
    this.#multiplyAll(job, mixer.before, rows, s.qkv, 4 * (isAttention ? qkvRows(config) : convolutionRows(config)))
    this.#barrier(job)
    if (!isAttention) {
      this.#convolution.convolve(job, job.parts, mixer, mixer.kernel, index)
      return { at: s.convolved, stride: vectorBytes(hidden) }
    }
    if (this.#attention.keep(job, job.parts, { ...mixer, vectors }, index)) this.#barrier(job)
    for (const read of job.reads[kindOf(config, start + index)]!) this.#attention.attend(job, read, index)
    return { at: s.attended, stride: vectorBytes(heads * headDim) }
  }

  /** Rows of the hidden state after a norm, if there is one: of several, this thread's share is there. */
  #normed(job: Job, weight: number | undefined): Rows {
    const k = this.#kernels
    const { scratch: s, config } = this.#layout
    if (weight === undefined) return { at: s.x, stride: job.rows === 1 ? 0 : vectorBytes(config.hidden) }
    if (job.rows === 1) {
      // Each thread for itself: it takes less than meeting.
      k.norm(s.x, weight, this.#own.normed)
      return { at: this.#own.normed, stride: 0 }
    }
    const stride = vectorBytes(config.hidden)
    const [from, to] = this.#share(job, job.rows)
    for (let t = from; t < to; t++) k.norm(s.x + t * stride, weight, s.normed + t * stride)
    return { at: s.normed, stride }
  }

  /**
   * Makes of rows of float32 what products with `matrices` take, once in each form that one of these needs. Of several rows
   * each thread makes its share, and meets here.
   */
  #quantise(job: Job, matrices: readonly Matrix[], rows: Rows): void {
    for (const matrix of matrices) {
      if (matrix.type === 'f32') continue
      const form = activationsOf(matrix.type)
      const first = matrices.find(({ type }) => type !== 'f32' && activationsOf(type) === form)
      if (matrix === first) this.#quantiseAs(form, job, matrix.blocks, rows)
    }
    if (job.rows > 1) this.#barrier(job)
  }

  #quantiseAs(form: ActivationForm, job: Job, blocks: number, { at, stride }: Rows): void {
    const k = this.#kernels
    if (job.rows === 1) {
      k[`quantise.${form}.one`](at, blocks, this.#own.activations[form])
      return
    }
    const to = this.#layout.scratch.activations[form]
    const bytes = blocks * activationBytes[form].compact
    const [first, last] = this.#share(job, job.rows)
    for (let t = first; t < last; t++) k[`quantise.${form}.many`](at + t * stride, blocks, to + t * bytes)
  }

  /** Where what a product with a matrix takes of rows is, once it was made. */
  #activations({ rows: count }: Job, matrix: Matrix, rows: Rows): Rows {
    return operandOf(this.#layout, this.#index, count, matrix, rows)
  }

  /** Tiles of a matrix with all rows. */
  #multiply({ rows }: Job, matrix: Matrix, activations: Rows, at: number, stride: number, tiles: Tiles): void {
    multiplyTiles(this.#kernels, { isOne: rows === 1, count: rows }, matrix, activations, { at, stride }, tiles)
  }

  /** This thread's part of the tiles of matrices whose outputs lie one after another. */
  #multiplyAll(job: Job, matrices: readonly Matrix[], rows: Rows, out: number, outStride: number): void {
    let tiles = 0
    for (const matrix of matrices) tiles += matrix.rows / tileRows
    const [from, to] = this.#share(job, tiles)
    let before = 0
    for (const matrix of matrices) {
      const own = matrix.rows / tileRows
      const range = [Math.max(0, from - before), Math.min(own, to - before)] as const
      const activations = this.#activations(job, matrix, rows)
      this.#multiply(job, matrix, activations, out + 4 * tileRows * before, outStride, range)
      before += own
    }
  }

  /** This thread's tiles of y = matrix · activations. */
  #multiplyOwn(job: Job, matrix: Matrix, activations: Rows): void {
    const tiles = this.#share(job, matrix.rows / tileRows)
    this.#multiply(job, matrix, activations, this.#layout.scratch.y, 4 * matrix.rows, tiles)
  }

  /** x = x + y, by `sum`, and with what comes `after` the product with a matrix. Of y there is this thread's part. */
  #add(job: Job, matrix: Matrix, { bias, norm }: After, sum: Kernels['sum']): void {
    const k = this.#kernels
    const { scratch: s, config } = this.#layout
    const [from, to] = this.#share(job, matrix.rows / tileRows)
    const [xStride, stride] = [vectorBytes(config.hidden), 4 * matrix.rows]
    const at = 4 * tileRows * from
    if (bias !== undefined) {
      const count = Math.min(config.hidden, tileRows * to) - tileRows * from
      if (count > 0) for (let t = 0; t < job.rows; t++) k.add!(s.y + t * stride + at, bias + at, count)
    }
    if (norm === undefined) {
      const vectors = ((to - from) * tileRows) / 4
      if (vectors === 0) return
      for (let t = 0; t < job.rows; t++) sum(s.x + t * xStride + at, s.y + t * stride + at, vectors)
      return
    }
    // A norm needs the whole row.
    this.#barrier(job)
    const [first, last] = this.#share(job, job.rows)
    for (let t = first; t < last; t++) {
      const y = s.y + t * stride
      k.norm(y, norm, y)
      sum(s.x + t * xStride, y, matrix.rows / 4)
    }
  }

  /** Gate and up, and what both make, quantised for the last matrix of the layer: blocks of columns by thread. */
  #feedForward(job: Job, { gateUp, down, vectors }: LayerWeights, rows: Rows): void {
    const k = this.#kernels
    const { scratch: s, config } = this.#layout
    const gateBytes = vectorBytes(config.intermediate)
    const [from, to] = this.#share(job, gateBytes / (4 * tileColumns))
    if (from === to) return
    const perBlock = tileColumns / tileRows
    const tiles = [from * perBlock, to * perBlock] as const
    const stride = 2 * gateBytes
    for (const [i, matrix] of gateUp.entries()) {
      this.#multiply(job, matrix, this.#activations(job, matrix, rows), s.gateUp + i * gateBytes, stride, tiles)
    }
    const first = tileColumns * from
    const [count, all] = [Math.min(config.intermediate, tileColumns * to) - first, tileColumns * to - first]
    for (let t = 0; t < job.rows; t++) {
      const at = s.gateUp + t * stride + 4 * first
      if (vectors.upBias !== undefined) {
        for (const i of gateUp.keys())
          k.add!(at + i * gateBytes, vectors.upBias + 4 * (i * config.intermediate + first), count)
      }
      if (gateUp.length === 2) k.gate!(at, at + gateBytes, all / 4)
      else k.activate!(at, all / 4)
      if (down.type === 'f32') continue
      const form = job.rows === 1 ? 'one' : 'many'
      const bits = activationsOf(down.type)
      const bytes = activationBytes[bits][job.rows === 1 ? 'spread' : 'compact']
      // Not where the activations of gate and up are: another thread may still read those.
      k[`quantise.${bits}.${form}`](at, to - from, s.downActivations + (t * down.blocks + from) * bytes)
    }
  }

  #downActivations(job: Job, { type, blocks }: Matrix): Rows {
    const { scratch: s, config } = this.#layout
    if (type === 'f32') return { at: s.gateUp, stride: 2 * vectorBytes(config.intermediate) }
    return { at: s.downActivations, stride: job.rows === 1 ? 0 : blocks * activationBytes[activationsOf(type)].compact }
  }
}
