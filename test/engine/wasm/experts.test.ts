/** Experts: who is chosen, and layers of a mixture in several memories. */
import { expect, test } from 'vitest'
import { formsHere } from '../../../src/engine/wasm/forms.ts'
import { choose, rowsByExpert } from '../../../src/engine/wasm/routing.ts'
import { WasmSpan } from '../../../src/engine/wasm/span.ts'
import { syntheticShard } from '../../../src/engine/synthetic.ts'
import type { ModelConfig } from '../../../src/model/decoder.ts'
import { shardName, shardOrder } from '../../../src/model/manifest.ts'

test('a row takes the experts with the largest outputs, of equal ones the first', () => {
  const chosen = (outputs: readonly number[], used: number): number[] => {
    const own = new Uint32Array(used)
    expect(choose(Float32Array.from(outputs), own)).toBe(outputs.every(Number.isFinite))
    return [...own]
  }
  expect(chosen([1, 3, 2, 3, 3], 2)).toEqual([1, 3])
  expect(chosen([5, 5, 5, 5], 3)).toEqual([0, 1, 2])
  expect(chosen([-1, -2, 4, -2], 3)).toEqual([0, 1, 2])
  expect(chosen([0, -0, 0], 1)).toEqual([0])
  expect(chosen([2, 1], 2)).toEqual([0, 1])
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
    expect(chosen([1, 2, 3, bad], 2)).toEqual([0, 1])
  }
})

test('rows are put in order of their experts', () => {
  const groups = rowsByExpert(Uint32Array.of(1, 3, 0, 3, 1, 2), Float32Array.of(1, 2, 3, 4, 5, 6), {
    count: 5,
    used: 2
  })
  expect(groups).toEqual([
    { expert: 0, first: 0, rows: [1], shares: [3] },
    { expert: 1, first: 1, rows: [0, 2], shares: [1, 5] },
    { expert: 2, first: 3, rows: [2], shares: [6] },
    { expert: 3, first: 4, rows: [0, 1], shares: [2, 4] }
  ])
})

test('a mixture in several memories has the same bits', () => {
  const config: ModelConfig = {
    ...{ layers: 6, hidden: 256, intermediate: 256, heads: 4, kvHeads: 2, headDim: 64, vocab: 61, contextMax: 400 },
    ...{ ropeTheta: 10_000, normEpsilon: 1e-5, tiedEmbeddings: false },
    experts: { count: 40, used: 3, intermediate: 128, renormalised: true },
    kinds: { of: [{}, { experts: 'none' }], layers: [1, 0, 0, 0, 1, 0] }
  }
  const shape = { config, weights: 'q4-f16' } as const
  const files = new Map(shardOrder(config).map((place, i) => [shardName(place), syntheticShard(shape, place, i + 1)]))
  const shardLocations = new Map([...files.keys()].map(name => [name, name]))
  const source = { kind: 'memory', files } as const
  const ids = Int32Array.from({ length: 140 }, (_, i) => (i * i * 7) % config.vocab)
  const seen = new Map<number, string>()
  for (const memoryBytesMax of [undefined, 14 << 20]) {
    const own = { edge: 'f16', start: 0, end: 6, cacheBytesMax: 1 << 20, memoryBytesMax, forms: formsHere() } as const
    const span = WasmSpan.create({ ...shape, ...own, shardLocations, source })
    for (const chunk of [140, 7, 1]) {
      const cache = span.open()
      let out = new Float32Array()
      for (let at = 0; at < ids.length; at += chunk) {
        const some = ids.subarray(at, at + chunk)
        out = span.run(cache, some, some.length).slice()
      }
      const bits = [...new Uint32Array(span.logits(out.subarray(-config.hidden)).slice().buffer)].join()
      expect(seen.get(0) ?? bits).toBe(bits)
      seen.set(0, bits).set(span.sections, bits)
      cache.free()
    }
    span.release()
  }
  expect(seen.size).toBe(3)
})
