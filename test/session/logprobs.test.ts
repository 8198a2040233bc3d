/** S38: log-probabilities over several hops: they are of the token that they come with, whoever is lost; and tails that tell others. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Step, StepOutput } from '../../src/engine/engine.ts'
import type { PromptScores, TokenScore } from '../../src/engine/scores.ts'
import { doubled, readAnswer, settle, tokens } from './doubled.ts'
import { collect, peerId, prompt, promptScoresIn, scoresIn, TestWorld } from './world.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'] })
})
afterEach(() => {
  vi.useRealTimers()
})

test.each([[['a4']], [['a2']], [['a0', 'a2', 'a4']]])(
  'S38, P4: a stand-in tells the same when %j die in the middle of the answer',
  async names => {
    const world = await doubled()
    const events = await readAnswer(world, prompt(150), { maxTokens: 20, logprobs: 4 }, event => {
      if (event.event === 'token' && event.position === 160) for (const name of names) world.kill(peerId(name))
    })
    const want = world.expected(prompt(150), 20)
    expect(tokens(events)).toEqual(want)
    expect(scoresIn(events)).toEqual(world.expectedScores(prompt(150), want, 4))
    expect(events.some(({ event }) => event === 'recovered')).toBe(true)
    await world.stop()
  }
)

test('each token and each of the likeliest has its bytes; without the option there is none of it', async () => {
  const world = await doubled()
  const told = (await readAnswer(world, prompt(9), { maxTokens: 3, logprobs: 2 })).flatMap(event =>
    event.event === 'token' ? [event] : []
  )
  const spelt = (bytes: Uint8Array | undefined): string => new TextDecoder().decode(bytes)
  expect(told).toHaveLength(3)
  for (const { id, bytes, top } of told) {
    expect(spelt(bytes)).toBe(` ${id}`)
    expect(top!.map(each => spelt(each.bytes))).toEqual(top!.map(each => ` ${each.id}`))
    expect(top).toHaveLength(2)
  }
  const [plain] = (await readAnswer(world, prompt(9), { maxTokens: 1 })).filter(({ event }) => event === 'token')
  expect(Object.keys(plain!).sort()).toEqual(['event', 'id', 'ms', 'position', 'text'])
  await world.stop()
})

test.each([-1, 21, 0.5])('refuses logprobs %s before anything is asked', async logprobs => {
  const world = await doubled()
  await expect(readAnswer(world, prompt(9), { logprobs })).rejects.toThrow(
    'logprobs must be a whole number from 0 to 20'
  )
  expect(world.routes).toEqual([])
  await world.stop()
})

type Lie = (scores: readonly TokenScore[]) => readonly TokenScore[] | undefined
const first = (scores: readonly TokenScore[], change: Partial<TokenScore>) => [{ ...scores[0]!, ...change }]

test.each<[string, Lie]>([
  ['none', () => undefined],
  ['fewer of the likeliest', scores => first(scores, { top: scores[0]!.top.slice(1) })],
  ['the same one twice', scores => first(scores, { top: [scores[0]!.top[0]!, scores[0]!.top[0]!] })],
  ['one outside the vocabulary', scores => first(scores, { top: [scores[0]!.top[0]!, { id: 251, logprob: -9 }] })],
  [
    'the likeliest last',
    scores => first(scores, { top: scores[0]!.top.map((each, i) => ({ ...each, logprob: i - 9 })) })
  ]
])('S38, P10: a tail that tells %s breaks the protocol, and another one goes on', async (_, lie) => {
  vi.useRealTimers()
  const world = new TestWorld()
  await world.add('a0', [{ start: 0, end: 6 }])
  await world.add('b0', [{ start: 0, end: 6 }])
  const driver = await world.add('D', [])
  const { engine } = world.peers.get(peerId('a0'))!.probes[0]!
  const run = engine.run.bind(engine)
  engine.run = async (step: Step, options): Promise<StepOutput> => {
    const out = await run(step, options)
    return out.kind === 'tokens' ? { ...out, scores: lie(out.scores!) } : out
  }
  const events = await collect(
    world.generate(driver, prompt(9), { maxTokens: 4, logprobs: 2, speculate: false }).events()
  )
  const want = world.expected(prompt(9), 4)
  expect(tokens(events)).toEqual(want)
  expect(scoresIn(events)).toEqual(world.expectedScores(prompt(9), want, 2))
  expect(driver.violations.map(([remote]) => remote)).toContain(peerId('a0'))
  await world.stop()
})

/** What a driver is to hear of a prompt of so many tokens. */
const promptOf = (world: TestWorld, length: number, count: number): TokenScore[] =>
  world.expectedScores(prompt(length).slice(0, 1), prompt(length).slice(1), count)

