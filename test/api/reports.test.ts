/** What users of other servers of this API have reported, tried here, before a real peer: each test names the reports. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { type ApiServer, serveApi } from '../../src/api/serve.ts'
import type { Manifest, Peer } from '../../src/index.ts'
import { openStore } from '../../src/model/store.ts'
import { newSwarm } from '../../src/swarm/swarm-file.ts'
import { readExposition, total } from '../exposition.ts'
import { importScripted } from '../model/scripted-model.ts'
import { writeStoryChat } from '../model/story-chat.ts'
import { livePeers } from '../peer/live-peers.ts'
import { clientsOf, type FrontDoor, type Told } from './front-door.ts'

const { start, folder } = livePeers('api-reports', afterAll)
const chat = '/v1/chat/completions'
const completions = '/v1/completions'
const prompt = 'Once upon a time'
/** Of what is asked, so that it has as many tokens as it may. */
const endless = { 1: -100, 2: -100 }
const report = 'Sun 😀 in the hills'

const templates = join(import.meta.dirname, '../model/templates')
const read = (name: string): string => readFileSync(join(templates, name), 'utf8')
/** Of six families: a peer serves no more models than eight. */
const names = ['deepseek-r1-distill', 'gemma-4', 'gpt-oss', 'qwen2.5', 'qwen3', 'strict']

let peer: Peer
let door: ApiServer
let front: FrontDoor

beforeAll(async () => {
  const dataDir = await folder()
  await writeStoryChat(dataDir)
  const chatTemplate = "{% for m in messages %}{{ m.role + ' ' + m.content + '\n' }}{% endfor %}assistant^"
  await importScripted(dataDir, { name: 'speaker', chatTemplate, scripts: { '^': report } })
  const store = await openStore({ own: join(dataDir, 'models') })
  const { manifest } = await store.resolve('speaker')
  for (const name of names) {
    await store.putManifest({ ...(manifest as Manifest), name, chatTemplate: read(`${name}.jinja`) }, { partial: true })
  }
  const models = ['storychat', 'speaker', ...names].map(model => ({ model }))
  peer = await start({ dataDir, swarm: newSwarm('api-reports'), models, memoryBytes: 600e6 })
  await vi.waitFor(
    () => {
      const covered = peer.status().models.filter(({ coverage }) => coverage.length > 0 && coverage.every(Boolean))
      expect(covered).toHaveLength(models.length)
    },
    { timeout: 60_000 }
  )
  door = await serveApi(peer, { port: 0, pingMs: 20 })
  front = clientsOf(door, peer)
})
afterAll(() => door?.close())

/** The JSON of a stream's events. */
function eventsOf({ text }: Told): Told['json'][] {
  expect(text.endsWith('data: [DONE]\n\n')).toBe(true)
  const frames = text.split('\n\n').filter(frame => frame.startsWith('data: {'))
  return frames.map(frame => JSON.parse(frame.slice('data: '.length)))
}

it('keeps to either limit at each endpoint, and to the newer one of both (ollama#7125, #18575)', async () => {
  const common = { model: 'storychat', logit_bias: endless, temperature: 0 }
  for (const [path, asked, field] of [
    [chat, { messages: [{ role: 'user', content: 'Hi' }] }, 'completion_tokens'],
    [completions, { prompt }, 'completion_tokens']
  ] as const) {
    for (const limits of [
      { max_tokens: 5 },
      { max_completion_tokens: 5 },
      { max_completion_tokens: 5, max_tokens: 9 }
    ]) {
      const { json } = await front.ask(path, { json: { ...common, ...asked, ...limits } })
      expect(json.usage[field]).toBe(5)
      expect(json.choices[0].finish_reason).toBe('length')
    }
  }
  const input = { input: 'Hi', max_output_tokens: 5, ...common }
  expect((await front.ask('/v1/responses', { json: input })).json.usage.output_tokens).toBe(5)
})

it('says what a stream took where it is asked for that, and then once (vllm#7262, #6371, #36379)', async () => {
  const json = { model: 'storychat', prompt, max_tokens: 3, stream: true }
  for (const stream_options of [undefined, null, {}, { include_usage: false }]) {
    const events = eventsOf(await front.ask(completions, { json: { ...json, stream_options } }))
    expect(events.some(event => 'usage' in event)).toBe(false)
  }
  const events = eventsOf(await front.ask(completions, { json: { ...json, stream_options: { include_usage: true } } }))
  expect(events.slice(0, -1).every(({ usage, choices }) => usage === null && choices.length === 1)).toBe(true)
  expect(events.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: 3 } })
})

