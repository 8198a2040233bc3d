/** A short convolution remembers the rows before it, wherever a session is cut back to, goes on from, or begins. */
import fc from 'fast-check'
import { afterAll, expect, it } from 'vitest'
import { type CacheType, cacheTypes } from '../../../src/base/cache-type.ts'
import { syntheticShard } from '../../../src/engine/synthetic.ts'
import { formsHere } from '../../../src/engine/wasm/forms.ts'
import type { PagedCache } from '../../../src/engine/wasm/paged-cache.ts'
import { WasmSpan } from '../../../src/engine/wasm/span.ts'
import type { ModelConfig } from '../../../src/model/decoder.ts'
import { attentionBlock } from '../../../src/model/limits.ts'
import { shardName, shardOrder } from '../../../src/model/manifest.ts'
import { plainDecoder } from './decoders.ts'
import { rollbackTokens } from '../../../src/engine/limits.ts'
import { alwaysTogether } from './policies.ts'

/** Of more positions than a page has, and with columns that are no whole vectors. */
const config: ModelConfig = {
  ...plainDecoder,
  hidden: 78,
  layers: 4,
  kinds: { of: [{ convolution: { length: 3 } }, {}, { convolution: { length: 5 } }], layers: [0, 1, 2, 0] }
}
const length = 300

const spans: WasmSpan[] = []
afterAll(() => {
  for (const span of spans) span.release()
})

async function spanOf(start: number, end: number, threads: number): Promise<WasmSpan> {
  const weights = 'q8-f16'
  const files = new Map(
    shardOrder(config).map((place, i) => [shardName(place), syntheticShard({ config, weights }, place, i + 1)])
  )
  const shardLocations = new Map([...files.keys()].map(name => [name, name]))
  const made = WasmSpan.create({
    ...{ config, weights, edge: 'f16', start, end, shardLocations, source: { kind: 'memory', files } },
    ...{ forms: formsHere(), threads, policy: alwaysTogether }
  })
  spans.push(made)
  await made.gather()
  return made
}

const idAt = (at: number): number => (at * at * 7 + at) % config.vocab
const ids = (from: number, count: number): Int32Array => Int32Array.from({ length: count }, (_, i) => idAt(from + i))
const bits = (values: Float32Array): string => Buffer.from(values.slice().buffer).toString('hex')

/** What is done with a session: some more tokens, or back to a position. */
type Act = { readonly run: number } | { readonly back: number }

it('gives the bits that it gives without, however often a session is cut back', { timeout: 120_000 }, async () => {
  const whole = await spanOf(0, 4, 1)
  const want = new Map<CacheType, string[]>()
  for (const held of cacheTypes) {
    const cache = whole.open(undefined, held)
    want.set(
      held,
      Array.from({ length }, (_, at) => bits(whole.run(cache, ids(at, 1), 1)))
    )
    cache.free()
  }
  const cuts = [[await spanOf(0, 4, 2)], [await spanOf(0, 1, 1), await spanOf(1, 3, 2), await spanOf(3, 4, 1)]]
  let compared = 0
  const act = fc.oneof(
    { weight: 2, arbitrary: fc.record({ run: fc.constantFrom(1, 2, 3, 40, 128, 131) }) },
    { weight: 1, arbitrary: fc.record({ back: fc.integer({ min: 1, max: 280 }) }) }
  )
  fc.assert(
    fc.property(
      fc.constantFrom(...cuts),
      fc.constantFrom(...cacheTypes),
      fc.array(act as fc.Arbitrary<Act>, { minLength: 3, maxLength: 12 }),
      (parts, held, acts) => {
        const caches = parts.map(part => part.open(undefined, held))
        for (const each of acts) {
          const at = caches[0]!.length
          if ('back' in each) {
            for (const cache of caches) cache.truncate(Math.max(0, at - each.back))
            // What a stage has given back it begins anew, and with it those that still have it.
            const least = Math.min(...caches.map(cache => cache.length))
            for (const cache of caches) cache.truncate(least)
            continue
          }
          const count = Math.min(each.run, length - at)
          if (count === 0) continue
          let rows: Int32Array | Float32Array = ids(at, count)
          for (const [p, part] of parts.entries()) rows = part.run(caches[p]!, rows, count)
          if (bits(rows as Float32Array) !== want.get(held)![at + count - 1])
            throw new Error(`position ${at + count - 1}`)
          compared++
        }
        for (const cache of caches) cache.free()
      }
    ),
    { numRuns: 40 }
  )
  expect(compared).toBeGreaterThan(80)
  // As far as it must go back, and further.
  const cache = whole.open(undefined, 'f32')
  for (let at = 0; at < length; at += 100) whole.run(cache, ids(at, 100), 100)
  cache.truncate(length - rollbackTokens)
  expect(bits(whole.run(cache, ids(length - rollbackTokens, 1), 1))).toBe(want.get('f32')![length - rollbackTokens])
  cache.truncate(length - rollbackTokens - 1)
  expect(cache.length).toBe(0)
  expect(whole.blocks.bytesUsed).toBe(0)
})

it.each(cacheTypes)('goes on from blocks that another session has made, cache %s', async held => {
  const span = await spanOf(0, 4, 1)
  const { blocks } = span
  const run = (cache: PagedCache, from: number, count: number): string => bits(span.run(cache, ids(from, count), count))
  const [first, second] = [span.open(undefined, held), span.open(undefined, held)]
  run(first, 0, 2 * attentionBlock)
  const want = run(first, 2 * attentionBlock, 1)
  const blockWant = run(first, 2 * attentionBlock + 1, 1)
  const heldBlocks = [blocks.hold(first, 0), blocks.hold(first, 1)]
  first.free()
  for (const block of heldBlocks) blocks.adopt(second, block)
  expect(run(second, 2 * attentionBlock, 1)).toBe(want)
  // Cut into a block that others hold, it goes on by itself, and leaves that as it was.
  const third = span.open(undefined, held)
  for (const block of heldBlocks) blocks.adopt(third, block)
  third.truncate(attentionBlock + 1)
  span.run(third, Int32Array.of(1, 2, 3), 3)
  third.truncate(attentionBlock + 1)
  run(third, attentionBlock + 1, attentionBlock - 1)
  expect(run(third, 2 * attentionBlock, 1)).toBe(want)
  expect(run(second, 2 * attentionBlock + 1, 1)).toBe(blockWant)
  for (const cache of [second, third]) cache.free()
  for (const block of heldBlocks) blocks.release(block)
  expect(blocks.bytesUsed).toBe(0)
})
