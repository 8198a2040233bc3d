/**
 * Kernels that were made for a model's dimensions, checked before a stage is served: on a few rows of made-up numbers they
 * must have the bits of the plain functions in `reference.ts`. A compiler that is wrong (pairing of vectors is an
 * experiment of V8's) is found here, and not by an answer.
 */
import type { EdgeType } from '../../model/manifest.ts'
import { fillNoise, seedsOfBlocks, syntheticBlocks } from '../synthetic.ts'
import type { CacheType } from '../../base/cache-type.ts'
import { attentionRows, keyTile, pageHalfBytes } from './attention.ts'
import { queryScratchBytes, weightScratchBytes } from './byte-page.ts'
import { cacheForms } from './cache-form.ts'
import { headWidth, type Kernels, type KernelsConfig, queryFactor, rotationKernel } from './kernels.ts'
import { convolutionLengths, layerForms } from './layer-kinds.ts'
import { activationBytes, activationsOf } from './activations.ts'
import {
  activated,
  attend,
  attendBytes,
  capped,
  convolved,
  edged,
  gated,
  norm,
  product,
  quantised,
  type Rows,
  rotated,
  routed,
  shared
} from './reference.ts'
import { choose, sharesOf } from './routing.ts'
import { turnsBy } from './rotary.ts'
import { type Blocks, packBlocks, packFloats } from '../../model/pack.ts'
import { groupRecords, roundUp, tileBytes, tileColumns, tileRows, vectorBytes } from '../../model/tiles.ts'
import { type QuantisedType, quantisedTypes, type StoredAs, type WeightType } from '../../model/weight-types.ts'

export interface CheckInit {
  readonly config: KernelsConfig
  readonly types: ReadonlySet<WeightType>
  readonly edge: EdgeType
}

/** Bytes of memory that the check uses, from 0 on, but for norms of all heads as one row and for short convolutions. */
export const checkBytes = 4 << 20

/** Bytes of memory that the check of a decoder's kernels uses. */
export function checkBytesOf({ hidden, heads, kvHeads, headDim, attention, kinds }: KernelsConfig): number {
  const rows = [...convolutionLengths({ kinds })].reduce((sum, length) => sum + 4 + 2 * length, 0)
  const norms = attention?.headNorm === 'all' ? 2 * vectorBytes((heads + kvHeads) * headDim) : 0
  return checkBytes + norms + rows * vectorBytes(hidden)
}

/** Four tiles: three row ranges at once and one left over. */
const checkedRows = 4 * tileRows
/** Four, two and one at a time. */
const checkedTokens = 7
/** Not a whole tile of keys, and not a whole page; of int8 a block and a part of one. */
const checkedPositions = { f32: 77, i8: 141 } as const satisfies Record<CacheType, number>
/** Rows that a router chooses for. */
const routedRows = 3
/** More than a group of records: a product over more columns would take longer, and have no other instructions. */
const checkedColumnsMax = 288

/** The name of a kernel that is wrong, or undefined. */
export function wrongKernel(k: Kernels, memory: ArrayBuffer, init: CheckInit): string | undefined {
  const check = new Check(k, memory, init)
  for (const type of init.types) {
    const wrong = check.products(type)
    if (wrong !== undefined) return wrong
  }
  return check.pointwise() ?? check.attention('f32') ?? check.attention('i8')
}

class Check {
  readonly #k: Kernels
  readonly #init: CheckInit
  readonly #floats: Float32Array
  #top = 0
  #seed = 1

  constructor(k: Kernels, memory: ArrayBuffer, init: CheckInit) {
    this.#k = k
    this.#init = init
    this.#floats = new Float32Array(memory)
  }

