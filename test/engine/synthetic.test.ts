import { expect, test } from 'vitest'
import { syntheticLayers } from '../../src/engine/synthetic.ts'
import type { ModelConfig } from '../../src/model/decoder.ts'
import { shardBytes, shardLayout } from '../../src/model/layout.ts'
import { shardName } from '../../src/model/manifest.ts'
import type { MixedWeights, WeightType } from '../../src/model/weight-types.ts'

const config: ModelConfig = {
  ...{ layers: 3, hidden: 64, intermediate: 96, heads: 4, kvHeads: 2, headDim: 16, vocab: 61, contextMax: 200 },
  ...{ ropeTheta: 10_000, normEpsilon: 1e-5, tiedEmbeddings: true }
}
const layer = (v: WeightType): MixedWeights['layers'][number] => ({
  ...{ q: 'q4-f16', k: 'q4-f16', v, o: 'q4-f16', gate: 'q4-f16', up: 'q4-f16', down: v }
})

test('each of the layers that a timing makes is of its own types, as GGUF files mix them', () => {
  const weights: MixedWeights = { embedding: 'q8-f16', layers: [layer('q4-f16'), layer('q8-f16'), layer('q4-f16')] }
  const shardLocations = new Map(
    Array.from({ length: config.layers }, (_, layer) => [shardName({ role: 'layer', layer }), `file ${layer}`] as const)
  )
  const files = syntheticLayers({ config, weights, start: 0, end: 3, shardLocations })
  const sizes = [0, 1, 2].map(layer => shardBytes({ config, weights }, { role: 'layer', layer }))
  expect([...files.values()].map(({ length }) => length)).toEqual(sizes)
  expect(sizes[1]).toBeGreaterThan(sizes[0]!)
  // Layers of the same types differ in a byte of each matrix, so that nobody keeps one for both.
  const { matrices } = shardLayout({ config, weights }, { role: 'layer', layer: 0 })
  expect(matrices.map(({ offset }) => [files.get('file 0')![offset], files.get('file 2')![offset]])).toEqual(
    matrices.map(() => [0, 2])
  )
})

test('layers of each kind have the size of their own', () => {
  const config = {
    ...{ layers: 3, hidden: 64, intermediate: 32, heads: 2, kvHeads: 2, headDim: 32, vocab: 9, contextMax: 64 },
    ...{ ropeTheta: 10_000, normEpsilon: 1e-5, tiedEmbeddings: true, experts: { count: 4, used: 2, intermediate: 32 } },
    kinds: { of: [{}, { experts: 'none' as const }], layers: [0, 1, 0] }
  }
  const shape = { config, weights: 'q8' } as const
  const places = [0, 1, 2].map(layer => ({ role: 'layer', layer }) as const)
  const shardLocations = new Map(places.map(place => [shardName(place), shardName(place)]))
  const made = syntheticLayers({ ...shape, start: 0, end: 3, shardLocations })
  const sizes = places.map(place => shardBytes(shape, place))
  expect(sizes[0]).toBeGreaterThan(sizes[1]!)
  expect(places.map(place => made.get(shardName(place))!.length)).toEqual(sizes)
})

test('each of the layers that a timing makes is of its own kind, where they differ', () => {
  const kinds: ModelConfig['kinds'] = { of: [{ convolution: { length: 3 } }, {}], layers: [0, 1, 0] }
  const shape = { config: { ...config, kinds }, weights: 'q8-f16' } as const
  const places = [0, 1, 2].map(layer => ({ role: 'layer', layer }) as const)
  const shardLocations = new Map(places.map(place => [shardName(place), `file ${place.layer}`] as const))
  const files = syntheticLayers({ ...shape, start: 0, end: 3, shardLocations })
  const sizes = places.map(place => shardBytes(shape, place))
  expect([...files.values()].map(({ length }) => length)).toEqual(sizes)
  expect(sizes[1]).not.toBe(sizes[0])
})
