/**
 * One thread's share of a mixture of experts. Rows of a pass are put in order of the experts that they take, so that each tile of
 * an expert's weights is read once for all of its rows. A row adds up what its experts give in the order of their numbers, whatever
 * other rows there are.
 */
import { tileColumns, tileRows, vectorBytes } from '../../model/tiles.ts'
import { type ActivationForm, activationBytes, activationsOf } from './activations.ts'
import { type Job, shareOf, type Views } from './job.ts'
import type { Kernels } from './kernels.ts'
import type { Layout } from './layout.ts'
import { multiplyTiles, operandOf, type Rows, type Tiles } from './product.ts'
import { choose, type ExpertRows, rowsByExpert, sharesOf } from './routing.ts'
import type { ExpertMatrix, ExpertWeights, Matrix } from './weights.ts'

export interface ExpertRunnerInit {
  readonly index: number
  readonly views: () => Views
  /** Waits for the other threads of a job. */
  readonly barrier: (job: Job) => void
}

export class ExpertRunner {
  readonly #layout: Layout
  readonly #kernels: Kernels
  readonly #init: ExpertRunnerInit

  constructor(layout: Layout, kernels: Kernels, init: ExpertRunnerInit) {
    this.#layout = layout
    this.#kernels = kernels
    this.#init = init
  }

  /**
   * Makes this thread's tiles of what experts give for each row: `y` of the scratch space.
   *
   * @param rows of float32, after their norm; what the first products take is made of them already
   */
  run(job: Job, { router, gateUp, down }: ExpertWeights, rows: Rows): void {
    const groups = this.#route(job, router, rows)
    // Of several rows: a product takes those that lie one after another.
    if (job.rows > 1) {
      for (const matrix of firstOfEach(gateUp)) this.#gather(job, matrix, groups, rows)
      this.#init.barrier(job)
    }
    for (const group of groups) this.#widen(job, group, gateUp, down, rows)
    this.#init.barrier(job)
    this.#narrow(job, groups, down)
  }

  /** This thread's part of so many. */
  #share(job: Job, units: number): Tiles {
    return shareOf(job, this.#init.index, units)
  }