it('takes what just fits into a context, and refuses what does not with both numbers, whole and streamed (ollama#4967, #17889, llama.cpp#19774)', async () => {
  const context = 256
  const story = (await front.ask('/tokenize', { json: { model: 'storychat', prompt } })).json.tokens as number[]
  const messages = [{ role: 'user', content: 'Hi' }]
  const usual = await front.ask(chat, { json: { model: 'storychat', messages, max_tokens: 1 } })
  const room = context - usual.json.usage.prompt_tokens
  for (const stream of [false, true]) {
    const ask = async (path: string, json: object): Promise<Told> =>
      front.ask(path, { json: { model: 'storychat', temperature: 0, stream, ...json } })
    for (const [path, fits, tooLong, param] of [
      [completions, ids(context - 1), ids(context), 'prompt'],
      [completions, ids(context - 1), ids(context + 1), 'prompt'],
      [completions, { ...ids(250), max_tokens: 6 }, { ...ids(250), max_tokens: 7 }, 'prompt'],
      [chat, { messages, max_tokens: room }, { messages, max_tokens: room + 1 }, 'messages']
    ] as const) {
      expect((await ask(path, fits)).status).toBe(200)
      const { status, json } = await ask(path, tooLong)
      expect({ status, ...json.error }).toMatchObject({ status: 400, param, code: 'context_length_exceeded' })
      expect(json.error.message).toMatch(/\d+ tokens.*context of 256/)
    }
  }
  function ids(count: number): object {
    return { prompt: Array.from({ length: count }, (_, i) => story[i] ?? 263), max_tokens: 1 }
  }
})

it('writes no half of a character, and tells its bytes (llama.cpp#28926, mlx-vlm#1147, ollama#13497, vllm#16540)', async () => {
  const messages = [{ role: 'user', content: 'Hi' }]
  const ask = (json: object) => front.ask(chat, { json: { model: 'speaker', messages, logprobs: true, ...json } })
  const bytesOf = (entries: { bytes: number[] }[]) => Buffer.from(entries.flatMap(({ bytes }) => bytes))
  const whole = (await ask({})).json.choices[0]
  expect(whole.message.content).toBe(report)
  const all = whole.logprobs.content
  // The smile is four tokens, of which none is a text by itself.
  expect(all.filter(({ bytes }: { bytes: number[] }) => bytes.length === 1)).toHaveLength(4)
  expect(bytesOf(all).toString()).toBe(report)
  for (let max_tokens = 1; max_tokens <= all.length; max_tokens++) {
    for (const stream of [false, true]) {
      const told = await ask({ max_tokens, stream })
      const choices = stream ? eventsOf(told).map(({ choices: [choice] }) => choice) : told.json.choices
      const text = choices.map((choice: Told['json']) => (choice.delta ?? choice.message).content ?? '').join('')
      const scored = choices.flatMap(({ logprobs }: Told['json']) => logprobs?.content ?? [])
      expect(scored).toHaveLength(max_tokens)
      const bytes = bytesOf(scored)
      // As far as its bytes are whole characters; a stream so has the text that a whole answer has.
      expect(text).toBe(new TextDecoder().decode(bytes, { stream: true }))
      expect(report.startsWith(text)).toBe(true)
    }
  }
  for (const [stop, left] of [
    ['😀', 'Sun '],
    ['😁', report],
    ['😀 in', 'Sun ']
  ] as const) {
    const told = await ask({ stop, stream: true })
    const text = eventsOf(told).map(({ choices }) => choices[0].delta.content ?? '')
    expect(text.join('')).toBe(left)
  }
})

it('answers each conversation that templates take, and refuses the others in their words (llama.cpp#11402, vllm#13978, picoclaw#207)', async () => {
  const cases = JSON.parse(read('cases.json')) as Record<string, { tools?: object[]; variables?: object }>
  const { references } = JSON.parse(read('references.json')) as {
    references: Record<string, Record<string, { text?: string }>>
  }
  const seen = { 200: 0, 400: 0 }
  for (const model of names) {
    for (const [name, { variables, ...conversation }] of Object.entries(cases)) {
      const json = { model, max_tokens: 1, chat_template_kwargs: variables, tool_choice: 'auto', ...conversation }
      const { status, text, json: told } = await front.ask(chat, { json })
      seen[status as 200 | 400]++
      if (status === 200) expect(references[model]![name], `${model} ${name}`).toHaveProperty('text')
      else if (told.error.param !== 'tools') {
        expect(told.error.message, text).toMatch(/refuses these messages/)
        expect(references[model]![name], `${model} ${name} ${text}`).toHaveProperty('refused')
      }
    }
  }
  expect(seen[200] + seen[400]).toBe(names.length * Object.keys(cases).length)
  expect(Math.min(...Object.values(seen))).toBeGreaterThan(0)
})

