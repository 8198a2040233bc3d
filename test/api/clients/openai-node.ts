/** What OpenAI's own client for Node makes of the front door. */
import OpenAI, {
  APIError,
  APIUserAbortError,
  AuthenticationError,
  BadRequestError,
  InternalServerError,
  NotFoundError
} from 'openai'
import { expect, it } from 'vitest'
import { choiceSeed } from '../../../src/api/sampling.ts'
import { calls, type ClientFlock, endless, key, messages, report } from '../client-flock.ts'

const chat = { model: 'storychat', messages, seed: 7, max_completion_tokens: 24 }
const prompt = 'Once upon a time'
const completion = { model: 'storychat', prompt, seed: 5, max_tokens: 20 }

export function openaiForNode(flock: () => ClientFlock): void {
  const client = (baseURL = flock().baseUrl): OpenAI => new OpenAI({ baseURL, apiKey: key, maxRetries: 0 })

  it('has the texts that the peer gives, whole and streamed, of each of several answers', async () => {
    const openai = client()
    const said = await flock().chat(messages, { seed: 7, maxTokens: 24, temperature: 1 })
    expect(said.length).toBeGreaterThan(20)
    const { data, request_id } = await openai.chat.completions.create(chat).withResponse()
    expect(data.choices[0]).toMatchObject({ message: { role: 'assistant', content: said }, finish_reason: 'length' })
    expect(data.usage).toMatchObject({ completion_tokens: 24, skein: { hops: 2, seed: 7, exact: true } })
    expect(request_id).toMatch(/^[0-9a-f-]{36}$/)

    const streamed = openai.chat.completions.stream({ ...chat, n: 2, stream_options: { include_usage: true } })
    const final = await streamed.finalChatCompletion()
    const other = await flock().chat(messages, { seed: choiceSeed(7, 1), maxTokens: 24, temperature: 1 })
    expect(final.choices.map(({ message }) => message.content)).toEqual([said, other])
    expect(final.usage).toMatchObject({ prompt_tokens: data.usage!.prompt_tokens, completion_tokens: 48 })

    const story = await flock().generate(prompt, { seed: 5, maxTokens: 20, temperature: 1 })
    const whole = await openai.completions.create({ ...completion, logprobs: 1 })
    expect(whole.choices[0]!.text).toBe(story)
    expect(whole.choices[0]!.logprobs!.tokens!.join('')).toBe(story)
    const parts: string[] = []
    const begun = await openai.completions.create({ ...completion, stream: true }).withResponse()
    expect(begun.request_id).toMatch(/^[0-9a-f-]{36}$/)
    for await (const part of begun.data) parts.push(part.choices[0]!.text)
    expect(parts.length).toBeGreaterThan(10)
    expect(parts.join('')).toBe(story)

    const stop = story.slice(12, 20)
    const cut = await openai.completions.create({ ...completion, stop })
    expect(cut.choices[0]).toMatchObject({ text: story.slice(0, story.indexOf(stop)), finish_reason: 'stop' })
    const scored = await openai.chat.completions.create({ ...chat, logprobs: true, top_logprobs: 3 })
    const entries = scored.choices[0]!.logprobs!.content!
    expect(
      Buffer.from(entries.flatMap(({ bytes }) => bytes!))
        .toString()
        .trimStart()
    ).toBe(said.trimStart())
    expect(entries.every(({ top_logprobs }) => top_logprobs.length === 3)).toBe(true)

    expect((await openai.models.list()).data.map(({ id }) => id).toSorted()).toEqual([
      'caller',
      'embedder',
      'storychat'
    ])
    expect((await openai.models.retrieve('storychat')).id).toBe('storychat')
  })

  it('calls functions and goes on with what they say, whole and streamed, and has the same by the Responses API', async () => {
    const openai = client()
    const weather = {
      type: 'function' as const,
      function: { name: 'weather', parameters: { type: 'object' as const, properties: { city: { type: 'string' } } } }
    }
    expect(await flock().chat(messages, { model: 'caller', tools: [weather] })).toBe(calls)
    const asked = { model: 'caller', messages, tools: [weather] }
    const whole = (await openai.chat.completions.create(asked)).choices[0]!
    expect(whole.finish_reason).toBe('tool_calls')
    expect(whole.message.content).toBe(null)
    const made = (choice: OpenAI.Chat.Completions.ChatCompletion.Choice) =>
      choice.message.tool_calls!.map(call =>
        call.type === 'function' ? [call.function.name, call.function.arguments] : [call.type]
      )
    expect(made(whole)).toEqual([
      ['weather', '{"city":"Rome"}'],
      ['weather', '{"city":"Oslo","unit":"C"}']
    ])
    const streamed = (await openai.chat.completions.stream(asked).finalChatCompletion()).choices[0]!
    expect(made(streamed as never)).toEqual(made(whole))
    expect(new Set(streamed.message.tool_calls!.map(({ id }) => id)).size).toBe(2)

    // The client runs what is called, and asks again.
    for (const stream of [false, true]) {
      const cities: unknown[] = []
      const run = (given: string): string => {
        cities.push(JSON.parse(given).city)
        return 'fine'
      }
      const tool = { ...weather, function: { ...weather.function, function: run } }
      const runner = openai.chat.completions.runTools({ ...asked, tools: [tool], stream } as never)
      expect(await runner.finalContent()).toBe(report)
      expect(cities).toEqual(['Rome', 'Oslo'])
    }

    const { output } = await openai.responses.create({
      model: 'caller',
      input: messages,
      tools: [{ type: 'function', strict: false, ...weather.function }]
    })
    expect(output.map(item => item.type === 'function_call' && item.arguments)).toEqual(
      made(whole).map(call => call[1])
    )
    const results = output.flatMap(item =>
      item.type === 'function_call'
        ? [item, { type: 'function_call_output' as const, call_id: item.call_id, output: 'fine' }]
        : []
    )
    const last = openai.responses.stream({ model: 'caller', input: [...messages, ...results] })
    expect((await last.finalResponse()).output_text).toBe(report)
  })

  it('has vectors in base64, and errors of its own classes', async () => {
    const openai = client()
    const { vectors } = await flock().driver.embed('embedder', [prompt])
    const told = await openai.embeddings.create({ model: 'embedder', input: prompt })
    expect(told.data[0]!.embedding).toEqual([...vectors[0]!])

    const unknown = await failed(openai.chat.completions.create({ ...chat, model: 'gpt-9' }))
    expect(unknown).toBeInstanceOf(NotFoundError)
    expect(unknown).toMatchObject({
      status: 404,
      code: 'model_not_found',
      param: 'model',
      type: 'invalid_request_error'
    })
    expect(unknown.requestID).toMatch(/^[0-9a-f-]{36}$/)
    const hot = await failed(openai.chat.completions.create({ ...chat, temperature: 9 }))
    expect(hot).toBeInstanceOf(BadRequestError)
    expect(hot).toMatchObject({ status: 400, code: null, param: 'temperature' })
    expect(hot.message).toContain('must be a number from 0 to 2, not 9')
    const long = await failed(openai.completions.create({ ...completion, prompt: 'cat '.repeat(600), stream: true }))
    expect(long).toBeInstanceOf(BadRequestError)
    expect(long).toMatchObject({ status: 400, code: 'context_length_exceeded', param: 'prompt' })
    const { url } = await flock().keyed()
    expect((await client(`${url}/v1`).models.list()).data).toHaveLength(3)
    const stranger = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'another', maxRetries: 0 })
    const refused = await failed(stranger.models.list())
    expect(refused).toBeInstanceOf(AuthenticationError)
    expect(refused).toMatchObject({ status: 401, type: 'authentication_error' })
  })

  it('frees the whole route when it hangs up, and is told of what ends its answer', async () => {
    const openai = client()
    const long = { model: 'storychat', messages, max_tokens: 200, seed: 3, logit_bias: endless }
    await expect.poll(() => flock().sessions(), { timeout: 20_000 }).toBe(0)
    const stopping = new AbortController()
    const stream = await openai.chat.completions.create({ ...long, stream: true }, { signal: stopping.signal })
    let chunks = 0
    for await (const _chunk of stream) {
      if (++chunks < 5) continue
      expect(flock().sessions()).toBe(2)
      stopping.abort()
    }
    await expect.poll(() => flock().sessions(), { timeout: 10_000, interval: 5 }).toBe(0)
    const leaving = new AbortController()
    const whole = openai.chat.completions.create(long, { signal: leaving.signal })
    const left = expect(whole).rejects.toBeInstanceOf(APIUserAbortError)
    await expect.poll(() => flock().sessions(), { timeout: 10_000, interval: 5 }).toBe(2)
    leaving.abort()
    await left
    await expect.poll(() => flock().sessions(), { timeout: 10_000, interval: 5 }).toBe(0)

    const { messages: input, max_tokens, ...rest } = long
    const chatText = async (at: OpenAI, say: (text: string) => void) => {
      for await (const chunk of await at.chat.completions.create({ ...long, stream: true })) {
        say(chunk.choices[0]?.delta.content ?? '')
      }
    }
    const responseText = async (at: OpenAI, say: (text: string) => void) => {
      const asked = { ...rest, input, max_output_tokens: max_tokens, stream: true } as const
      for await (const event of await at.responses.create(asked)) {
        if (event.type === 'response.output_text.delta') say(event.delta)
      }
    }
    const closing = [await flock().open(), await flock().open()]
    for (const [read, baseUrl, code, end] of [
      [chatText, `${closing[0]!.url}/v1`, 'leaving', () => closing[0]!.close()],
      [responseText, `${closing[1]!.url}/v1`, 'leaving', () => closing[1]!.close()],
      [chatText, flock().baseUrl, 'answer_failed', () => flock().lose()]
    ] as const) {
      let text = ''
      let ending: Promise<void> | undefined
      const say = (more: string): void => {
        text += more
        if (text.length > 20) ending ??= end()
      }
      expect(await failed(read(client(baseUrl), say))).toMatchObject({ code, type: 'server_error' })
      expect(text.length).toBeGreaterThan(20)
      await ending
    }
    await expect
      .poll(() =>
        flock()
          .driver.status()
          .models.every(each => each.coverage.every(Boolean))
      )
      .toBe(false)
    expect(await failed(client().chat.completions.create(chat))).toBeInstanceOf(InternalServerError)
  })
}

/** The error that a request ends with. */
async function failed(asked: Promise<unknown>): Promise<APIError> {
  const error = await asked.then(
    () => undefined,
    each => each
  )
  expect(error).toBeInstanceOf(APIError)
  return error as APIError
}
