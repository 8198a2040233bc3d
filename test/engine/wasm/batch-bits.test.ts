/** Whatever shares a pass, a token's bits are those that it has alone. */
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { EngineError } from '../../../src/errors.ts'
import { type CacheType, cacheTypes } from '../../../src/base/cache-type.ts'
import type { TeamPolicy } from '../../../src/engine/wasm/choice.ts'
import { alwaysTogether, byChance } from './policies.ts'
import { formsHere } from '../../../src/engine/wasm/forms.ts'
import { headRowsMax } from '../../../src/engine/wasm/kernels.ts'
import type { PagedCache } from '../../../src/engine/wasm/paged-cache.ts'
import { WasmSpan } from '../../../src/engine/wasm/span.ts'
import { syntheticShard } from '../../../src/engine/synthetic.ts'
import { plainDecoder } from './decoders.ts'
import type { ModelConfig } from '../../../src/model/decoder.ts'
import { shardName, shardOrder } from '../../../src/model/manifest.ts'
import type { Weights } from '../../../src/model/weight-types.ts'

const config: ModelConfig = { ...plainDecoder, layers: 2, intermediate: 52 }
const stacked = { q: 'q4-f16', k: 'f32', v: 'q8-f16i8-16', o: 'q8', gate: 'q8-f16', up: 'q4', down: 'q4-f16' } as const
const stacks: Weights = { embedding: 'q8', output: 'q8', layers: [stacked, { ...stacked, k: 'q4-f16', gate: 'f32' }] }
const weightTypes: readonly (readonly [name: string, weights: Weights])[] = [
  ...(['f32', 'q8', 'q4', 'q8-f16', 'q4-f16'] as const).map(type => [type, type] as const),
  ['mixed in stacks', stacks]
]

const spans: WasmSpan[] = []
afterAll(() => {
  for (const span of spans) span.release()
})

async function span(
  weights: Weights,
  start: number,
  end: number,
  threads: number,
  policy?: TeamPolicy
): Promise<WasmSpan> {
  const files = new Map(
    shardOrder(config).map((place, i) => [shardName(place), syntheticShard({ config, weights }, place, i + 1)])
  )
  const shardLocations = new Map([...files.keys()].map(name => [name, name]))
  const made = WasmSpan.create({
    ...{ config, weights, edge: 'f16', start, end, shardLocations, source: { kind: 'memory', files } },
    ...{ forms: formsHere(), threads, policy }
  })
  spans.push(made)
  await made.gather()
  return made
}

const bits = (values: Float32Array): string => Buffer.from(values.slice().buffer).toString('hex')

/** Sessions of a head and a tail, of which each pass may take some. */
class Pair {
  readonly #spans: readonly [WasmSpan, WasmSpan]

  constructor(spans: readonly [WasmSpan, WasmSpan]) {
    this.#spans = spans
  }

  static async of(weights: Weights, threads: number, policy?: TeamPolicy): Promise<Pair> {
    return new Pair([await span(weights, 0, 1, threads, policy), await span(weights, 1, 2, threads, policy)])
  }

