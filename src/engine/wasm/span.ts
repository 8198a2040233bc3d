/**
 * The layers of a stage in WebAssembly: weights, caches and scratch space in one memory, and the order in which kernels
 * run. Single-threaded; it runs in the engine's thread.
 */
import { assert } from '../../base/assert.ts'
import { EngineError, InvalidStepError } from '../../errors.ts'
import { embeddingType } from '../../model/layout.ts'
import type { EdgeType, ModelConfig } from '../../model/manifest.ts'
import type { Layers } from '../serve-thread.ts'
import { attentionRows, keyTile, pageHalfBytes, pagePositions, valueSlice } from './attention.ts'
import { compileKernels } from './compile.ts'
import { CachePages, type PagedCache } from './paged-cache.ts'
import { StageMemory } from './stage-memory.ts'
import { headWidth, type Kernels, passRowsMax } from './kernels.ts'
import { activationBytes, type ProductForms } from './products.ts'
import { cosSin, frequencies } from './rotary.ts'
import { roundUp, tileColumns, tileRows, unpackRow } from './tiles.ts'
import {
  type LayerWeights,
  loadWeights,
  type Matrix,
  rowBytes,
  type StageWeights,
  weightBytes,
  type WeightsInit
} from './weights.ts'

export interface WasmSpanInit extends WeightsInit {
  readonly edge: EdgeType
  readonly forms: ProductForms
}

/** Positions that the rotation tables grow by. */
const rotationRows = 1_024

/** Scratch space, by address. */
interface Scratch {
  /** [passRowsMax] rows of the hidden state. */
  readonly x: number
  /** One row after its norm, or as many where weights are float32 and rows are not quantised. */
  readonly normed: number
  /** Quantised activations of a pass, or of a lone row. */
  readonly activations: number
  readonly qkv: number
  readonly attended: number
  readonly gateUp: number
  readonly y: number
  readonly queries: number
  readonly sums: number
  readonly logits: number
}

export class WasmSpan implements Layers<PagedCache> {
  readonly #config: ModelConfig
  readonly #memory: StageMemory
  readonly #kernels: Kernels
  readonly #weights: StageWeights
  readonly #start: number
  readonly #end: number
  readonly #width: number
  readonly #scratch: Scratch
  readonly #frequencies: Float64Array
  /** Addresses of the cosines and sines of {@link rotationRows} positions each. */
  readonly #rotations: { readonly cos: number; readonly sin: number }[] = []
  /** Scores of {@link attentionRows} rows, for so many positions. */
  #scores = { at: 0, positions: 0 }
  readonly #pages: CachePages

  private constructor(init: WasmSpanInit, memory: StageMemory, kernels: Kernels) {
    const { config, start, end } = init
    this.#config = config
    this.#memory = memory
    this.#kernels = kernels
    this.#start = start
    this.#end = end
    this.#width = headWidth(config.headDim)
    this.#frequencies = frequencies(config.headDim, config.ropeTheta)
    this.#weights = loadWeights(init, memory.floats.buffer, 0)
    this.#pages = new CachePages(memory, { layers: end - start, kvHeads: config.kvHeads, width: this.#width })
    this.#scratch = this.#takeScratch(init)
  }

  /**
   * Loads the stage.
   * @throws {EngineError} when memory for it cannot be had, or this machine cannot run the kernels.
   */
  static create(init: WasmSpanInit): WasmSpan {
    const { config, weights, edge, forms } = init
    const types = new Set([weights, embeddingType(weights)])
    const module = compileKernels({ config, types, edge, forms })
    const memory = new StageMemory(weightBytes(init))
    const instance = new WebAssembly.Instance(module, { env: { memory: memory.memory } })
    return new WasmSpan(init, memory, instance.exports as unknown as Kernels)
  }

  open(): PagedCache {
    return this.#pages.open()
  }

  release(): void {
    // Its memory goes with the thread.
  }

