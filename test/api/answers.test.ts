/** What each parameter of OpenAI's API does to an answer: before a real peer, whole and streamed. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type OpenAI from 'openai'
import { expect, it } from 'vitest'
import { choiceSeed, usableSeed } from '../../src/api/sampling.ts'
import { Stops } from '../../src/api/stop.ts'
import { importGraph, type Manifest } from '../../src/index.ts'
import { openLibrary } from '../../src/model/library.ts'
import { openStore } from '../../src/model/store.ts'
import { embedder } from '../model/tiny-graphs.ts'
import { type FrontDoor, frontDoors, type Told } from './front-door.ts'

const { open } = frontDoors('api-answers')
const chat = '/v1/chat/completions'
const completions = '/v1/completions'
const messages = [{ role: 'user' as const, content: 'Tell me of a cat.' }]

/** The JSON of a stream's events. */
async function events({ ask }: FrontDoor, path: string, json: object): Promise<Told['json'][]> {
  const { text } = await ask(path, { json: { ...json, stream: true } })
  expect(text.endsWith('data: [DONE]\n\n')).toBe(true)
  return text
    .split('\n\n')
    .filter(frame => frame.startsWith('data: {'))
    .map(frame => JSON.parse(frame.slice('data: '.length)))
}

it('has several answers, each by a seed of its own, and the same again by the seed that it tells', {
  timeout: 120_000
}, async () => {
  const door = await open()
  const { ask } = door
  const text = async (json: object): Promise<string[]> => {
    const { choices } = (await ask(chat, { json: { messages, max_tokens: 12, ...json } })).json
    return choices.map((choice: { message: { content: string } }) => choice.message.content)
  }
  const three = await text({ n: 3, seed: 5 })
  expect(new Set(three).size).toBe(3)
  for (const [i, each] of three.entries()) expect(await text({ seed: choiceSeed(5, i) })).toEqual([each])
  const streamed = ['', '', '']
  const chunks = await events(door, chat, { messages, max_tokens: 12, n: 3, seed: 5 })
  expect(chunks.slice(0, 3).map(({ choices: [{ index, delta }] }) => [index, delta.role])).toEqual(
    [0, 1, 2].map(index => [index, 'assistant'])
  )
  for (const { choices } of chunks) {
    streamed[choices[0].index] += choices[0].delta.content ?? ''
  }
  expect(streamed).toEqual(three)

  const drawn = await ask(chat, { json: { messages, max_tokens: 12 } })
  const { seed } = drawn.json.usage.skein
  expect(drawn.headers.get('x-skein-seed')).toBe(String(seed))
  expect(await text({ seed })).toEqual([drawn.json.choices[0].message.content])
  expect([usableSeed(-1), usableSeed(2 ** 53 + 2), usableSeed(-(2 ** 63)), usableSeed(7)]).toEqual([
    2 ** 53 - 1,
    2,
    0,
    7
  ])
  expect((await ask(chat, { json: { messages, max_tokens: 1, seed: -1 } })).json.usage.skein.seed).toBe(2 ** 53 - 1)
  // The most likely tokens alone, in three ways to ask for them.
  const greedy = await text({ temperature: 0 })
  expect(await text({ top_k: 1, seed: 9 })).toEqual(greedy)
  expect(await text({ top_p: 0, seed: 9 })).toEqual(greedy)
  expect(await text({ temperature: 0, logit_bias: { 1: -100 }, frequency_penalty: 1.5 })).not.toEqual(greedy)
})

