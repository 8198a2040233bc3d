/** A model written anew from what a store has of it, with its numbers stored in another way. */
import { readFile } from 'node:fs/promises'
import { type ModelDescription, type SourceTensor, writeModel } from '../../src/model/import-writer.ts'
import { shardLayout } from '../../src/model/layout.ts'
import type { ModelStore, StoredModel } from '../../src/model/store.ts'
import { type ReferenceShard, readShard } from '../model/reference.ts'

export async function rewriteModel(
  store: ModelStore,
  model: StoredModel,
  { name, weights, signal }: Pick<ModelDescription, 'name' | 'weights'> & { readonly signal: AbortSignal }
): Promise<StoredModel> {
  const { manifest } = model
  const shards = new Map<number, ReferenceShard>()
  const read = (index: number): ReferenceShard => {
    // One after the other is written: the last one is enough.
    if (!shards.has(index)) {
      shards.clear()
      shards.set(index, readShard(model, index))
    }
    return shards.get(index)!
  }
  return writeModel({
    store,
    description: {
      ...manifest,
      tokenizer: await readFile(await store.tokenizerFile(model, { signal })),
      name,
      weights
    },
    source: {
      async read(tensor, layer, row, into) {
        const index = tensor === 'embedding' ? 0 : layer === null ? manifest.shards.length - 1 : layer + 1
        const { matrices, vectors } = read(index)
        const vector = vectors.get(tensor)
        if (vector !== undefined) {
          into.set(vector.subarray(0, into.length))
          return
        }
        const { name, before } = stackOf(model, index, tensor)
        const { inputs, values } = matrices.get(name)!
        const from = (before + row) * inputs
        into.set(values.subarray(from, from + into.length))
      }
    },
    signal
  })
}

/** The stack that a matrix is in, and the rows of it that come before. */
function stackOf({ manifest }: StoredModel, index: number, tensor: SourceTensor): { name: string; before: number } {
  for (const { name, parts } of shardLayout(manifest, manifest.shards[index]!).matrices) {
    const at = parts.findIndex(part => part.name === tensor)
    if (at >= 0) return { name, before: parts.slice(0, at).reduce((sum, { rows }) => sum + rows, 0) }
  }
  throw new Error(`shard ${index} has no ${tensor}`)
}
