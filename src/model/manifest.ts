/**
 * A model is its content (promise P9): the manifest lists every shard with its digest, and the digest
 * of the manifest's canonical bytes is the model's id.
 */
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex } from '@noble/hashes/utils.js'
import type { ModelId, ShardId } from '../base/ids.ts'
import type { ModelConfig } from './decoder.ts'
import type { GraphPort } from './tensors.ts'
import type { Weights } from './weight-types.ts'

/** The precision to which the hidden state is rounded at every layer edge (promise P1). */
export type EdgeType = 'f32' | 'f16' | 'bf16'
/** What a shard holds: the token embedding, one decoder layer, or final norm and (untied) output matrix. */
export type ShardRole = 'embedding' | 'layer' | 'head'

/** Which shard of a model it is. */
export interface ShardPlace {
  readonly role: ShardRole
  /** Index of the layer, or null for embedding and head. */
  readonly layer: number | null
}

export interface ShardEntry extends ShardPlace {
  readonly bytes: number
  readonly sha256: ShardId
  /** Digest of its chunk list (`chunks.ts`). */
  readonly chunks: string
}

/** A file that is not a shard: the tokenizer. */
export interface FileEntry {
  readonly bytes: number
  readonly sha256: string
  /** Digest of its chunk list (`chunks.ts`). */
  readonly chunks: string
}

/**
 * What a decoder is: its dimensions, and the digests of all of its files. Its own digest is the id of the model (promise P9).
 */
export interface Manifest {
  readonly format: 2
  readonly name: string
  /** The family's name, for people: what is computed stands in `config`. */
  readonly architecture: string
  readonly config: ModelConfig
  readonly weights: Weights
  readonly edge: EdgeType
  /** Prepended to every prompt, or null. */
  readonly bosId: number | null
  /** Any of these ends an answer. */
  readonly eosIds: readonly number[]
  /** `tokenizer.json` in Hugging Face's format, stored beside the shards under its digest. */
  readonly tokenizer: FileEntry
  /** Jinja template, or null for a model that only continues text. */
  readonly chatTemplate: string | null
  readonly licence: string
  readonly source: string
  /** Embedding, layers 0…n-1, head: in this order. */
  readonly shards: readonly ShardEntry[]
}

/** A set of operators that a graph needs: `ai.onnx` is the empty domain. */
export interface OperatorSet {
  readonly domain: string
  readonly version: number
}

/**
 * A graph that is no decoder: it is served whole, and asked with tensors. To placement, records and the store it is a model of one
 * layer, whose shard is the ONNX file as it was imported.
 */
export interface GraphManifest {
  /** An older Skein says of it that it was made by a newer one. */
  readonly format: 3
  readonly kind: 'graph'
  readonly name: string
  readonly operators: readonly OperatorSet[]
  readonly inputs: readonly GraphPort[]
  readonly outputs: readonly GraphPort[]
  /** Numbers in its constants. */
  readonly parameters: number
  /** `tensors.ts` has none of text: this makes ids of it. Null for a graph that takes no text. */
  readonly tokenizer: FileEntry | null
  readonly licence: string
  readonly source: string
  /** One: layer 0. */
  readonly shards: readonly ShardEntry[]
}

/** The manifest of a decoder or of a graph. */
export type AnyManifest = Manifest | GraphManifest

/** The format of decoders that this version reads and writes. */
export const manifestFormat = 2
/** The same of graphs. */
export const graphFormat = 3

export function isGraph(manifest: AnyManifest): manifest is GraphManifest {
  return manifest.format === graphFormat
}

/** Layers that a model can be cut into: a graph is one. */
export function layerCount(manifest: AnyManifest): number {
  return isGraph(manifest) ? 1 : manifest.config.layers
}

/** JSON with sorted keys and no white space: equal values have equal texts. */
export function canonical(value: object): string {
  return JSON.stringify(value, (_key, value: unknown) =>
    value !== null && typeof value === 'object' && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value
  )
}

/** The canonical bytes: equal manifests have equal ids. */
export function encodeManifest(manifest: AnyManifest): Uint8Array {
  return new TextEncoder().encode(canonical(manifest))
}

export function modelId(manifest: AnyManifest): ModelId {
  return bytesToHex(sha256(encodeManifest(manifest))) as ModelId
}

/** Every shard of a model, in the manifest's order. */
export function shardOrder(config: Pick<ModelConfig, 'layers'>): ShardPlace[] {
  return [
    { role: 'embedding', layer: null },
    ...Array.from({ length: config.layers }, (_, layer) => ({ role: 'layer' as const, layer })),
    { role: 'head', layer: null }
  ]
}

/** `embedding`, `layer 3` or `head`: what messages call a shard. */
export function shardName(shard: ShardPlace): string {
  return shard.role === 'layer' ? `layer ${shard.layer}` : shard.role
}

/**
 * The shards that a stage of layers [start, end) loads: its layers, the embedding if it starts at 0,
 * and at the end the head, plus the embedding again if the output matrix is tied to it. None twice.
 */
export function stagePlaces(
  config: Pick<ModelConfig, 'layers' | 'tiedEmbeddings'>,
  start: number,
  end: number
): ShardPlace[] {
  return shardOrder(config).filter(place => isOfStage(config, place, start, end))
}

/** The entries of {@link stagePlaces}; of a graph the one that it has. */
export function stageShards(manifest: AnyManifest, start: number, end: number): ShardEntry[] {
  const { shards } = manifest
  if (isGraph(manifest)) return shards.filter(({ layer }) => layer! >= start && layer! < end)
  return shards.filter(shard => isOfStage(manifest.config, shard, start, end))
}

function isOfStage(
  { layers, tiedEmbeddings }: Pick<ModelConfig, 'layers' | 'tiedEmbeddings'>,
  { role, layer }: ShardPlace,
  start: number,
  end: number
): boolean {
  if (role === 'layer') return layer! >= start && layer! < end
  if (role === 'head') return end === layers
  return start === 0 || (end === layers && tiedEmbeddings)
}
