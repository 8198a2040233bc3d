/** The layers of a stage in WebAssembly: weights, caches and scratch space in one memory, computed by one thread or several. */
import { assert } from '../../base/assert.ts'
import { InvalidStepError } from '../../errors.ts'
import { embeddingType } from '../../model/layout.ts'
import type { EdgeType } from '../../model/manifest.ts'
import { checkNoOverflow } from '../edge.ts'
import type { Layers } from '../serve-thread.ts'
import { attentionRows, pagePositions } from './attention.ts'
import { compileKernels } from './compile.ts'
import { headWidth, type Kernels, passRowsMax } from './kernels.ts'
import { type Layout, takeOwn, takeScratch } from './layout.ts'
import { CachePages, type PagedCache } from './paged-cache.ts'
import { type Job, PassRunner, rotationRows } from './pass.ts'
import type { ProductForms } from './products.ts'
import { cosSin, frequencies } from './rotary.ts'
import { StageMemory } from './stage-memory.ts'
import { Team } from './team.ts'
import { roundUp, unpackRow } from './tiles.ts'
import { loadWeights, rowBytes, weightBytes, type WeightsInit } from './weights.ts'

export interface WasmSpanInit extends WeightsInit {
  readonly edge: EdgeType
  readonly forms: ProductForms
  /** Of one pass; {@link WasmSpan.gather} starts the others. @default 1 */
  readonly threads?: number
}

export class WasmSpan implements Layers<PagedCache> {
  readonly #layout: Layout
  readonly #memory: StageMemory
  readonly #module: WebAssemblyModule
  readonly #kernels: Kernels
  readonly #runner: PassRunner
  readonly #team = new Team()
  readonly #pages: CachePages
  readonly #frequencies: Float64Array
  /** Addresses of the cosines and sines of {@link rotationRows} positions each. */
  readonly #rotations: number[] = []
  /** Addresses that a job names: pages, then rotations. */
  #table = { at: 0, length: 0 }
  /** Scores of each thread: {@link attentionRows} rows, for so many positions. */
  #scores = { at: 0, positions: 0 }

