/**
 * The numeric class of the engine in WebAssembly is the revision of its arithmetic: every machine that computes what
 * `protocols/arithmetic.md` says has it. A small model with every kernel in it is computed at start, and the digest of
 * what comes out compared with the one that belongs to the revision: a machine that differs serves as a class of its own.
 */
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex } from '@noble/hashes/utils.js'
import type { ModelConfig } from '../../model/decoder.ts'
import { shardName, shardOrder } from '../../model/manifest.ts'
import type { WeightType } from '../../model/weight-types.ts'
import { syntheticShard } from '../synthetic.ts'
import type { ProductForms } from './products.ts'
import { WasmSpan } from './span.ts'

/** Raised only when bits change that were computed before. */
export const arithmeticRevision = 1

/** 16 hex digits: what {@link computeClass} gives on every machine that computes revision {@link arithmeticRevision}. */
export const arithmeticClass = '698b122261e779dd'

/** Grouped heads, heads that fill no slice, short last blocks and tiles, and more positions than a page has. */
const config: ModelConfig = {
  layers: 2,
  hidden: 84,
  intermediate: 100,
  heads: 6,
  kvHeads: 2,
  headDim: 22,
  vocab: 100,
  contextMax: 256,
  ropeTheta: 10_000,
  normEpsilon: 1e-5,
  tiedEmbeddings: false
}
/** Tokens of each pass: more than a page, a few, a lone one. */
const passes = [131, 5, 1] as const
const models = [
  { weights: 'q8', edge: 'f16' },
  { weights: 'q4', edge: 'bf16' },
  { weights: 'f32', edge: 'f32' }
] as const

function shards(weights: WeightType): Map<string, Uint8Array> {
  return new Map(
    shardOrder(config).map((place, i) => [shardName(place), syntheticShard({ config, weights }, place, i + 1)])
  )
}

/** 16 hex digits of the SHA-256 of all hidden states and logits of the small model, in each type of weights. */
export function computeClass(forms: ProductForms): string {
  const hash = sha256.create()
  for (const { weights, edge } of models) {
    const files = shards(weights)
    const shardLocations = new Map([...files.keys()].map(name => [name, name]))
    const source = { kind: 'memory', files } as const
    const shape = { config, weights, edge, shardLocations, source, forms }
    const parts = [WasmSpan.create({ ...shape, start: 0, end: 1 }), WasmSpan.create({ ...shape, start: 1, end: 2 })]
    const caches = parts.map(part => part.open())
    for (const n of passes) {
      const at = caches[0]!.length
      let values: Int32Array | Float32Array = Int32Array.from({ length: n }, (_, i) => ((at + i) ** 2 * 7 + 13) % 100)
      for (const [i, part] of parts.entries()) {
        values = part.run(caches[i]!, values, n)
        hash.update(bytesOf(values))
      }
      hash.update(bytesOf(parts[1]!.logits(values as Float32Array)))
    }
  }
  return bytesToHex(hash.digest()).slice(0, 16)
}

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
}