  products(type: WeightType): string | undefined {
    this.#top = 0
    const k = this.#k
    const columns = Math.min(this.#init.config.hidden, checkedColumnsMax)
    const blocks = Math.ceil(columns / tileColumns)
    const { rows, at } = this.#matrix(type, columns, blocks)
    const stride = 4 * blocks * tileColumns
    const from = this.#take(checkedTokens * stride)
    const x = Array.from({ length: checkedTokens }, (_, t) => this.#noise(from + t * stride, columns, 1))
    const want = x.map(row => product(rows, row))
    const out = this.#take(4 * checkedTokens * checkedRows)
    const tiles = checkedRows / tileRows
    let [activations, activationStride] = [from, stride]
    const bits = type === 'f32' ? undefined : activationsOf(type)
    if (bits !== undefined) {
      activationStride = blocks * activationBytes[bits].compact
      activations = this.#take(Math.max(checkedTokens * activationStride, blocks * activationBytes[bits].spread))
      for (let t = 0; t < checkedTokens; t++) {
        k[`quantise.${bits}.many`](from + t * stride, blocks, activations + t * activationStride)
      }
    }
    k[`product.${type}.many`](at, blocks, tiles, activations, activationStride, out, 4 * checkedRows, checkedTokens)
    if (!this.#same(out, want.flat())) return `product.${type}.many`
    if (bits !== undefined) k[`quantise.${bits}.one`](from, blocks, activations)
    k[`product.${type}.one`](at, blocks, tiles, activations, out)
    return this.#same(out, want[0]!) ? undefined : `product.${type}.one`
  }

  pointwise(): string | undefined {
    this.#top = 0
    const k = this.#k
    const { config, edge } = this.#init
    const { hidden, normEpsilon, residualScale, feedForward } = config
    const kind = feedForward?.activation ?? 'silu'
    const bytes = 4 * roundUp(hidden, tileColumns)
    const [a, b, out] = [this.#take(bytes), this.#take(bytes), this.#take(bytes)]
    const x = this.#noise(a, hidden, 3)
    const y = this.#noise(b, hidden, 1)
    k.norm(a, b, out)
    if (!this.#same(out, norm(x, y, normEpsilon, config.norm?.kind))) return 'norm'
    const vectors = Math.ceil(hidden / 4)
    const scale = Math.fround(residualScale ?? 1)
    const sums = x.map((value, i) => Math.fround(value + Math.fround(y[i]! * scale)))
    const even = roundUp(vectors, 2)
    const logits = { scale: config.logitScale, cap: config.logitCap }
    const scores = { cap: config.attention?.scoreCap }
    /** What sets the row at `a`, and to what. */
    const all: readonly [string, (() => void) | undefined, (value: number, i: number) => number][] = [
      ['sumAtEdge', () => k.sumAtEdge(a, b, vectors), (_, i) => edged(sums[i]!, edge)],
      ['sum', () => k.sum(a, b, vectors), (_, i) => sums[i]!],
      ['gate', k.gate && (() => k.gate!(a, b, even)), (value, i) => gated(value, y[i]!, kind)],
      ['activate', k.activate && (() => k.activate!(a, even)), value => activated(value, kind)],
      ['add', k.add && (() => k.add!(a, b, hidden)), (value, i) => Math.fround(value + y[i]!)],
      ['capScores', k.capScores && (() => k.capScores!(a, even)), value => capped(value, scores)],
      ['capLogits', k.capLogits && (() => k.capLogits!(a, even)), value => capped(value, logits)]
    ]
    for (const [name, run, want] of all) {
      if (run === undefined) continue
      this.#write(a, x)
      run()
      if (!this.#same(a, x.map(want))) return name
    }
    return this.#rotations() ?? this.#headNorms() ?? this.#router() ?? this.#convolutions()
  }

  /** What a router chooses for a few rows, and what is added up by its shares. */
  #router(): string | undefined {
    const { experts, hidden } = this.#init.config
    if (experts === undefined) return undefined
    const k = this.#k
    const width = roundUp(experts.count, tileRows)
    const chosen = new Uint32Array(experts.used)
    const shares = new Float32Array(experts.used)
    const at = this.#take(4 * width)
    const bytes = 4 * roundUp(hidden, tileColumns)
    const [y, x] = [this.#take(bytes), this.#take(bytes)]
    for (let row = 0; row < routedRows; row++) {
      const outputs = this.#noise(at, experts.count, 4)
      // Some that are equal.
      for (let i = 3; i < outputs.length; i += 5) outputs[i] = outputs[i - 2]!
      this.#write(at, outputs)
      const own = this.#floats.subarray(at / 4, at / 4 + experts.count)
      choose(own, chosen)
      this.#floats.fill(Number.NEGATIVE_INFINITY, at / 4 + experts.count, at / 4 + width)
      const factor = k.softmax(at, width / tileRows)
      sharesOf(experts, own, chosen, factor, shares)
      const want = routed(outputs, experts)
      if (want.some(({ expert, share }, i) => expert !== chosen[i] || !Object.is(share, shares[i]))) return 'the router'
      const parts = want.map(({ share }) => ({ share, y: this.#noise(x, hidden, 1) }))
      k.fill(y, bytes / 16, 0)
      for (const { share, y: given } of parts) {
        this.#write(x, given)
        k.addShare!(y, x, share, bytes / 16)
      }
      if (!this.#same(y, shared(parts))) return 'addShare'
    }
    return undefined
  }

  #rotations(): string | undefined {
    const { config } = this.#init
    const { headDim } = config
    for (const form of layerForms(config).rotations) {
      const row = this.#take(4 * 2 * headDim)
      const heads = [this.#noise(row, headDim, 1), this.#noise(row + 4 * headDim, headDim, 1)]
      // Position 1 of a table of its own.
      const turns = turnsBy(form)(1)
      const [cos, sin] = [this.#take(2 * form.dims), this.#take(2 * form.dims)]
      this.#write(
        cos,
        turns.map(({ cos }) => cos)
      )
      this.#write(
        sin,
        turns.map(({ sin }) => sin)
      )
      const name = rotationKernel(form)
      this.#k[name]!(row, cos, sin, 2)
      const want = heads.flatMap(head => rotated(head, 1, form))
      if (!this.#same(row, want)) return name
    }
    return undefined
  }

  #headNorms(): string | undefined {
    const { heads, kvHeads, headDim, normEpsilon, norm: norms, attention } = this.#init.config
    for (const name of ['norm.queries', 'norm.keys'] as const) {
      const kernel = this.#k[name]
      if (kernel === undefined) continue
      const byHead = attention?.headNorm === 'head'
      const [width, count] = byHead ? [headDim, 2] : [headDim * (name === 'norm.queries' ? heads : kvHeads), 1]
      const at = this.#take(4 * count * width)
      const weightAt = this.#take(4 * roundUp(width, tileColumns))
      const weight = this.#noise(weightAt, width, 1)
      const rows = Array.from({ length: count }, (_, i) => this.#noise(at + 4 * i * width, width, 2))
      kernel(at, weightAt, count)
      const want = rows.flatMap(row => norm(row, weight, normEpsilon, norms?.kind))
      if (!this.#same(at, want)) return name
    }
    return undefined
  }

  #convolutions(): string | undefined {
    const { config } = this.#init
    const { hidden } = config
    for (const length of convolutionLengths(config)) {
      const row = this.#take(4 * 3 * hidden)
      const x = this.#noise(row, 3 * hidden, 2)
      const kernel = this.#take(4 * length * hidden)
      const parts = Array.from({ length }, (_, j) => this.#noise(kernel + 4 * j * hidden, hidden, 1))
      const rows = Array.from({ length }, () => this.#take(4 * hidden))
      const before = rows.slice(0, -1).map(at => this.#noise(at, hidden, 2))
      const out = this.#take(4 * hidden)
      const name = `convolve.${length}` as const
      this.#k[name]!(row, kernel, ...rows, out, hidden)
      const want = convolved(x, parts, before)
      if (!this.#same(rows.at(-1)!, want.own) || !this.#same(out, want.out)) return name
    }
    return undefined
  }

  attention(type: CacheType): string | undefined {
    const k = this.#k
    const { headDim, attention } = this.#init.config
    const cap = attention?.scoreCap
    const factor = Math.fround(queryFactor(this.#init.config))
    const width = headWidth(headDim)
    this.#top = 0
    const page = this.#take(2 * pageHalfBytes(width))
    const own = {
      queries: this.#take(Math.max(4 * attentionRows * width, queryScratchBytes(width))),
      weights: this.#take(weightScratchBytes)
    }
    const form = cacheForms(k, width, own)[type]
    const pair = this.#take(8 * headDim)
    const known = Array.from({ length: checkedPositions[type] }, (_, p) => {
      const key = this.#noise(pair, headDim, 1)
      const value = this.#noise(pair + 4 * headDim, headDim, 1)
      form.store(pair, pair + 4 * headDim, page, p)
      return { key, value }
    })
    const levels = known.map(({ key, value }) => ({ key: quantised(key), value: quantised(value) }))
    const top = this.#top
    for (let rows = 1; rows <= attentionRows; rows++) {
      this.#top = top
      const kernels = form.kernels[rows - 1]!
      const at = this.#take(4 * rows * headDim)
      const queries = Array.from({ length: rows }, (_, t) => this.#noise(at + 4 * t * headDim, headDim, 4))
      kernels.queries(...queries.map((_, t) => at + 4 * t * headDim), own.queries)
      const tiles = roundUp(known.length, form.tile) / keyTile
      const stride = 4 * tiles * keyTile
      const scores = this.#take(rows * stride)
      kernels.scores(own.queries, page, tiles, scores, stride)
      const factors = queries.map((_, t) => {
        k.capScores?.(scores + t * stride, 2 * tiles)
        const row = (scores + t * stride) / 4
        this.#floats.fill(Number.NEGATIVE_INFINITY, row + known.length, row + tiles * keyTile)
        return k.softmax(scores + t * stride, tiles)
      })
      const sums = this.#take(4 * rows * width)
      k.fill(sums, (rows * width) / 4, 0)
      kernels.mix(scores, stride, page + form.values, tiles, sums, 4 * width)
      const out = this.#take(4 * headDim)
      for (const [t, query] of queries.entries()) {
        k.scaled(sums + 4 * t * width, factors[t]!, out)
        const scaled = query.map(value => Math.fround(value * factor))
        const want =
          type === 'f32'
            ? attend(
                scaled,
                known.map(({ key }) => key),
                known.map(({ value }) => value),
                { cap }
              )
            : attendBytes(
                scaled,
                levels.map(({ key }) => key),
                levels.map(({ value }) => value),
                { cap }
              )
        if (!this.#same(out, want)) return `attention of ${rows} rows over a cache of ${type}`
      }
    }
    return undefined
  }

  #matrix(type: WeightType, columns: number, blocks: number): { readonly rows: Rows; readonly at: number } {
    const part = { count: checkedRows, from: 0 }
    const bytes = tileBytes({ type, rows: checkedRows, blocks })
    const at = this.#take(bytes)
    const tiles = new Uint8Array(this.#floats.buffer, at, bytes)
    const indices = Array.from({ length: checkedRows }, (_, n) => n)
    if (type === 'f32') {
      const values = new Float32Array(checkedRows * columns)
      fillNoise(values, this.#seed++, 1)
      packFloats(values, columns, part, blocks, tiles, 0)
      return { rows: { rows: indices.map(n => [...values.subarray(n * columns, (n + 1) * columns)]) }, at }
    }
    const drawn = syntheticBlocks(type, checkedRows, blocks, this.#seed, 0.02)
    this.#seed += seedsOfBlocks
    // Scales of either sign.
    for (let i = 0; i < drawn.s.length; i += 3) drawn.s[i]! *= -1
    packBlocks(type, drawn, part, blocks, tiles, 0)
    return { rows: rowsOf(type, drawn, columns, blocks), at }
  }

  #take(bytes: number): number {
    const at = this.#top
    this.#top = roundUp(at + bytes, 64)
    this.#floats.fill(0, at / 4, this.#top / 4)
    return at
  }

  #noise(at: number, length: number, scale: number): number[] {
    const values = this.#floats.subarray(at / 4, at / 4 + length)
    fillNoise(values, this.#seed++, scale)
    return [...values]
  }

  #write(at: number, values: readonly number[]): void {
    this.#floats.set(values, at / 4)
  }

  #same(at: number, want: readonly number[]): boolean {
    return want.every((value, i) => Object.is(this.#floats[at / 4 + i], value))
  }
}

/** What packed rows mean, number by number. */
function rowsOf(type: QuantisedType, { q, s, m, sFactors, mFactors }: Blocks, columns: number, records: number): Rows {
  const { bits, zero, block }: StoredAs = quantisedTypes[type]
  const count = q.length / (records * 4 * bits)
  const each = (length: number, value: (n: number, i: number) => number): number[][] =>
    Array.from({ length: count }, (_, n) => Array.from({ length }, (_, i) => value(n, i)))
  const level = (n: number, k: number): number => {
    const at = n * records * 32 + k
    if (bits === 8) return q[at]! - (zero === 'signed' ? 128 : zero)
    return ((q[at >> 1]! >> (4 * (k & 1))) & 15) - (zero as number)
  }
  const blocks = (records * 32) / block
  const perGroup = (groupRecords * 32) / block
  const groups = Math.ceil(records / groupRecords)
  const numbers = (values: Float32Array, factors: Float32Array | undefined): number[][] =>
    each(blocks, (n, b) => values[n * blocks + b]! * (factors?.[n * groups + Math.floor(b / perGroup)] ?? 1))
  return {
    rows: each(columns, level),
    block,
    scales: numbers(s, sFactors),
    minima: m && numbers(m, mFactors)
  }
}
