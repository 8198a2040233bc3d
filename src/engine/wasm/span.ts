/** The layers of a stage in WebAssembly: sections, each in a memory of its own, computed by one thread or several. */
import { assert } from '../../base/assert.ts'
import { EngineError } from '../../errors.ts'
import type { EdgeType } from '../../model/manifest.ts'
import { type CacheType, usualCache } from '../../base/cache-type.ts'
import { checkNoOverflow } from '../edge.ts'
import type { Layers, Part } from '../serve-thread.ts'
import type { CheckedKernels, SpanInit } from '../thread-messages.ts'
import { type CheckedModules, compileKernels } from './compile.ts'
import { headRowsMax, headWidth, kernelTypes, passRowsMax } from './kernels.ts'
import { CachePages, type PagedCache } from './paged-cache.ts'
import type { Job } from './job.ts'
import { computed, convolutionRowBytes } from './layer-kinds.ts'
import type { ProductForms } from './products.ts'
import { layerWork, type TeamPolicy } from './choice.ts'
import { type BegunSection, type CacheRows, LoadedSection, sectionMemory } from './section.ts'
import { type Section, type Sections, sectionsOf } from './sections.ts'
import type { LargePages } from './stage-memory.ts'
import { Team } from './team.ts'
import { whyNotComputable } from '../computable.ts'
import { readAhead, type WeightsInit } from './weights.ts'
import { windowsOf } from '../windows.ts'

