/** An answer that was begun elsewhere goes on as if nothing had happened (promise P3). */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { SessionContent } from '../../src/session/parts.ts'
import { resume } from '../../src/session/service.ts'
import { signerOf } from '../../sim/cast.ts'
import { collect, greedy, modelId, prompt, TestWorld, tokenizer, toy } from './world.ts'

async function world() {
  const world = new TestWorld()
  const driver = await world.add('A', [{ start: 0, end: 3 }])
  await world.add('B', [{ start: 3, end: 6 }])
  const parts = {
    links: driver.links,
    sign: signerOf(driver.id),
    stages: driver.stages,
    tokenizer,
    model: { id: modelId, layers: toy.layers, vocab: toy.vocab, contextMax: toy.contextMax, eosIds: [] as number[] },
    route: async () => world.route(new Set())
  }
  return { world, driver, parts }
}

describe('a session that is resumed', () => {
  test('gives the tokens of the undisturbed one, wherever it broke off, whatever the sampling', async () => {
    const { world: peers, parts } = await world()
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 200 }),
        fc.integer({ min: 1, max: 30 }),
        fc.nat(),
        fc.constantFrom(
          {},
          { temperature: 0.8, seed: 7 },
          { temperature: 1.3, topP: 0.9, topK: 40, seed: 9 },
          { frequencyPenalty: 1, seed: 2 }
        ),
        async (length, maxTokens, at, sampling) => {
          const promptIds = prompt(length)
          const expected = peers.expected(promptIds, maxTokens, { ...sampling, promptTokens: length })
          const ids = expected.slice(0, at % (maxTokens + 1))
          const begun = { promptIds, ids, exact: true, stop: undefined }
          const generation = resume(async () => ({ parts, begun, options: { ...greedy, ...sampling, maxTokens } }))
          const events = await collect(generation.events())
          const text = (of: readonly number[]): string => of.map(id => ` ${id}`).join('')
          expect(events[0]).toEqual({ event: 'resumed', tokens: ids.length, text: text(ids) })
          const tokens = events.filter(event => event.event === 'token')
          expect(tokens.map(({ id }) => id)).toEqual(expected.slice(ids.length))
          expect(tokens.map(({ position }) => position)).toEqual(tokens.map((_, i) => length + ids.length + i))
          expect(await generation.answer).toMatchObject({ ids: expected, promptIds, text: text(expected), exact: true })
          expect(peers.cacheBytesUsed).toBe(0)
        }
      ),
      { numRuns: 60 }
    )
    await peers.stop()
  })

  test.each([
    ['at its length', 'length', 10],
    ['at the end of sequence', 'eos', 30]
  ] as const)('that had ended %s is shown and costs no step', async (_, stop, maxTokens) => {
    const { driver, parts } = await world()
    const begun = { promptIds: [1, 2], ids: prompt(10), exact: false, stop }
    const generation = resume(async () => ({ parts, begun, options: { ...greedy, maxTokens } }))
    const events = await collect(generation.events())
    expect(events.map(({ event }) => event)).toEqual(['resumed', 'done'])
    expect(events[1]).toMatchObject({ ids: prompt(10), stop, exact: false, hops: [] })
    expect(driver.probes[0]!.steps).toEqual([])
  })

  test('goes on where it had reached its length when it may be longer now', async () => {
    const { world: peers, parts } = await world()
    const promptIds = prompt(5)
    const expected = peers.expected(promptIds, 20)
    const begun = { promptIds, ids: expected.slice(0, 10), exact: true, stop: 'length' as const }
    const generation = resume(async () => ({ parts, begun, options: { ...greedy, maxTokens: 20 } }))
    await collect(generation.events())
    expect((await generation.answer).ids).toEqual(expected)
  })
})

describe('a session that is kept', () => {
  test('tells its keeper everything from the moment it is asked, and shows what goes wrong', async () => {
    const { world: peers, parts } = await world()
    const told: unknown[] = []
    const keep = (content: SessionContent, onWarning: (message: string) => void) => {
      told.push(content)
      onWarning('too few')
      return {
        routed: () => void told.push('routed'),
        token: (id: number) => void told.push(id),
        inexact: () => void told.push('inexact'),
        end: (stop: unknown) => void told.push(stop),
        leave: () => void told.push('leave')
      }
    }
    const promptIds = prompt(5)
    const expected = peers.expected(promptIds, 12)
    const begun = { promptIds, ids: expected.slice(0, 2), exact: true, stop: undefined }
    const options = { ...greedy, maxTokens: 12 }
    const events = await collect(resume(async () => ({ parts: { ...parts, keep }, begun, options })).events())
    expect(events.slice(0, 3).map(({ event }) => event)).toEqual(['resumed', 'warning', 'route'])
    expect(events[1]).toEqual({ event: 'warning', message: 'too few' })
    const content = { promptIds, ids: expected.slice(0, 2), exact: true, sampling: greedy, cache: 'f32', maxTokens: 12 }
    expect(told).toEqual([content, 'routed', ...expected.slice(2), 'length', undefined])
  })

  test('hears that it was broken off', async () => {
    const { parts } = await world()
    const ends: unknown[] = []
    const keep = () => ({
      routed: () => {},
      token: () => {},
      inexact: () => {},
      end: (stop: unknown) => void ends.push(stop),
      leave: () => {}
    })
    const begun = { promptIds: prompt(5), ids: [], exact: true, stop: undefined }
    for await (const _ of resume(async () => ({ parts: { ...parts, keep }, begun, options: greedy }))) break
    expect(ends).toEqual([undefined])
  })
})
