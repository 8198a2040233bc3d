/**
 * Writes a model into a store from a source of decoded tensors: the half of an import that knows our layout
 * and nothing of where the weights come from. Rows are read, converted and written in chunks, so memory does
 * not grow with the model.
 */
import { assert } from '../base/assert.ts'
import type { ShardId } from '../base/ids.ts'
import { ImportError } from '../errors.ts'
import type { ModelConfig } from './decoder.ts'
import { type CompareWrittenInit, compareWritten } from './import-comparison.ts'
import { importChunkBytes } from './limits.ts'
import {
  type MatrixEntry,
  type MatrixPart,
  partOf,
  shardBytes,
  type ShardLayout,
  shardLayout,
  type VectorName
} from './layout.ts'
import {
  canonical,
  type EdgeType,
  encodeManifest,
  type FileEntry,
  isGraph,
  type Manifest,
  type ShardEntry,
  shardName,
  shardOrder
} from './manifest.ts'
import { decodeManifest } from './read-manifest.ts'
import { type Blocks, emptyBlocks, packBlocks, packFloats, type RowRange, rowsOf } from './pack.ts'
import { firstNonFinite, isConverted, quantise, weightMax } from './quantise.ts'
import type { PendingFile } from './addition.ts'
import type { ModelStore, StoredModel } from './store.ts'
import { tileRows, tileStride } from './tiles.ts'
import { quantisedTypes, type Weights } from './weight-types.ts'

/** The tensors of a decoder before anything is stacked or quantised. */
export type SourceTensor = VectorName | MatrixPart['name']

/**
 * Where weights come from. Query and key rows are in Hugging Face's order: rotation turns halves of a head. Rows of a mixture's
 * experts follow one another as those of one matrix.
 */
export interface TensorSource {
  /**
   * Fills `into` with rows from `row` on: matrices are [outputs, inputs], vectors one row.
   *
   * @param layer index of the layer, or null for embedding, norm and output
   * @param into [rows, inputs] float32
   */
  read(tensor: SourceTensor, layer: number | null, row: number, into: Float32Array): Promise<void>
  /** The file from which number `at` of what `read` gave came. @default sentences name none */
  fileOf?(tensor: SourceTensor, layer: number | null, row: number, at: number): string | undefined
  /** Whether a matrix of a quantised type is taken as it is, by `readBlocks`, and not read and converted. @default none is */
  keeps?(tensor: SourceTensor, layer: number | null): boolean
  /** Fills `into` with quantised rows as the source has them, in the type that they are to have. */
  readBlocks?(tensor: SourceTensor, layer: number | null, rows: RowRange, into: Blocks): Promise<void>
}

/** Everything of a manifest that is not the files' digests, and the tokenizer itself. */
export interface ModelDescription {
  readonly name: string
  /** The family's name, for people. */
  readonly architecture: string
  readonly config: ModelConfig
  readonly weights: Weights
  readonly edge: EdgeType
  readonly bosId: number | null
  readonly eosIds: readonly number[]
  /** Bytes of a `tokenizer.json`. */
  readonly tokenizer: Uint8Array
  readonly chatTemplate: string | null
  readonly licence: string
  readonly source: string
}

/** Shards done of all, as an import goes on. */
export interface ImportProgress {
  readonly done: number
  readonly total: number
  /** What was just written: `embedding`, `layer 3`, `head`. */
  readonly shard: string
}

export interface WriteModelInit {
  readonly store: ModelStore
  readonly description: ModelDescription
  readonly source: TensorSource
  /** As with `ImportInit.whyNot`. */
  readonly whyNot?: ((manifest: Manifest) => string | undefined | Promise<string | undefined>) | undefined
  /** In the place of the description's edge type, when the shards are there. */
  readonly chooseEdge?:
    | ((written: { readonly manifest: Manifest; readonly shardDirectory: string }) => Promise<EdgeType>)
    | undefined
  /** Who compares what was written with what was read, over texts of ids [tokens]. @default nobody does */
  readonly comparison?: Pick<CompareWrittenInit, 'comparer' | 'texts'> | undefined
  /** @default false */
  readonly givesWay?: boolean | undefined
  /** As with `ImportInit.room`. */
  readonly room?: ((bytes: number) => Promise<void>) | undefined
  readonly signal: AbortSignal
  readonly onProgress?: ((progress: ImportProgress) => void) | undefined
}

/**
 * Writes the tokenizer, every shard and last the manifest. A run that fails or is aborted removes what it added;
 * what a process that is killed has added is removed when the store is next opened.
 *
 * @throws {ImportError} when the name belongs to another model or a weight is not finite
 * @throws {InvalidManifestError} when the description is none that a manifest can hold
 * @throws the signal's reason when aborted
 */