  /**
   * Runs tokens that follow the cache's last one, and adds them to the cache.
   *
   * @param input ids [n] in a span that starts at 0, otherwise hidden [n, hidden], finite
   * @returns hidden [n, hidden], rounded to the edge type; after the last layer that of the last token alone, [hidden]
   * @throws {EngineError} when a value is not finite any more, or memory ends; the cache is as it was.
   */
  run(cache: PagedCache, input: Int32Array | Float32Array, n: number): Float32Array {
    const { hidden, layers } = this.#config
    const perToken = this.#start === 0 ? 1 : hidden
    assert(n >= 1 && input.length === n * perToken, `${n} tokens got ${input.length} inputs`)
    const before = cache.length
    const isLast = this.#end === layers
    const out = new Float32Array((isLast ? 1 : n) * hidden)
    try {
      this.#makeRoom(cache, before + n)
      for (let done = 0; done < n; ) {
        const rows = Math.min(n - done, passRowsMax)
        this.#feed(input.subarray(done * perToken, (done + rows) * perToken), rows)
        for (const [i, layer] of this.#weights.layers.entries()) this.#layer(cache, layer, i, rows)
        this.#check(rows)
        const first = isLast ? rows - 1 : 0
        for (let t = first; t < rows; t++) out.set(this.#row(t), isLast ? 0 : (done + t) * hidden)
        cache.length += rows
        done += rows
      }
      return out
    } catch (error) {
      cache.length = before
      this.#pages.wipe(cache)
      throw error
    }
  }

  /** Logits [vocab] of a token, from its hidden state after the last layer. A view that the next call changes. */
  logits(row: Float32Array): Float32Array {
    const { head } = this.#weights
    assert(head !== undefined, 'only a stage that ends with the last layer has logits')
    const { x, normed, logits } = this.#scratch
    this.#memory.floats.set(row, x / 4)
    this.#kernels.norm(x, head.norm, normed)
    this.#product(head.output, normed, 0, logits, 0, 1)
    return this.#memory.floats.subarray(logits / 4, logits / 4 + this.#config.vocab)
  }

  // ── A pass ──────────────────────────────────────────────────────────────────────────────────────

  #feed(input: Int32Array | Float32Array, rows: number): void {
    const { hidden, vocab } = this.#config
    const { embedding } = this.#weights
    for (let t = 0; t < rows; t++) {
      if (this.#start > 0) {
        this.#row(t).set((input as Float32Array).subarray(t * hidden, (t + 1) * hidden))
        continue
      }
      const id = input[t]!
      if (!(id >= 0 && id < vocab)) throw new InvalidStepError(`token id ${id} is not in [0, ${vocab})`)
      unpackRow(embedding!, this.#memory.floats.buffer, embedding!.at, id, this.#row(t))
    }
  }

  #layer(cache: PagedCache, weights: LayerWeights, index: number, rows: number): void {
    const k = this.#kernels
    const { hidden, heads, kvHeads, headDim, intermediate, layers } = this.#config
    const s = this.#scratch
    const vectors = Math.ceil(hidden / 4)
    this.#normed(weights.norm1, rows, weights.qkv, s.qkv)
    const qkvStride = 4 * weights.qkv.rows
    for (let t = 0; t < rows; t++) {
      const position = cache.length + t
      const { cos, sin } = this.#rotations[Math.floor(position / rotationRows)]!
      const offset = 2 * headDim * (position % rotationRows)
      const row = s.qkv + t * qkvStride
      k.rotate(row, cos + offset, sin + offset, heads + kvHeads)
      const page = cache.pages[Math.floor(position / pagePositions)]![index]!
      const at = position % pagePositions
      for (let head = 0; head < kvHeads; head++) {
        const key = row + 4 * (heads + head) * headDim
        const half = pageHalfBytes(this.#width)
        const keys = page + 2 * half * head
        k.store(
          key,
          key + 4 * kvHeads * headDim,
          keys + 4 * keyTile * this.#width * Math.floor(at / keyTile) + 4 * (at % keyTile),
          keys + half + 4 * valueSlice * at
        )
      }
    }
    this.#attend(cache, index, rows, qkvStride)
    this.#product(weights.o, s.attended, rowBytes(heads * headDim), s.y, 4 * weights.o.rows, rows)
    for (let t = 0; t < rows; t++) k.sum(s.x + t * rowBytes(hidden), s.y + t * 4 * weights.o.rows, vectors)

    this.#normed(weights.norm2, rows, weights.gateUp, s.gateUp)
    const gateUpStride = 4 * weights.gateUp.rows
    const gateBytes = rowBytes(intermediate)
    for (let t = 0; t < rows; t++) {
      const gate = s.gateUp + t * gateUpStride
      k.gate(gate, gate + gateBytes, gateBytes / 16)
    }
    this.#product(weights.down, s.gateUp, gateUpStride, s.y, 4 * weights.down.rows, rows)
    const isLast = this.#start + index + 1 === layers
    for (let t = 0; t < rows; t++) {
      const [x, y] = [s.x + t * rowBytes(hidden), s.y + t * 4 * weights.down.rows]
      if (isLast) k.sum(x, y, vectors)
      else k.sumAtEdge(x, y, vectors)
    }
  }

  /** y = matrix · norm(x). */
  #normed(weight: number, rows: number, matrix: Matrix, out: number): void {
    const { x, normed } = this.#scratch
    const stride = rowBytes(this.#config.hidden)
    for (let t = 0; t < rows; t++) this.#kernels.norm(x + t * stride, weight, normed + t * stride)
    this.#product(matrix, normed, stride, out, 4 * matrix.rows, rows)
  }

  /** Rows of float32 with a matrix. Rows of `from` are filled up to whole blocks. */
  #product(matrix: Matrix, from: number, fromStride: number, out: number, outStride: number, rows: number): void {
    const k = this.#kernels
    const { type, blocks, at } = matrix
    const tiles = matrix.rows / tileRows
    let [a, stride] = [from, fromStride]
    if (type !== 'f32') {
      const form = rows === 1 ? 'one' : 'many'
      stride = blocks * activationBytes[type].compact
      a = this.#scratch.activations
      for (let t = 0; t < rows; t++) k[`quantise.${type}.${form}`](from + t * fromStride, blocks, a + t * stride)
    }
    if (rows === 1) k[`product.${type}.one`](at, blocks, tiles, a, out)
    else k[`product.${type}.many`](at, blocks, tiles, a, stride, out, outStride, rows)
  }

  #attend(cache: PagedCache, index: number, rows: number, qkvStride: number): void {
    const k = this.#kernels
    const { heads, kvHeads, headDim } = this.#config
    const { qkv, attended, queries, sums } = this.#scratch
    const group = heads / kvHeads
    const half = pageHalfBytes(this.#width)
    const scoreStride = 4 * this.#scores.positions
    const attendedStride = rowBytes(heads * headDim)
    for (let head = 0; head < kvHeads; head++) {
      for (let first = 0; first < rows * group; first += attentionRows) {
        const n = Math.min(attentionRows, rows * group - first)
        const places = Array.from({ length: n }, (_, i) => {
          const [t, g] = [Math.floor((first + i) / group), (first + i) % group]
          return { t, offset: 4 * (head * group + g) * headDim }
        })
        k[`queries.${n}`]!(...places.map(({ t, offset }) => qkv + t * qkvStride + offset), queries)
        // What the last of these rows may see; those before it see less.
        const seen = cache.length + places.at(-1)!.t + 1
        for (let at = 0; at < seen; at += pagePositions) {
          const page = cache.pages[at / pagePositions]![index]! + 2 * half * head
          const tiles = Math.ceil(Math.min(pagePositions, seen - at) / keyTile)
          k[`scores.${n}`]!(queries, page, tiles, this.#scores.at + 4 * at, scoreStride)
        }
        const tiles = Math.ceil(seen / keyTile)
        const factors = places.map(({ t }, i) => {
          const row = this.#scores.at + i * scoreStride
          const own = cache.length + t + 1
          this.#memory.floats.fill(Number.NEGATIVE_INFINITY, row / 4 + own, row / 4 + tiles * keyTile)
          return k.softmax(row, tiles)
        })
        k.fill(sums, (n * this.#width) / 4, 0)
        for (let at = 0; at < seen; at += pagePositions) {
          const page = cache.pages[at / pagePositions]![index]! + 2 * half * head
          const inPage = Math.ceil(Math.min(pagePositions, seen - at) / keyTile)
          k[`mix.${n}`]!(this.#scores.at + 4 * at, scoreStride, page + half, inPage, sums, 4 * this.#width)
        }
        for (const [i, { t, offset }] of places.entries()) {
          k.scaled(sums + 4 * i * this.#width, factors[i]!, attended + t * attendedStride + offset)
        }
      }
    }
  }

  /** @throws {EngineError} when a row has a value that is not finite. */
  #check(rows: number): void {
    const { hidden } = this.#config
    const { x } = this.#scratch
    if (this.#kernels.nonFinite(x, (rows * rowBytes(hidden)) / 16) === 0) return
    for (let t = 0; t < rows; t++) {
      const row = this.#row(t)
      const bad = row.findIndex(value => !Number.isFinite(value))
      if (bad < 0) continue
      throw new EngineError(`layers ${this.#start}-${this.#end} overflow: hidden value ${bad} is ${row[bad]}`)
    }
  }

  /** [hidden]: a row of the pass, a view. */
  #row(t: number): Float32Array {
    const at = (this.#scratch.x + t * rowBytes(this.#config.hidden)) / 4
    return this.#memory.floats.subarray(at, at + this.#config.hidden)
  }

  // ── Memory ──────────────────────────────────────────────────────────────────────────────────────

  /** Pages, rotation tables and scores for a cache of so many tokens. */
  #makeRoom(cache: PagedCache, tokens: number): void {
    this.#pages.makeRoom(cache, tokens)
    while (this.#rotations.length * rotationRows < tokens) this.#rotate()
    if (this.#scores.positions < tokens) {
      // Twice as long each time: what the older ones took is little beside it.
      const positions = roundUp(Math.max(tokens, 2 * this.#scores.positions), pagePositions)
      this.#scores = { at: this.#memory.take(4 * attentionRows * positions), positions }
    }
  }

  #rotate(): void {
    const half = this.#config.headDim / 2
    const [cos, sin] = [this.#memory.take(4 * half * rotationRows), this.#memory.take(4 * half * rotationRows)]
    const first = this.#rotations.length * rotationRows
    for (let row = 0; row < rotationRows; row++) {
      for (let i = 0; i < half; i++) {
        const turn = cosSin((first + row) * this.#frequencies[i]!)
        this.#memory.floats[cos / 4 + row * half + i] = turn.cos
        this.#memory.floats[sin / 4 + row * half + i] = turn.sin
      }
    }
    this.#rotations.push({ cos, sin })
  }

  #takeScratch({ config, weights }: WasmSpanInit): Scratch {
    const { hidden, heads, kvHeads, headDim, intermediate, vocab } = config
    const rows = passRowsMax
    const take = (bytes: number): number => this.#memory.take(bytes)
    const activationWidth = Math.max(hidden, heads * headDim, intermediate)
    const blocks = Math.ceil(activationWidth / tileColumns)
    // A lone row is spread; those of several are not.
    const activations =
      weights === 'f32' ? 0 : blocks * Math.max(activationBytes.q8.spread, rows * activationBytes.q8.compact)
    return {
      x: take(rows * rowBytes(hidden)),
      normed: take(rows * rowBytes(hidden)),
      activations: take(activations),
      qkv: take(4 * rows * roundUp((heads + 2 * kvHeads) * headDim, tileRows)),
      attended: take(rows * rowBytes(heads * headDim)),
      gateUp: take(2 * rows * rowBytes(intermediate)),
      y: take(4 * rows * roundUp(hidden, tileRows) + 4 * tileColumns),
      queries: take(4 * attentionRows * this.#width),
      sums: take(4 * attentionRows * this.#width),
      logits: take(4 * roundUp(vocab, tileRows))
    }
  }
}
