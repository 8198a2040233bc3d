/** The layers of a stage in WebAssembly: weights, caches and scratch space in one memory, computed by one thread or several. */
import { assert } from '../../base/assert.ts'
import { EngineError } from '../../errors.ts'
import type { EdgeType } from '../../model/manifest.ts'
import { type CacheType, usualCache } from '../../base/cache-type.ts'
import { checkNoOverflow } from '../edge.ts'
import type { Layers, Part } from '../serve-thread.ts'
import type { CheckedKernels } from '../thread-messages.ts'
import { attentionRows, pagePositions } from './attention.ts'
import { type CheckedModules, compileKernels } from './compile.ts'
import { headRowsMax, headWidth, type Kernels, passRowsMax } from './kernels.ts'
import { type Layout, takeOwn, takeScratch } from './layout.ts'
import { CachePages, type PagedCache } from './paged-cache.ts'
import { type Job, rotationRows, segmentNumbers, writeSegment } from './job.ts'
import { PassRunner } from './pass.ts'
import type { ProductForms } from './products.ts'
import { cosSin, frequencies } from './rotary.ts'
import { StageMemory } from './stage-memory.ts'
import { layerWork, type TeamPolicy } from './choice.ts'
import { Team } from './team.ts'
import { unpackRow } from '../../model/pack.ts'
import { roundUp, tileBytes, vectorBytes } from '../../model/tiles.ts'
import { typesIn } from '../../model/weight-types.ts'
import { whyNotComputable } from '../computable.ts'
import { loadWeights, weightBytes, type WeightsInit } from './weights.ts'

export interface WasmSpanInit extends WeightsInit {
  readonly edge: EdgeType
  readonly forms: ProductForms
  /** Of one pass; {@link WasmSpan.gather} starts the others. @default 1 */
  readonly threads?: number
  /** Which passes they compute together. @default by what passes take */
  readonly policy?: TeamPolicy
  /** Kernels that need not be compiled; those that are come to them. @default none */
  readonly checked?: CheckedModules
}

/** A part that is being computed. */
interface UnderWay {
  readonly part: Part<PagedCache>
  /** Tokens in the cache before it. */
  readonly before: number
  /** [tokens - from, hidden] */
  readonly out: Float32Array
  /** The first of its tokens whose hidden state is handed out. */
  readonly from: number
  /** Tokens that are computed. */
  done: number
  failure: EngineError | undefined
}

/** Rows [first, first + rows) of one pass, and what they are of. */
interface Stretch {
  readonly of: UnderWay
  readonly first: number
  readonly rows: number
}

export class WasmSpan implements Layers<PagedCache> {
  readonly #layout: Layout
  readonly #memory: StageMemory
  readonly #module: WebAssemblyModule
  /** What it has compiled, and was given. */
  readonly kernels: CheckedKernels | undefined
  readonly #kernels: Kernels
  readonly #runner: PassRunner
  readonly #team: Team
  readonly blocks: CachePages
  readonly #frequencies: Float64Array
  /** Addresses of the cosines and sines of {@link rotationRows} positions each. */
  readonly #rotations: number[] = []
  /** What a job names: addresses of rotations, segments, addresses of pages. `length`: in numbers. */
  #table = { at: 0, length: 0 }
  /** Scores of each thread: {@link attentionRows} rows, for so many positions. */
  #scores = { at: 0, positions: 0 }

