import { readFileSync } from 'node:fs'
import path from 'node:path'
import { expect, it } from 'vitest'
import { SessionCache } from '../../src/engine/onnx/cache.ts'
import { OnnxSpan } from '../../src/engine/onnx/span.ts'
import { partOf, shardLayout } from '../../src/model/layout.ts'
import { packFloats } from '../../src/model/pack.ts'
import { readMatrix } from '../model/tile-reader.ts'
import type { ModelConfig } from '../../src/model/decoder.ts'
import { shardName } from '../../src/model/manifest.ts'
import { syntheticModel, type TestModel, writeModel } from './synthetic-model.ts'

/** The float32 model whose weights are what the quantised ones stand for, by the layout's own words. */
function dequantised({ manifest, shardDirectory }: TestModel): TestModel {
  const { config, edge } = manifest
  return writeModel(config, 'f32', edge, (role, layer) => {
    const shard = manifest.shards.find(s => s.role === role && s.layer === layer)!
    const bytes = new Uint8Array(readFileSync(path.join(shardDirectory, shard.sha256)))
    const from = shardLayout(manifest, shard)
    const to = shardLayout({ config, weights: 'f32' }, shard)
    const out = new Uint8Array(to.bytes)
    for (const { name, offset, bytes: size } of to.vectors) {
      const at = partOf(from.vectors, name).offset
      out.set(bytes.subarray(at, at + size), offset)
    }
    for (const { name, offset, bytes: size, inputs, parts, blocks } of to.matrices) {
      const { outputs, level, scale } = readMatrix(partOf(from.matrices, name), bytes)
      const values = Float32Array.from({ length: outputs * inputs }, (_, n) => {
        const [row, column] = [Math.floor(n / inputs), n % inputs]
        return level(row, column) * scale(row, column)
      })
      let row = 0
      for (const { rows, at } of parts) {
        packFloats(values, inputs, { from: row, count: rows }, blocks, out.subarray(offset, offset + size), at)
        row += rows
      }
    }
    return out
  })
}

async function outputs(
  { manifest, shardDirectory }: TestModel,
  pairedHead?: boolean
): Promise<{ hidden: Float32Array; logits: Float32Array }> {
  const { config, weights, edge } = manifest
  const span = await OnnxSpan.create({
    config,
    weights,
    edge,
    start: 0,
    end: config.layers,
    shardLocations: new Map(manifest.shards.map(shard => [shardName(shard), shard.sha256 as string])),
    source: { kind: 'folder', path: shardDirectory },
    threads: 1,
    ...(pairedHead === undefined ? {} : { pairedHead })
  })
  span.grow(20)
  const cache = new SessionCache({ layers: config.layers, kvHeads: config.kvHeads, headDim: config.headDim }, 20)
  const hidden = await span.pass(
    cache,
    Int32Array.from({ length: 20 }, (_, i) => i * 3),
    20
  )
  const logits = await span.logits(hidden.subarray(19 * config.hidden))
  await span.release()
  return { hidden, logits }
}

function relativeError(values: Float32Array, want: Float32Array): number {
  let error = 0
  let size = 0
  for (let i = 0; i < want.length; i++) {
    error += (values[i]! - want[i]!) ** 2
    size += want[i]! ** 2
  }
  return Math.sqrt(error / size)
}

it.each([
  ['q8', 64, 96, true],
  ['q8', 72, 86, false],
  ['q4', 64, 96, false],
  ['q4', 40, 172, true],
  ['q8-f16', 72, 86, false],
  ['q4-f16', 40, 172, true]
] as const)(
  '%s weights (hidden %d, intermediate %d, tied %s) mean what the layout says',
  async (weights, hidden, intermediate, tiedEmbeddings) => {
    const config: ModelConfig = {
      layers: 2,
      hidden,
      intermediate,
      heads: 4,
      kvHeads: 2,
      headDim: 10,
      vocab: 70,
      contextMax: 64,
      ropeTheta: 10_000,
      normEpsilon: 1e-5,
      tiedEmbeddings
    }
    const model = syntheticModel(config, weights, 'f32', 3)
    const exact = dequantised(model)
    try {
      const seen = await outputs(model)
      const want = await outputs(exact)
      // Activations are rounded to 8 bits per block of 32: 1/127 of the block's largest, halved on average.
      expect(relativeError(seen.hidden, want.hidden)).toBeLessThan(0.03)
      // One row of 70 values, which with some random weights are small: 0.008 to 0.033 over 96 models.
      expect(relativeError(seen.logits, want.logits)).toBeLessThan(0.045)
    } finally {
      model.remove()
      exact.remove()
    }
  }
)

it.each([
  [64, 70, true],
  [192, 70, false],
  // One block, whole groups of blocks, and an odd number of rows are not paired.
  [32, 70, true],
  [128, 70, true],
  [64, 71, false]
])(
  'pairs rows of the output matrix without changing what they mean (hidden %d, vocab %d, tied %s)',
  async (hidden, vocab, tiedEmbeddings) => {
    const config: ModelConfig = {
      layers: 1,
      hidden,
      intermediate: 64,
      heads: 2,
      kvHeads: 1,
      headDim: 16,
      vocab,
      contextMax: 64,
      ropeTheta: 10_000,
      normEpsilon: 1e-5,
      tiedEmbeddings
    }
    const model = syntheticModel(config, 'q8', 'f32', 3)
    try {
      const [plain, paired] = [await outputs(model, false), await outputs(model, true)]
      expect(paired.hidden).toEqual(plain.hidden)
      // The same products, added in another order.
      expect(relativeError(paired.logits, plain.logits)).toBeLessThan(1e-6)
      expect(paired.logits).toHaveLength(vocab)
    } finally {
      model.remove()
    }
  }
)
