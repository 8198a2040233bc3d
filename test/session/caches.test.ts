/** Sessions with caches of int8: every hop has them, stand-ins too, and who has none is gone around. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Engine } from '../../src/engine/engine.ts'
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

const read = (world: TestWorld, see?: (event: GenerationEvent) => void, maxTokens = 20): Promise<GenerationEvent[]> =>
  readAnswer(world, prompt(60), { maxTokens, cache: 'i8' }, see)

const want = toyTokens(toy, prompt(60), greedy, 20, 'i8')

test('S33: has its type of caches at every hop, and after a loss at the stand-in', async () => {
  expect(want).not.toEqual(toyTokens(toy, prompt(60), greedy, 20))
  for (const name of ['a0', 'a2', 'a4']) {
    const world = await doubled()
    const events = await read(world, event => {
      if (event.event === 'token' && event.position === 70) world.kill(peerId(name))
    })
    expect(tokens(events)).toEqual(want)
    expect(events.some(({ event }) => event === 'recovered')).toBe(true)
    await world.stop()
  }
})

test('S19, S33: prepares a way around who leaves with caches of its type, before it goes', async () => {
  const world = await doubled(20)
  let departed: Promise<void> | undefined
  const leave = (event: GenerationEvent): void => {
    if (event.event === 'token' && event.position === 66) departed = world.depart(peerId('a2'))
  }
  const events = await read(world, leave, 80)
  expect(tokens(events)).toEqual(toyTokens(toy, prompt(60), greedy, 80, 'i8'))
  const left = { event: 'lost', peer: peerId('a2'), hop: 1, reason: 'left', charged: false }
  expect(events.filter(({ event }) => event === 'lost')).toEqual([left])
  const route = events.flatMap(event => (event.event === 'done' ? event.hops.map(({ peer }) => peer) : []))
  expect(route).toEqual(['a0', 'b2', 'a4'].map(peerId))
  await settle(departed!)
  await world.stop()
})

test('S33: goes around a peer whose engine has none, and charges nobody', async () => {
  const world = await doubled()
  const [old] = world.peers.get(peerId('a2'))!.probes
  // As it was announced to its stage service when the engine was added.
  const stages = world.peers.get(peerId('a2'))!.stages
  await stages.remove('ab'.repeat(32) as never, { start: 2, end: 4 })
  stages.add(withoutTypes(old!.engine), {
    model: 'ab'.repeat(32) as never,
    layers: toy.layers,
    vocab: toy.vocab,
    contextMax: toy.contextMax
  })
  const events = await read(world)
  expect(tokens(events)).toEqual(want)
  const lost = { event: 'lost', peer: peerId('a2'), hop: 1, reason: 'unsupported', charged: false }
  expect(events.filter(({ event }) => event === 'lost')).toEqual([lost])
  const route = events.flatMap(event => (event.event === 'done' ? event.hops.map(({ peer }) => peer) : []))
  expect(route).toEqual(['a0', 'b2', 'a4'].map(peerId))
  await world.stop()
})

/** An engine as one of before there were types of caches. */
function withoutTypes(engine: Engine): Engine {
  return new Proxy(engine, {
    get(target, key) {
      if (key === 'cacheTypes') return undefined
      const value = Reflect.get(target, key, target)
      return typeof value === 'function' ? value.bind(target) : value
    }
  })
}
