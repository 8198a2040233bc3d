/**
 * A model is its content (promise P9): the manifest lists every shard with its digest, and the digest
 * of the manifest's canonical bytes is the model's id.
 */
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex } from '@noble/hashes/utils.js'
import { z } from 'zod'
import type { ModelId, ShardId } from '../base/ids.ts'
import { InvalidManifestError } from '../errors.ts'
import { modelLayersMax, tokenizerBytesMax } from './limits.ts'
import { shardBytes } from './layout.ts'

/** How weights are stored: float32, or 8- or 4-bit blocks of 32 along the input dimension. */
export type WeightType = 'f32' | 'q8' | 'q4'
/** The precision to which the hidden state is rounded at every layer edge (promise P1). */
export type EdgeType = 'f32' | 'f16' | 'bf16'
/** What a shard holds: the token embedding, one decoder layer, or final norm and (untied) output matrix. */
export type ShardRole = 'embedding' | 'layer' | 'head'

/** The dimensions of a llama-family decoder, in Hugging Face's terms. */
export interface ModelConfig {
  readonly layers: number
  readonly hidden: number
  readonly intermediate: number
  readonly heads: number
  readonly kvHeads: number
  readonly headDim: number
  readonly vocab: number
  /** Longest sequence in tokens (`max_position_embeddings`). */
  readonly contextMax: number
  readonly ropeTheta: number
  readonly normEpsilon: number
  /** True when the output matrix is the embedding itself. */
  readonly tiedEmbeddings: boolean
}

export interface ShardEntry {
  readonly role: ShardRole
  /** Index of the layer, or null for embedding and head. */
  readonly layer: number | null
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

export interface Manifest {
  readonly format: 1
  readonly name: string
  readonly architecture: 'llama'
  readonly config: ModelConfig
  readonly weights: WeightType
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

const digest = z
  .string()
  .regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hex digits')
  .transform(hex => hex as ShardId)
const chunks = z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hex digits')
const size = z.int().positive()
/** The largest dimensions that a manifest may have. */
export const dimensionsMax = {
  layers: modelLayersMax,
  hidden: 65536,
  intermediate: 1 << 20,
  heads: 1024,
  kvHeads: 1024,
  headDim: 1024,
  vocab: 1 << 24,
  contextMax: 1 << 24
} as const satisfies Partial<Record<keyof ModelConfig, number>>
const index = z.int().nonnegative()

const schema = z
  .strictObject({
    format: z.literal(1),
    name: z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'must be 1-64 letters, digits, dots, dashes or underscores'),
    architecture: z.literal('llama'),
    config: z.strictObject({
      layers: size.max(dimensionsMax.layers),
      hidden: size.max(dimensionsMax.hidden),
      intermediate: size.max(dimensionsMax.intermediate),
      heads: size.max(dimensionsMax.heads),
      kvHeads: size.max(dimensionsMax.kvHeads),
      headDim: size.max(dimensionsMax.headDim),
      vocab: size.max(dimensionsMax.vocab),
      contextMax: size.max(dimensionsMax.contextMax),
      ropeTheta: z.number().positive(),
      normEpsilon: z.number().positive(),
      tiedEmbeddings: z.boolean()
    }),
    weights: z.enum(['f32', 'q8', 'q4']),
    edge: z.enum(['f32', 'f16', 'bf16']),
    bosId: index.nullable(),
    eosIds: z.array(index).max(64),
    tokenizer: z.strictObject({ bytes: size.max(tokenizerBytesMax), sha256: digest, chunks }),
    chatTemplate: z
      .string()
      .max(1 << 16)
      .nullable(),
    licence: z.string().max(256),
    source: z.string().max(1024),
    shards: z
      .array(
        z.strictObject({
          role: z.enum(['embedding', 'layer', 'head']),
          layer: index.nullable(),
          bytes: size,
          sha256: digest,
          chunks
        })
      )
      .max(modelLayersMax + 2)
  })
  .refine(m => m.config.heads % m.config.kvHeads === 0, 'config.heads must be a multiple of config.kvHeads')
  .refine(m => m.config.headDim % 2 === 0, 'config.headDim must be even: rotary embedding turns pairs')

/** The canonical bytes: JSON with sorted keys and no white space, so equal manifests have equal ids. */
export function encodeManifest(manifest: Manifest): Uint8Array {
  return new TextEncoder().encode(
    JSON.stringify(manifest, (_key, value: unknown) =>
      value !== null && typeof value === 'object' && !Array.isArray(value)
        ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
        : value
    )
  )
}

export function modelId(manifest: Manifest): ModelId {
  return bytesToHex(sha256(encodeManifest(manifest))) as ModelId
}

/**
 * Reads and checks a manifest: its shape, that there is exactly one shard per role and layer in order,
 * and that every shard has the size that its dimensions ask for.
 *
 * @param from what the bytes are, for the error message: a path or a peer.
 * @throws {InvalidManifestError}
 */
export function decodeManifest(bytes: Uint8Array, from: string): Manifest {
  let json: unknown
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    throw new InvalidManifestError(`${from} is no manifest: it is not JSON`)
  }
  const format = (json as { format?: unknown } | null)?.format
  if (typeof format === 'number' && format > 1) {
    throw new InvalidManifestError(
      `${from} has manifest format ${format}, made by a newer Skein; this one reads format 1`
    )
  }
  const parsed = schema.safeParse(json)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!
    throw new InvalidManifestError(`${from} is no valid manifest: ${issue.path.join('.') || 'it'} ${issue.message}`)
  }
  const manifest: Manifest = parsed.data
  const expected = shardOrder(manifest.config)
  if (manifest.shards.length !== expected.length) {
    throw new InvalidManifestError(
      `${from} lists ${manifest.shards.length} shards, but ${manifest.config.layers} layers, an embedding and a head are ${expected.length}`
    )
  }
  for (const [i, { role, layer }] of expected.entries()) {
    const shard = manifest.shards[i]!
    if (shard.role !== role || shard.layer !== layer) {
      throw new InvalidManifestError(
        `${from}: shard ${i} must be the ${shardName({ role, layer })}, not ${shardName(shard)}`
      )
    }
    const bytes = shardBytes(manifest.config, manifest.weights, role)
    if (shard.bytes !== bytes) {
      throw new InvalidManifestError(
        `${from}: the ${shardName(shard)} says ${shard.bytes} bytes, its dimensions need ${bytes}`
      )
    }
  }
  return manifest
}

function shardOrder(config: ModelConfig): Pick<ShardEntry, 'role' | 'layer'>[] {
  return [
    { role: 'embedding', layer: null },
    ...Array.from({ length: config.layers }, (_, layer) => ({ role: 'layer' as const, layer })),
    { role: 'head', layer: null }
  ]
}

/** `embedding`, `layer 3` or `head`: what messages call a shard. */
export function shardName(shard: Pick<ShardEntry, 'role' | 'layer'>): string {
  return shard.role === 'layer' ? `layer ${shard.layer}` : shard.role
}

/**
 * The shards that a stage of layers [start, end) maps: its layers, the embedding if it starts at 0,
 * and at the end the head, plus the embedding again if the output matrix is tied to it. No entry twice.
 */
export function stageShards(manifest: Manifest, start: number, end: number): ShardEntry[] {
  const { layers, tiedEmbeddings } = manifest.config
  return manifest.shards.filter(({ role, layer }) => {
    if (role === 'layer') return layer! >= start && layer! < end
    if (role === 'head') return end === layers
    return start === 0 || (end === layers && tiedEmbeddings)
  })
}
