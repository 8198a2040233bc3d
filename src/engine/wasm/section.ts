/** Layers of a stage that lie in one memory, with their caches and the space to compute in. */
import type { ModelConfig } from '../../model/decoder.ts'
import type { EdgeType } from '../../model/manifest.ts'
import { roundUp, tileBytes, vectorBytes } from '../../model/tiles.ts'
import { unpackRow } from '../../model/pack.ts'
import { attentionRows, pagePositions } from './attention.ts'
import { type Job, segmentNumbers, writeSegment } from './job.ts'
import { type Kernels, passRowsMax } from './kernels.ts'
import { type Layout, takeOwn, takeScratch } from './layout.ts'
import type { PagedCache } from './paged-cache.ts'
import { type Meetings, PassRunner } from './pass.ts'
import { rotationsIn } from './layer-kinds.ts'
import { RotationTables } from './rotation-tables.ts'
import { type Section, scratchBytes } from './sections.ts'
import { type LargePages, StageMemory } from './stage-memory.ts'
import { loadWeights, weightBytes, type WeightsInit } from './weights.ts'

export interface LoadedSectionInit extends WeightsInit {
  readonly edge: EdgeType
  readonly threads: number
  readonly memoryBytesMax: number | undefined
  readonly largePages: LargePages | undefined
  readonly module: WebAssemblyModule
  /** How its thread waits for the others of a pass. */
  readonly meetings: Meetings
}

/** Rows [first, first + rows) of a pass, of one session's cache. */
export interface CacheRows {
  readonly cache: PagedCache
  readonly first: number
  readonly rows: number
}

/** A memory of which some weights have come already. */
export interface BegunSection {
  readonly memory: StageMemory
  readonly ahead: ReadonlySet<string>
}

/** Memory for the weights of a section, and the space to compute in. @throws {EngineError} when it cannot be had. */
export function sectionMemory(
  init: WeightsInit & Partial<Pick<LoadedSectionInit, 'threads' | 'memoryBytesMax' | 'largePages'>>,
  { places }: Section
): StageMemory {
  const { threads = 1, memoryBytesMax: bytesMax, largePages } = init
  const hasHead = places.some(({ role }) => role === 'head')
  const spareBytes = scratchBytes(init.config, threads, hasHead)
  return new StageMemory(weightBytes(init, places), { shared: threads > 1, spareBytes, bytesMax, largePages })
}

export class LoadedSection {
  readonly layout: Layout
  readonly memory: StageMemory
  /** Where its layers begin among those of the stage. */
  readonly #before: number
  readonly #config: ModelConfig
  readonly #kernels: Kernels
  readonly #runner: PassRunner
  readonly #rotations: RotationTables
  /** What a job names: addresses of rotations, segments, addresses of pages. `length`: in numbers. */
  #table = { at: 0, length: 0 }
  /** Scores of each thread: {@link attentionRows} rows, for so many positions. */
  #scores = { at: 0, positions: 0 }

  /** @throws {EngineError} when its files do not fit, or memory for it cannot be had. */
  constructor(init: LoadedSectionInit, section: Section, before: number, begun: BegunSection | undefined) {
    const { config, edge, threads, module, meetings } = init
    const { start, places } = section
    this.#before = before
    this.#config = config
    const memory = begun?.memory ?? sectionMemory(init, section)
    this.memory = memory
    this.#rotations = new RotationTables(memory, rotationsIn(config, section))
    const instance = new WebAssembly.Instance(module, { env: { memory: memory.memory } })
    this.#kernels = instance.exports as unknown as Kernels
    const take = (bytes: number): number => memory.take(bytes)
    const weights = loadWeights(init, places, memory.memory.buffer, begun?.ahead)
    this.layout = {
      ...{ config, edge, start, weights },
      scratch: takeScratch(config, weights.head !== undefined, take),
      own: Array.from({ length: threads }, () => takeOwn(config, take))
    }
    this.#runner = new PassRunner(this.layout, this.#kernels, { index: 0, views: () => memory.views, ...meetings })
  }

