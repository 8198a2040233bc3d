/** The models of the bench: the one that ships, and random weights in the shapes of SmolLM2-135M and TinyLlama-1.1B. */
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { type SourceTensor, type TensorSource, writeModel } from '../../src/model/import-writer.ts'
import type { ModelConfig } from '../../src/model/decoder.ts'
import { type Dtype, dtypes } from '../../src/model/weight-types.ts'
import { type ModelStore, openStore, type StoredModel } from '../../src/model/store.ts'
import { asDecoder } from '../../src/model/stored.ts'

export const root = path.resolve(import.meta.dirname, '../..')

export interface BenchModel {
  /** As the table calls it. */
  readonly label: string
  readonly stored: StoredModel
  /** A folder with all of its shards. */
  readonly shardDirectory: string
  /** Bytes of all of its shards. */
  readonly weightBytes: number
}

/** huggingface.co/HuggingFaceTB/SmolLM2-135M, `config.json`; the context is cut to what the bench needs. */
const smolShape: ModelConfig = {
  layers: 30,
  hidden: 576,
  intermediate: 1536,
  heads: 9,
  kvHeads: 3,
  headDim: 64,
  vocab: 49152,
  contextMax: 2048,
  ropeTheta: 100_000,
  normEpsilon: 1e-5,
  tiedEmbeddings: true
}

/** huggingface.co/TinyLlama/TinyLlama-1.1B-Chat-v1.0, `config.json`; the vocabulary is llama's. */
const largeShape: ModelConfig = {
  layers: 22,
  hidden: 2048,
  intermediate: 5632,
  heads: 32,
  kvHeads: 4,
  headDim: 64,
  vocab: 32000,
  contextMax: 2048,
  ropeTheta: 10_000,
  normEpsilon: 1e-5,
  tiedEmbeddings: false
}

export const shapes = { '135M': smolShape, '1.1B': largeShape } as const
export type Shape = keyof typeof shapes

/** @param own a folder for what the bench makes; it holds what a peer's `store` would. */
export async function openBenchStore(own: string): Promise<ModelStore> {
  return openStore({ own, shipped: [path.join(root, 'models/stories15m')] })
}

export async function shippedModel(store: ModelStore): Promise<BenchModel> {
  return benchModel(store, 'stories15m q8', asDecoder(await store.resolve('stories15m')))
}

/**
 * Writes a random model of a shape: 113 MB (q8) or 77 MB (q4) of 135M weights, 1.2 GB or 0.8 GB of 1.1B. It has the shipped
 * model's tokenizer, whose ids are all below its vocabulary, and no end of text, so that every answer is as long as asked for.
 */
export async function randomModel(
  store: ModelStore,
  shape: Shape,
  dtype: Dtype,
  signal: AbortSignal
): Promise<BenchModel> {
  const shipped = asDecoder(await store.resolve('stories15m'))
  const config = shapes[shape]
  const stored = await writeModel({
    store,
    description: {
      name: `${shape === '135M' ? 'smol135m' : 'llama1b'}-shape-${dtype}`,
      architecture: 'llama',
      config,
      weights: dtypes[dtype],
      edge: 'f16',
      bosId: 1,
      eosIds: [],
      tokenizer: await readFile(await store.tokenizerFile(shipped, { signal })),
      chatTemplate: null,
      licence: 'none',
      source: 'random weights, seed 1'
    },
    source: randomWeights(config, 1),
    signal
  })
  return benchModel(store, `${shape} shape ${dtype}`, stored)
}

/** One that the bench's store has already. */
export async function benchModelOf(store: ModelStore, id: string): Promise<BenchModel> {
  const stored = asDecoder(await store.resolve(id))
  return benchModel(store, stored.manifest.name, stored)
}

async function benchModel(store: ModelStore, label: string, stored: StoredModel): Promise<BenchModel> {
  return {
    label,
    stored,
    shardDirectory: await store.shardDirectory(stored),
    weightBytes: stored.manifest.shards.reduce((sum, { bytes }) => sum + bytes, 0)
  }
}

/** Matrices that keep the size of what passes them, norms near 1: a value depends on its place and the seed alone. */
function randomWeights(config: ModelConfig, seed: number): TensorSource {
  const residual = new Set<SourceTensor>(['o', 'down'])
  return {
    async read(tensor, layer, row, into) {
      const isNorm = tensor.startsWith('norm')
      // Uniform in [-a, a) has the variance a² / 3. What is added to the residual is small, as in trained models.
      const inputs = tensor === 'down' ? config.intermediate : config.hidden
      const size = isNorm ? 0.2 : tensor === 'embedding' ? 0.1 : (residual.has(tensor) ? 0.5 : 1.7) / Math.sqrt(inputs)
      let state = hash(`${seed} ${tensor} ${layer} ${row}`)
      for (let i = 0; i < into.length; i++) {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0
        into[i] = (state / 2 ** 31 - 1) * size + (isNorm ? 1 : 0)
      }
    }
  }
}

/** FNV-1a, 32 bits. */
function hash(text: string): number {
  let h = 0x811c9dc5
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
  return h >>> 0
}
