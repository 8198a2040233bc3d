/**
 * Processors fall into numeric classes: the same graph gives the same bits on all of one class, and other bits
 * elsewhere. A stand-in of the same class replays a session exactly (promise P3). The class is the digest of
 * what a fixed small model computes, so it covers the processor, ONNX Runtime's version and its build. This
 * file says what is computed; `measure.ts` computes it.
 */
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex } from '@noble/hashes/utils.js'
import type { ModelConfig } from '../../model/decoder.ts'
import { typesIn, type Weights } from '../../model/weight-types.ts'
import { shardName, shardOrder } from '../../model/manifest.ts'
import { syntheticShard } from '../synthetic.ts'
import { bitsOf } from './tensors.ts'

/**
 * Small, but with every operator, grouped heads, a short last block of weights (352 and 100 are no multiples of
 * 128 and 32), and a matrix product long enough to be cut where kernels cut.
 */
export const classConfig: ModelConfig = {
  layers: 2,
  hidden: 352,
  intermediate: 612,
  heads: 6,
  kvHeads: 2,
  headDim: 64,
  vocab: 100,
  contextMax: 256,
  ropeTheta: 10_000,
  normEpsilon: 1e-5,
  tiedEmbeddings: false
}
/** float16 edges have one operator more than the others. */
export const classEdge = 'f16'
/** Tokens of each pass: a whole block, so that the later ones have past keys, then five, then a lone one. */
export const classPasses = [128, 5, 1] as const

/** The token at a position. */
export function classToken(position: number): number {
  return (position * position * 7 + position * 13) % classConfig.vocab
}

/** The shards' bytes by {@link shardName}. */
export function classShards(weights: ClassWeights): Map<string, Uint8Array<ArrayBuffer>> {
  const shape = { config: classConfig, weights }
  const places = shardOrder(classConfig)
  return new Map(places.map((place, i) => [shardName(place), syntheticShard(shape, place, i + 1)]))
}

/** Weights with which classes are told apart: products of 4 and 8 bits have bits of their own, whatever their scales. */
export type ClassWeights = 'f32' | 'q8' | 'q4'

/** Those that decide the class of a model. */
export function classWeights(weights: Weights): ClassWeights {
  const bits = new Set([...typesIn(weights)].map(type => bitsOf({ type })))
  return bits.has(4) ? 'q4' : bits.has(8) ? 'q8' : 'f32'
}

/** 16 hex digits of the SHA-256 of all outputs in order, little-endian. */
export function digestClass(outputs: readonly Float32Array[]): string {
  const hash = sha256.create()
  for (const values of outputs) hash.update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
  return bytesToHex(hash.digest()).slice(0, 16)
}
