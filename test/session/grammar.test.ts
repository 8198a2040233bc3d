/** S40: answers that follow a grammar over several hops: masks go with the steps, whoever is lost or leaves. */
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { ToyGrammar } from '../../sim/toy-grammar.ts'
import { ToyText } from '../../sim/toy-text.ts'
import { SessionFailedError } from '../../src/errors.ts'
import type { GenerationEvent } from '../../src/session/generation.ts'
import { doubled, readAnswer, settle, tokens } from './doubled.ts'
import type { Thinking } from '../../src/model/chat.ts'
import type { BegunAnswer, Grammar, SessionContent, SessionKeep } from '../../src/session/parts.ts'
import { greedy, peerId, prompt, type TestWorld, tokenizer, toy } from './world.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'] })
})
afterEach(() => {
  vi.useRealTimers()
})

/** The undisturbed answer in one piece. */
function expected(count: number, sampling = greedy): number[] {
  const grammar = new ToyGrammar(toy.vocab)
  return new ToyText(toy, sampling, undefined, ids => grammar.after(ids.slice(150))).after(prompt(150), count)
}

const read = (
  world: TestWorld,
  options: Parameters<TestWorld['generate']>[2] = {},
  see?: (event: GenerationEvent) => void,
  grammar: ToyGrammar | undefined = new ToyGrammar(toy.vocab)
): Promise<GenerationEvent[]> => readAnswer(world, prompt(150), { maxTokens: 24, parts: { grammar }, ...options }, see)

test('S40: over three hops the answer is that of one piece, and another one than without a grammar', async () => {
  const world = await doubled()
  expect(tokens(await read(world))).toEqual(expected(24))
  const sampling = { ...greedy, temperature: 0.9, seed: 4 }
  expect(tokens(await read(world, { temperature: 0.9, seed: 4 }))).toEqual(expected(24, sampling))
  expect(tokens(await read(world, { parts: {} }))).not.toEqual(expected(24))
  expect([...world.peers.values()].flatMap(({ violations }) => violations)).toEqual([])
  await world.stop()
})

test.each([[['a4']], [['a2']], [['a0']], [['a2', 'a4']], [['a0', 'a2', 'a4']]])(
  'S40, P4: the answer is the same when %j die in the middle of it',
  async names => {
    const world = await doubled()
    const events = await read(world, {}, event => {
      if (event.event === 'token' && event.position === 160) for (const name of names) world.kill(peerId(name))
    })
    expect(tokens(events)).toEqual(expected(24))
    expect(events.some(({ event }) => event === 'recovered')).toBe(true)
    await world.stop()
  }
)

test.each([0, 1, 11, 23])(
  'S40, K10: an answer that is resumed after %d tokens is the same, though hops die then',
  async length => {
    const world = await doubled()
    const begun = { promptIds: prompt(150), ids: expected(length), exact: true, stop: undefined }
    const parts = { grammar: new ToyGrammar(toy.vocab) }
    const events = await readAnswer(world, begun, { maxTokens: 24, parts }, event => {
      if (event.event === 'token' && event.position === 165) for (const name of ['a0', 'a4']) world.kill(peerId(name))
    })
    expect(tokens(events)).toEqual(expected(24).slice(length))
    await world.stop()
  }
)

test('S40: drafts that the grammar leaves out are not sent, and the others change nothing', async () => {
  const world = await doubled()
  const want = expected(40)
  const knowsAll = {
    drafter: () => ({
      // Right ones, and then one that is let through or not as it happens.
      propose: (text: readonly number[], count: number) => ({
        kind: 0,
        ids: [...want.slice(text.length - 150, text.length - 150 + 3), (want[text.length - 147] ?? 0) + 1].slice(
          0,
          count
        )
      })
    }),
    knowsDrafts: () => true
  }
  for (const names of [[], ['a4'], ['a0', 'a2']]) {
    const parts = { ...knowsAll, grammar: new ToyGrammar(toy.vocab) }
    const events = await read(world, { maxTokens: 40, parts }, event => {
      if (event.event === 'token' && event.position === 160) for (const name of names) world.kill(peerId(name))
    })
    expect(tokens(events)).toEqual(want)
    const done = events.find(({ event }) => event === 'done')
    expect(done).toMatchObject({ drafts: { taken: expect.any(Number) } })
    expect(done?.event === 'done' && done.drafts.taken).toBeGreaterThan(10)
  }
  expect([...world.peers.values()].flatMap(({ violations }) => violations)).toEqual([])
  await world.stop()
})