  /** This thread's share of a job. @returns how many threads were left in the end. */
  run(job: Job, onNearEnd?: () => void): number {
    return this.#runner.run(job, onNearEnd)
  }

  /** What a job names of this memory: where its segments are, and what they need. */
  tell(segments: readonly CacheRows[]): Pick<Job, 'segments' | 'rotations' | 'scores' | 'scorePositions'> {
    const [from, to] = [this.#before, this.#before + this.layout.weights.layers.length]
    const pages = segments.map(({ cache }) => cache.addresses(from, to))
    const rotations = this.#rotations.addresses
    const numbers = rotations.length + segments.length * segmentNumbers
    const length = pages.reduce((sum, each) => sum + each.length, numbers)
    // Twice as long each time: what the older ones took is little beside it.
    if (this.#table.length < length) this.#table = { at: this.memory.take(8 * length), length: 2 * length }
    const { at } = this.#table
    const { integers } = this.memory.views
    integers.set(rotations, at / 4)
    const segmentsAt = at + 4 * rotations.length
    let pagesAt = at + 4 * numbers
    for (const [i, { cache, first, rows }] of segments.entries()) {
      writeSegment(
        { first, rows, position: cache.length, pages: pagesAt, cache: cache.type },
        integers,
        segmentsAt + 4 * i * segmentNumbers
      )
      integers.set(pages[i]!, pagesAt / 4)
      pagesAt += 4 * pages[i]!.length
    }
    const { at: scores, positions: scorePositions } = this.#scores
    return { rotations: at, segments: segmentsAt, scores, scorePositions }
  }

  // ── The hidden state ────────────────────────────────────────────────────────────────────────────

  /** [hidden]: a row of the pass, a view. */
  row(t: number): Float32Array {
    const at = (this.layout.scratch.x + t * vectorBytes(this.#config.hidden)) / 4
    return this.memory.views.floats.subarray(at, at + this.#config.hidden)
  }

  /** Rows [0, count) of the pass, as they lie: a view. */
  #rows(count: number): Float32Array {
    const at = this.layout.scratch.x / 4
    return this.memory.views.floats.subarray(at, at + (count * vectorBytes(this.#config.hidden)) / 4)
  }

  /** Takes over the rows of the section before. */
  follow(before: LoadedSection, rows: number): void {
    this.#rows(rows).set(before.#rows(rows))
  }

  /** Writes the embedding of a token, which lies here, into a row. */
  embed(id: number, row: Float32Array): void {
    const embedding = this.layout.weights.embedding!
    const tiles = new Uint8Array(this.memory.memory.buffer, embedding.at, tileBytes(embedding))
    unpackRow(embedding, tiles, id, row)
    const { embeddingScale } = this.#config
    if (embeddingScale === undefined) return
    const scale = Math.fround(embeddingScale)
    for (let k = 0; k < row.length; k++) row[k]! *= scale
  }

  /** Whether all values of the first rows are finite. */
  isFinite(rows: number): boolean {
    return this.#kernels.nonFinite(this.layout.scratch.x, (rows * vectorBytes(this.#config.hidden)) / 16) === 0
  }

  /** What fills up rows is zeros, and nobody writes there: where rows have not been finite, it is zeros again after this. */
  clear(): void {
    this.#rows(passRowsMax).fill(0)
  }

  /** [vocab]: logits of a row, a view. */
  logits(t: number): Float32Array {
    const at = this.layout.scratch.logits! / 4 + t * this.layout.weights.head!.output.rows
    return this.memory.views.floats.subarray(at, at + this.#config.vocab)
  }

  // ── Room ────────────────────────────────────────────────────────────────────────────────────────

  /** Rotation tables and scores for a cache of so many tokens. @throws {EngineError} when there is no memory. */
  makeRoom(tokens: number): void {
    this.#rotations.grow(tokens)
    // Twice as long each time: what the older ones took is little beside it.
    if (this.#scores.positions < tokens) {
      const positions = roundUp(Math.max(tokens, 2 * this.#scores.positions), pagePositions)
      const bytes = 4 * attentionRows * positions * this.layout.own.length
      this.#scores = { at: this.memory.take(bytes), positions }
    }
  }
}
