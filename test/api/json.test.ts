/** Bodies that are made to be costly: each is refused in a moment, and what is large for a reason is taken. */
import { expect, it } from 'vitest'
import { chatMessages } from '../../src/api/chat.ts'
import { readJson } from '../../src/api/json.ts'
import { jsonDepthMax, jsonThingsMax } from '../../src/api/limits.ts'
import {
  chatSchema,
  completionSchema,
  detokenizeSchema,
  embeddingsSchema,
  read,
  responsesSchema
} from '../../src/api/schema.ts'

const many = (what: string, count: number): string => Array.from({ length: count }, () => what).join(',')
const nested = (open: string, close: string, depth: number): string => open.repeat(depth) + close.repeat(depth)

it('reads what JSON.parse reads, whatever its strings hold', () => {
  for (const text of [
    '{}',
    ' [1, "a\\"[[[", {"b\\\\": "]"}, "\\\\\\""] ',
    '"[[["',
    '{"__proto__": {"a": 1}}',
    `[${many('1', 200_000)}]`,
    `[${many(`"${'{'.repeat(100)}"`, 100)}]`
  ]) {
    expect(readJson(text), text.slice(0, 50)).toEqual(JSON.parse(text))
  }
  for (const text of ['{', '"a', '"a\\"', '[1,]', '}}}}', '"\\', 'nonsense']) {
    expect(() => readJson(text), text).toThrow(/^the request is not JSON: /)
  }
})

it('refuses what is nested too deeply, or has too much in it, before it is parsed', () => {
  const deep = (depth: number): string => nested('[', ']', depth)
  expect(readJson(deep(jsonDepthMax))).toHaveLength(1)
  for (const text of [deep(jsonDepthMax + 1), deep(1e5), nested('{"a":', '', 1e5), '['.repeat(1e6)]) {
    expect(() => readJson(text)).toThrow('the request is nested too deeply')
  }
  expect(readJson(`[${many('""', jsonThingsMax - 1)}]`)).toHaveLength(jsonThingsMax - 1)
  expect(() => readJson(`[${many('""', jsonThingsMax)}]`)).toThrow(
    /has 65537 objects, arrays and strings .* have 65536/
  )
  expect(() => readJson(`{${many('"a":{}', 1e6)}}`)).toThrow(/has 2000001 objects/)
  const call = { type: 'function' as const, function: { name: 'f', arguments: nested('{"a":', '', 1e5) } }
  expect(() => chatMessages([{ role: 'assistant', tool_calls: [call] }])).toThrow(
    "'messages.0.tool_calls.0.function.arguments' is nested too deeply"
  )
})

it('looks at a list up to the first that is wrong, and names it', () => {
  const numbers = JSON.parse(`[${many('1', 500_000)}]`) as number[]
  const wrong: [Parameters<typeof read>[0], object, string | null, RegExp][] = [
    [chatSchema, { messages: numbers }, 'messages.0', /must be an object with a role and a content, not 1$/],
    [chatSchema, { messages: [] }, 'messages', /must have at least one message, not \[\]/],
    [chatSchema, { messages: [{ role: 'user', content: numbers }] }, 'messages.0.content.0', /an object with a type/],
    [chatSchema, { messages: [{ role: 'assistant', tool_calls: numbers }] }, 'messages.0.tool_calls.0', /an object/],
    [chatSchema, { messages: [{ role: 'user' }], tools: numbers }, 'tools', /at most 128 functions, not \[1,1/],
    [chatSchema, { messages: [{ role: 'user' }, { role: 'me' }] }, 'messages.1.role', /must be one of system.*"me"/],
    [completionSchema, { prompt: [...numbers, 'a'] }, 'prompt', /token ids or an array of those, not \[1,1,/],
    [completionSchema, { prompt: [...numbers, -1] }, 'prompt', /token ids/],
    [completionSchema, { prompt: [[1], [1.5]] }, 'prompt', /token ids/],
    [completionSchema, { prompt: 'a', stop: numbers }, 'stop', /up to 64 of them, .*, not \[1,1,1/],
    [completionSchema, { prompt: 'a', logit_bias: { 1: 2, 3: 'x' } }, 'logit_bias.3', /from -100 to 100, not "x"/],
    [
      completionSchema,
      { prompt: 'a', logit_bias: { 3: Number.POSITIVE_INFINITY } },
      'logit_bias.3',
      /from -100 to 100, not Infinity/
    ],
    [responsesSchema, { input: numbers }, 'input.0', /an object with a type, not 1$/],
    [responsesSchema, { input: 'a', tools: numbers }, 'tools', /at most 128 tools/],
    [embeddingsSchema, { model: 'a', input: numbers }, 'input', /a string or an array of strings/],
    [detokenizeSchema, { tokens: [...numbers, 'a'] }, 'tokens', /an array of token ids/]
  ]
  const beganMs = performance.now()
  for (const [schema, body, param, message] of wrong) {
    const refused = expect.objectContaining({ status: 400, message: expect.stringMatching(message) })
    expect(() => read(schema, body), String(message)).toThrow(refused)
    expect(() => read(schema, body)).toThrow(
      expect.objectContaining({ body: { error: expect.objectContaining({ param }) } })
    )
  }
  // An error for each of half a million takes seconds for one of these bodies.
  expect(performance.now() - beganMs).toBeLessThan(15_000)
  expect(read(completionSchema, { prompt: numbers }).prompt).toHaveLength(500_000)
  expect(read(completionSchema, { prompt: 'a', logit_bias: { 1: -100 } }).logit_bias).toEqual({ 1: -100 })
})

it('repeats no more of what is wrong than a line', () => {
  const long = 'a'.repeat(1e6)
  for (const body of [
    { prompt: 'a', logit_bias: { [long]: 'x' } },
    { prompt: 'a', stop: long },
    { prompt: { [long]: 1 } }
  ]) {
    let message = ''
    try {
      read(completionSchema, body)
    } catch (error) {
      message = (error as Error).message
    }
    expect(message.length).toBeGreaterThan(20)
    expect(message.length).toBeLessThan(300)
  }
})