test.each([[['a4']], [['a2']], [['a0']], [['a0', 'a2', 'a4']]])(
  'S39, P4: a prompt is told of once and in order when %j die in the middle of it',
  async names => {
    const world = await doubled(20)
    let seen = 0
    const events = await readAnswer(world, prompt(300), { maxTokens: 5, promptLogprobs: 3 }, event => {
      if (event.event !== 'prompt') return
      seen += event.tokens.length
      if (seen > 90 && world.peers.has(peerId(names[0]!))) for (const name of names) world.kill(peerId(name))
    })
    expect(tokens(events)).toEqual(world.expected(prompt(300), 5))
    expect(promptScoresIn(events)).toEqual(promptOf(world, 300, 3))
    expect(events.some(({ event }) => event === 'lost')).toBe(true)
    await settle(world.stop())
  }
)

test('S39: a prompt is told of alone, without a token, up to what the context holds', async () => {
  const world = await doubled()
  for (const length of [1, 2, 200, 1023, 1024]) {
    const events = await readAnswer(world, prompt(length), { maxTokens: 0, promptLogprobs: 1 })
    expect(tokens(events)).toEqual([])
    expect(promptScoresIn(events)).toEqual(promptOf(world, length, 1))
    expect(events.flatMap(event => (event.event === 'prompt' ? event.tokens : []))).toHaveLength(length)
    expect(events.at(-1)).toMatchObject({ event: 'done', ids: [], text: '', stop: 'length' })
  }
  await expect(readAnswer(world, prompt(5), { maxTokens: 0 })).rejects.toThrow(
    'maxTokens must be a whole number from 1'
  )
  await world.stop()
})

test('S39: a prompt goes in steps of 32 tokens where it is told of', async () => {
  const world = await doubled()
  await readAnswer(world, prompt(100), { maxTokens: 1, promptLogprobs: 0 })
  const [probe] = world.peers.get(peerId('a4'))!.probes
  expect(probe!.steps.map(step => step.tokens)).toEqual([32, 32, 32, 4])
  await world.stop()
})

type PromptLie = (prompt: PromptScores) => PromptScores | undefined

test.each<[string, PromptLie]>([
  ['nothing of it', () => undefined],
  ['too little of it', ({ position, scores }) => ({ position, scores: scores.slice(0, -1) })],
  ['of it out of turn', ({ position, scores }) => ({ position: position + 1, scores: scores.slice(1) })],
  ['of more than it has', ({ position, scores }) => ({ position, scores: [...scores, scores[0]!] })],
  [
    'fewer of the likeliest',
    ({ position, scores }) => ({ position, scores: scores.map(each => ({ ...each, top: [] })) })
  ]
])('S39, P10: a tail that tells %s breaks the protocol, and another one goes on', async (_, lie) => {
  vi.useRealTimers()
  const world = new TestWorld()
  await world.add('a0', [{ start: 0, end: 6 }])
  await world.add('b0', [{ start: 0, end: 6 }])
  const driver = await world.add('D', [])
  const { engine } = world.peers.get(peerId('a0'))!.probes[0]!
  const run = engine.run.bind(engine)
  engine.run = async (step: Step, options): Promise<StepOutput> => {
    const out = await run(step, options)
    return out.prompt === undefined ? out : { ...out, prompt: lie(out.prompt) }
  }
  const events = await collect(world.generate(driver, prompt(9), { maxTokens: 2, promptLogprobs: 2 }).events())
  expect(tokens(events)).toEqual(world.expected(prompt(9), 2))
  expect(promptScoresIn(events)).toEqual(promptOf(world, 9, 2))
  expect(driver.violations.map(([remote]) => remote)).toContain(peerId('a0'))
  await world.stop()
})