it('ends at stop strings, tells usage when asked, and log-probabilities whose bytes are the answer', {
  timeout: 120_000
}, async () => {
  const door = await open()
  const { ask } = door
  const request = { messages, max_tokens: 40, seed: 5, logprobs: true, top_logprobs: 2 }
  const whole = (await ask(chat, { json: request })).json.choices[0]
  const said: string = whole.message.content
  const stop = [said.slice(30, 37), said.slice(50, 52)]
  const cut = (await ask(chat, { json: { ...request, stop } })).json.choices[0]
  expect(cut.finish_reason).toBe('stop')
  expect(cut.message.content).toBe(new Stops(stop).push(said))
  expect(cut.message.content.length).toBeLessThan(said.length)

  const bytesOf = (entries: { bytes: number[] }[]): string =>
    Buffer.from(entries.flatMap(({ bytes }) => bytes)).toString()
  expect(whole.logprobs.content).toHaveLength(40)
  expect(bytesOf(whole.logprobs.content).trimStart()).toBe(said.trimStart())
  for (const entry of whole.logprobs.content) {
    expect(entry.top_logprobs).toHaveLength(2)
    expect(entry.logprob).toBeLessThanOrEqual(entry.top_logprobs[0].logprob)
  }
  const all = await events(door, chat, { ...request, stop, stream_options: { include_usage: true } })
  const chunks = all.slice(0, -1)
  expect(chunks.map(({ choices }) => choices[0].delta.content ?? '').join('')).toBe(cut.message.content)
  expect(chunks.flatMap(({ choices }) => choices[0].logprobs?.content ?? [])).toEqual(cut.logprobs.content)
  expect(chunks.every(({ usage }) => usage === null)).toBe(true)
  expect(all.at(-1)).toMatchObject({ choices: [], usage: { skein: { seed: 5 } } })
  for (const stream_options of [undefined, null, {}, { include_usage: false }]) {
    const quiet = await events(door, chat, { messages, max_tokens: 2, stream_options })
    expect(quiet.some(chunk => 'usage' in chunk)).toBe(false)
  }

  const legacy = { prompt: 'Once upon a time', max_tokens: 6, temperature: 0, logprobs: 1 }
  const { text, logprobs } = (await ask(completions, { json: legacy })).json.choices[0]
  expect(logprobs.tokens.join('')).toBe(text)
  expect(logprobs.text_offset[1]).toBe(logprobs.tokens[0].length)
  for (const [i, token] of logprobs.tokens.entries()) {
    expect(logprobs.top_logprobs[i][token]).toBe(logprobs.token_logprobs[i])
  }
  const parts = await events(door, completions, legacy)
  expect(parts.map(({ choices }) => choices[0].text).join('')).toBe(text)
  expect(parts.flatMap(({ choices }) => choices[0].logprobs?.text_offset ?? [])).toEqual(logprobs.text_offset)
})

