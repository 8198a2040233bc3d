/** What requests may hold, who may ask, and what becomes of a request whose client goes: over real sockets, before a real peer. */
import { gzipSync } from 'node:zlib'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { once } from 'node:events'
import { expect, it, vi } from 'vitest'
import { keysOf } from '../../src/api/keys.ts'
import { serveApi } from '../../src/api/serve.ts'
import type { Generation } from '../../src/index.ts'
import { frontDoors } from './front-door.ts'

const { open, folder } = frontDoors('api-requests')

const user = (content: unknown) => [{ role: 'user', content }]
const chat = '/v1/chat/completions'
const completions = '/v1/completions'

it('refuses what is wrong in the form of OpenAI errors, with the field, and what would be right', {
  timeout: 120_000
}, async () => {
  const { ask, peer } = await open()
  const wrong: [string, RequestInit & { json?: unknown }, number, string | null, string | null, RegExp][] = [
    ['/v1/nothing', {}, 404, null, 'unknown_url', /there is no \/v1\/nothing/],
    ['/../../etc/passwd', {}, 404, null, 'unknown_url', /there is no \/etc\/passwd/],
    ['/chat/completions', { json: {} }, 404, null, 'unknown_url', /here: \/v1\/chat\/completions is what/],
    ['/v1/v1/models', {}, 404, null, 'unknown_url', /there is no \/v1\/v1\/models here: \/v1\/models is what/],
    ['/v1/completions/', { json: {} }, 404, null, 'unknown_url', /: \/v1\/completions is what it is called/],
    ['/v1/tokenize', { json: {} }, 404, null, 'unknown_url', /: \/tokenize is what it is called/],
    ['/api/chat', { json: {} }, 404, null, 'unknown_url', /no Ollama, whose clients may ask it as OpenAI's API/],
    [
      chat,
      { method: 'POST', body: gzipSync('{}'), headers: { 'content-encoding': 'gzip' } },
      415,
      null,
      'unsupported_encoding',
      /a body that is gzip is not read here: send it as it is/
    ],
    [
      chat,
      { json: { messages: user('x'), max_tokens: 100_000 } },
      400,
      'messages',
      'context_length_exceeded',
      /has \d+ tokens, which with 100000 tokens for an answer do not fit the model's context of 256: ask for at most 2\d\d$/
    ],
    [chat, {}, 405, null, 'method_not_allowed', /asked with POST, not GET/],
    [chat, { method: 'POST', body: '{"messages": [' }, 400, null, 'invalid_json', /not JSON/],
    [chat, { method: 'POST' }, 400, null, null, /has no body/],
    [chat, { json: [] }, 400, null, null, /must be a JSON object, not \[\]/],
    [chat, { json: { messages: 'hi' } }, 400, 'messages', null, /'messages' must be an array of messages, not "hi"/],
    [chat, { json: { messages: [{ role: 'robot', content: 'x' }] } }, 400, 'messages.0.role', null, /one of system/],
    [
      chat,
      { json: { messages: user(5) } },
      400,
      'messages.0.content',
      null,
      /a string, null or an array of parts, not 5/
    ],
    [chat, { json: { messages: user([{ type: 'image_url' }]) } }, 400, 'messages.0.content.0', null, /text alone/],
    [
      chat,
      { json: { messages: user('x'), temperature: 'hot' } },
      400,
      'temperature',
      null,
      /a number from 0 to 2, not "hot"/
    ],
    [chat, { json: { messages: user('x'), top_p: 1.5 } }, 400, 'top_p', null, /a number from 0 to 1, not 1.5/],
    [chat, { json: { messages: user('x'), n: 0 } }, 400, 'n', null, /from 1 to 128, not 0/],
    [chat, { json: { messages: user('x'), stop: ['a', ''] } }, 400, 'stop.1', null, /must not be empty/],
    [chat, { json: { messages: user('x'), max_tokens: 0 } }, 400, 'max_tokens', null, /at least 1/],
    [chat, { json: { messages: user('x'), seed: 1.5 } }, 400, 'seed', null, /whole number of 64 bits/],
    [chat, { json: { messages: user('x'), top_logprobs: 2 } }, 400, 'top_logprobs', null, /goes with 'logprobs'/],
    [chat, { json: { messages: user('x'), best_of: 2 } }, 400, 'best_of', 'unsupported_parameter', /not done here/],
    [
      chat,
      { json: { messages: user('x'), tools: [{ type: 'function', function: { name: 'f' } }] } },
      400,
      'tools',
      'unsupported_parameter',
      /storychat: its chat template has no place/
    ],
    [
      chat,
      { json: { messages: user('x'), tool_choice: 'required' } },
      400,
      'tool_choice',
      null,
      /there are no 'tools'/
    ],
    [
      chat,
      { json: { messages: [...user('x'), { role: 'system', content: 's' }] } },
      400,
      null,
      null,
      /refuses these messages: the system speaks first/
    ],
    [
      chat,
      { json: { messages: user('x'), model: 'gpt-9' } },
      404,
      'model',
      'model_not_found',
      /gpt-9.*; can answer now: storychat/
    ],
    [
      chat,
      { json: { messages: user('x'), model: 'stories15m' } },
      400,
      'model',
      'no_chat_template',
      /no chat template/
    ],
    [
      chat,
      { json: { messages: user('cat '.repeat(600)) } },
      400,
      'messages',
      'context_length_exceeded',
      /has \d+ tokens.*context of 256/
    ],
    [
      chat,
      { json: { messages: user('x'), max_tokens: 300 } },
      400,
      'messages',
      'context_length_exceeded',
      /300 tokens.*context of 256/
    ],
    [completions, { json: { prompt: '' } }, 200, null, null, /./],
    [completions, { json: { prompt: [] } }, 400, 'prompt', null, /must not be empty/],
    [completions, { json: { prompt: { text: 'x' } } }, 400, 'prompt', null, /token ids/],
    [
      completions,
      { json: { prompt: [1, 99_999] } },
      400,
      null,
      null,
      /token 1 must be an id from 0 to 31999, not 99999/
    ],
    [completions, { json: { prompt: 'x', max_tokens: 0 } }, 400, 'max_tokens', null, /or 0 with 'echo'/],
    [
      completions,
      { json: { prompt: 'x', suffix: 'y' } },
      400,
      'suffix',
      'unsupported_parameter',
      /'suffix' is not done/
    ],
    [completions, { method: 'POST', body: 'x'.repeat(17 << 20) }, 413, null, 'request_too_large', /16777216 bytes/]
  ]
  for (const [path, init, status, param, code, message] of wrong) {
    const told = await ask(path, init)
    const what = `${path} ${JSON.stringify(init).slice(0, 120)} ${told.text.slice(0, 200)}`
    expect(told.status, what).toBe(status)
    expect(told.headers.get('x-request-id'), what).not.toBe(null)
    if (status === 200) continue
    expect(Object.keys(told.json.error).sort(), what).toEqual(['code', 'message', 'param', 'type'])
    expect(told.json.error, what).toMatchObject({ param, code })
    expect(told.json.error.message, what).toMatch(message)
  }
  // What asks for nothing, and what nobody knows, is left alone; null is as good as absent.
  const quiet = { temperature: null, tools: [], tool_choice: 'none', logit_bias: {}, user: 'me', made_up: 1, n: null }
  const told = await ask(chat, {
    json: { messages: user('x'), max_tokens: 1, ...quiet },
    headers: { 'x-request-id': 'mine-1' }
  })
  expect({ status: told.status, id: told.headers.get('x-request-id') }).toEqual({ status: 200, id: 'mine-1' })
  // Under that name the peer knows where its time went.
  const { id: model } = peer.status().models[0]!
  expect(peer.traces('mine-1')).toMatchObject([{ request: 'mine-1', state: 'answered', tokens: 1, model }])
})

it('lets in whoever has a key, and on loopback without keys nobody from elsewhere', { timeout: 120_000 }, async () => {
  const { ask, peer } = await open()
  const headers = (headers: Record<string, string>) => ({ headers })
  expect((await ask('/v1/models', headers({ origin: 'https://evil.example' }))).json.error).toMatchObject({
    type: 'permission_error',
    code: 'foreign_origin'
  })
  const local = await ask('/v1/models', headers({ origin: 'http://localhost:3000' }))
  expect(local.headers.get('access-control-allow-origin')).toBe('http://localhost:3000')
  // A page may read streams as well, and a request is known by its id.
  const streamed = await ask(completions, {
    json: { prompt: 'x', max_tokens: 1, stream: true },
    headers: { origin: 'http://localhost:3000', 'x-request-id': 'mine-2' }
  })
  expect(streamed.text.endsWith('data: [DONE]\n\n')).toBe(true)
  expect(Object.fromEntries(streamed.headers)).toMatchObject({
    'access-control-allow-origin': 'http://localhost:3000',
    'access-control-expose-headers': expect.stringContaining('x-request-id'),
    'content-type': expect.stringMatching(/^text\/event-stream/),
    'x-request-id': 'mine-2',
    'x-skein-seed': expect.stringMatching(/^\d+$/)
  })
  const preflight = { 'access-control-request-method': 'POST', 'access-control-request-headers': 'x-a, x-stainless-b' }
  const asked = await ask(chat, { method: 'OPTIONS', headers: { origin: 'http://127.0.0.1:5', ...preflight } })
  expect(asked.status).toBe(204)
  expect(asked.headers.get('access-control-allow-headers')).toBe('x-a, x-stainless-b')
  expect(
    (await ask(chat, { method: 'OPTIONS', headers: { origin: 'https://evil.example', ...preflight } })).status
  ).toBe(403)

  const file = join(await folder(), 'keys')
  await writeFile(file, '# who may ask\nada 0123456789abcdef\n\nbob fedcba9876543210\n')
  await expect(serveApi(peer, { host: '0.0.0.0', port: 0 })).rejects.toThrow('--api-key-file')
  const guarded = await serveApi(peer, { port: 0, apiKeyFile: file })
  const knock = async (authorization?: string): Promise<number> =>
    (await fetch(`${guarded.url}/v1/models`, authorization === undefined ? {} : { headers: { authorization } })).status
  expect(await Promise.all([knock(), knock('Bearer 0123456789abcdeX'), knock('Bearer fedcba9876543210')])).toEqual([
    401, 401, 200
  ])
  expect((await fetch(`${guarded.url}/readyz`)).status).toBe(200)
  const page = { origin: 'https://app.example', authorization: 'Bearer 0123456789abcdef' }
  const far = await fetch(`${guarded.url}/v1/models`, { headers: page })
  expect(far.headers.get('access-control-allow-origin')).toBe('https://app.example')
  await guarded.close()

  expect(keysOf('a 0123456789abcdef', 'f').nameOf('0123456789abcdef')).toBe('a')
  for (const [text, why] of [
    ['', 'has no keys'],
    ['a', 'line 1: a line has a name, a space and a key'],
    ['a short', 'at least 16 characters'],
    ['a 0123456789abcdef\na 0123456789abcdeg', 'line 2: the name a is there twice'],
    ['a 0123456789abcdef\nb 0123456789abcdef', 'two names have the same key']
  ] as const) {
    expect(() => keysOf(text, 'f')).toThrow(why)
  }
})

/** A request as bytes, whose connection is the test's own. */
function bytesOf(path: string, json: object): string {
  const body = JSON.stringify(json)
  return `POST ${path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${body.length}\r\n\r\n${body}`
}

it('frees the route of a client that hangs up, streaming or not, and of no other one', {
  timeout: 120_000
}, async () => {
  const onWarning = vi.fn()
  const { ask, socket, peer } = await open({ api: { onWarning } })
  const asked = vi.spyOn(peer, 'chat')
  const long = { messages: user('Tell me of a cat.'), max_tokens: 200, seed: 3, logit_bias: { 2: -100, 1: -100 } }
  const undisturbed = (await ask(chat, { json: long })).json.choices[0].message.content
  for (const stream of [true, false]) {
    for (const half of [false, true]) {
      asked.mockClear()
      const client = socket()
      client.on('error', () => {})
      client.write(bytesOf(chat, { ...long, stream }))
      await expect.poll(() => asked.mock.results.length, { timeout: 20_000, interval: 5 }).toBe(1)
      const other = ask(chat, { json: long })
      if (half) client.end()
      else client.destroy()
      await expect((asked.mock.results[0]!.value as Generation).answer).rejects.toThrow()
      expect((await other).json.choices[0].message.content).toBe(undisturbed)
      client.destroy()
    }
  }
  // That is no failure of anybody's.
  expect(onWarning).not.toHaveBeenCalled()
})

it('tells whoever is being answered when it closes', { timeout: 120_000 }, async () => {
  const door = await open()
  const long = { prompt: 'Once upon a time', max_tokens: 200, stream: true, logit_bias: { 2: -100, 1: -100 } }
  const answer = await fetch(door.url + completions, { method: 'POST', body: JSON.stringify(long) })
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader()
  let text = (await reader.read()).value!
  expect(answer.headers.get('content-type')).toMatch(/^text\/event-stream/)
  const closed = door.close()
  for (let step = await reader.read(); !step.done; step = await reader.read()) text += step.value
  expect(text.split('\n\n').at(-2)).toMatch(/^data: {"error":{"message":"the peer stops/)
  expect(text).not.toContain('[DONE]')
  await closed
})

it('answers bytes that are no request, in the same form', { timeout: 120_000 }, async () => {
  const { socket } = await open()
  for (const [bytes, status] of [
    ['nonsense\r\n\r\n', 400],
    [`GET /v1/models HTTP/1.1\r\nhost: localhost\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`, 431],
    ['GET /v1/models HTTP/1.1\r\nhost: a b\r\nconnection: close\r\n\r\n', 400]
  ] as const) {
    const client = socket()
    client.setEncoding('utf8')
    client.write(bytes)
    let told = ''
    client.on('data', data => {
      told += data
    })
    client.on('error', () => {})
    await once(client, 'close')
    expect(told).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
    expect(told).toMatch(/\{"error":\{"message":.*"type":"invalid_request_error","param":null,"code":/)
  }
})
