import { describe, expect, test } from 'vitest'
import { modelOf } from '../../sim/model.ts'
import { parseScenario } from '../../sim/scenario.ts'
import { toyEngine } from '../../sim/toy-engine.ts'
import { withCache } from '../../src/route/caches.ts'
import { stageCacheBytes, wasmFootprint } from '../../src/engine/wasm/footprint.ts'
import type { ModelConfig } from '../../src/model/decoder.ts'
import { cacheBytesOf, reserveBytes, shapeAt, stageBytes } from '../../src/route/view.ts'
import { footprintOf, shapeOf, shareMemory } from '../../src/serving/shape.ts'
import { model, peer } from '../route/worlds.ts'

const scenario = parseScenario(
  {
    name: 'one',
    minutes: 1,
    model: { layers: 4, layerMB: 1 },
    peers: [{ name: 'p', count: 1, memoryMB: 9, visitMs: 1, layerMs: 1 }]
  },
  'here'
)

describe('what routing takes a session to need of a stage', () => {
  test.each([
    [64, 4096, undefined],
    [64, 300, undefined],
    [576, 2048, undefined],
    [64, 4096, 100],
    [576, 1024, 600]
  ])(
    'is what its engine reserves, of either type, by what its record says (heads of %i, contexts of %i, a window of %s)',
    (kvWidth, contextMax, window) => {
      const windows = [window, window, undefined, window]
      const toy = { layers: 4, vocab: 251, hidden: 12, edge: 'f16', contextMax, kvWidth, windows } as const
      const { stored, footprint } = modelOf(scenario, toy, true)
      const own = shapeOf(stored.manifest, footprint)
      const range = { start: 1, end: 4 }
      const engine = toyEngine({ model: toy, ...range, cacheBytesMax: 0 })
      // Whoever reads the record has another engine.
      const other = {
        ...own,
        cacheBytesPerLayer: 1,
        cachePageTokens: 16,
        i8CacheBytesPerLayer: 1,
        i8CachePageTokens: 16
      }
      for (const cache of ['f32', 'i8'] as const) {
        const { peers, model } = withCache([peer(1, 9, { footprint: footprintOf(own) })], other, cache)
        for (let tokens = 1; tokens <= contextMax; tokens += 7) {
          const bytes = engine.cacheBytes(tokens, cache)
          expect(cacheBytesOf(shapeAt(peers[0]!, model), range, tokens)).toBe(bytes)
          expect(cacheBytesOf(withCache([], own, cache).model, range, tokens)).toBe(bytes)
        }
      }
    }
  )
})

describe('what routing takes a session of a model with short convolutions to need', () => {
  // Pages of rows are larger than those of keys and values, smaller, and as large as those of float32.
  test.each([
    [900, 4096],
    [10, 2048],
    [128, 300]
  ])('is what its engine reserves, of either type (rows of %i numbers, contexts of %i)', (hidden, contextMax) => {
    const config: ModelConfig = {
      ...{ layers: 4, hidden, intermediate: 8, heads: 1, kvHeads: 1, headDim: 64, vocab: 9, contextMax },
      ...{ ropeTheta: 10_000, normEpsilon: 1e-5, tiedEmbeddings: false },
      kinds: { of: [{ convolution: { length: 3 } }, {}, { window: 100 }], layers: [0, 1, 0, 2] }
    }
    const toy = { layers: 4, vocab: 9, hidden, edge: 'f16', contextMax } as const
    const manifest = { ...modelOf(scenario, toy, true).stored.manifest, config }
    const own = shapeOf(manifest, wasmFootprint({ config }))
    for (const range of [
      { start: 0, end: 4 },
      { start: 1, end: 3 },
      { start: 0, end: 1 },
      { start: 1, end: 2 }
    ]) {
      for (const cache of ['f32', 'i8'] as const) {
        const { peers, model } = withCache([peer(1, 9, { footprint: footprintOf(own) })], own, cache)
        for (let tokens = 1; tokens <= contextMax; tokens += 7) {
          const bytes = stageCacheBytes(config, range, tokens, cache)
          expect(cacheBytesOf(shapeAt(peers[0]!, model), range, tokens)).toBe(bytes)
        }
      }
      const reserved = stageCacheBytes(config, range, Math.min(contextMax, 2048), 'f32')
      expect(reserveBytes(own, range)).toBe(reserved)
      // Another engine takes as much more of each layer as of the largest.
      const twice = { ...footprintOf(own), cacheBytesPerLayer: 2 * own.cacheBytesPerLayer }
      expect(reserveBytes(shapeAt({ footprint: twice }, own), range)).toBe(2 * reserved)
    }
  })
})

describe('what sessions may take of a budget', () => {
  // Stages of [0, 2) and [2, 4) take 7 + 20 + 2 + 2 and 20 + 5 + 2 + 2 bytes, one session's worth included.
  const shape = model(4)
  const first = { start: 0, end: 2 }
  const second = { start: 2, end: 4 }
  const weights = stageBytes(shape, first) + stageBytes(shape, second) - 2 * (2 + 2)

  test('one stage takes all that the weights leave', () => {
    const shares = shareMemory(shape, 131, [{ range: first, cacheBytesUsed: 0 }], 0)
    expect(shares.cacheBytesMax[0]! + shares.retainBytesMax).toBe(131 - 27)
    expect(shares.cacheBytesMax[0]).toBe(2 + 50)
  })

  test('an older one makes way for a new one, and keeps what its open sessions hold', () => {
    for (const cacheBytesUsed of [0, 2, 30]) {
      const stages = [
        { range: first, cacheBytesUsed },
        { range: second, cacheBytesUsed: 0 }
      ]
      const shares = shareMemory(shape, 131, stages, 0)
      expect(shares.cacheBytesMax[0]).toBe(Math.max(2, cacheBytesUsed))
      expect(shares.cacheBytesMax[0]! + shares.cacheBytesMax[1]! + shares.retainBytesMax + weights).toBe(131)
    }
  })

  test('says what is lacking while open sessions hold what a new one needs, and leaves nobody more than that', () => {
    const stages = (cacheBytesUsed: number) => [
      { range: first, cacheBytesUsed },
      { range: second, cacheBytesUsed: 0 }
    ]
    const room = 131 - weights - 2 - 2 * 2
    expect(shareMemory(shape, 131, stages(room), 0).lackingBytes).toBe(0)
    const over = { cacheBytesMax: [room + 1, 2], retainBytesMax: 4, lackingBytes: 1 }
    expect(shareMemory(shape, 131, stages(room + 1), 0)).toEqual(over)
    expect(shareMemory(shape, 131, stages(room), 5).lackingBytes).toBe(1)
  })
})
