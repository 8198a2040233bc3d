/** Answers that must be JSON, fit a schema or an expression, or call a function: before a real peer, with OpenAI's own client, whole and streamed. */
import { join } from 'node:path'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { zodResponseFormat, zodTextFormat } from 'openai/helpers/zod'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { z } from 'zod'
import { type ApiServer, serveApi } from '../../src/api/serve.ts'
import type { Peer } from '../../src/index.ts'
import { openStore } from '../../src/model/store.ts'
import { newSwarm } from '../../src/swarm/swarm-file.ts'
import { writeStoryChat } from '../model/story-chat.ts'
import { livePeers } from '../peer/live-peers.ts'
import { clientsOf, type FrontDoor } from './front-door.ts'

const { start, folder } = livePeers('api-grammar', afterAll)
let door: ApiServer
let front: FrontDoor
let peer: Peer

/** Enough to be told how functions are called. */
const callerTemplate = (form: string): string =>
  `{{ bos_token }}{% if tools %}Call as ${form}. {% endif %}{% for m in messages %}{{ m.content }}\n{% endfor %}`
const callers = {
  caller: callerTemplate('<tool_call>'),
  coder: callerTemplate('<function=f><parameter=p>'),
  keyed: callerTemplate('<arg_key>')
}

beforeAll(async () => {
  const dataDir = await folder()
  const { manifest } = await writeStoryChat(dataDir)
  const store = await openStore({ own: join(dataDir, 'models') })
  for (const [name, chatTemplate] of Object.entries(callers)) {
    await store.putManifest({ ...manifest, name, chatTemplate }, { partial: true })
  }
  const models = ['storychat', ...Object.keys(callers)].map(model => ({ model }))
  peer = await start({ dataDir, swarm: newSwarm('api-grammar'), models, memoryBytes: 300e6 })
  const covered = (): number => peer.status().models.filter(({ coverage }) => coverage.every(Boolean)).length
  await vi.waitFor(() => expect(covered()).toBe(models.length), { timeout: 60_000 })
  door = await serveApi(peer, { port: 0 })
  front = clientsOf(door, peer)
})
afterAll(() => door?.close())

const schema = {
  type: 'object',
  properties: {
    name: { type: 'string', maxLength: 12 },
    age: { type: 'integer', minimum: 0, maximum: 120 },
    mood: { enum: ['good', 'bad'] }
  },
  required: ['name', 'age', 'mood'],
  additionalProperties: false
}
const validate = new Ajv2020().compile(schema)
const messages = [{ role: 'user' as const, content: 'Tell me of a cat.' }]
const limits = { max_completion_tokens: 120, seed: 5 }
const asSchema = { type: 'json_schema' as const, json_schema: { name: 'cat', strict: true, schema } }

interface Calls {
  readonly finish: string | null | undefined
  readonly calls: { readonly name: string; readonly arguments: string }[]
}