it('has an envelope around each error, whatever is asked (vllm#12886, ray#64833)', async () => {
  const paths = [
    ...[chat, completions, '/v1/responses', '/v1/embeddings', '/tokenize', '/detokenize', '/tokenizer_info'],
    ...['/v1/models', '/v1/models/storychat', '/v1/models/a/b', '/v1', '/v2/chat/completions', '/%00', '/metrics/x']
  ]
  /** What is right everywhere; then some fields become something else. */
  const right = {
    ...{ model: 'storychat', messages: [{ role: 'user', content: 'x' }], prompt: 'x', input: 'x', tokens: [1, 2] },
    ...{ max_tokens: 1, max_output_tokens: 1 }
  }
  const fields = [
    ...[
      'messages',
      'prompt',
      'input',
      'tokens',
      'model',
      'stop',
      'n',
      'tools',
      'tool_choice',
      'seed',
      'stream',
      'stream_options'
    ],
    ...['max_tokens', 'max_completion_tokens', 'logprobs', 'top_logprobs', 'echo', 'logit_bias', 'temperature', 'top_k']
  ]
  const value = fc.oneof(
    fc.jsonValue({ maxDepth: 2 }),
    fc.constantFrom<unknown>(
      null,
      [{ role: 'tool', content: null }],
      [40_000],
      true,
      0,
      1,
      -1,
      1e300,
      { 1: 5 },
      { x: 5 }
    )
  )
  const body = fc.oneof(
    {
      weight: 9,
      arbitrary: fc
        .dictionary(fc.constantFrom(...fields), value, { maxKeys: 2 })
        .map(wrong => JSON.stringify({ ...right, ...wrong }))
    },
    { weight: 1, arbitrary: fc.string() }
  )
  const method = fc.oneof(
    { weight: 4, arbitrary: fc.constant('POST') },
    { weight: 1, arbitrary: fc.constantFrom('GET', 'PUT', 'DELETE', 'PATCH', 'OPTIONS') }
  )
  const asked = fc.record({ path: fc.constantFrom(...paths), method, body })
  const statuses = new Set<number>()
  await fc.assert(
    fc.asyncProperty(asked, async ({ path, method, body }) => {
      const { status, text, headers } = await front.ask(path, { method, ...(method === 'GET' ? {} : { body }) })
      statuses.add(status)
      expect(headers.get('x-request-id')).not.toBe(null)
      expect(status, text).toBeLessThan(500)
      if (status < 400) return
      const { error } = JSON.parse(text)
      expect(Object.keys(error).toSorted()).toEqual(['code', 'message', 'param', 'type'])
      expect([typeof error.message, typeof error.type]).toEqual(['string', 'string'])
      for (const each of [error.param, error.code]) expect(each === null || typeof each === 'string').toBe(true)
    }),
    { numRuns: 400, endOnFailure: true }
  )
  expect([...statuses]).toEqual(expect.arrayContaining([200, 400, 404, 405]))
})

it('ends the answer of whoever has gone, in the queue as well, and no other one (llama.cpp#24496, #11720, ik_llama.cpp#1929, tabbyAPI#428)', async () => {
  // It has room for one of these at a time.
  const tight = await start({ swarm: newSwarm('api-reports-tight'), memoryBytes: 22e6 })
  await expect.poll(() => tight.status().models[0]?.coverage, { timeout: 60_000 }).toEqual([1, 1, 1, 1, 1, 1])
  const narrow = await serveApi(tight, { port: 0 })
  try {
    const { ask } = clientsOf(narrow, tight)
    /** A request of that name, and how to leave it. */
    const asked = (name: string, json: object = {}) => {
      const leaving = new AbortController()
      const all = { prompt, max_tokens: 200, seed: 1, logit_bias: endless, ...json }
      const told = ask(completions, { json: all, signal: leaving.signal, headers: { 'x-request-id': name } })
      const text = told.then(
        ({ json }) => json.choices[0].text,
        error => error.name
      )
      return { text, leave: () => leaving.abort() }
    }
    // The answer before may be in the status a little longer than its client waits for it.
    const soon = { timeout: 20_000, interval: 2 }
    const isBeingAnswered = (name: string) =>
      expect.poll(() => tight.traces(name)[0]?.tokens ?? 0, soon).toBeGreaterThan(0)
    const undisturbed = await asked('alone').text

    // One goes while it waits, one while it is answered, and one while its prompt is computed.
    const first = asked('first')
    await isBeingAnswered('first')
    const waiting = asked('waiting', { seed: 2 })
    await expect.poll(() => tight.answers().map(({ state }) => state), soon).toContain('waiting')
    const second = asked('second')
    waiting.leave()
    expect([await waiting.text, await first.text, await second.text]).toEqual(['AbortError', undisturbed, undisturbed])
    const running = asked('running', { seed: 3 })
    await isBeingAnswered('running')
    const third = asked('third')
    running.leave()
    expect([await running.text, await third.text]).toEqual(['AbortError', undisturbed])
    const began = new Promise<void>(resolve =>
      tight.addEventListener('answer', ({ detail }) => {
        if (detail.what === 'began') resolve()
      })
    )
    const starting = asked('starting', { prompt: Array.from({ length: 55 }, () => 263), seed: 4 })
    await began
    const fourth = asked('fourth')
    starting.leave()
    expect([await starting.text, await fourth.text]).toEqual(['AbortError', undisturbed])
    const became = (name: string) => tight.traces(name).map(({ state, tokens }) => [state, tokens < 200])
    await expect
      .poll(() => ['waiting', 'running', 'starting'].flatMap(became))
      .toEqual([
        ['left', true],
        ['left', true],
        ['left', true]
      ])
    await expect
      .poll(() => total(readExposition(tight.metrics()), 'skein_stage_sessions'), { timeout: 20_000, interval: 5 })
      .toBe(0)
  } finally {
    await narrow.close()
  }
})
