/**
 * Reads a manifest, and checks all that it says: it may be from anybody. Apart from `manifest.ts`, so that threads that only know
 * manifests read no validator.
 */
import { z } from 'zod'
import type { ShardId } from '../base/ids.ts'
import { shown } from '../base/shown.ts'
import { InvalidManifestError } from '../errors.ts'
import { dimensionsMax, expertsMax, type ModelConfig, type Rotation } from './decoder.ts'
import { shardBytes } from './layout.ts'
import { modelLayersMax, tokenizerBytesMax } from './limits.ts'
import { type AnyManifest, graphFormat, type Manifest, manifestFormat, shardName, shardOrder } from './manifest.ts'
import { graphSchema } from './read-graph-manifest.ts'
import { layerParts, type QuantisedType, quantisedTypes, wrongWeights } from './weight-types.ts'

/** Kinds of layers: today's models have two. */
const layerKindsMax = 16

const size = z.int().positive()
/** A factor: far beyond any model's, and so that products with it stay within float32. */
const factor = z
  .number()
  .min(2 ** -40)
  .max(2 ** 40)
/** Below 1 a pair would turn by more than a radian a position, the later ones by any number of turns. */
const theta = z
  .number()
  .min(1)
  .max(2 ** 80)
const yes = z.literal(true).optional()

const rotation = z.strictObject({
  dims: size.max(dimensionsMax.headDim).optional(),
  pairs: z.literal('neighbours').optional(),
  divisors: z
    .array(factor.min(2 ** -10))
    .max(dimensionsMax.headDim / 2)
    .optional(),
  gain: factor.optional()
})

/** Positions of a short convolution: today's models have 3, and each one is an address that a kernel takes. */
const convolutionLengthMax = 16

const kind = z.strictObject({
  convolution: z.strictObject({ length: size.max(convolutionLengthMax) }).optional(),
  experts: z.literal('none').optional(),
  window: size.max(dimensionsMax.contextMax).optional(),
  ropeTheta: theta.optional(),
  rotation: z.union([z.literal('none'), rotation]).optional()
})

const configSchema = z
  .strictObject({
    layers: size.max(dimensionsMax.layers),
    hidden: size.max(dimensionsMax.hidden),
    intermediate: size.max(dimensionsMax.intermediate),
    heads: size.max(dimensionsMax.heads),
    kvHeads: size.max(dimensionsMax.kvHeads),
    headDim: size.max(dimensionsMax.headDim),
    vocab: size.max(dimensionsMax.vocab),
    contextMax: size.max(dimensionsMax.contextMax),
    ropeTheta: theta,
    normEpsilon: z.number().min(1e-30).max(1),
    tiedEmbeddings: z.boolean(),
    norm: z
      .strictObject({
        kind: z.literal('mean').optional(),
        offset: z.literal(1).optional(),
        place: z.enum(['after', 'both']).optional()
      })
      .optional(),
    rotation: rotation.optional(),
    attention: z
      .strictObject({
        qkvBias: yes,
        outputBias: yes,
        headNorm: z.enum(['head', 'all']).optional(),
        scale: factor.optional(),
        scoreCap: factor.optional()
      })
      .optional(),
    feedForward: z
      .strictObject({ activation: z.enum(['gelu', 'gelu-tanh']).optional(), ungated: yes, bias: yes })
      .optional(),
    experts: z
      .strictObject({
        count: size.max(expertsMax.count),
        used: size.max(expertsMax.used),
        intermediate: size.max(dimensionsMax.intermediate),
        renormalised: yes
      })
      .optional(),
    kinds: z
      .strictObject({
        of: z.array(kind).min(1).max(layerKindsMax),
        layers: z.array(z.int().nonnegative()).max(modelLayersMax)
      })
      .optional(),
    embeddingScale: factor.optional(),
    residualScale: factor.optional(),
    logitScale: factor.optional(),
    logitCap: factor.optional()
  })
  .refine(c => c.heads % c.kvHeads === 0, 'heads must be a multiple of kvHeads')
  .refine(c => c.headDim % 2 === 0, 'headDim must be even: rotary embedding turns pairs')
  .refine(
    c => rotationsOf(c).every(each => isWhole(each, c.headDim)),
    'rotation must be of an even number of dimensions, at most headDim, and have a divisor for each pair of them'
  )
  .refine(
    ({ kinds, layers }) =>
      kinds === undefined || (kinds.layers.length === layers && kinds.layers.every(i => i < kinds.of.length)),
    'kinds.layers must name one of the kinds for each layer'
  )
  .refine(
    ({ experts }) => experts === undefined || experts.used <= experts.count,
    'experts.used must be at most experts.count: a token takes each of them once'
  )
  .refine(
    ({ experts, kinds }) => experts !== undefined || kinds?.of.every(each => each.experts === undefined) !== false,
    'kinds: one without experts is of a decoder with experts'
  )
  .refine(c => c.experts === undefined || c.feedForward?.bias === undefined, 'experts have no biases')
  .refine(
    ({ kinds }) =>
      kinds?.of.every(
        each => each.convolution === undefined || !('window' in each || 'ropeTheta' in each || 'rotation' in each)
      ) !== false,
    'kinds: one with a convolution has neither window nor rotation'
  )