  private constructor(init: WasmSpanInit, module: WebAssemblyModule, memory: StageMemory) {
    const { config, edge, start, end, threads = 1 } = init
    this.#module = module
    this.#memory = memory
    const instance = new WebAssembly.Instance(module, { env: { memory: memory.memory } })
    this.#kernels = instance.exports as unknown as Kernels
    this.#frequencies = frequencies(config.headDim, config.ropeTheta)
    const take = (bytes: number): number => memory.take(bytes)
    this.#layout = {
      config,
      edge,
      start,
      weights: loadWeights(init, memory.memory.buffer, 0),
      scratch: takeScratch(config, take),
      own: Array.from({ length: threads }, () => takeOwn(config, take))
    }
    this.#pages = new CachePages(memory, {
      layers: end - start,
      kvHeads: config.kvHeads,
      width: headWidth(config.headDim)
    })
    this.#runner = new PassRunner(this.#layout, this.#kernels, {
      index: 0,
      views: () => memory.views,
      meet: count => this.#team.meet(count)
    })
  }

  /**
   * Loads the stage.
   * @throws {EngineError} when memory for it cannot be had, or this machine cannot run the kernels.
   */
  static create(init: WasmSpanInit): WasmSpan {
    const { config, weights, edge, forms, threads = 1 } = init
    const types = new Set([weights, embeddingType(weights)])
    const shared = threads > 1
    const module = compileKernels({ config, types, edge, forms }, { shared })
    return new WasmSpan(init, module, new StageMemory(weightBytes(init), { shared }))
  }

  /** Starts the other threads. @throws {EngineError} when they do not come. */
  async gather(): Promise<void> {
    const { memory } = this.#memory
    await this.#team.start(this.#layout.own.length, { layout: this.#layout, module: this.#module, memory })
  }

  open(): PagedCache {
    return this.#pages.open()
  }

  /** Its memory goes with its thread. */
  release(): void {
    this.#team.end()
  }

  /**
   * Runs tokens that follow the cache's last one, and adds them to the cache.
   *
   * @param input ids [n] in a span that starts at 0, otherwise hidden [n, hidden], finite
   * @returns hidden [n, hidden], rounded to the edge type; after the last layer that of the last token alone, [hidden]
   * @throws {EngineError} when a value is not finite any more, memory ends, or a thread; the cache is as it was.
   */
  run(cache: PagedCache, input: Int32Array | Float32Array, n: number): Float32Array {
    const { config, start, weights } = this.#layout
    const { hidden, layers } = config
    const perToken = start === 0 ? 1 : hidden
    assert(n >= 1 && input.length === n * perToken, `${n} tokens got ${input.length} inputs`)
    const before = cache.length
    const isLast = start + weights.layers.length === layers
    const out = new Float32Array((isLast ? 1 : n) * hidden)
    try {
      this.#makeRoom(cache, before + n)
      for (let done = 0; done < n; ) {
        const rows = Math.min(n - done, passRowsMax)
        this.#feed(input.subarray(done * perToken, (done + rows) * perToken), rows)
        this.#compute('layers', rows, cache)
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
      // What fills up rows is zeros, and nobody writes there again.
      this.#memory.zero(this.#layout.scratch.x, passRowsMax * rowBytes(config.hidden))
      throw error
    }
  }

  /** Logits [vocab] of a token, from its hidden state after the last layer. A view that the next call changes. */
  logits(row: Float32Array): Float32Array {
    const { config, scratch, weights } = this.#layout
    assert(weights.head !== undefined, 'only a stage that ends with the last layer has logits')
    this.#memory.views.floats.set(row, scratch.x / 4)
    this.#compute('head', 1, undefined)
    return this.#memory.views.floats.subarray(scratch.logits / 4, scratch.logits / 4 + config.vocab)
  }

  #compute(kind: Job['kind'], rows: number, cache: PagedCache | undefined): void {
    const pages = cache?.pages.flat() ?? []
    const { at } = this.#table
    this.#memory.views.integers.set(pages, at / 4)
    this.#memory.views.integers.set(this.#rotations, at / 4 + pages.length)
    const job: Job = {
      kind,
      rows,
      position: cache?.length ?? 0,
      pages: at,
      rotations: at + 4 * pages.length,
      scores: this.#scores.at,
      scorePositions: this.#scores.positions,
      threads: this.#team.threadsFor({ kind, rows })
    }
    this.#team.begin(job)
    this.#runner.run(job)
    if (job.threads > 1) this.#team.meet(job.threads)
    this.#team.done(job)
  }

  #feed(input: Int32Array | Float32Array, rows: number): void {
    const { config, start, weights } = this.#layout
    const { hidden, vocab } = config
    for (let t = 0; t < rows; t++) {
      if (start > 0) {
        this.#row(t).set((input as Float32Array).subarray(t * hidden, (t + 1) * hidden))
        continue
      }
      const id = input[t]!
      if (!(id >= 0 && id < vocab)) throw new InvalidStepError(`token id ${id} is not in [0, ${vocab})`)
      const embedding = weights.embedding!
      unpackRow(embedding, this.#memory.memory.buffer, embedding.at, id, this.#row(t))
    }
  }

  /** @throws {EngineError} when a row has a value that is not finite. */
  #check(rows: number): void {
    const { config, scratch, start, weights } = this.#layout
    if (this.#kernels.nonFinite(scratch.x, (rows * rowBytes(config.hidden)) / 16) === 0) return
    const end = start + weights.layers.length
    for (let t = 0; t < rows; t++) checkNoOverflow(this.#row(t), config.hidden, start, end)
  }

  /** [hidden]: a row of the pass, a view. */
  #row(t: number): Float32Array {
    const { config, scratch } = this.#layout
    const at = (scratch.x + t * rowBytes(config.hidden)) / 4
    return this.#memory.views.floats.subarray(at, at + config.hidden)
  }

  /** Pages, rotation tables, scores and a list of addresses for a cache of so many tokens. */
  #makeRoom(cache: PagedCache, tokens: number): void {
    this.#pages.makeRoom(cache, tokens)
    while ((this.#rotations.length / 2) * rotationRows < tokens) this.#rotate()
    // Twice as long each time: what the older ones took is little beside it.
    if (this.#scores.positions < tokens) {
      const positions = roundUp(Math.max(tokens, 2 * this.#scores.positions), pagePositions)
      const bytes = 4 * attentionRows * positions * this.#layout.own.length
      this.#scores = { at: this.#memory.take(bytes), positions }
    }
    const addresses = cache.pages.length * this.#layout.weights.layers.length + this.#rotations.length
    if (this.#table.length < addresses) {
      const length = Math.max(addresses, 2 * this.#table.length)
      this.#table = { at: this.#memory.take(4 * length), length }
    }
  }

  #rotate(): void {
    const half = this.#layout.config.headDim / 2
    const [cos, sin] = [this.#memory.take(4 * half * rotationRows), this.#memory.take(4 * half * rotationRows)]
    const first = (this.#rotations.length / 2) * rotationRows
    const { floats } = this.#memory.views
    for (let row = 0; row < rotationRows; row++) {
      for (let i = 0; i < half; i++) {
        const turn = cosSin((first + row) * this.#frequencies[i]!)
        floats[cos / 4 + row * half + i] = turn.cos
        floats[sin / 4 + row * half + i] = turn.sin
      }
    }
    this.#rotations.push(cos, sin)
  }
}
