/** What OpenAI's own client for Python makes of the front door: a program of it, as a process. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, it } from 'vitest'
import { choiceSeed } from '../../../src/api/sampling.ts'
import { type ClientFlock, endless, key, messages, report } from '../client-flock.ts'

/** Of a virtual environment that has the client: `.ci/run` makes it. */
const python = join(import.meta.dirname, '../../../tmp/python/bin/python')

export const whyNoPythonClient = existsSync(python) ? undefined : "OpenAI's client for Python is not here: see .ci/run"

const prompt = 'Once upon a time'
const parameters = { type: 'object', properties: { city: { type: 'string' } } }
const long = { model: 'storychat', prompt, max_tokens: 200, seed: 3, logit_bias: endless }
const asked = {
  chat: { model: 'storychat', messages, seed: 7, max_completion_tokens: 24, n: 2 },
  completion: { model: 'storychat', prompt, seed: 5, max_tokens: 20, logprobs: 1 },
  tools: { model: 'caller', messages, tools: [{ type: 'function', function: { name: 'weather', parameters } }] },
  response: { model: 'storychat', input: messages[0]!.content, temperature: 0, max_output_tokens: 12 },
  'response tools': {
    ...{ model: 'caller', input: messages },
    tools: [{ type: 'function', strict: false, name: 'weather', parameters }]
  },
  'response streamed': { model: 'caller', input: messages },
  vectors: { model: 'embedder', input: [prompt, 'a'] },
  wrong: {
    unknown: { model: 'gpt-9' },
    hot: { temperature: 9 },
    long: { messages: [{ role: 'user', content: 'cat '.repeat(600) }] }
  },
  long,
  'long response': {
    model: 'storychat',
    input: prompt,
    max_output_tokens: 200,
    extra_body: { seed: 3, logit_bias: endless }
  }
}

export function openaiForPython(flock: () => ClientFlock): void {
  it('has what the peer gives, whole and streamed, and errors of its own classes, in the middle of an answer as well', async () => {
    const { chat, generate, driver, open, baseUrl } = flock()
    const closing = await open()
    const child = spawn(python, [join(import.meta.dirname, 'openai_python.py'), baseUrl, `${closing.url}/v1`, key], {
      stdio: ['pipe', 'pipe', 'inherit']
    })
    child.stdin.write(`${JSON.stringify(asked)}\n`)
    // biome-ignore lint/suspicious/noExplicitAny: what a test prints for this one
    const told: Record<string, any> = {}
    for await (const line of createInterface({ input: child.stdout })) {
      const { what, name, ...rest } = JSON.parse(line)
      told[name ?? what] = rest
      if (what === 'gone') {
        await expect.poll(() => flock().sessions(), { timeout: 10_000, interval: 5 }).toBe(0)
        child.stdin.end('\n')
      }
      if (what === 'reading') void closing.close()
    }
    if (child.exitCode === null) await once(child, 'close')
    expect(child.exitCode).toBe(0)

    const options = { maxTokens: 24, temperature: 1 }
    const said = [
      await chat(messages, { ...options, seed: 7 }),
      await chat(messages, { ...options, seed: choiceSeed(7, 1) })
    ]
    expect(told.chat).toMatchObject({
      choices: said,
      usage: { completion_tokens: 48, skein: { hops: 2, exact: true } }
    })
    expect(told.chat.id).toMatch(/^[0-9a-f-]{36}$/)
    const { prompt_tokens } = told.chat.usage
    expect(told['chat streamed']).toMatchObject({ choices: said, usage: { completion_tokens: 48, prompt_tokens } })
    const story = await generate(prompt, { maxTokens: 20, temperature: 1, seed: 5 })
    expect(told.completion).toMatchObject({ text: story, finish: 'length' })
    expect(told.completion.tokens.join('')).toBe(story)
    expect(told['completion streamed'].text).toBe(story)
    expect(told['completion streamed'].id).toMatch(/^[0-9a-f-]{36}$/)
    expect(told['completion streamed'].parts).toBeGreaterThan(10)
    expect(told.tools).toEqual({
      calls: [
        ['weather', '{"city":"Rome"}'],
        ['weather', '{"city":"Oslo","unit":"C"}']
      ],
      text: report
    })
    expect(told.response.text).toBe(await chat(messages, { maxTokens: 12 }))
    expect(told['response streamed'].text).toBe(report)
    const { vectors } = await driver.embed('embedder', [prompt, 'a'])
    expect(told.vectors.vectors).toEqual(vectors.map(vector => [...vector]))
    expect(told.models).toMatchObject({ one: 'storychat', models: expect.arrayContaining(['caller', 'storychat']) })

    expect(told.described.answers).toBeGreaterThan(50)
    // Of a stream's texts before the last, it says what OpenAI's own do not keep to: they have null, as these have.
    expect(told.described.lacking).toEqual(['Completion choices.0.finish_reason'])

    expect(told.unknown).toMatchObject({ status_code: 404, code: 'model_not_found', param: 'model' })
    expect(told.unknown.classes[0]).toBe('NotFoundError')
    expect(told.hot).toMatchObject({ status_code: 400, code: null, param: 'temperature' })
    expect(told.hot.classes[0]).toBe('BadRequestError')
    expect(told.long).toMatchObject({ status_code: 400, code: 'context_length_exceeded', param: 'messages' })
    expect(told.long.request_id).toMatch(/^[0-9a-f-]{36}$/)
    for (const ended of [told['ended completion'], told['ended response']]) {
      expect(ended).toMatchObject({ code: 'leaving', type: 'server_error', status_code: null })
      expect(ended.classes).toContain('APIError')
    }
  })
}
