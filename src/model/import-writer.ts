/**
 * Writes a model into a store from a source of decoded tensors: the half of an import that knows our layout
 * and nothing of where the weights come from. Rows are read, converted and written in chunks, so memory does
 * not grow with the model.
 */
import type { ShardId } from '../base/ids.ts'
import { ImportError } from '../errors.ts'
import { importChunkBytes } from './limits.ts'
import { shardBytes, shardTensors, type TensorEntry } from './layout.ts'
import {
  decodeManifest,
  type EdgeType,
  encodeManifest,
  type FileEntry,
  type Manifest,
  type ModelConfig,
  type ShardEntry,
  type ShardRole,
  shardName,
  type WeightType
} from './manifest.ts'
import { blocksPerRow, firstNonFinite, quantise4, quantise8, transpose } from './quantise.ts'
import type { PendingFile } from './addition.ts'
import type { ModelStore, StoredModel } from './store.ts'

/** The tensors of a llama-family decoder before anything is stacked, turned or quantised. */
export type SourceTensor =
  | 'embedding'
  | 'norm1'
  | 'norm2'
  | 'q'
  | 'k'
  | 'v'
  | 'o'
  | 'gate'
  | 'up'
  | 'down'
  | 'norm'
  | 'output'

/** Where weights come from. Query and key rows are in Hugging Face's order: rotation turns halves of a head. */
export interface TensorSource {
  /**
   * Fills `into` with rows from `row` on: matrices are [outputs, inputs], norms one row of [hidden].
   *
   * @param layer index of the layer, or null for embedding, norm and output
   * @param into [rows, inputs] float32
   */
  read(tensor: SourceTensor, layer: number | null, row: number, into: Float32Array): Promise<void>
}

/** Everything of a manifest that is not the files' digests, and the tokenizer itself. */
export interface ModelDescription {
  readonly name: string
  readonly config: ModelConfig
  readonly weights: WeightType
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
  const { store, description, source, signal, onProgress } = init
  const { name, config, weights, edge } = description
  // The id is known only at the end, but another shape or precision under this name is known at once.
  await store.nameIsFree(
    name,
    ({ manifest }) =>
      JSON.stringify([{ ...manifest.config }, manifest.weights, manifest.edge]) ===
      JSON.stringify([sameOrder(config, manifest.config), weights, edge])
  )
  const roles: Pick<ShardEntry, 'role' | 'layer'>[] = [
    { role: 'embedding', layer: null },
    ...Array.from({ length: config.layers }, (_, layer) => ({ role: 'layer' as const, layer })),
    { role: 'head', layer: null }
  ]
  const manifestOf = (tokenizer: FileEntry, shards: readonly ShardEntry[]): Manifest => ({
    format: 1,
    name,
    architecture: 'llama',
    config,
    weights,
    edge,
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
    roles.map(({ role, layer }) => ({
      role,
      layer,
      bytes: shardBytes(config, weights, role),
      sha256: none,
      chunks: none
    }))
  )
  decodeManifest(encodeManifest(provisional), name)

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
        for (const entry of shardTensors(config, weights, role)) {
          await writeTensor({ file, entry, layer, role, config, source, signal, buffers })
        }
        const { sha256, chunks } = await file.finish({ signal })
        shards.push({ role, layer, bytes, sha256, chunks })
      } catch (err) {
        await file.discard()
        throw err
      }
      onProgress?.({ done: shards.length, total: roles.length, shard: shardName({ role, layer }) })
    }
    const model = await store.putManifest(
      manifestOf({ bytes: tokenizer.bytes, sha256: tokenizer.sha256, chunks: tokenizer.chunks }, shards),
      { givesWay: init.givesWay ?? false }
    )
    await addition.commit()
    return model
  } catch (err) {
    await addition.rollBack()
    throw err
  }
}

/** The entries of `config` in the order of `like`, so that their JSON can be compared. */
function sameOrder(config: ModelConfig, like: ModelConfig): Record<string, unknown> {
  return Object.fromEntries(Object.keys(like).map(key => [key, config[key as keyof ModelConfig]]))
}

/** A stretch of rows of a stored matrix and the source tensor that they come from. */
interface Part {
  readonly tensor: SourceTensor
  readonly rows: number
}

interface TensorJob {
  readonly file: PendingFile
  readonly entry: TensorEntry
  readonly layer: number | null
  readonly role: ShardRole
  readonly config: ModelConfig
  readonly source: TensorSource
  readonly signal: AbortSignal
  readonly buffers: Buffers
}