it('takes prompts as texts, ids and lists of them, and says what ids they are', { timeout: 120_000 }, async () => {
  const door = await open()
  const { ask, openai, peer } = door
  const prompt = 'Once upon a time'
  const { tokens, count, max_model_len } = (await ask('/tokenize', { json: { prompt } })).json
  expect({ count, max_model_len, first: tokens[0] }).toEqual({ count: tokens.length, max_model_len: 256, first: 1 })
  const bare = await ask('/tokenize', { json: { prompt, add_special_tokens: false } })
  expect(bare.json.tokens).toEqual(tokens.slice(1))
  expect(await peer.tokenize('<s>a</s>', { special: true, bare: true })).toEqual([
    1,
    ...(await peer.tokenize('a', { bare: true })),
    2
  ])
  // What begins or ends texts is asked for by its spelling, and is text within another one, or where that is said.
  const idsOf = async (json: object): Promise<number[]> =>
    (await ask('/tokenize', { json: { add_special_tokens: false, ...json } })).json.tokens
  expect([await idsOf({ prompt: '<s>' }), await idsOf({ prompt: '</s>' })]).toEqual([[1], [2]])
  expect(await idsOf({ prompt: '</s>', special: false })).toEqual(await peer.tokenize('</s>', { bare: true }))
  expect(await idsOf({ prompt: 'a</s>' })).toEqual(await peer.tokenize('a</s>', { bare: true }))
  expect((await ask('/detokenize', { json: { tokens } })).json).toEqual({ prompt })
  expect((await ask('/tokenizer_info')).json).toMatchObject({ bos_token: '<s>', eos_token: '</s>', vocab_size: 32_000 })
  expect((await ask('/detokenize', { json: { tokens: [40_000] } })).json.error.message).toMatch(
    /an id must be from 0 to 31999/
  )

  const greedy = { model: 'storychat', temperature: 0, max_tokens: 8 }
  const one = (await openai.completions.create({ ...greedy, prompt })).choices[0]!.text
  const two = await openai.completions.create({ ...greedy, prompt: ['The dog', prompt], n: 2 })
  expect(two.choices.map(({ index, text }) => [index, text === one])).toEqual([
    [0, false],
    [1, false],
    [2, true],
    [3, true]
  ])
  expect(two.usage!.prompt_tokens).toBe(tokens.length + (await peer.tokenize('The dog')).length)
  expect((await openai.completions.create({ ...greedy, prompt: tokens })).choices[0]!.text).toBe(one)
  const echoed = await openai.completions.create({ ...greedy, prompt: [tokens, tokens], echo: true })
  expect(echoed.choices.map(({ text }) => text)).toEqual([prompt + one, prompt + one])
  const stream = await events(door, completions, { ...greedy, prompt, echo: true })
  expect(stream.map(({ choices }) => choices[0].text).join('')).toBe(prompt + one)
  // As evaluations score a text: what the model makes of each token of the prompt, whatever was known of it.
  const scored = { prompt: tokens, echo: true, logprobs: 2, temperature: 0, max_tokens: 1 }
  const { text, logprobs } = (await ask(completions, { json: scored })).json.choices[0]
  expect(text.startsWith(prompt)).toBe(true)
  expect(logprobs.tokens).toHaveLength(tokens.length + 1)
  expect(logprobs.token_logprobs[0]).toBe(null)
  expect(logprobs.token_logprobs.slice(1).every((each: number) => each < 0)).toBe(true)
  // Each token is where its text is, though the first one spells a space that the text does not have, and BOS is no text.
  for (const [i, token] of logprobs.tokens.entries()) {
    if (i > 1) expect(text.slice(logprobs.text_offset[i]).startsWith(token)).toBe(true)
  }
  expect(logprobs.text_offset.slice(0, 2)).toEqual([0, 0])
  const alone = await ask(completions, { json: { ...scored, prompt, max_tokens: 0 } })
  expect(alone.json.choices[0]).toMatchObject({ text: prompt, finish_reason: 'length' })
  expect(alone.json.choices[0].logprobs.token_logprobs).toEqual(logprobs.token_logprobs.slice(0, -1))
  // A prompt that fills the context to its end leaves nothing for an answer, and is scored all the same.
  const { contextMax } = (await peer.model()).manifest.config
  const full = Array.from({ length: contextMax }, (_, i) => tokens[i % tokens.length])
  const all = await ask(completions, { json: { ...scored, prompt: full, max_tokens: 0 } })
  expect(all.json.choices[0].logprobs.token_logprobs).toHaveLength(contextMax)
  expect(all.json.choices[0].logprobs.token_logprobs.slice(0, tokens.length)).toEqual(
    logprobs.token_logprobs.slice(0, tokens.length)
  )
  const more = await ask(completions, { json: { ...scored, prompt: [...full, 1], max_tokens: 0 } })
  expect(more.json.error.code).toBe('context_length_exceeded')
  const parts = await events(door, completions, scored)
  expect(parts.flatMap(({ choices }) => choices[0].logprobs?.token_logprobs ?? [])).toEqual(logprobs.token_logprobs)
  // A chain of likeliest tokens has the same log-probabilities as a prompt as it had as an answer.
  const answered = (await ask(completions, { json: { ...greedy, prompt, logprobs: 1 } })).json.choices[0].logprobs
  const chain = [...tokens, ...(await peer.generate(tokens, { maxTokens: 8 }).answer).ids]
  const again = (await ask(completions, { json: { ...scored, prompt: chain, max_tokens: 0 } })).json.choices[0].logprobs
  expect(again.token_logprobs.slice(tokens.length)).toEqual(answered.token_logprobs)
  // Of a longer prompt, what was known from the first time is told the second time, and nothing of another one's.
  const long = Array.from({ length: 140 }, (_, i) => tokens[(i * i) % tokens.length])
  for (const cached of [0, 128]) {
    const { usage } = (await ask(completions, { json: { ...greedy, prompt: long } })).json
    expect(usage.prompt_tokens_details).toEqual({ cached_tokens: cached })
  }
  expect((await ask(completions, { json: { ...greedy, prompt } })).json.usage.prompt_tokens_details).toEqual({
    cached_tokens: 0
  })
  // A control token that a prompt spells is text, unless it is said to be one.
  const spelt = (special: boolean) => ask(completions, { json: { ...greedy, prompt: '</s>', special, max_tokens: 1 } })
  expect((await spelt(true)).json.usage.prompt_tokens).toBeLessThan((await spelt(false)).json.usage.prompt_tokens)
})