test('S19, S40: a way around a tail that leaves is taken between two tokens', async () => {
  const world = await doubled(20)
  let departed: Promise<void> | undefined
  const events = await read(world, { maxTokens: 80 }, event => {
    if (event.event === 'token' && event.position === 156) departed = world.depart(peerId('a4'))
  })
  expect(tokens(events)).toEqual(expected(80))
  expect(events.filter(({ event }) => event === 'lost')).toMatchObject([
    { peer: peerId('a4'), reason: 'left', charged: false }
  ])
  await settle(departed!)
  await world.stop()
})

test('S40: a grammar that takes its time delays each token by that, and nobody is charged', async () => {
  const world = await doubled()
  const grammar = new ToyGrammar(toy.vocab, () => new Promise(resolve => setTimeout(resolve, 300)))
  const events = await read(world, {}, undefined, grammar)
  expect(tokens(events)).toEqual(expected(24))
  expect(events.filter(({ event }) => event === 'lost')).toEqual([])
  await world.stop()
})

test('a grammar that fails ends the answer with its sentence, and the text so far', async () => {
  const world = await doubled()
  let left = 5
  const grammar = new ToyGrammar(toy.vocab, async () => {
    if (left-- === 0) throw new SessionFailedError('the grammar says no more what may follow: its thread has ended', '')
  })
  const seen: GenerationEvent[] = []
  const error = await read(world, {}, event => seen.push(event), grammar).catch((error: unknown) => error)
  expect(error).toMatchObject({ name: 'SessionFailedError', message: expect.stringContaining('its thread has ended') })
  expect(tokens(seen)).toEqual(expected(5))
  await delay(0)
  await world.stop()
})

test('what the answer must be begins after the thoughts that its prompt has opened, where one token ends them', async () => {
  const world = await doubled()
  const marks = { open: '<think>', close: '</think>', openId: 3 }
  const contents: SessionContent[] = []
  const keep: SessionKeep = content => {
    contents.push(content)
    return { routed: () => {}, token: () => {}, inexact: () => {}, end: () => {}, leave: () => {} }
  }
  const ask = async (
    thinking: Pick<Thinking, 'closeId' | 'opened'>,
    begun?: BegunAnswer
  ): Promise<(number | undefined)[]> => {
    const after: (number | undefined)[] = []
    const grammar: Grammar = {
      masks: async (text, drafts, options) => {
        after.push(options.after)
        return new ToyGrammar(toy.vocab).masks(text, drafts)
      }
    }
    const prompted = { ids: prompt(150), droppedTurns: 0, thinking: { ...marks, ...thinking } }
    const conversing = { ...tokenizer, chat: async () => prompted }
    const generation = world.generate(
      world.peers.get(peerId('D'))!,
      begun ?? { messages: [{ role: 'user', content: 'x' }] },
      { maxTokens: 3, parts: { grammar, keep, tokenizer: conversing } }
    )
    await settle(
      (async () => {
        for await (const _ of generation);
      })()
    )
    return after
  }
  expect(new Set(await ask({ opened: true, closeId: 7 }))).toEqual(new Set([7]))
  // Who resumes it has no conversation: it is kept with it.
  const kept = contents.at(-1)!
  expect(kept.thoughtsEnd).toBe(7)
  const begun = { ...kept, ids: [5], stop: undefined }
  expect(new Set(await ask({ opened: false, closeId: undefined }, begun))).toEqual(new Set([7]))
  expect(contents.at(-1)).toMatchObject({ thoughtsEnd: 7, ids: [5] })
  expect(new Set(await ask({ opened: false, closeId: 7 }))).toEqual(new Set([undefined]))
  await expect(ask({ opened: true, closeId: undefined })).rejects.toMatchObject({ name: 'InvalidOptionError' })
  await world.stop()
})