  private constructor(init: WasmSpanInit, module: WebAssemblyModule, memory: StageMemory) {
    const { config, edge, start, end, threads = 1, policy } = init
    this.#team = new Team(policy)
    this.#module = module
    this.#memory = memory
    this.kernels = init.checked?.modules
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
    this.blocks = new CachePages(memory, {
      layers: end - start,
      kvHeads: config.kvHeads,
      width: headWidth(config.headDim)
    })
    this.#runner = new PassRunner(this.#layout, this.#kernels, {
      index: 0,
      views: () => memory.views,
      meet: count => this.#team.meet(count),
      meetAtEdge: job => this.#team.meetAtEdge(job)
    })
  }

  /**
   * Loads the stage.
   * @throws {EngineError} when the model is none that is computed, its files do not fit, memory for it cannot be had, or
   *   this machine cannot run the kernels.
   */
  static create(init: WasmSpanInit): WasmSpan {
    const { config, weights, edge, forms, threads = 1, checked } = init
    const refusal = whyNotComputable({ config, weights })
    if (refusal !== undefined) throw new EngineError(refusal)
    const types = typesIn(weights)
    const shared = threads > 1
    const module = compileKernels({ config, types, edge, forms }, { shared }, checked)
    return new WasmSpan(init, module, new StageMemory(weightBytes(init), { shared }))
  }

  /** Starts the other threads. @throws {EngineError} when they do not come. */
  async gather(): Promise<void> {
    const { memory } = this.#memory
    await this.#team.start(this.#layout.own.length, { layout: this.#layout, module: this.#module, memory })
  }

  open(_tokensMax?: number, type: CacheType = usualCache): PagedCache {
    return this.blocks.open(type)
  }

  /** Its memory goes with its thread. */
  release(): void {
    this.#team.end()
  }

  /**
   * Runs tokens of several sessions, each once, and adds them to their caches.
   *
   * @returns by part: hidden [tokens, hidden], rounded to the edge type; after the last layer those of its last `wanted` tokens
   *   alone. Where a value is not finite any more, or there is no memory, what is wrong: that cache is as it was.
   * @throws {EngineError} when a thread has ended; all caches are as they were.
   */
  pass(parts: readonly Part<PagedCache>[]): readonly (Float32Array | EngineError)[] {
    const under = parts.map(part => this.#begin(part))
    try {
      for (let segments = this.#next(under); segments.length > 0; segments = this.#next(under)) {
        for (const { of, first, rows } of segments) this.#feed(of, first, rows)
        this.#compute('layers', segments)
        this.#take(segments)
      }
    } catch (error) {
      for (const each of under) this.#undo(each)
      throw error
    }
    return under.map(({ failure, out }) => failure ?? out)
  }

  /** A pass of one part. @throws {EngineError} what the pass gives, or throws. */
  run(cache: PagedCache, input: Int32Array | Float32Array, tokens: number): Float32Array {
    const [out] = this.pass([{ cache, input, tokens }])
    if (out instanceof Error) throw out
    return out!
  }

  eachLogits(rows: readonly Float32Array[], use: (logits: Float32Array, index: number) => void): void {
    const { config, scratch, weights } = this.#layout
    assert(weights.head !== undefined, 'only a stage that ends with the last layer has logits')
    for (let from = 0; from < rows.length; from += headRowsMax) {
      const some = rows.slice(from, from + headRowsMax)
      for (const [t, row] of some.entries()) this.#row(t).set(row)
      this.#compute('head', some.length)
      for (const t of some.keys()) {
        const at = scratch.logits / 4 + t * weights.head.output.rows
        use(this.#memory.views.floats.subarray(at, at + config.vocab), from + t)
      }
    }
  }

  /** Logits [vocab] of a token, from its hidden state after the last layer. A view that the next call changes. */
  logits(row: Float32Array): Float32Array {
    const made: Float32Array[] = []
    this.eachLogits([row], logits => made.push(logits))
    return made[0]!
  }

  /** Room for a part, or why it has none. */
  #begin(part: Part<PagedCache>): UnderWay {
    const { cache, input, tokens, wanted = 1 } = part
    const { config, start } = this.#layout
    const perToken = start === 0 ? 1 : config.hidden
    assert(tokens >= 1 && input.length === tokens * perToken, `${tokens} tokens got ${input.length} inputs`)
    const from = this.#isLast ? tokens - wanted : 0
    const out = new Float32Array((tokens - from) * config.hidden)
    const under: UnderWay = { part, before: cache.length, out, from, done: 0, failure: undefined }
    try {
      this.#makeRoom(cache, cache.length + tokens)
    } catch (error) {
      this.#fail(under, error)
    }
    return under
  }

  /** The next rows of the parts in their order, as many as one pass takes. */
  #next(under: readonly UnderWay[]): Stretch[] {
    const segments: Stretch[] = []
    let first = 0
    for (const of of under) {
      const rows = of.failure === undefined ? Math.min(of.part.tokens - of.done, passRowsMax - first) : 0
      if (rows > 0) segments.push({ of, first, rows })
      first += rows
    }
    return segments
  }

  #compute(kind: 'layers', segments: readonly Stretch[]): void
  #compute(kind: 'head', rows: number): void
  #compute(kind: Job['kind'], what: readonly Stretch[] | number): void {
    const segments = typeof what === 'number' ? [] : what
    const rows = typeof what === 'number' ? what : segments.reduce((sum, { rows }) => sum + rows, 0)
    const { rotations, segmentsAt } = this.#tell(segments)
    const job: Job = {
      kind,
      rows,
      segments: segmentsAt,
      segmentCount: segments.length,
      rotations,
      scores: this.#scores.at,
      scorePositions: this.#scores.positions,
      threads: this.#team.threadsFor({ kind, rows })
    }
    this.#team.begin(job)
    this.#runner.run(job)
    const parts = segments.map(({ of, rows }) => ({ rows, position: of.part.cache.length }))
    this.#team.done(job, kind === 'head' ? rows : layerWork(this.#layout.config, parts))
  }

  /** Writes what a job names into the table: rotations, segments, and the pages of each. */
  #tell(segments: readonly Stretch[]): { readonly rotations: number; readonly segmentsAt: number } {
    const pages = segments.map(({ of }) => of.part.cache.pages.flatMap(({ at }) => at))
    const numbers = this.#rotations.length + segments.length * segmentNumbers
    const length = pages.reduce((sum, each) => sum + each.length, numbers)
    // Twice as long each time: what the older ones took is little beside it.
    if (this.#table.length < length) this.#table = { at: this.#memory.take(8 * length), length: 2 * length }
    const { at } = this.#table
    const { integers } = this.#memory.views
    integers.set(this.#rotations, at / 4)
    const segmentsAt = at + 4 * this.#rotations.length
    let pagesAt = at + 4 * numbers
    for (const [i, { of, first, rows }] of segments.entries()) {
      const { length: position, type } = of.part.cache
      writeSegment(
        { first, rows, position, pages: pagesAt, cache: type },
        integers,
        segmentsAt + 4 * i * segmentNumbers
      )
      integers.set(pages[i]!, pagesAt / 4)
      pagesAt += 4 * pages[i]!.length
    }
    return { rotations: at, segmentsAt }
  }

  #feed({ part, done }: UnderWay, first: number, rows: number): void {
    const { config, start, weights } = this.#layout
    const { hidden } = config
    if (start > 0) {
      const states = part.input as Float32Array
      for (let t = 0; t < rows; t++) {
        this.#row(first + t).set(states.subarray((done + t) * hidden, (done + t + 1) * hidden))
      }
      return
    }
    const embedding = weights.embedding!
    const tiles = new Uint8Array(this.#memory.memory.buffer, embedding.at, tileBytes(embedding))
    for (let t = 0; t < rows; t++) unpackRow(embedding, tiles, part.input[done + t]!, this.#row(first + t))
  }

  /** What a pass has given: rows that are not finite fail their own part alone. */
  #take(segments: readonly Stretch[]): void {
    const { config, scratch } = this.#layout
    const { hidden } = config
    const rows = segments.reduce((sum, each) => sum + each.rows, 0)
    const allFinite = this.#kernels.nonFinite(scratch.x, (rows * vectorBytes(hidden)) / 16) === 0
    for (const { of, first, rows } of segments) {
      try {
        if (!allFinite) this.#check(first, rows)
        for (let t = Math.max(0, of.from - of.done); t < rows; t++) {
          of.out.set(this.#row(first + t), (of.done + t - of.from) * hidden)
        }
        of.part.cache.length += rows
        of.done += rows
      } catch (error) {
        this.#fail(of, error)
      }
    }
    // What fills up rows is zeros, and nobody writes there again.
    if (!allFinite) this.#memory.zero(scratch.x, passRowsMax * vectorBytes(hidden))
  }

  /** @throws {EngineError} when a row has a value that is not finite. */
  #check(first: number, rows: number): void {
    const { config, start, weights } = this.#layout
    const end = start + weights.layers.length
    for (let t = first; t < first + rows; t++) checkNoOverflow(this.#row(t), config.hidden, start, end)
  }

  #fail(under: UnderWay, error: unknown): void {
    assert(error instanceof EngineError, `a part fails for a reason of the engine: ${error}`)
    under.failure = error
    this.#undo(under)
  }

  #undo({ part: { cache }, before }: UnderWay): void {
    cache.length = before
    this.blocks.wipe(cache)
  }

  get #isLast(): boolean {
    const { start, weights, config } = this.#layout
    return start + weights.layers.length === config.layers
  }

  /** [hidden]: a row of the pass, a view. */
  #row(t: number): Float32Array {
    const { config, scratch } = this.#layout
    const at = (scratch.x + t * vectorBytes(config.hidden)) / 4
    return this.#memory.views.floats.subarray(at, at + config.hidden)
  }

  /** Pages, rotation tables and scores for a cache of so many tokens. @throws {EngineError} when there is no memory. */
  #makeRoom(cache: PagedCache, tokens: number): void {
    this.blocks.makeRoom(cache, tokens)
    while ((this.#rotations.length / 2) * rotationRows < tokens) this.#rotate()
    // Twice as long each time: what the older ones took is little beside it.
    if (this.#scores.positions < tokens) {
      const positions = roundUp(Math.max(tokens, 2 * this.#scores.positions), pagePositions)
      const bytes = 4 * attentionRows * positions * this.#layout.own.length
      this.#scores = { at: this.#memory.take(bytes), positions }
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