  get #scratch() {
    return this.#layout.scratch.experts!
  }

  get #experts() {
    return this.#layout.config.experts!
  }

  /** Which expert takes which rows. */
  #route(job: Job, router: Matrix, rows: Rows): ExpertRows[] {
    const s = this.#scratch
    const { used } = this.#experts
    this.#multiply(job, job.rows, router, rows, { at: s.routed, stride: 4 * router.rows }, router.rows)
    this.#init.barrier(job)
    const [first, last] = this.#share(job, job.rows)
    for (let t = first; t < last; t++) this.#choose(t, router.rows)
    this.#init.barrier(job)
    const { floats, integers } = this.#init.views()
    const chosen = integers.subarray(s.chosen / 4, s.chosen / 4 + job.rows * used)
    const shares = floats.subarray(s.shares / 4, s.shares / 4 + job.rows * used)
    return rowsByExpert(chosen, shares, this.#experts)
  }

  /** Chooses for one row. @param width of what the router gives for it, with what fills it up */
  #choose(row: number, width: number): void {
    const s = this.#scratch
    const { count, used } = this.#experts
    const { floats, integers } = this.#init.views()
    const at = s.routed / 4 + row * width
    const outputs = floats.subarray(at, at + count)
    const chosen = integers.subarray(s.chosen / 4 + row * used, s.chosen / 4 + (row + 1) * used)
    const shares = floats.subarray(s.shares / 4 + row * used, s.shares / 4 + (row + 1) * used)
    const areFinite = choose(outputs, chosen)
    floats.fill(Number.NEGATIVE_INFINITY, at + count, at + width)
    const factor = this.#kernels.softmax(4 * at, width / tileRows)
    sharesOf(this.#experts, outputs, chosen, factor, shares)
    // The step fails then, by a hidden state that is not finite.
    if (!areFinite) shares.fill(Number.NaN)
  }

  /** Where what a matrix takes of the pass's rows is. */
  #operand({ rows: count }: Job, matrix: Matrix, rows: Rows): Rows {
    return operandOf(this.#layout, this.#init.index, count, matrix, rows)
  }

  /** Where it is by expert, for each pair. */
  #gathered({ type, blocks }: Matrix): Rows {
    const s = this.#scratch
    if (type === 'f32') return { at: s.rows, stride: vectorBytes(this.#layout.config.hidden) }
    const form = activationsOf(type)
    return { at: s.activations[form], stride: blocks * activationBytes[form].compact }
  }

  /** Copies this thread's share of the pairs. */
  #gather(job: Job, matrix: Matrix, groups: readonly ExpertRows[], rows: Rows): void {
    const { floats } = this.#init.views()
    const [from, to] = [this.#operand(job, matrix, rows), this.#gathered(matrix)]
    const [first, last] = this.#share(job, job.rows * this.#experts.used)
    for (const group of groups) {
      for (const [i, row] of group.rows.entries()) {
        const pair = group.first + i
        if (pair < first || pair >= last) continue
        const at = (from.at + row * from.stride) / 4
        floats.copyWithin((to.at + pair * to.stride) / 4, at, at + to.stride / 4)
      }
    }
  }

  /** Gate and up of one expert's rows, and what both make, quantised for its last matrix: blocks of columns by thread. */
  #widen(
    job: Job,
    { expert, first, rows: { length: count } }: ExpertRows,
    gateUp: readonly ExpertMatrix[],
    down: Matrix,
    rows: Rows
  ): void {
    const k = this.#kernels
    const s = this.#scratch
    const width = vectorBytes(this.#experts.intermediate)
    const [from, to] = this.#share(job, width / (4 * tileColumns))
    if (from === to) return
    const stride = 2 * width
    for (const [i, matrix] of gateUp.entries()) {
      const all = job.rows === 1 ? this.#operand(job, matrix, rows) : this.#gathered(matrix)
      const own = { at: all.at + (job.rows === 1 ? 0 : first * all.stride), stride: all.stride }
      const out = { at: s.gateUp + first * stride + i * width, stride }
      const tiles = [from, to].map(block => (block * tileColumns) / tileRows) as [number, number]
      this.#multiplyTiles(job, count, of(matrix, expert), own, out, tiles)
    }
    const quantised = down.type === 'f32' ? undefined : this.#downRows(job, down)
    for (let pair = first; pair < first + count; pair++) {
      const at = s.gateUp + pair * stride + 4 * tileColumns * from
      const vectors = (tileColumns * (to - from)) / 4
      if (gateUp.length === 2) k.gate!(at, at + width, vectors)
      else k.activate!(at, vectors)
      if (quantised === undefined || down.type === 'f32') continue
      const each = quantised.stride / down.blocks
      const form = job.rows === 1 ? 'one' : 'many'
      k[`quantise.${activationsOf(down.type)}.${form}`](
        at,
        to - from,
        quantised.at + pair * quantised.stride + from * each
      )
    }
  }

  /** Where what the last matrix takes is, for each pair. */
  #downRows({ rows }: Job, { type, blocks }: Matrix): Rows {
    const s = this.#scratch
    if (type === 'f32') return { at: s.gateUp, stride: 2 * vectorBytes(this.#experts.intermediate) }
    const { spread, compact } = activationBytes[activationsOf(type)]
    return { at: s.downActivations, stride: blocks * (rows === 1 ? spread : compact) }
  }

  /** What experts give, times their shares: rows of the last matrix by thread. */
  #narrow(job: Job, groups: readonly ExpertRows[], down: ExpertMatrix): void {
    const k = this.#kernels
    const y = this.#layout.scratch.y
    const own = this.#scratch.y
    const [from, to] = this.#share(job, down.rows / tileRows)
    if (from === to) return
    const stride = 4 * down.rows
    const [at, vectors] = [4 * tileRows * from, (tileRows * (to - from)) / 4]
    for (let t = 0; t < job.rows; t++) k.fill(y + t * stride + at, vectors, 0)
    const activations = this.#downRows(job, down)
    for (const { expert, first, rows, shares } of groups) {
      const input = { at: activations.at + first * activations.stride, stride: activations.stride }
      this.#multiplyTiles(job, rows.length, of(down, expert), input, { at: own, stride }, [from, to])
      for (const [i, row] of rows.entries()) {
        k.addShare!(y + row * stride + at, own + i * stride + at, shares[i]!, vectors)
      }
    }
  }

  /** This thread's tiles of a matrix of so many rows. */
  #multiply(job: Job, count: number, matrix: Matrix, activations: Rows, out: Rows, rows: number): void {
    this.#multiplyTiles(job, count, matrix, activations, out, this.#share(job, rows / tileRows))
  }

  #multiplyTiles(job: Job, count: number, matrix: Matrix, activations: Rows, out: Rows, tiles: Tiles): void {
    multiplyTiles(this.#kernels, { isOne: job.rows === 1, count }, matrix, activations, out, tiles)
  }
}

/** A matrix of one expert. */
function of(matrix: ExpertMatrix, expert: number): Matrix {
  return { ...matrix, at: matrix.at + expert * matrix.stride }
}

/** One matrix for each form of what they take. */
function firstOfEach(matrices: readonly Matrix[]): Matrix[] {
  const formOf = ({ type }: Matrix): ActivationForm | 'f32' => (type === 'f32' ? type : activationsOf(type))
  return [...new Map(matrices.map(matrix => [formOf(matrix), matrix])).values()]
}
