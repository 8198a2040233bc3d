/** What takes time in a simulated world beside layers: the head, long passes, the software of frames and streams. */
import { expect, test } from 'vitest'
import { parseScenario } from '../../sim/scenario.ts'
import type { ScenarioFile } from '../../sim/scenario-fields.ts'
import { type Output, World, type WorldCourse } from '../../sim/world.ts'

type End = Output & { event: 'done' }

interface Lived {
  /** Of the first answer: from the question to its first token, and from then on per token. */
  readonly firstMs: number
  readonly tokenMs: number
  /** In all engines of the route, of all steps. */
  readonly computeMs: number
  readonly hops: number
}

/** One answer of two hops, driven by a third peer, over a link that takes no time. */
async function live({
  group = {},
  model = {},
  memoryMB = 25,
  prompt = 1,
  answer = 40
}: {
  group?: Partial<ScenarioFile['peers'][number]>
  model?: Partial<ScenarioFile['model']>
  memoryMB?: number
  prompt?: number
  answer?: number
}): Promise<Lived> {
  const peer = { visitMs: 1, layerMs: 1, frameMs: 0, openMs: 0, ...group }
  const file: ScenarioFile = {
    name: 'two hops',
    minutes: 0.3,
    model: { layers: 4, layerMB: 10, contextTokens: 160, ...model },
    peers: [
      { name: 'driver', count: 1, memoryMB: 1, ...peer },
      { name: 'half', count: 2, memoryMB, ...peer }
    ],
    radio: { rateMbps: 1e6, delayMs: 0, jitterMs: 0 },
    workload: [
      { from: 'driver', perMinute: 30, promptTokens: [prompt, prompt], answerTokens: [answer, answer], fromS: 8 }
    ]
  }
  const events: WorldCourse[] = []
  await new World({ scenario: parseScenario(file, 'here'), seed: 1, onCourse: event => events.push(event) }).run()
  const asked = events.find(event => event.kind === 'ask')!
  const outputs = events.filter(event => event.kind === 'output').filter(({ number }) => number === asked.number)
  const tokens = outputs.filter(({ output }) => output.event === 'token').map(({ atMs }) => atMs)
  const end = outputs.find(({ output }) => output.event === 'done')!.output as End
  return {
    firstMs: tokens[0]! - asked.atMs,
    tokenMs: tokens.length > 1 ? (tokens.at(-1)! - tokens[0]!) / (tokens.length - 1) : 0,
    computeMs: end.hops.reduce((sum, { computeMs }) => sum + computeMs, 0),
    hops: end.hops.length
  }
}

test('the tail reads the head for every token that it samples, and the embedding where they are one', async () => {
  const plain = await live({})
  const heavy = await live({ model: { headMB: 30 }, memoryMB: 55 })
  const tied = await live({ model: { embeddingMB: 30, tied: true }, memoryMB: 55 })
  for (const { hops, computeMs } of [heavy, tied]) {
    expect(hops).toBe(plain.hops)
    // 40 tokens: three layers more at a millisecond each, and some noise.
    expect(computeMs - plain.computeMs).toBeGreaterThan(40 * 3 * 0.9)
    expect(computeMs - plain.computeMs).toBeLessThan(40 * 3 * 1.2)
  }
})

test('every token of a pass but the first costs a share of one that comes alone', async () => {
  const one = await live({ answer: 1, prompt: 1 })
  const many = await live({ answer: 1, prompt: 101, group: { prefillRatio: 0.2 } })
  // Four layers: a hundred tokens at a fifth of a millisecond each, and some noise.
  expect(many.computeMs - one.computeMs).toBeGreaterThan(4 * 100 * 0.2 * 0.9)
  expect(many.computeMs - one.computeMs).toBeLessThan(4 * 100 * 0.2 * 1.2)
})

test('a token passes three frames from the driver to itself, and each takes the software of its ends', async () => {
  const [none, some] = [await live({}), await live({ group: { frameMs: 4 } })]
  expect(some.tokenMs - none.tokenMs).toBeGreaterThan(3 * 4 - 1)
  expect(some.tokenMs - none.tokenMs).toBeLessThan(3 * 4 + 1)
})

test('streams are opened one after the other along a route', async () => {
  const [none, some] = [await live({}), await live({ group: { openMs: 30 } })]
  expect(some.firstMs - none.firstMs).toBeGreaterThan(2 * 30 - 1)
})