export interface WasmSpanInit
  extends WeightsInit,
    Pick<SpanInit, 'start' | 'end' | 'cacheBytesMax' | 'memoryBytesMax'> {
  readonly edge: EdgeType
  readonly forms: ProductForms
  /** Of one pass; {@link WasmSpan.gather} starts the others. @default 1 */
  readonly threads?: number
  /** Which passes they compute together. @default by what passes take */
  readonly policy?: TeamPolicy
  /** Kernels that need not be compiled; those that are come to them. @default none */
  readonly checked?: CheckedModules
  /** @default pages as the system has them */
  readonly largePages?: LargePages | undefined
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
  readonly #init: WasmSpanInit
  readonly #module: WebAssemblyModule
  /** What it has compiled, and was given. */
  readonly kernels: CheckedKernels | undefined
  readonly #sections: readonly LoadedSection[]
  readonly #team: Team
  readonly blocks: CachePages

  /** @param begun of the first section */
  private constructor(
    init: WasmSpanInit,
    module: WebAssemblyModule,
    { sections, cacheBytesMost }: Sections,
    begun?: BegunSection
  ) {
    const { config, edge, start, threads = 1, memoryBytesMax, largePages, policy } = init
    const team = new Team(policy)
    this.#team = team
    this.#init = init
    this.#module = module
    this.kernels = init.checked?.modules
    const own = {
      ...{ config, weights: init.weights, shardLocations: init.shardLocations, source: init.source },
      ...{ edge, threads, memoryBytesMax, largePages, module },
      meetings: { meet: (count: number) => team.meet(count), meetAtEdge: (job: Job) => team.meetAtEdge(job) }
    }
    this.#sections = sections.map(
      (section, i) => new LoadedSection(own, section, section.start - start, i === 0 ? begun : undefined)
    )
    this.blocks = new CachePages(
      this.#sections.flatMap(({ memory, layout }) => layout.weights.layers.map(() => memory)),
      {
        kvHeads: config.kvHeads,
        width: headWidth(config.headDim),
        bytesMax: cacheBytesMost,
        windows: windowsOf(config, start, init.end),
        rowBytes: Array.from({ length: init.end - start }, (_, i) => convolutionRowBytes(config, start + i))
      }
    )
  }

  /**
   * Loads the stage.
   * @throws {EngineError} when the model is none that is computed, its files do not fit, memory for it cannot be had, or
   *   this machine cannot run the kernels.
   */
  static create(init: WasmSpanInit): WasmSpan {
    const sections = checkedSections(init)
    return new WasmSpan(init, kernelsOf(init), sections)
  }

  /** The same; files are read while the kernels are compiled. */
  static async load(init: WasmSpanInit): Promise<WasmSpan> {
    const sections = checkedSections(init)
    const [first] = sections.sections as readonly [Section, ...Section[]]
    const memory = sectionMemory(init, first)
    const reading = readAhead(init, first.places, memory.memory.buffer)
    // Until it is waited for.
    reading.catch(() => {})
    const module = kernelsOf(init)
    return new WasmSpan(init, module, sections, { memory, ahead: await reading })
  }

  /** Starts the other threads. @throws {EngineError} when they do not come. */
  async gather(): Promise<void> {
    const sections = this.#sections.map(({ layout, memory }) => ({ layout, memory: memory.memory }))
    await this.#team.start(this.#init.threads ?? 1, { module: this.#module, sections })
  }

  /** How many memories its layers lie in. */
  get sections(): number {
    return this.#sections.length
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
   * @param onNearEnd called in the last layer of a pass of one row
   * @throws {EngineError} when a thread has ended; all caches are as they were.
   */
  pass(parts: readonly Part<PagedCache>[], onNearEnd?: () => void): readonly (Float32Array | EngineError)[] {
    const under = parts.map(part => this.#begin(part))
    try {
      for (let segments = this.#next(under); segments.length > 0; segments = this.#next(under)) {
        for (const { of, first, rows } of segments) this.#feed(of, first, rows)
        this.#compute(segments, onNearEnd)
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
    const last = this.#sections.at(-1)!
    assert(last.layout.weights.head !== undefined, 'only a stage that ends with the last layer has logits')
    for (let from = 0; from < rows.length; from += headRowsMax) {
      const some = rows.slice(from, from + headRowsMax)
      for (const [t, row] of some.entries()) last.row(t).set(row)
      const pass = { kind: 'head', rows: some.length } as const
      const threads = this.#team.threadsFor(pass)
      this.#team.begin()
      this.#run(last, { ...pass, threads }, [])
      this.#team.done({ ...pass, threads }, some.length)
      for (const t of some.keys()) use(last.logits(t), from + t)
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
    const { config, start } = this.#init
    const perToken = start === 0 ? 1 : config.hidden
    assert(tokens >= 1 && input.length === tokens * perToken, `${tokens} tokens got ${input.length} inputs`)
    const from = this.#isLast ? tokens - wanted : 0
    const out = new Float32Array((tokens - from) * config.hidden)
    const under: UnderWay = { part, before: cache.length, out, from, done: 0, failure: undefined }
    try {
      for (const section of this.#sections) section.makeRoom(cache.length + tokens)
    } catch (error) {
      this.#fail(under, error)
    }
    return under
  }

  /** The next rows of the parts in their order, as many as one pass takes, each with room in its cache. */
  #next(under: readonly UnderWay[]): Stretch[] {
    const segments: Stretch[] = []
    let first = 0
    for (const of of under) {
      const rows = of.failure === undefined ? Math.min(of.part.tokens - of.done, passRowsMax - first) : 0
      if (rows === 0 || !this.#hasRoom(of, rows)) continue
      segments.push({ of, first, rows })
      first += rows
    }
    return segments
  }

  /** Room for the next rows of a part; it fails where there is none. */
  #hasRoom(under: UnderWay, rows: number): boolean {
    const { cache } = under.part
    try {
      this.blocks.makeRoom(cache, cache.length + rows)
      return true
    } catch (error) {
      this.#fail(under, error)
      return false
    }
  }

  /** Has rows that the first section was fed go through all of them. */
  #compute(segments: readonly Stretch[], onNearEnd: (() => void) | undefined): void {
    const pass = { kind: 'layers', rows: rowsOf(segments) } as const
    const threads = this.#team.threadsFor(pass)
    const cacheRows = segments.map(({ of, first, rows }) => ({ cache: of.part.cache, first, rows }))
    this.#team.begin()
    let left = threads
    for (const [i, section] of this.#sections.entries()) {
      if (i > 0) section.follow(this.#sections[i - 1]!, pass.rows)
      // Who has been let go is done with all of the pass.
      const isLast = i === this.#sections.length - 1 && pass.rows === 1
      left = this.#run(section, { ...pass, threads: left }, cacheRows, isLast ? onNearEnd : undefined)
    }
    const parts = cacheRows.map(({ cache, rows }) => ({ rows, position: cache.length }))
    this.#team.done({ ...pass, threads }, layerWork(this.#init.config, parts))
  }

  /** @returns how many threads were left in the end. */
  #run(
    section: LoadedSection,
    { kind, rows, threads }: Pick<Job, 'kind' | 'rows' | 'threads'>,
    segments: readonly CacheRows[],
    onNearEnd?: () => void
  ): number {
    const index = this.#sections.indexOf(section)
    const job = { kind, section: index, rows, threads, segmentCount: segments.length, ...section.tell(segments) }
    this.#team.tell(job)
    return section.run(job, onNearEnd)
  }

  #feed({ part, done }: UnderWay, first: number, rows: number): void {
    const { config, start } = this.#init
    const { hidden } = config
    const into = this.#sections[0]!
    if (start > 0) {
      const states = part.input as Float32Array
      for (let t = 0; t < rows; t++) {
        into.row(first + t).set(states.subarray((done + t) * hidden, (done + t + 1) * hidden))
      }
      return
    }
    const table = this.#sections.find(({ layout }) => layout.weights.embedding !== undefined)!
    for (let t = 0; t < rows; t++) table.embed(part.input[done + t]!, into.row(first + t))
  }

  /** What a pass has given: rows that are not finite fail their own part alone. */
  #take(segments: readonly Stretch[]): void {
    const { hidden } = this.#init.config
    const last = this.#sections.at(-1)!
    const allFinite = last.isFinite(rowsOf(segments))
    for (const { of, first, rows } of segments) {
      try {
        if (!allFinite) this.#check(last, first, rows)
        for (let t = Math.max(0, of.from - of.done); t < rows; t++) {
          of.out.set(last.row(first + t), (of.done + t - of.from) * hidden)
        }
        of.part.cache.length += rows
        of.done += rows
      } catch (error) {
        this.#fail(of, error)
      }
    }
    if (!allFinite) for (const section of this.#sections) section.clear()
  }

  /** @throws {EngineError} when a row has a value that is not finite. */
  #check(section: LoadedSection, first: number, rows: number): void {
    const { config, start, end } = this.#init
    for (let t = first; t < first + rows; t++) checkNoOverflow(section.row(t), config.hidden, start, end)
  }

  #fail(under: UnderWay, error: unknown): void {
    assert(error instanceof EngineError, `a part fails for a reason of the engine: ${error}`)
    under.failure = error
    this.#undo(under)
  }

  #undo({ part: { cache }, before }: UnderWay): void {
    cache.truncate(before)
    this.blocks.wipe(cache)
  }

  get #isLast(): boolean {
    return this.#init.end === this.#init.config.layers
  }
}

function rowsOf(segments: readonly Stretch[]): number {
  return segments.reduce((sum, { rows }) => sum + rows, 0)
}

/** @throws {EngineError} when the model is none that is computed, or has a layer that is too large. */
function checkedSections(init: WasmSpanInit): Sections {
  const refusal = whyNotComputable(init, computed)
  if (refusal !== undefined) throw new EngineError(refusal)
  return sectionsOf(init)
}

function kernelsOf({ config, weights, edge, forms, threads = 1, checked }: WasmSpanInit): WebAssemblyModule {
  return compileKernels(
    { config, types: kernelTypes({ config, weights }), edge, forms },
    { shared: threads > 1 },
    checked
  )
}