/**
 * Converts one stored matrix or norm, chunk by chunk. The scales of a quantised matrix (`.s`) are written
 * together with its levels (`.q`), so their own entry has nothing left to do.
 */
async function writeTensor(job: TensorJob): Promise<void> {
  const { entry, config } = job
  if (entry.name.endsWith('.s')) return
  const name = entry.name.endsWith('.q') ? entry.name.slice(0, -2) : entry.name
  const { parts, inputs } = plan(name, config)
  const outputs = parts.reduce((sum, part) => sum + part.rows, 0)
  const scales =
    entry.type === 'u8'
      ? shardTensors(config, width(entry) === 32 ? 'q8' : 'q4', job.role).find(other => other.name === `${name}.s`)
      : undefined
  const rowsMax = Math.max(1, Math.floor(importChunkBytes / (4 * inputs)))
  let output = 0
  for (const { tensor, rows } of parts) {
    for (let row = 0; row < rows; row += rowsMax) {
      job.signal.throwIfAborted()
      const count = Math.min(rowsMax, rows - row)
      const chunk = job.buffers.floats('rows', count * inputs)
      await job.source.read(tensor, job.layer, row, chunk)
      const bad = firstNonFinite(chunk)
      if (bad >= 0) {
        const where = job.layer === null ? '' : ` of layer ${job.layer}`
        throw new ImportError(
          `the ${tensor} weights${where} hold ${chunk[bad]} at [${row + Math.floor(bad / inputs)}, ${bad % inputs}]: the checkpoint is damaged`
        )
      }
      await writeRows({ ...job, scales, inputs, outputs, output, chunk })
      output += count
    }
  }
}

function width(entry: TensorEntry): number {
  return entry.shape[2]!
}

interface RowsJob extends TensorJob {
  readonly scales: TensorEntry | undefined
  readonly inputs: number
  readonly outputs: number
  /** Index of the chunk's first row in the stored matrix. */
  readonly output: number
  /** [count, inputs] float32. */
  readonly chunk: Float32Array
}

async function writeRows({ file, entry, scales, inputs, outputs, output, chunk, buffers }: RowsJob): Promise<void> {
  const count = chunk.length / inputs
  if (scales !== undefined) {
    const blocks = blocksPerRow(inputs)
    const q = buffers.bytes('levels', count * blocks * width(entry))
    const s = buffers.floats('scales', count * blocks)
    const quantise = width(entry) === 32 ? quantise8 : quantise4
    quantise(chunk, inputs, q, s)
    await file.write(q, entry.offset + output * blocks * width(entry))
    await file.write(bytesOf(s), scales.offset + output * blocks * 4)
    return
  }
  // Norms and the embedding are stored as they are read, matrices for MatMul the other way round.
  const turned = entry.shape.length === 2 && entry.shape[0] === inputs && entry.name !== 'embedding'
  if (!turned) {
    await file.write(bytesOf(chunk), entry.offset + output * inputs * 4)
    return
  }
  const columns = buffers.floats('columns', chunk.length)
  transpose(chunk, inputs, columns)
  if (count === outputs) {
    await file.write(bytesOf(columns), entry.offset)
    return
  }
  for (let input = 0; input < inputs; input++) {
    await file.write(
      bytesOf(columns.subarray(input * count, (input + 1) * count)),
      entry.offset + (input * outputs + output) * 4
    )
  }
}

/** The source tensors that are stacked into a stored one, and the length of their rows. */
function plan(name: string, config: ModelConfig): { parts: Part[]; inputs: number } {
  const { hidden, intermediate, heads, kvHeads, headDim, vocab } = config
  const one = (tensor: SourceTensor, rows: number, inputs: number): { parts: Part[]; inputs: number } => ({
    parts: [{ tensor, rows }],
    inputs
  })
  switch (name) {
    case 'embedding':
    case 'output':
      return one(name, vocab, hidden)
    case 'norm':
    case 'norm1':
    case 'norm2':
      return one(name, 1, hidden)
    case 'qkv':
      return {
        parts: [
          { tensor: 'q', rows: heads * headDim },
          { tensor: 'k', rows: kvHeads * headDim },
          { tensor: 'v', rows: kvHeads * headDim }
        ],
        inputs: hidden
      }
    case 'o':
      return one(name, hidden, heads * headDim)
    case 'gateUp':
      return {
        parts: [
          { tensor: 'gate', rows: intermediate },
          { tensor: 'up', rows: intermediate }
        ],
        inputs: hidden
      }
    case 'down':
      return one(name, hidden, intermediate)
    default:
      throw new TypeError(`the layout has a tensor ${name} that the importer does not know`)
  }
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
