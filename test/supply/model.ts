/** A model of random weights, of a few MB, in a store: what one peer has and others fetch. */
import { readFile } from 'node:fs/promises'
import { writeModel } from '../../src/model/import-writer.ts'
import type { ModelConfig } from '../../src/model/decoder.ts'
import { openLibrary } from '../../src/model/library.ts'
import type { StoredModel } from '../../src/model/store.ts'
import { seeded } from '../../src/base/rng.ts'

/** Layers of 0.8 MB (4 chunks), an embedding of 9 MB (the shipped tokenizer's 32,000 pieces at 256). */
const config: ModelConfig = {
  layers: 6,
  hidden: 256,
  intermediate: 640,
  heads: 4,
  kvHeads: 4,
  headDim: 64,
  vocab: 32_000,
  contextMax: 256,
  ropeTheta: 10_000,
  normEpsilon: 1e-5,
  tiedEmbeddings: true
}

/** Writes it into a data directory's store. The same name and shape give the same bytes, and so the same id. */
export async function writeRandomModel(
  dataDir: string,
  {
    name = 'random',
    layers = config.layers,
    seed = 5,
    tokenizer: change = bytes => bytes
  }: { name?: string; layers?: number; seed?: number; tokenizer?: (bytes: Uint8Array) => Uint8Array } = {}
): Promise<StoredModel> {
  const store = await openLibrary(dataDir)
  const tokenizer = await readFile(
    await store.tokenizerFile(await store.resolve('stories15m'), { signal: AbortSignal.timeout(30_000) })
  )
  const rng = seeded(seed)
  // Values from a table: randomness per value would take longer than everything else here.
  const table = Float32Array.from({ length: 9_973 }, () => (rng() - 0.5) / 8)
  let at = 0
  return writeModel({
    store,
    description: {
      name,
      architecture: 'llama',
      config: { ...config, layers },
      weights: 'q8',
      edge: 'f16',
      bosId: 1,
      eosIds: [],
      tokenizer: change(tokenizer),
      chatTemplate: null,
      licence: 'none',
      source: 'random weights'
    },
    source: {
      async read(tensor, _layer, _row, into) {
        for (let i = 0; i < into.length; i++) {
          into[i] = (tensor.startsWith('norm') ? 1 : 0) + table[at]!
          at = (at + 1) % table.length
        }
      }
    },
    signal: AbortSignal.timeout(60_000)
  })
}
