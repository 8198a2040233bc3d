import fc from 'fast-check'
import { expect, it } from 'vitest'
import { SessionCache } from '../../src/engine/cache.ts'
import { decodeEdge, encodeEdge } from '../../src/engine/edge.ts'
import { OnnxSpan } from '../../src/engine/onnx-span.ts'
import { attentionBlock } from '../../src/limits.ts'
import type { EdgeType, ModelConfig, WeightType } from '../../src/model/manifest.ts'
import { shardName } from '../../src/model/manifest.ts'
import { syntheticModel, type TestModel } from './synthetic-model.ts'

/** What a run leaves behind, bit for bit: last hidden states and logits per token, and every cached key and value. */
interface Bits {
  readonly hidden: string[]
  readonly logits: string[]
  readonly caches: string[]
}

function hex(values: Float32Array): string {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('hex')
}

async function compute(
  { manifest, shardDirectory }: TestModel,
  cuts: readonly number[],
  chunks: readonly number[],
  ids: Int32Array
): Promise<Bits> {
  const { config, weights, edge } = manifest
  const borders = [0, ...cuts, config.layers]
  const shardLocations = new Map(manifest.shards.map(shard => [shardName(shard), shard.sha256 as string]))
  const parts: { span: OnnxSpan; cache: SessionCache }[] = []
  for (const [i, end] of borders.slice(1).entries()) {
    const start = borders[i]!
    const source = { kind: 'folder', path: shardDirectory } as const
    const span = await OnnxSpan.create({ config, weights, edge, start, end, shardLocations, source, threads: 1 })
    span.grow(ids.length)
    const { kvHeads, headDim } = config
    parts.push({ span, cache: new SessionCache({ layers: end - start, kvHeads, headDim }, ids.length) })
  }
  const bits: Bits = { hidden: [], logits: [], caches: [] }
  for (let position = 0, pass = 0; position < ids.length; pass++) {
    const room = Math.min(ids.length - position, attentionBlock - (position % attentionBlock))
    const n = Math.min(chunks[pass % chunks.length]!, room)
    let x: Int32Array | Float32Array = ids.slice(position, position + n)
    for (const [i, { span, cache }] of parts.entries()) {
      x = await span.pass(cache, x, n)
      if (i < parts.length - 1) x = decodeEdge(encodeEdge(x, edge), edge, x.length)
    }
    for (let t = 0; t < n; t++) {
      const row = (x as Float32Array).slice(t * config.hidden, (t + 1) * config.hidden)
      bits.hidden.push(hex(row))
      bits.logits.push(hex(await parts.at(-1)!.span.logits(row)))
    }
    position += n
  }
  for (const { span, cache } of parts) {
    for (const { keys, values, valueTail } of cache.layers) {
      const rest = valueTail.subarray(0, (ids.length % attentionBlock) * config.kvHeads * config.headDim)
      bits.caches.push(hex(keys), hex(values), hex(rest))
    }
    await span.release()
  }
  return bits
}

it('logits, last hidden states and caches are the same bits in one piece and in parts', {
  timeout: 60_000
}, async () => {
  const tokens = 140
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom<WeightType>('f32', 'q8', 'q4'),
      fc.constantFrom<EdgeType>('f32', 'f16', 'bf16'),
      fc.constantFrom<[number, number, number]>([2, 1, 16], [2, 3, 16], [1, 2, 64]),
      fc.boolean(),
      fc.constantFrom(1, 200_000),
      fc.array(fc.integer({ min: 1, max: 128 }), { minLength: 1, maxLength: 5 }),
      async (weights, edge, [kvHeads, group, headDim], tiedEmbeddings, gain, chunks) => {
        const config: ModelConfig = {
          layers: 3,
          hidden: 72,
          intermediate: 100,
          heads: kvHeads * group,
          kvHeads,
          headDim,
          vocab: 64,
          contextMax: 256,
          ropeTheta: 10_000,
          normEpsilon: 1e-5,
          tiedEmbeddings
        }
        const model = syntheticModel(config, weights, edge, 5, gain)
        try {
          const ids = Int32Array.from({ length: tokens }, (_, i) => (i * i * 5 + i) % 64)
          const whole = await compute(model, [], [1], ids)
          expect(new Set(whole.logits).size, 'every token has logits of its own').toBeGreaterThan(tokens / 2)
          expect(await compute(model, [1, 2], chunks, ids)).toEqual(whole)
          expect(await compute(model, [2], [128], ids)).toEqual(whole)
        } finally {
          model.remove()
        }
      }
    ),
    { numRuns: 12 }
  )
})
