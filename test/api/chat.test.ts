/** The API over HTTP, asked by OpenAI's own client and by curl, before a real peer with the model that ships. */
import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import type OpenAI from 'openai'
import { expect, it } from 'vitest'
import { needs } from '../needs.ts'
import { frontDoors } from './front-door.ts'

const { open } = frontDoors('api-chat')

const hasCurl = (process.env.PATH ?? '').split(delimiter).some(folder => existsSync(join(folder, 'curl')))
const whyNoCurl = hasCurl ? undefined : 'there is no curl'

type Chunk = OpenAI.Chat.Completions.ChatCompletionChunk

it('answers chats and completions, whole and streamed, alike', { timeout: 120_000 }, async () => {
  const { openai, ask } = await open()
  const request = {
    model: 'storychat',
    messages: [{ role: 'user' as const, content: 'Tell me of a cat.' }],
    seed: 7,
    max_completion_tokens: 24
  }
  const whole = await openai.chat.completions.create(request)
  const [choice] = whole.choices
  expect(choice!.finish_reason).toBe('length')
  expect(choice!.message).toMatchObject({ role: 'assistant', refusal: null })
  expect(choice!.message.content!.length).toBeGreaterThan(20)
  expect(whole.usage).toMatchObject({ completion_tokens: 24, skein: { seed: 7, exact: true, hops: 1, recoveries: 0 } })
  expect(whole.usage!.total_tokens).toBe(whole.usage!.prompt_tokens + 24)

  const chunks: Chunk[] = []
  const stream = await openai.chat.completions.create({ ...request, stream: true })
  for await (const chunk of stream) chunks.push(chunk)
  expect(chunks.map(({ choices }) => choices[0]!.delta.content ?? '').join('')).toBe(choice!.message.content)
  expect(chunks[0]!.choices[0]).toEqual({
    index: 0,
    delta: { role: 'assistant', content: '' },
    logprobs: null,
    finish_reason: null
  })
  expect(chunks.at(-1)!.choices[0]).toMatchObject({ delta: {}, finish_reason: 'length' })
  expect(new Set(chunks.map(({ id, created, system_fingerprint: print }) => `${id} ${created} ${print}`)).size).toBe(1)
  expect(chunks.some(chunk => 'usage' in chunk)).toBe(false)

  const streamed = openai.chat.completions.stream({ ...request, stream_options: { include_usage: true } })
  const final = await streamed.finalChatCompletion()
  expect(final.choices[0]!.message.content).toBe(choice!.message.content)
  expect(final.usage).toMatchObject({ completion_tokens: 24, prompt_tokens: whole.usage!.prompt_tokens })

  const text = await openai.completions.create({ model: 'storychat', prompt: 'Once upon a time', temperature: 0 })
  expect(text.usage).toMatchObject({ completion_tokens: 16 })
  expect(text.choices[0]!.finish_reason).toBe('length')
  const models = await openai.models.list()
  expect(models.data.map(({ id }) => id)).toEqual(['storychat'])
  expect((await openai.models.retrieve('storychat')).id).toBe('storychat')
  expect((await ask('/readyz')).json).toEqual({ status: 'ready', models: ['storychat'] })
})

it('answers curl as documents show it', { timeout: 120_000, ...needs(whyNoCurl) }, async () => {
  const { url } = await open()
  for (const file of ['README.md', 'docs/http.md']) {
    const shown = /^curl .*$/m.exec(readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8'))![0]
    const command = shown.replace(/ +#.*$/, '').replace('127.0.0.1:8420', new URL(url).host)
    expect(command).not.toBe(shown)
    const { stdout } = await promisify(execFile)('bash', ['-c', command.replace('curl', 'curl --silent --show-error')])
    const events = stdout.split('\n\n').filter(frame => frame.startsWith('data: {'))
    const told = events.map(frame => JSON.parse(frame.slice('data: '.length)).choices[0])
    expect(told.map(({ text }) => text).join('').length).toBeGreaterThan(20)
    expect(told.at(-1)).toMatchObject({ finish_reason: expect.stringMatching(/^(length|stop)$/) })
    expect(stdout.endsWith('data: [DONE]\n\n')).toBe(true)
  }
})