describe('a format', () => {
  it('is that of the answer, whole and streamed alike', async () => {
    const request = { model: 'storychat', messages, response_format: asSchema, ...limits }
    const whole = await front.openai.chat.completions.create(request)
    const [choice] = whole.choices
    expect(choice!.finish_reason).toBe('stop')
    expect(validate(JSON.parse(choice!.message.content!)), choice!.message.content!).toBe(true)
    let streamed = ''
    for await (const { choices } of await front.openai.chat.completions.create({ ...request, stream: true })) {
      streamed += choices[0]?.delta.content ?? ''
    }
    expect(streamed).toBe(choice!.message.content)
    const several = await front.openai.chat.completions.create({ ...request, n: 3 })
    for (const { message } of several.choices) expect(validate(JSON.parse(message.content!))).toBe(true)
  })

  it('of zod is parsed by the client, in chats and in responses', async () => {
    const Cat = z.object({
      name: z.string().max(12),
      lives: z.number().int().min(1).max(9),
      kind: z.enum(['tabby', 'black']).nullable(),
      toys: z.array(z.object({ what: z.string().max(8) })).max(2)
    })
    const chat = await front.openai.chat.completions.parse({
      ...{ model: 'storychat', messages, ...limits },
      response_format: zodResponseFormat(Cat, 'cat')
    })
    expect(Cat.safeParse(chat.choices[0]!.message.parsed).success).toBe(true)
    const response = await front.openai.responses.parse({
      ...{ model: 'storychat', input: 'Tell me of a cat.', max_output_tokens: 200, seed: 5 },
      text: { format: zodTextFormat(Cat, 'cat') }
    })
    expect(Cat.safeParse(response.output_parsed).success).toBe(true)
    expect(response.text?.format).toMatchObject({ type: 'json_schema', name: 'cat' })
  })

  it('of JSON alone is an object, and one that the limit cuts is the beginning of one', async () => {
    const request = { model: 'storychat', messages, response_format: { type: 'json_object' as const }, seed: 3 }
    const cut = await front.openai.chat.completions.create({ ...request, max_completion_tokens: 6 })
    expect(cut.choices[0]!.finish_reason).toBe('length')
    expect(cut.choices[0]!.message.content).toMatch(/^\{/)
    const { json } = await front.ask('/v1/completions', {
      json: {
        model: 'storychat',
        prompt: 'A list:',
        response_format: { type: 'json_object' },
        max_tokens: 200,
        seed: 1,
        logit_bias: { 29913: 20 }
      }
    })
    expect(typeof JSON.parse(json.choices[0].text)).toBe('object')
  })

  it.each([
    ['guided_choice', ['yes', 'no'], /^(yes|no)$/],
    ['guided_regex', '[A-Z][a-z]{1,5}, [0-9]{2}', /^[A-Z][a-z]{1,5}, [0-9]{2}$/],
    ['guided_json', JSON.stringify({ type: 'integer', minimum: 5, maximum: 7 }), /^[567]$/],
    ['structured_outputs', { choice: ['one', 'two'] }, /^(one|two)$/],
    ['structured_outputs', { json: { type: 'boolean' }, regex: null }, /^(true|false)$/]
  ])('%s %j, as vLLM has it', async (field, value, fits) => {
    const json = { model: 'storychat', prompt: 'Once upon a time', max_tokens: 30, seed: 1, [field]: value }
    const { json: told } = await front.ask('/v1/completions', { json })
    expect(told.choices[0]).toMatchObject({ text: expect.stringMatching(fits), finish_reason: 'stop' })
  })
})

describe('a function that must be called', () => {
  const weather = {
    type: 'object',
    properties: { city: { type: 'string', maxLength: 10 } },
    required: ['city'],
    additionalProperties: false
  }
  const tools = [
    { type: 'function' as const, function: { name: 'weather', parameters: weather } },
    { type: 'function' as const, function: { name: 'stop', description: 'ends it' } }
  ]
  const request = { model: 'caller', messages, tools, max_completion_tokens: 150 }
  const callsOf = async (tool_choice: object | string, seed: number, more: object = {}): Promise<Calls> => {
    const asked = { ...request, tool_choice, seed, ...more } as Parameters<
      typeof front.openai.chat.completions.create
    >[0]
    const answer = await front.openai.chat.completions.create({ ...asked, stream: false })
    const { finish_reason: finish, message } = answer.choices[0]!
    return {
      finish,
      calls: (message.tool_calls ?? []).map(call => (call.type === 'function' ? call.function : fail()))
    }
  }
  const fail = (): never => {
    throw new Error('it is no function')
  }

  it('is called, with arguments that fit what it takes, whole and streamed alike', async () => {
    const fits = new Ajv2020().compile(weather)
    for (const seed of [1, 2, 3]) {
      const { finish, calls } = await callsOf('required', seed)
      // This model calls on and on, as it is let.
      expect(['tool_calls', 'length']).toContain(finish)
      expect(calls.length).toBeGreaterThan(0)
      for (const call of calls) {
        if (call.name === 'weather') expect(fits(JSON.parse(call.arguments)), call.arguments).toBe(true)
        else expect(call).toEqual({ name: 'stop', arguments: '{}' })
      }
      const asked = { ...request, tool_choice: 'required' as const, seed }
      const streamed = await front.openai.chat.completions.stream(asked).finalChatCompletion()
      const told = streamed.choices[0]!.message.tool_calls ?? []
      expect(told.map(call => ('function' in call ? call.function : undefined))).toMatchObject(calls)
    }
  })

  it.each(['coder', 'keyed'])('is called in the form of %s, which has no JSON, too', async model => {
    const parameters = {
      ...weather,
      properties: {
        ...weather.properties,
        days: { type: 'integer', minimum: 1, maximum: 7 },
        warm: { type: 'boolean' }
      },
      required: ['city', 'days']
    }
    const fits = new Ajv2020().compile(parameters)
    const named = { type: 'function' as const, function: { name: 'weather' } }
    const given = [{ type: 'function' as const, function: { name: 'weather', parameters } }]
    for (const seed of [1, 2, 3]) {
      const { finish, calls } = await callsOf(named, seed, { model, tools: given })
      expect({ finish, names: calls.map(call => call.name) }).toEqual({ finish: 'tool_calls', names: ['weather'] })
      expect(fits(JSON.parse(calls[0]!.arguments)), calls[0]!.arguments).toBe(true)
    }
  })

  it('is called once where calls are not parallel', async () => {
    for (const seed of [1, 2, 3]) {
      const { finish, calls } = await callsOf('required', seed, { parallel_tool_calls: false })
      expect({ finish, calls: calls.length }).toEqual({ finish: 'tool_calls', calls: 1 })
    }
  })

  it('is the one that is named, once', async () => {
    for (const name of ['weather', 'stop']) {
      const { calls } = await callsOf({ type: 'function', function: { name } }, 4)
      expect(calls.map(call => call.name)).toEqual([name])
    }
    const response = await front.openai.responses.create({
      ...{ model: 'caller', input: 'Tell me of a cat.', max_output_tokens: 150, seed: 4 },
      tools: [{ type: 'function', name: 'weather', parameters: weather, strict: true }],
      tool_choice: { type: 'function', name: 'weather' }
    })
    expect(response.output).toMatchObject([{ type: 'function_call', name: 'weather' }])
  })

  it('may be called in place of an answer that has a format', async () => {
    const kinds = new Set<string>()
    for (let seed = 1; seed <= 12 && kinds.size < 2; seed++) {
      const asked = { ...request, response_format: asSchema, seed, temperature: 2, logit_bias: { 529: 3 } }
      const { message } = (await front.openai.chat.completions.create(asked)).choices[0]!
      if (message.tool_calls === undefined) expect(validate(JSON.parse(message.content!)), message.content!).toBe(true)
      kinds.add(message.tool_calls === undefined ? 'text' : 'call')
    }
    expect(kinds).toContain('text')
  })
})

describe('what cannot be done', () => {
  const user = messages
  const unfit = { type: 'object', properties: { a: { type: 'string', not: {} } } }
  it.each<[path: string, body: object, param: string, says: RegExp]>([
    [
      'chat/completions',
      { response_format: { type: 'json_schema', json_schema: { name: 'x', schema: unfit } } },
      'response_format',
      /schema\.properties\.a\.not is not supported/
    ],
    [
      'chat/completions',
      { response_format: { type: 'json_schema' } },
      'response_format.json_schema.schema',
      /must be a JSON Schema/
    ],
    [
      'chat/completions',
      { response_format: { type: 'yaml' } },
      'response_format.type',
      /must be text, json_object or json_schema/
    ],
    ['chat/completions', { response_format: 'json' }, 'response_format', /must be an object with a type/],
    ['chat/completions', { guided_regex: '(?=a)' }, 'guided_regex', /pattern is not supported/],
    [
      'chat/completions',
      { guided_regex: 'a', guided_choice: ['a'] },
      'guided_choice',
      /both say what the answer must be/
    ],
    ['chat/completions', { guided_choice: [] }, 'guided_choice', /array of strings/],
    ['chat/completions', { guided_json: '{' }, 'guided_json', /JSON/],
    ['chat/completions', { guided_grammar: 'root ::= "a"' }, 'guided_grammar', /not done here/],
    ['chat/completions', { structured_outputs: { grammar: 'x' } }, 'structured_outputs.grammar', /json, regex, choice/],
    ['chat/completions', { tool_choice: 'required' }, 'tool_choice', /no 'tools'/],
    [
      'chat/completions',
      { tool_choice: { type: 'function', function: { name: 'x' } } },
      'tool_choice',
      /not among 'tools'/
    ],
    [
      'chat/completions',
      { tool_choice: { type: 'allowed_tools' } },
      'tool_choice',
      /'auto', 'none', 'required', or a function/
    ],
    [
      'chat/completions',
      {
        model: 'caller',
        tool_choice: 'required',
        tools: [{ type: 'function', function: { name: 'f', parameters: unfit } }]
      },
      'tools.0.function.parameters',
      /schema\.properties\.a\.not is not supported/
    ],
    [
      'completions',
      { prompt: 'x', messages: undefined, guided_json: { uniqueItems: true } },
      'guided_json',
      /schema\.uniqueItems is not supported/
    ],
    [
      'responses',
      { input: 'x', text: { format: { type: 'json_schema', name: 'x', schema: unfit } } },
      'text.format',
      /a\.not is not supported/
    ],
    ['responses', { input: 'x', response_format: { type: 'json_object' } }, 'response_format', /'text\.format'/]
  ])('%s %j', async (path, body, param, says) => {
    const { status, json } = await front.ask(`/v1/${path}`, {
      json: { model: 'storychat', messages: user, max_tokens: 4, ...body }
    })
    expect(status).toBe(400)
    expect(json.error).toMatchObject({ param, message: expect.stringMatching(says), type: 'invalid_request_error' })
  })
})
