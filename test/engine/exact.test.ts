import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Engine } from '../../src/engine/engine.ts'
import type { ModelConfig } from '../../src/model/decoder.ts'
import type { EdgeType } from '../../src/model/manifest.ts'
import type { WeightType } from '../../src/model/weight-types.ts'
import { cutEngines, greedy, sessionId, through } from './pipeline.ts'
import { syntheticModel } from './synthetic-model.ts'

/**
 * Promises P1 and P3 on random models: however a model is cut, a prompt chunked, a session rolled back and
 * replayed, whatever the thread count, hidden states and tokens have the bits of one piece, one token at a time.
 * A few models through the real threads; `exact-bits.test.ts` has many more, and their logits and caches.
 */

const shapes = fc.constantFrom<[kvHeads: number, group: number, headDim: number]>(
  [2, 1, 16],
  [2, 2, 8],
  [1, 6, 16],
  [3, 3, 32],
  [1, 1, 64],
  [4, 2, 2]
)

const models = fc.record({
  weights: fc.constantFrom<WeightType>('f32', 'q8', 'q4'),
  edge: fc.constantFrom<EdgeType>('f32', 'f16', 'bf16'),
  layers: fc.integer({ min: 2, max: 4 }),
  shape: shapes,
  hidden: fc.constantFrom(32, 40, 64, 96),
  intermediate: fc.constantFrom(64, 86, 172),
  tied: fc.boolean(),
  // The last makes activations that only the clip keeps inside float16.
  gain: fc.constantFrom(1, 1, 200_000),
  seed: fc.nat(1000),
  twinRows: fc.boolean()
})

const plans = fc.record({
  cut: fc.nat(),
  threads: fc.integer({ min: 1, max: 3 }),
  chunks: fc.array(fc.constantFrom(1, 1, 2, 3, 5, 8, 16, 64, 127, 128, 129, 200), { minLength: 1, maxLength: 8 }),
  /** When this many tokens are in, back by that many, once each. Most go back into an earlier block. */
  rollbacks: fc.array(fc.record({ at: fc.integer({ min: 100, max: 260 }), back: fc.integer({ min: 1, max: 200 }) }), {
    maxLength: 3
  })
})

const tokens = 270

function configOf(m: {
  layers: number
  shape: [number, number, number]
  hidden: number
  intermediate: number
  tied: boolean
}): ModelConfig {
  const [kvHeads, group, headDim] = m.shape
  return {
    layers: m.layers,
    hidden: m.hidden,
    intermediate: m.intermediate,
    heads: kvHeads * group,
    kvHeads,
    headDim,
    vocab: 97,
    contextMax: 512,
    ropeTheta: 10_000,
    normEpsilon: 1e-5,
    tiedEmbeddings: m.tied
  }
}

/** Every hidden state that left an engine, by border and position, as hex; and the token after each step. */
interface Trace {
  readonly hidden: Map<string, string>
  readonly token: Map<number, number>
}

async function trace(
  engines: readonly Engine[],
  ids: readonly number[],
  chunks: readonly number[],
  rollbacks: readonly { at: number; back: number }[]
): Promise<Trace> {
  const session = sessionId(1)
  for (const engine of engines) await engine.open(session, { tokensMax: ids.length, sampling: greedy })
  const hidden = new Map<string, string>()
  const token = new Map<number, number>()
  const pending = [...rollbacks]
  let position = 0
  for (let step = 0; position < ids.length; step++) {
    const n = Math.min(chunks[step % chunks.length]!, ids.length - position)
    const edges: Uint8Array[] = []
    const next = await through(engines, session, position, ids.slice(position, position + n), true, edges)
    token.set(position + n, next!)
    for (const [i, bytes] of edges.entries()) {
      const size = bytes.length / n
      for (let t = 0; t < n; t++) {
        const row = Buffer.from(bytes.buffer, bytes.byteOffset + t * size, size).toString('hex')
        hidden.set(`${engines[i]!.end}@${position + t}`, row)
      }
    }
    position += n
    const due = pending.findIndex(({ at }) => position >= at)
    if (due >= 0) position = Math.max(0, position - pending.splice(due, 1)[0]!.back)
  }
  return { hidden, token }
}

describe.each(['onnx', 'wasm'] as const)('the bits of %s do not depend on', runtime => {
  it('cut, chunks, rollbacks or threads', { timeout: 120_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(models, fc.array(plans, { minLength: 2, maxLength: 2 }), async (m, trials) => {
        const model = syntheticModel(configOf(m), m.weights, m.edge, m.seed, m.gain)
        const ids = Array.from({ length: tokens }, (_, i) => (i * i * 31 + i * 7 + m.seed) % 97)
        const close = (engines: readonly Engine[]): Promise<unknown> => Promise.all(engines.map(e => e.close()))
        try {
          // The reference: cut at every layer so that every border's bits are seen, one token at a time.
          const all = Array.from({ length: m.layers - 1 }, (_, i) => i + 1)
          const engines = await cutEngines(model, all, { runtime })
          const reference = await trace(engines, ids, [1], [])
          await close(engines)
          for (const { cut, threads, chunks, rollbacks } of trials) {
            const cuts = all.filter((_, i) => ((cut >> i) & 1) === 1)
            const others = await cutEngines(model, cuts, {
              runtime,
              threads,
              ...(m.twinRows ? { twinRows: true } : {})
            })
            const seen = await trace(others, ids, chunks, rollbacks)
            await close(others)
            for (const [at, row] of seen.hidden) expect(row, `hidden at ${at}`).toBe(reference.hidden.get(at))
            for (const [at, id] of seen.token) expect(id, `token ${at}`).toBe(reference.token.get(at))
          }
        } finally {
          model.remove()
        }
      }),
      // Five take ONNX Runtime 42 s, and language models run on the other one.
      { numRuns: runtime === 'onnx' ? 2 : 4 }
    )
  })
})
