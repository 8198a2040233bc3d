/** A model read back: tensors decoded by a dequantiser of its own, independent of the engine and of the code that wrote the shards. */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { type ModelShape, shardLayout } from '../../src/model/layout.ts'
import type { ShardPlace } from '../../src/model/manifest.ts'
import type { StoredModel } from '../../src/model/store.ts'
import { readMatrix } from './tile-reader.ts'

/** A matrix [outputs, inputs] as the model means it, whatever its storage. */
export interface ReferenceMatrix {
  readonly outputs: number
  readonly inputs: number
  readonly values: Float32Array
}

export interface ReferenceShard {
  readonly matrices: Map<string, ReferenceMatrix>
  readonly vectors: Map<string, Float32Array>
}

/** Decodes every tensor of the `index`-th shard of the manifest. */
export function readShard(model: StoredModel, index: number): ReferenceShard {
  const shard = model.manifest.shards[index]!
  return decodeShard(model.manifest, shard, readFileSync(path.join(model.folder, 'shards', shard.sha256)))
}

/** Decodes every tensor of a shard. */
export function decodeShard(shape: ModelShape, place: ShardPlace, bytes: Uint8Array): ReferenceShard {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const layout = shardLayout(shape, place)
  const vectors = layout.vectors.map(({ name, length, offset }): [string, Float32Array] => [
    name,
    Float32Array.from({ length }, (_, i) => view.getFloat32(offset + 4 * i, true))
  ])
  const matrices = layout.matrices.map((entry): [string, ReferenceMatrix] => {
    const { inputs, outputs, level, scale, minimum } = readMatrix(entry, bytes)
    const values = new Float32Array(outputs * inputs)
    for (let o = 0; o < outputs; o++) {
      for (let i = 0; i < inputs; i++) values[o * inputs + i] = level(o, i) * scale(o, i) + minimum(o, i)
    }
    return [entry.name, { outputs, inputs, values }]
  })
  return { matrices: new Map(matrices), vectors: new Map(vectors) }
}
