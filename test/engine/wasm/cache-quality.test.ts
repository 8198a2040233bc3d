/** What caches of int8 cost in quality, on the trained model that ships: next to nothing. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { sample } from '../../../src/engine/sampler.ts'
import { formsHere } from '../../../src/engine/wasm/forms.ts'
import { WasmSpan } from '../../../src/engine/wasm/span.ts'
import { shardName } from '../../../src/model/manifest.ts'
import { openBenchStore, shippedModel } from '../../bench/models.ts'

const texts = 4
const tokens = 150

/** ln Σ exp. */
function total(logits: Float32Array): number {
  const most = Math.max(...logits)
  return most + Math.log(logits.reduce((sum, each) => sum + Math.exp(each - most), 0))
}

it('predicts the texts that float32 draws as well as float32 does', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'skein-quality-'))
  const { stored, shardDirectory } = await shippedModel(await openBenchStore(folder))
  const { config, weights, edge, shards, bosId } = stored.manifest
  const span = WasmSpan.create({
    ...{ config, weights, edge, start: 0, end: config.layers, forms: formsHere() },
    shardLocations: new Map(shards.map(shard => [shardName(shard), shard.sha256 as string])),
    source: { kind: 'folder', path: shardDirectory }
  })
  /** Negative log-likelihood of all tokens, by type, and how often both find the same one the likeliest. */
  const costs = { f32: 0, i8: 0 }
  let same = 0
  for (let text = 0; text < texts; text++) {
    const caches = [span.open(), span.open(undefined, 'i8')] as const
    let id = bosId!
    for (let i = 0; i < tokens; i++) {
      const [f32, i8] = caches.map(cache => span.logits(span.run(cache, Int32Array.of(id), 1)).slice())
      same += Number(f32!.indexOf(Math.max(...f32!)) === i8!.indexOf(Math.max(...i8!)))
      const all = total(f32!)
      id = sample(f32!, { temperature: 1, topP: 1, topK: 0, seed: text }, i)
      costs.f32 += all - f32![id]!
      costs.i8 += total(i8!) - i8![id]!
    }
    for (const cache of caches) cache.free()
  }
  span.release()
  await rm(folder, { recursive: true })
  const count = texts * tokens
  expect(same / count).toBeGreaterThan(0.95)
  expect(costs.i8).not.toBe(costs.f32)
  expect(Math.abs(costs.i8 - costs.f32) / count).toBeLessThan(0.01)
})
