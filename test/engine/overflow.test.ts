/** What overflows at the very end, in the logits, is its own step's failure: sessions that share its pass go on. */
import { afterAll, expect, it } from 'vitest'
import { createWasmEngine } from '../../src/engine/wasm/engine.ts'
import type { ModelConfig } from '../../src/model/decoder.ts'
import { shardLayout } from '../../src/model/layout.ts'
import { greedy, sessionId, signal } from './pipeline.ts'
import { poisonEmbedding, writeModel } from './synthetic-model.ts'

const config: ModelConfig = {
  layers: 1,
  hidden: 32,
  intermediate: 64,
  heads: 2,
  kvHeads: 1,
  headDim: 16,
  vocab: 40,
  contextMax: 300,
  ropeTheta: 10_000,
  normEpsilon: 1e-5,
  tiedEmbeddings: false
}

// A layer of zeros adds nothing, and of all tokens but one the embedding is zeros, too: its logits are the sum of 32 numbers
// near the largest that there is.
const model = writeModel(config, 'f32', 'f32', (role, layer) => {
  const { bytes } = shardLayout({ config, weights: 'f32' }, { role, layer })
  const values = new Float32Array(bytes / 4)
  if (role === 'head') values.fill(3e38)
  return new Uint8Array(values.buffer)
})
poisonEmbedding(model, 7, 1)
afterAll(() => model.remove())

it('fails the step whose logits overflow, and no other one of its pass', async () => {
  const { manifest, shardDirectory } = model
  const engine = await createWasmEngine({ manifest, shardDirectory, start: 0, end: 1, cacheBytesMax: 1 << 24 })
  try {
    const run = (session: number, position: number, id: number): ReturnType<typeof engine.run> =>
      engine.run(
        {
          ...{ session: sessionId(session), position, tokens: 1, sample: true },
          input: { kind: 'ids', ids: Int32Array.of(id) }
        },
        { signal }
      )
    for (const session of [1, 2, 3]) await engine.open(sessionId(session), { tokensMax: 10, sampling: greedy })
    await run(3, 0, 3)
    // The first keeps the engine busy, so that the others share the next pass.
    const [busy, good, bad] = await Promise.allSettled([run(1, 0, 1), run(2, 0, 2), run(3, 1, 7)])
    expect(busy.status).toBe('fulfilled')
    expect(good).toMatchObject({ status: 'fulfilled', value: { kind: 'tokens', rows: 2 } })
    expect(bad).toMatchObject({ status: 'rejected', reason: { name: 'EngineError', message: /logits must be finite/ } })
    expect([2, 3].map(session => engine.length(sessionId(session)))).toEqual([1, 1])
  } finally {
    await engine.close()
  }
})
