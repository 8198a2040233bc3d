import fc from 'fast-check'
import { expect, it } from 'vitest'
import { SessionCache } from '../../src/engine/onnx/cache.ts'
import { decodeEdge, encodeEdge } from '../../src/engine/edge.ts'
import { OnnxSpan } from '../../src/engine/onnx/span.ts'
import { attentionBlock } from '../../src/model/limits.ts'
import type { ModelConfig } from '../../src/model/decoder.ts'
import type { EdgeType } from '../../src/model/manifest.ts'
import type { WeightType } from '../../src/model/weight-types.ts'
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

interface Plan {
  /** Inner borders, ascending. */
  readonly cuts: readonly number[]
  readonly chunks: readonly number[]
  /** When `at` tokens are in, back by `back`, once each. */
  readonly rollbacks: readonly { readonly at: number; readonly back: number }[]
  readonly threads: number
  readonly twinRows: boolean
}

async function compute(
  { manifest, shardDirectory }: TestModel,
  ids: Int32Array,
  { cuts, chunks, rollbacks, threads, twinRows }: Plan
): Promise<Bits> {
  const { config, weights, edge } = manifest
  const borders = [0, ...cuts, config.layers]
  const shardLocations = new Map(manifest.shards.map(shard => [shardName(shard), shard.sha256 as string]))
  const parts: { span: OnnxSpan; cache: SessionCache }[] = []
  for (const [i, end] of borders.slice(1).entries()) {
    const start = borders[i]!
    const source = { kind: 'folder', path: shardDirectory } as const
    const init = { config, weights, edge, start, end, shardLocations, source, threads, twinRows }
    const span = await OnnxSpan.create(init)
    span.grow(ids.length)
    const { kvHeads, headDim } = config
    parts.push({ span, cache: new SessionCache({ layers: end - start, kvHeads, headDim }, ids.length) })
  }
  const bits: Bits = { hidden: [], logits: [], caches: [] }
  const pending = [...rollbacks]
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
      bits.hidden[position + t] = hex(row)
      bits.logits[position + t] = hex(await parts.at(-1)!.span.logits(row))
    }
    position += n
    const due = pending.findIndex(({ at }) => position >= at)
    if (due >= 0) {
      position = Math.max(0, position - pending.splice(due, 1)[0]!.back)
      for (const { cache } of parts) cache.truncate(position)
    }
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

const plans = fc.record<Plan>({
  cuts: fc.constantFrom([], [1], [2], [1, 2]),
  chunks: fc.array(fc.constantFrom(1, 1, 2, 3, 5, 8, 16, 64, 127, 128), { minLength: 1, maxLength: 8 }),
  rollbacks: fc.array(fc.record({ at: fc.integer({ min: 100, max: 260 }), back: fc.integer({ min: 1, max: 200 }) }), {
    maxLength: 3
  }),
  threads: fc.integer({ min: 1, max: 3 }),
  twinRows: fc.boolean()
})

it('logits, hidden states and caches are the same bits in one piece and in parts', { timeout: 120_000 }, async () => {
  const tokens = 270
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom<WeightType>('f32', 'q8', 'q4'),
      fc.constantFrom<EdgeType>('f32', 'f16', 'bf16'),
      fc.constantFrom<[number, number, number]>([2, 1, 16], [2, 3, 16], [1, 6, 8], [1, 2, 64], [1, 1, 128], [3, 2, 2]),
      fc.constantFrom([32, 64], [72, 100], [96, 172]),
      fc.boolean(),
      // The last makes activations that only the clip keeps inside float16.
      fc.constantFrom(1, 1, 200_000),
      fc.array(plans, { minLength: 2, maxLength: 2 }),
      async (weights, edge, [kvHeads, group, headDim], [hidden, intermediate], tiedEmbeddings, gain, trials) => {
        const config: ModelConfig = {
          layers: 3,
          hidden: hidden!,
          intermediate: intermediate!,
          heads: kvHeads * group,
          kvHeads,
          headDim,
          vocab: 64,
          contextMax: 512,
          ropeTheta: 10_000,
          normEpsilon: 1e-5,
          tiedEmbeddings
        }
        const model = syntheticModel(config, weights, edge, 5, gain)
        try {
          const ids = Int32Array.from({ length: tokens }, (_, i) => (i * i * 5 + i) % 64)
          const plain = { cuts: [], chunks: [1], rollbacks: [], threads: 1, twinRows: false }
          const whole = await compute(model, ids, plain)
          expect(new Set(whole.logits).size, 'every token has logits of its own').toBeGreaterThan(tokens / 2)
          for (const plan of trials) expect(await compute(model, ids, plan)).toEqual(whole)
        } finally {
          model.remove()
        }
      }
    ),
    { numRuns: 12 }
  )
})