it('tells the model of functions by its template, and of calls as that wants them', { timeout: 120_000 }, async () => {
  const template =
    '{{ bos_token }}{% if tools %}tools: {{ tools | tojson }}. Call as <tool_call>{...}</tool_call>\\n{% endif %}' +
    "{% for m in messages %}{{ m.role + ': ' + m.content + '\\n' }}{% for c in m.tool_calls or [] %}" +
    "{% if c.function.arguments is string %}{{ raise_exception('arguments are a string') }}{% endif %}" +
    "{{ c.function.name + ' of ' + c.function.arguments.city }}{% endfor %}{% endfor %}assistant:"
  const { ask, peer } = await open({
    peer: { model: 'storytools' },
    prepare: async dataDir => {
      const store = await openStore({ own: join(dataDir, 'models') })
      const { manifest } = await store.resolve('storychat')
      await store.putManifest(
        { ...(manifest as Manifest), name: 'storytools', chatTemplate: template },
        { partial: true }
      )
    }
  })
  const tools = [{ type: 'function', function: { name: 'weather', parameters: { type: 'object' } } }]
  const call = { id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{"city": "Rome"}' } }
  const history = [
    ...messages,
    { role: 'assistant', content: null, tool_calls: [call] },
    { role: 'tool', tool_call_id: 'call_1', content: 'fine' }
  ]
  const tokens = async (json: object): Promise<number> => {
    const told = await ask(chat, {
      json: { model: 'storytools', messages: history, max_tokens: 4, temperature: 0, ...json }
    })
    expect(told.status, told.text).toBe(200)
    return told.json.usage.prompt_tokens
  }
  const prompt = (tools: string) =>
    `${tools}user: Tell me of a cat.\nassistant: \nweather of Rometool: fine\nassistant:`
  const told =
    'tools: [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]. Call as <tool_call>{...}</tool_call>\n'
  expect(await tokens({ tools })).toBe((await peer.tokenize(prompt(told))).length)
  expect(await tokens({ tools, tool_choice: 'none' })).toBe((await peer.tokenize(prompt(''))).length)
  const wrong = { ...call, function: { name: 'weather', arguments: 'Rome' } }
  const refused = await ask(chat, { json: { messages: [{ role: 'assistant', tool_calls: [wrong] }], tools } })
  expect(refused.json.error).toMatchObject({ param: 'messages.0.tool_calls.0.function.arguments' })
})

it('answers the Responses API, whole and streamed', { timeout: 120_000 }, async () => {
  const { openai, ask } = await open()
  const request = {
    model: 'storychat',
    instructions: 'Be kind.',
    input: 'Tell me of a cat.',
    temperature: 0,
    max_output_tokens: 12
  }
  const whole = await openai.responses.create(request)
  expect(whole).toMatchObject({
    status: 'incomplete',
    incomplete_details: { reason: 'max_output_tokens' },
    error: null
  })
  expect(whole.usage).toMatchObject({ output_tokens: 12, skein: { exact: true } })
  const same = await openai.chat.completions.create({
    model: 'storychat',
    messages: [{ role: 'developer', content: [{ type: 'text', text: 'Be kind.' }] }, ...messages],
    temperature: 0,
    max_tokens: 12
  })
  expect(whole.output_text).toBe(same.choices[0]!.message.content)
  const types: string[] = []
  const numbers: number[] = []
  let last: OpenAI.Responses.Response | undefined
  for await (const event of openai.responses.stream({ ...request })) {
    types.push(event.type)
    numbers.push(event.sequence_number)
    if (event.type === 'response.incomplete') last = event.response
  }
  expect(numbers).toEqual(numbers.map((_, i) => i))
  expect([...new Set(types)]).toEqual([
    'response.created',
    'response.in_progress',
    'response.output_item.added',
    'response.content_part.added',
    'response.output_text.delta',
    'response.output_text.done',
    'response.content_part.done',
    'response.output_item.done',
    'response.incomplete'
  ])
  expect(last!.output[0]).toMatchObject({
    type: 'message',
    content: [{ type: 'output_text', text: whole.output_text }]
  })

  const history = [
    { role: 'user', content: [{ type: 'input_text', text: 'Hi' }] },
    { type: 'reasoning', summary: [] },
    { role: 'assistant', content: [{ type: 'output_text', text: 'Hello.' }] },
    { role: 'user', content: 'And?' }
  ]
  const tools = [{ type: 'web_search' }]
  expect((await ask('/v1/responses', { json: { input: history, tools, max_output_tokens: 2 } })).status).toBe(200)
  for (const [json, param, message] of [
    [{ input: 'x', previous_response_id: 'resp_1' }, 'previous_response_id', /nothing is kept/],
    [{ input: [{ type: 'item_reference', id: 'x' }] }, 'input.0.type', /not a item_reference/],
    [{ input: [{ role: 'user', content: [{ type: 'input_image' }] }] }, 'input.0.content.0', /text alone/],
    [{ input: 'x', text: { format: { type: 'lark' } } }, 'text.format.type', /text, json_object or json_schema/],
    [{ input: [] }, 'input', /must not be empty/]
  ] as const) {
    const { status, json: told } = await ask('/v1/responses', { json })
    expect({ status, param: told.error.param }).toEqual({ status: 400, param })
    expect(told.error.message).toMatch(message)
  }
})

it('makes vectors of texts, as numbers and in base64', { timeout: 120_000 }, async () => {
  const { openai, ask, peer } = await open({
    peer: { model: undefined as never, models: [{ model: 'storychat' }, { model: 'embedder' }], memoryBytes: 400e6 },
    prepare: async dataDir => {
      const { manifest } = await (await openLibrary(dataDir)).resolve('stories15m')
      const tokenizer = join(import.meta.dirname, '../../models/stories15m/shards', manifest.tokenizer!.sha256)
      const source = join(dataDir, 'embedder.onnx')
      await writeFile(source, embedder())
      await importGraph({ source, dataDir, name: 'embedder', tokenizer })
    }
  })
  const { vectors, tokens } = await peer.embed('embedder', ['Once upon a time', 'a'])
  const expected = vectors.map(vector => [...vector])
  // The client asks for base64 by itself.
  const told = await openai.embeddings.create({ model: 'embedder', input: ['Once upon a time', 'a'] })
  expect(told.data.map(({ embedding }) => embedding)).toEqual(expected)
  expect(told.usage.prompt_tokens).toBe(tokens[0]! + tokens[1]!)
  const floats = await ask('/v1/embeddings', { json: { model: 'embedder', input: 'a', encoding_format: 'float' } })
  expect(floats.json.data).toEqual([{ object: 'embedding', index: 0, embedding: expected[1] }])
  const wrong = await ask('/v1/embeddings', { json: { model: 'storychat', input: 'a' } })
  expect(wrong.json.error).toMatchObject({ param: 'model', code: 'wrong_model' })
  const text = await ask('/v1/completions', { json: { model: 'embedder', prompt: 'a' } })
  expect(text.json.error).toMatchObject({ param: 'model', code: 'wrong_model' })
})