function rotationsOf({ rotation, kinds }: Pick<ModelConfig, 'rotation' | 'kinds'>): Rotation[] {
  const all = [rotation, ...(kinds?.of.map(each => each.rotation) ?? [])]
  return all.filter(each => each !== undefined && each !== 'none')
}

function isWhole({ dims, divisors }: Rotation, headDim: number): boolean {
  const rotated = dims ?? headDim
  return rotated % 2 === 0 && rotated <= headDim && (divisors === undefined || 2 * divisors.length === rotated)
}

const type = z.enum(['f32', ...(Object.keys(quantisedTypes) as QuantisedType[])])
/** Which of them a layer has is checked with its kind. */
const layer = z.partialRecord(z.enum(layerParts), type)

const weightsSchema = z.union([
  type,
  z.strictObject({ embedding: type, output: type.optional(), layers: z.array(layer) })
])

const digest = z
  .string()
  .regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hex digits')
  .transform(hex => hex as ShardId)
const chunks = z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hex digits')
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

/**
 * Reads and checks a manifest: its shape, that there is exactly one shard per role and layer in order,
 * and that every shard has the size that its dimensions ask for.
 *
 * @param from what the bytes are, for the error message: a path or a peer.
 * @throws {InvalidManifestError}
 */
export function decodeManifest(bytes: Uint8Array, from: string): AnyManifest {
  let json: unknown
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    throw new InvalidManifestError(`${from} is no manifest: it is not JSON`)
  }
  const format = (json as { format?: unknown } | null)?.format
  if (format === graphFormat) return checked(graphSchema, json, from)
  if (typeof format === 'number' && format !== manifestFormat) throw otherFormat(format, from)
  const manifest: Manifest = checked(schema, json, from)
  const wrong = wrongWeights(manifest.weights, manifest.config)
  if (wrong !== undefined) throw new InvalidManifestError(`${from} is no valid manifest: ${wrong}`)
  const { bosId, config } = manifest
  if (bosId !== null && bosId >= config.vocab) {
    throw new InvalidManifestError(
      `${from} is no valid manifest: bosId ${bosId} is beyond the vocabulary of ${config.vocab}`
    )
  }
  const expected = shardOrder(config)
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

/** @throws {InvalidManifestError} that names the first field that is wrong */
function checked<T>(schema: z.ZodType<T>, json: unknown, from: string): T {
  const parsed = schema.safeParse(json)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]!
  if (issue.code === 'unrecognized_keys') {
    const field = [...issue.path, issue.keys[0]].join('.')
    throw new InvalidManifestError(`${from} says ${shown(field)}, which this Skein does not know: it takes a newer one`)
  }
  throw new InvalidManifestError(`${from} is no valid manifest: ${issue.path.join('.') || 'it'} ${issue.message}`)
}

function otherFormat(format: number, from: string): InvalidManifestError {
  const here = `this one reads formats ${manifestFormat} and ${graphFormat}`
  return new InvalidManifestError(
    format > manifestFormat
      ? `${from} has manifest format ${format}, made by a newer Skein; ${here}`
      : `${from} has manifest format ${format}, made by an older Skein; ${here}: remove the model with skein model rm, and import it again`
  )
}