export async function writeModel(init: WriteModelInit): Promise<StoredModel> {
  const { store, description, source, chooseEdge, signal, onProgress } = init
  const { name, architecture, config, weights } = description
  // The id is known only at the end, but another shape or precision under this name is known at once.
  const shapeOf = ({ config, weights, edge }: Pick<Manifest, 'config' | 'weights' | 'edge'>): string =>
    canonical({ config, weights, edge: chooseEdge === undefined ? edge : 'to be chosen' })
  await store.nameIsFree(name, ({ manifest }) => !isGraph(manifest) && shapeOf(manifest) === shapeOf(description))
  const places = shardOrder(config)
  const manifestOf = (tokenizer: FileEntry, shards: readonly ShardEntry[]): Manifest => ({
    format: 2,
    name,
    architecture,
    config,
    weights,
    edge: description.edge,
    bosId: description.bosId,
    eosIds: description.eosIds,
    tokenizer,
    chatTemplate: description.chatTemplate,
    licence: description.licence,
    source: description.source,
    shards
  })
  // What no peer would accept must not be written, and not be found out after hours: the check that reading
  // does, on a manifest whose digests are still to come.
  const none = '0'.repeat(64) as ShardId
  const provisional = manifestOf(
    { bytes: description.tokenizer.length, sha256: none, chunks: none },
    places.map(place => ({ ...place, bytes: shardBytes({ config, weights }, place), sha256: none, chunks: none }))
  )
  decodeManifest(encodeManifest(provisional), name)
  const refusal = await init.whyNot?.(provisional)
  if (refusal !== undefined) throw new ImportError(refusal)

  await init.room?.(provisional.shards.reduce((sum, { bytes }) => sum + bytes, provisional.tokenizer.bytes))
  signal.throwIfAborted()
  const addition = await store.begin()
  try {
    const tokenizer = await addition.putBytes(description.tokenizer, { signal })
    const buffers = new Buffers()
    const shards: ShardEntry[] = []
    for (const { role, layer, bytes } of provisional.shards) {
      const file = await addition.create(bytes)
      try {
        await writeShard({ file, layer, source, signal, buffers }, shardLayout({ config, weights }, { role, layer }))
        const { sha256, chunks } = await file.finish({ signal })
        shards.push({ role, layer, bytes, sha256, chunks })
      } catch (err) {
        await file.discard()
        throw err
      }
      onProgress?.({ done: shards.length, total: places.length, shard: shardName({ role, layer }) })
    }
    const { bytes, sha256, chunks } = tokenizer
    const manifest = manifestOf({ bytes, sha256, chunks }, shards)
    const edge = await chooseEdge?.({ manifest, shardDirectory: store.ownShards })
    if (init.comparison !== undefined) {
      await compareWritten({
        ...init.comparison,
        ...{ manifest, shardDirectory: store.ownShards, addition, signal },
        keeps: name => source.keeps?.(name, null) === true,
        write: (file, place, weights) =>
          writeShard({ file, layer: place.layer, source, signal, buffers }, shardLayout({ config, weights }, place))
      })
    }
    const model = await store.putManifest(
      { ...manifest, edge: edge ?? manifest.edge },
      { givesWay: init.givesWay ?? false }
    )
    await addition.commit()
    return model
  } catch (err) {
    await addition.rollBack()
    throw err
  }
}

interface ShardJob {
  readonly file: PendingFile
  readonly layer: number | null
  readonly source: TensorSource
  readonly signal: AbortSignal
  readonly buffers: Buffers
}

async function writeShard(job: ShardJob, { vectors, matrices }: ShardLayout): Promise<void> {
  for (const entry of vectors) {
    const values = job.buffers.floats('rows', entry.length)
    await readRows(job, { name: entry.name, rows: entry.length }, 0, values, entry.length)
    const written = entry.name === 'convKernel' ? transposed(values, partOf(matrices, 'convIn').inputs) : values
    await job.file.write(bytesOf(written), entry.offset)
  }
  for (const entry of matrices) await writeMatrix(job, entry)
}

/** [columns][rows] of [rows][columns]. */
function transposed(values: Float32Array, rows: number): Float32Array {
  const columns = values.length / rows
  return values.map((_, i) => values[(i % rows) * columns + Math.floor(i / rows)]!)
}

/** Reads rows of one tensor. @throws {ImportError} when one has a weight that is not finite */
async function readRows(
  { layer, source }: ShardJob,
  part: Named,
  row: number,
  into: Float32Array,
  inputs: number
): Promise<void> {
  await source.read(part.name, layer, firstOf(part) + row, into)
  const bad = firstNonFinite(into)
  if (bad < 0) return
  const file = source.fileOf?.(part.name, layer, firstOf(part) + row, bad)
  throw new ImportError(
    `${file === undefined ? '' : `${file}: `}the ${nameOf(part, layer)} hold ${into[bad]} at [${row + Math.floor(bad / inputs)}, ${bad % inputs}]: the checkpoint is damaged`
  )
}

/** A tensor, and whose part of it. */
interface Named extends Pick<MatrixPart, 'expert' | 'rows'> {
  readonly name: SourceTensor
}

function nameOf({ name, expert }: Pick<Named, 'name' | 'expert'>, layer: number | null): string {
  const whose = expert === undefined ? '' : ` of expert ${expert}`
  return `${name} weights${whose}${layer === null ? '' : ` of layer ${layer}`}`
}