  open(type: CacheType): readonly [PagedCache, PagedCache] {
    return [this.#spans[0].open(undefined, type), this.#spans[1].open(undefined, type)]
  }

  /** What each part gives: hidden states of the head, the last one of the tail, and its logits. */
  compute(parts: readonly { caches: readonly [PagedCache, PagedCache]; ids: Int32Array }[]): string[][] {
    const [head, tail] = this.#spans
    const first = head.pass(parts.map(({ caches, ids }) => ({ cache: caches[0], input: ids, tokens: ids.length })))
    const last = tail.pass(
      parts.map(({ caches, ids }, i) => ({ cache: caches[1], input: first[i] as Float32Array, tokens: ids.length }))
    )
    const logits: string[] = []
    tail.eachLogits(last as Float32Array[], (row, i) => {
      logits[i] = bits(row)
    })
    return parts.map((_, i) => [bits(first[i] as Float32Array), bits(last[i] as Float32Array), logits[i]!])
  }
}

interface Life {
  /** The pass in which its first tokens are. */
  readonly joins: number
  /** Tokens in each of its passes. */
  readonly chunks: readonly number[]
  readonly seed: number
  readonly held: CacheType
}

const lives = fc.array(
  fc.record<Life>({
    joins: fc.nat(6),
    chunks: fc.array(fc.oneof({ weight: 4, arbitrary: fc.constant(1) }, fc.constantFrom(2, 3, 7, 40, 131)), {
      minLength: 1,
      maxLength: 6
    }),
    seed: fc.nat(1000),
    held: fc.constantFrom(...cacheTypes)
  }),
  { minLength: 1, maxLength: 2 * headRowsMax }
)

function chunkIds({ chunks, seed }: Life, index: number): Int32Array {
  const at = chunks.slice(0, index).reduce((sum, n) => sum + n, 0)
  return Int32Array.from({ length: chunks[index]! }, (_, i) => ((at + i) ** 2 * 7 + seed * 3 + i) % config.vocab)
}

describe.each(weightTypes)('%s', (_, weights) => {
  it('gives every session the bits that it has alone, whoever shares its passes', { timeout: 120_000 }, async () => {
    const alone = await Pair.of(weights, 1)
    const together = [await Pair.of(weights, 1), await Pair.of(weights, 2, alwaysTogether)]
    fc.assert(
      fc.property(lives, all => {
        const want = all.map(life => {
          const caches = alone.open(life.held)
          const outs = life.chunks.map((_, i) => alone.compute([{ caches, ids: chunkIds(life, i) }])[0]!)
          for (const cache of caches) cache.free()
          return outs
        })
        for (const pair of together) {
          const caches = all.map(({ held }) => pair.open(held))
          const got = all.map((): string[][] => [])
          for (let pass = 0; got.some((outs, i) => outs.length < all[i]!.chunks.length); pass++) {
            const here = [...all.keys()].filter(i => all[i]!.joins <= pass && got[i]!.length < all[i]!.chunks.length)
            const outs = pair.compute(here.map(i => ({ caches: caches[i]!, ids: chunkIds(all[i]!, got[i]!.length) })))
            for (const [n, i] of here.entries()) {
              got[i]!.push(outs[n]!)
              // Its pages are the next one's.
              if (got[i]!.length === all[i]!.chunks.length) for (const cache of caches[i]!) cache.free()
            }
          }
          expect(got).toEqual(want)
        }
      }),
      { numRuns: 25 }
    )
  })
})

it.each([2, 3])(
  'gives the same bits where %s threads part and meet again at any layer',
  { timeout: 120_000 },
  async n => {
    const policy = byChance(n)
    const [alone, restless] = [await span(stacks, 0, 2, 1), await span(stacks, 0, 2, n, policy)] as const
    fc.assert(
      fc.property(
        fc.constantFrom(...cacheTypes),
        fc.array(fc.constantFrom(1, 1, 2, 9, 60), { maxLength: 30 }),
        (held, chunks) => {
          const outs = [alone, restless].map(model => {
            const cache = model.open(undefined, held)
            const seen = chunks.map((_, i) => {
              const ids = chunkIds({ joins: 0, chunks, seed: n, held }, i)
              const hidden = model.run(cache, ids, ids.length)
              return [bits(hidden), bits(model.logits(hidden))]
            })
            cache.free()
            return seen
          })
          expect(outs[1]).toEqual(outs[0])
        }
      ),
      { numRuns: 60 }
    )
    expect([...policy.seen].sort()).toEqual(['head alone', 'head together', 'layers alone', 'layers together'])
  }
)

it('fails the part whose numbers overflow, and no other one', async () => {
  const part = await span('f32', 1, 2, 1)
  const row = (n: number): Float32Array => Float32Array.from({ length: config.hidden }, (_, k) => ((k * n) % 5) - 2)
  const huge = new Float32Array(config.hidden).fill(Number.POSITIVE_INFINITY)
  const alone = [1, 2].map(n => part.run(part.open(), row(n), 1).slice())
  const [a, b, c] = [part.open(), part.open(), part.open()]
  part.run(b, row(3), 1)
  const outs = part.pass([
    { cache: a, input: row(1), tokens: 1 },
    { cache: b, input: huge, tokens: 1 },
    { cache: c, input: row(2), tokens: 1 }
  ])
  expect([outs[0], outs[2]]).toEqual(alone)
  expect(outs[1]).toBeInstanceOf(EngineError)
  expect([a.length, b.length, c.length]).toEqual([1, 1, 1])
  // Nothing of it is left where the next pass computes.
  b.truncate(0)
  expect(part.pass([a, b].map(cache => ({ cache, input: row(2), tokens: 1 })))[1]).toEqual(alone[1])
})
