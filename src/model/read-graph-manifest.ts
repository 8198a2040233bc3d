/** The schema of a graph's manifest: it may be from anybody. */
import { z } from 'zod'
import type { ShardId } from '../base/ids.ts'
import { graphNameCharsMax, graphPortsMax, onnxBytesMax, tensorRankMax, tokenizerBytesMax } from './limits.ts'
import { graphFormat } from './manifest.ts'
import { type TensorType, tensorTypes } from './tensors.ts'

const digest = z
  .string()
  .regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hex digits')
  .transform(hex => hex as ShardId)
const chunks = z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hex digits')
const text = z
  .string()
  .max(graphNameCharsMax)
  .regex(/^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]*$/u, 'must have no control characters')

const port = z.strictObject({
  name: text.min(1),
  type: z.enum(Object.keys(tensorTypes) as TensorType[]),
  dims: z
    .array(z.union([z.int().positive(), text.min(1), z.null()]))
    .max(tensorRankMax)
    .nullable()
})

const ports = z
  .array(port)
  .max(graphPortsMax)
  .refine(list => new Set(list.map(({ name }) => name)).size === list.length, 'must have no name twice')

export const graphSchema = z.strictObject({
  format: z.literal(graphFormat),
  kind: z.literal('graph'),
  name: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'must be 1-64 letters, digits, dots, dashes or underscores'),
  operators: z.array(z.strictObject({ domain: text, version: z.int().nonnegative() })).max(64),
  inputs: ports,
  outputs: ports.min(1),
  parameters: z.int().nonnegative(),
  tokenizer: z.strictObject({ bytes: z.int().positive().max(tokenizerBytesMax), sha256: digest, chunks }).nullable(),
  licence: z.string().max(256),
  source: z.string().max(1024),
  shards: z
    .array(
      z.strictObject({
        role: z.literal('layer'),
        layer: z.literal(0),
        bytes: z.int().positive().max(onnxBytesMax),
        sha256: digest,
        chunks
      })
    )
    .length(1)
})