/** Converts one stored matrix, some tiles at a time: rows that fill up are zeros. */
async function writeMatrix(job: ShardJob, entry: MatrixEntry): Promise<void> {
  const { file, buffers, source, layer } = job
  const { inputs } = entry
  const stride = tileStride(entry)
  const rowsMax = tileRows * Math.max(1, Math.floor(importChunkBytes / (4 * inputs * tileRows)))
  const isKept = entry.type !== 'f32' && entry.parts.some(({ name }) => source.keeps?.(name, layer) === true)
  const write = isKept ? copyRows : convertRows
  for (let first = 0; first < entry.rows; first += rowsMax) {
    const count = Math.min(rowsMax, entry.rows - first)
    const tiles = buffers.bytes('tiles', (count / tileRows) * stride).fill(0)
    await write(job, entry, { from: first, count }, tiles)
    await file.write(tiles, entry.offset + (first / tileRows) * stride)
  }
}

/** The parts of a stack that have rows in a range: which of their own, and where these are in the range. */
function partsIn(
  { parts }: MatrixEntry,
  { from: first, count }: RowRange
): (RowRange & { part: MatrixPart; at: number })[] {
  return parts.flatMap(part => {
    const [from, to] = [Math.max(first, part.at), Math.min(first + count, part.at + part.rows)]
    return from < to ? [{ part, from: from - part.at, count: to - from, at: from - first }] : []
  })
}

/** Rows of a source's tensor before those of a part: of an expert those of the experts before it. */
function firstOf({ expert = 0, rows }: Pick<MatrixPart, 'expert' | 'rows'>): number {
  return expert * rows
}

/** Rows of float32 into the stored type. @param range rows of the stack */
async function convertRows(job: ShardJob, entry: MatrixEntry, range: RowRange, tiles: Uint8Array): Promise<void> {
  const { signal, buffers, layer } = job
  const { type, inputs, blocks } = entry
  assert(type === 'f32' || isConverted(type), `${type} is not made of float32 here`)
  const rows = buffers.floats('rows', range.count * inputs).fill(0)
  for (const { part, from, count, at } of partsIn(entry, range)) {
    signal.throwIfAborted()
    const into = rows.subarray(at * inputs, (at + count) * inputs)
    await readRows(job, part, from, into, inputs)
    if (type !== 'f32') checkSize(into, weightMax(type), nameOf(part, layer))
  }
  const all = { from: 0, count: range.count }
  if (type === 'f32') packFloats(rows, inputs, all, blocks, tiles, 0)
  else {
    const q = buffers.bytes('levels', range.count * blocks * 4 * quantisedTypes[type].bits)
    const s = buffers.floats('scales', range.count * blocks)
    const m = quantisedTypes[type].hasMinimum ? { m: buffers.floats('minima', range.count * blocks) } : {}
    quantise(type, rows, inputs, { q, s, ...m })
    packBlocks(type, { q, s, ...m }, all, blocks, tiles, 0)
  }
}

/** Quantised rows as they are, beside others of the stack that are converted to the same type. */
async function copyRows(job: ShardJob, entry: MatrixEntry, range: RowRange, tiles: Uint8Array): Promise<void> {
  const { signal, source, layer, buffers } = job
  const { type, inputs, blocks: records } = entry
  assert(type !== 'f32' && source.readBlocks !== undefined, `${type} is not copied`)
  const rows = emptyBlocks(type, range.count, inputs)
  for (const { part, from, count, at } of partsIn(entry, range)) {
    signal.throwIfAborted()
    const into = rowsOf(rows, range.count, { from: at, count })
    if (source.keeps?.(part.name, layer) === true) {
      await source.readBlocks(part.name, layer, { from: firstOf(part) + from, count }, into)
      continue
    }
    assert(isConverted(type), `${type} is not made of float32 here`)
    const values = buffers.floats('rows', count * inputs)
    await readRows(job, part, from, values, inputs)
    checkSize(values, weightMax(type), nameOf(part, layer))
    quantise(type, values, inputs, into)
  }
  packBlocks(type, rows, { from: 0, count: range.count }, records, tiles, 0)
}

/** @throws {ImportError} when a weight is larger than its type holds */
function checkSize(values: Float32Array, most: number, name: string): void {
  const bad = values.findIndex(value => Math.abs(value) > most)
  if (bad < 0) return
  throw new ImportError(
    `the ${name} hold ${values[bad]}, and 16-bit scales reach to ${Math.floor(most)}: import them as f32`
  )
}

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
}

/** Memory that one chunk after the other uses: a model must not leave a trail of garbage buffers. */
class Buffers {
  readonly #memory = new Map<string, ArrayBuffer>()

  floats(name: string, length: number): Float32Array {
    return new Float32Array(this.#get(name, 4 * length), 0, length)
  }

  bytes(name: string, length: number): Uint8Array {
    return new Uint8Array(this.#get(name, length), 0, length)
  }

  #get(name: string, bytes: number): ArrayBuffer {
    let memory = this.#memory.get(name)
    if (memory === undefined || memory.byteLength < bytes) {
      memory = new ArrayBuffer(bytes)
      this.#memory.set(name, memory)
    }
    return memory
  }
}
