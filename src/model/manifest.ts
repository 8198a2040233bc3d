/**
 * A model is its content (promise P9): the manifest lists every shard with its digest, and the digest
 * of the manifest's canonical bytes is the model's id.
 */
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex } from '@noble/hashes/utils.js'
import { z } from 'zod'
import type { ModelId, ShardId } from '../base/ids.ts'
import { InvalidManifestError } from '../errors.ts'
import { configSchema, type ModelConfig } from './decoder.ts'
import { modelLayersMax, tokenizerBytesMax } from './limits.ts'
import { shardBytes } from './layout.ts'
import { type Weights, weightsSchema, wrongWeights } from './weight-types.ts'

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

/** The format that this version reads and writes. */
export const manifestFormat = 2

const digest = z
  .string()
  .regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hex digits')
  .transform(hex => hex as ShardId)
const chunks = z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hex digits')
const size = z.int().positive()
const index = z.int().nonnegative()

const schema = z.strictObject({
  format: z.literal(manifestFormat),
  name: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'must be 1-64 letters, digits, dots, dashes or underscores'),
  architecture: z
    .string()
    .regex(/^[a-z0-9][a-z0-9._-]{0,63}$/, 'must be 1-64 small letters, digits, dots, dashes or underscores'),
  config: configSchema,
  weights: weightsSchema,
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

/** JSON with sorted keys and no white space: equal values have equal texts. */
export function canonical(value: object): string {
  return JSON.stringify(value, (_key, value: unknown) =>
    value !== null && typeof value === 'object' && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value
  )
}

/** The canonical bytes: equal manifests have equal ids. */
export function encodeManifest(manifest: Manifest): Uint8Array {
  return new TextEncoder().encode(canonical(manifest))
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
  if (typeof format === 'number' && format !== manifestFormat) throw otherFormat(format, from)
  const parsed = schema.safeParse(json)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!
    if (issue.code === 'unrecognized_keys') {
      const field = [...issue.path, issue.keys[0]].join('.')
      throw new InvalidManifestError(`${from} says ${field}, which this Skein does not know: it takes a newer one`)
    }
    throw new InvalidManifestError(`${from} is no valid manifest: ${issue.path.join('.') || 'it'} ${issue.message}`)
  }
  const manifest: Manifest = parsed.data
  const wrong = wrongWeights(manifest.weights, manifest.config)
  if (wrong !== undefined) throw new InvalidManifestError(`${from} is no valid manifest: ${wrong}`)
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
    const bytes = shardBytes(manifest, { role, layer })
    if (shard.bytes !== bytes) {
      throw new InvalidManifestError(
        `${from}: the ${shardName(shard)} says ${shard.bytes} bytes, its dimensions need ${bytes}`
      )
    }
  }
  return manifest
}

function otherFormat(format: number, from: string): InvalidManifestError {
  const here = `this one reads format ${manifestFormat}`
  return new InvalidManifestError(
    format > manifestFormat
      ? `${from} has manifest format ${format}, made by a newer Skein; ${here}`
      : `${from} has manifest format ${format}, made by an older Skein; ${here}: remove the model with skein model rm, and import it again`
  )
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

/** The entries of {@link stagePlaces}. */
export function stageShards({ config, shards }: Manifest, start: number, end: number): ShardEntry[] {
  return shards.filter(shard => isOfStage(config, shard, start, end))
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
