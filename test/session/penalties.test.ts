/** S36: sessions with penalties over several hops: the tail has the ids of all tokens so far, whoever is lost or leaves. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { toyTokens } from '../../sim/toy-text.ts'
import type { GenerationEvent } from '../../src/session/generation.ts'
import { greedy, peerId, prompt, type TestWorld, toy } from './world.ts'
import { doubled, readAnswer, settle, tokens } from './doubled.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'] })
})
afterEach(() => {
  vi.useRealTimers()
})

const penalties = { presencePenalty: 0.5, frequencyPenalty: -0.25, repetitionPenalty: 1.2 }

/** The undisturbed answer in one piece. */
function expected(count: number, given = penalties): number[] {
  return toyTokens(toy, prompt(150), { ...greedy, ...given, promptTokens: 150 }, count)
}

const read = (
  world: TestWorld,
  see?: (event: GenerationEvent) => void,
  options: Parameters<TestWorld['generate']>[2] = penalties
): Promise<GenerationEvent[]> => readAnswer(world, prompt(150), { maxTokens: 20, ...options }, see)

test('S36: over three hops the answer is that of one piece, and another one than without penalties', async () => {
  const world = await doubled()
  expect(tokens(await read(world))).toEqual(expected(20))
  const tail = world.peers.get(peerId('a4'))!.probes[0]!.steps.splice(0)
  expect(tail.flatMap(({ ids }) => [...ids!])).toEqual([...prompt(150), ...expected(20).slice(0, -1)])
  for (const name of ['a0', 'a2']) {
    expect(world.peers.get(peerId(name))!.probes[0]!.steps.every(({ ids }) => ids === undefined)).toBe(true)
  }
  const without = tokens(await read(world, undefined, { repetitionPenalty: 1 }))
  expect(without).toEqual(toyTokens(toy, prompt(150), greedy, 20))
  expect(without).not.toEqual(expected(20))
  expect(world.peers.get(peerId('a4'))!.probes[0]!.steps.every(({ ids }) => ids === undefined)).toBe(true)
  await world.stop()
})

test.each([[['a4']], [['a2']], [['a0']], [['a2', 'a4']], [['a0', 'a2', 'a4']]])(
  'S36, P4: a stand-in has the ids, too, when %j die in the middle of the answer',
  async names => {
    const world = await doubled()
    const events = await read(world, event => {
      if (event.event === 'token' && event.position === 160) for (const name of names) world.kill(peerId(name))
    })
    expect(tokens(events)).toEqual(expected(20))
    expect(events.some(({ event }) => event === 'recovered')).toBe(true)
    await world.stop()
  }
)

test.each([[['a4']], [['a0', 'a2', 'a4']]])(
  'S37, P4: a stand-in draws with the same filters when %j die',
  async names => {
    const world = await doubled()
    const filters = { minP: 0.2, logitBias: { 3: -4, 250: 0.5 }, temperature: 0.8, seed: 5 }
    const events = await read(
      world,
      event => {
        if (event.event === 'token' && event.position === 160) for (const name of names) world.kill(peerId(name))
      },
      filters
    )
    const want = toyTokens(toy, prompt(150), { ...greedy, ...filters }, 20)
    expect(tokens(events)).toEqual(want)
    expect(want).not.toEqual(toyTokens(toy, prompt(150), { ...greedy, temperature: 0.8, seed: 5 }, 20))
    expect(events.some(({ event }) => event === 'recovered')).toBe(true)
    await world.stop()
  }
)

test('S19, S36: prepares a way around a tail that leaves with the ids of its text, before it goes', async () => {
  const world = await doubled(20)
  let departed: Promise<void> | undefined
  const leave = (event: GenerationEvent): void => {
    if (event.event === 'token' && event.position === 156) departed = world.depart(peerId('a4'))
  }
  const events = await read(world, leave, { ...penalties, maxTokens: 80 })
  expect(tokens(events)).toEqual(expected(80))
  const left = { event: 'lost', peer: peerId('a4'), hop: 2, reason: 'left', charged: false }
  expect(events.filter(({ event }) => event === 'lost')).toEqual([left])
  await settle(departed!)
  await world.stop()
})

test.each([
  { presencePenalty: 3 },
  { frequencyPenalty: Number.NaN },
  { repetitionPenalty: -1 },
  { repetitionPenalty: 11 },
  { minP: 1.5 },
  { logitBias: { 251: 1 } },
  { logitBias: { 3: 200 } },
  { logitBias: null as unknown as Record<number, number> }
])('refuses %j before anything is asked', async options => {
  const world = await doubled()
  await expect(read(world, undefined, options)).rejects.toMatchObject({ name: 'InvalidOptionError' })
  expect(world.routes).toEqual([])
  await world.stop()
})
