import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CacheBudget } from '../../src/engine/cache-budget.ts'
import { type CacheShape, cacheBytes, SessionCache } from '../../src/engine/onnx/cache.ts'
import { attentionBlock } from '../../src/model/limits.ts'

const T = attentionBlock
const shape: CacheShape = { layers: 2, kvHeads: 2, headDim: 2 }
const row = shape.kvHeads * shape.headDim

/** A number that says what it is: session version, token, layer, key or value, head, element. */
function number(version: number, token: number, layer: number, kv: number, i: number): number {
  return version * 1e5 + token * 100 + layer * 20 + kv * 10 + i
}

function fresh(version: number, position: number, n: number): Float32Array {
  const out = new Float32Array(n * shape.layers * 2 * row)
  let at = 0
  for (let t = 0; t < n; t++) {
    for (let layer = 0; layer < shape.layers; layer++) {
      for (let kv = 0; kv < 2; kv++) {
        for (let i = 0; i < row; i++) out[at++] = number(version, position + t, layer, kv, i)
      }
    }
  }
  return out
}

/** Holds the cache to the list of versions that its tokens were written with. */
function expectHolds(cache: SessionCache, versions: readonly number[]): void {
  expect(cache.length).toBe(versions.length)
  const past = cache.past
  for (const [layer, { keys, values, valueTail }] of cache.layers.entries()) {
    for (const [token, version] of versions.entries()) {
      for (let i = 0; i < row; i++) {
        const [head, element] = [Math.floor(i / shape.headDim), i % shape.headDim]
        const inBlock = ((Math.floor(token / T) * shape.kvHeads + head) * T + (token % T)) * shape.headDim + element
        const value = token < past ? values[inBlock] : valueTail[(token - past) * row + i]
        if (keys[token * row + i] !== number(version, token, layer, 0, i)) expect.fail(`key of token ${token}`)
        if (value !== number(version, token, layer, 1, i)) expect.fail(`value of token ${token}`)
      }
    }
  }
}

describe('a session cache', () => {
  it('holds what was written last at every position, whatever was appended and dropped', () => {
    const moves = fc.array(fc.oneof(fc.record({ add: fc.integer({ min: 1, max: T }) }), fc.record({ to: fc.nat() })), {
      maxLength: 20
    })
    fc.assert(
      fc.property(moves, list => {
        const cache = new SessionCache(shape, 3 * T + 50)
        let versions: number[] = []
        for (const [version, move] of list.entries()) {
          if ('to' in move) {
            cache.truncate(move.to % (versions.length + 1))
            versions = versions.slice(0, cache.length)
          } else {
            const n = Math.min(move.add, T - (cache.length % T), cache.tokensMax - cache.length)
            cache.append(fresh(version, cache.length, n), n)
            versions.push(...new Array<number>(n).fill(version))
          }
          expectHolds(cache, versions)
        }
      })
    )
  })

  it('is charged what it allocates', () => {
    for (const tokensMax of [1, 100, T, T + 1, 300]) {
      const { layers } = new SessionCache(shape, tokensMax)
      const bytes = layers.flatMap(l => [l.keys, l.values, l.valueTail]).reduce((n, a) => n + a.byteLength, 0)
      expect(cacheBytes(shape, tokensMax)).toBe(bytes)
    }
  })

  it('refuses a pass across a block border, beyond its end, or of the wrong size', () => {
    const cache = new SessionCache(shape, T + 10)
    cache.append(fresh(0, 0, T - 1), T - 1)
    expect(() => cache.append(fresh(0, T - 1, 2), 2)).toThrow('do not fit')
    cache.append(fresh(0, T - 1, 1), 1)
    expect(() => cache.append(fresh(0, T, 11), 11)).toThrow('do not fit')
    expect(() => cache.append(fresh(0, T, 2), 1)).toThrow('numbers')
    expect(() => cache.truncate(T + 1)).toThrow('cannot truncate')
    expect(cache.length).toBe(T)
  })
})

describe('a cache budget', () => {
  it('reserves up to its bound and says what is missing in bytes', () => {
    const budget = new CacheBudget(1000)
    budget.reserve(600)
    expect(() => budget.reserve(401)).toThrow(expect.objectContaining({ name: 'NoRoomError' }))
    expect(() => budget.reserve(401)).toThrow('600 of 1000 bytes')
    expect(budget.used).toBe(600)
    budget.reserve(400)
    budget.release(1000)
    expect(budget.used).toBe(0)
    expect(() => budget.release(1)).toThrow('cannot release')
  })
})
