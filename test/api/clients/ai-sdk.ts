/** What Vercel's AI SDK makes of the front door, by its provider for servers that are compatible with OpenAI's. */
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { APICallError, embedMany, generateText, isStepCount, type ModelMessage, Output, streamText, tool } from 'ai'
import { expect, it } from 'vitest'
import { z } from 'zod'
import { type ClientFlock, endless, key, messages, report } from '../client-flock.ts'

const prompt = 'Once upon a time'
const once = { maxRetries: 0 }

export function aiSdk(flock: () => ClientFlock): void {
  // It warns of choices that it makes itself and that no completion has.
  globalThis.AI_SDK_LOG_WARNINGS = false
  const provider = (baseURL = flock().baseUrl) =>
    createOpenAICompatible({ name: 'skein', baseURL, apiKey: key, includeUsage: true })
  const stories = (baseURL?: string) => provider(baseURL).chatModel('storychat')

  it('has the texts that the peer gives, whole and streamed, and vectors', async () => {
    const asked = { ...once, messages, seed: 7, maxOutputTokens: 24 }
    const said = await flock().chat(messages, { seed: 7, maxTokens: 24, temperature: 1 })
    const whole = await generateText({ ...asked, model: stories() })
    expect(whole).toMatchObject({ text: said, finishReason: 'length' })
    expect(whole.usage.outputTokens).toBe(24)
    expect(whole.response.headers!['x-request-id']).toMatch(/^[0-9a-f-]{36}$/)
    const stream = streamText({ ...asked, model: stories() })
    let text = ''
    for await (const part of stream.textStream) text += part
    expect(text).toBe(said)
    expect((await stream.response).headers!['x-request-id']).toMatch(/^[0-9a-f-]{36}$/)
    expect(await stream.usage).toMatchObject({ inputTokens: whole.usage.inputTokens, outputTokens: 24 })
    const stop = said.slice(12, 20)
    const cut = await generateText({ ...asked, model: stories(), stopSequences: [stop] })
    expect(cut).toMatchObject({ text: said.slice(0, said.indexOf(stop)), finishReason: 'stop' })

    // What it makes a prompt of has a line for each who speaks, and ends where the next one would.
    const model = provider().completionModel('storychat')
    const completed = await generateText({ ...once, model, prompt, seed: 5, maxOutputTokens: 20 })
    const options = { seed: 5, maxTokens: 20, temperature: 1 }
    const story = await flock().generate(`user:\n${prompt}\n\nassistant:\n`, options)
    expect(completed.text).toBe(story.includes('\nuser:') ? story.slice(0, story.indexOf('\nuser:')) : story)

    const values = [prompt, 'a']
    const { embeddings } = await embedMany({ ...once, model: provider().embeddingModel('embedder'), values })
    const { vectors } = await flock().driver.embed('embedder', values)
    expect(embeddings).toEqual(vectors.map(vector => [...vector]))
  })

  it('has objects of a schema, and insists on a call', async () => {
    const schema = z.object({ name: z.string().max(12), lives: z.int().min(1).max(9) })
    const skein = { name: 'skein', baseURL: flock().baseUrl, apiKey: key, supportsStructuredOutputs: true }
    const model = createOpenAICompatible(skein).chatModel('storychat')
    const asked = { ...once, messages, seed: 3, maxOutputTokens: 100 }
    const { output } = await generateText({ ...asked, model, output: Output.object({ schema }) })
    expect(schema.parse(output)).toEqual(output)
    const weather = tool({ inputSchema: z.object({ city: z.string().max(10) }) })
    const forced = {
      ...asked,
      model: provider().chatModel('caller'),
      tools: { weather },
      toolChoice: 'required' as const
    }
    const { toolCalls } = await generateText(forced)
    expect(toolCalls[0]).toMatchObject({ toolName: 'weather', input: { city: expect.any(String) } })
  })

  it('runs what is called and goes on with what that says, whole and streamed', async () => {
    const cities: string[] = []
    const weather = tool({
      inputSchema: z.object({ city: z.string(), unit: z.string().optional() }),
      execute({ city }) {
        cities.push(city)
        return 'fine'
      }
    })
    const model = provider().chatModel('caller')
    const asked = { ...once, model, messages: messages as ModelMessage[], tools: { weather }, stopWhen: isStepCount(3) }
    const whole = await generateText(asked)
    expect(whole.text).toBe(report)
    expect(whole.steps.map(({ finishReason }) => finishReason)).toEqual(['tool-calls', 'stop'])
    expect(whole.steps[0]!.toolCalls.map(({ input }) => input)).toEqual([{ city: 'Rome' }, { city: 'Oslo', unit: 'C' }])
    const stream = streamText(asked)
    expect(await stream.text).toBe(report)
    expect(cities).toEqual(['Rome', 'Oslo', 'Rome', 'Oslo'])
  })

  it('has errors with their status, frees the route when it hangs up, and is told of what ends its answer', async () => {
    const unknown = generateText({ ...once, model: provider().chatModel('gpt-9'), messages })
    const error = await unknown.then(
      () => undefined,
      each => each
    )
    expect(APICallError.isInstance(error)).toBe(true)
    expect(error).toMatchObject({
      statusCode: 404,
      isRetryable: false,
      data: { error: { code: 'model_not_found', param: 'model', type: 'invalid_request_error' } }
    })

    const options = { skein: { logit_bias: endless } }
    const long = { ...once, messages, seed: 3, maxOutputTokens: 200, providerOptions: options, onError() {} }
    await expect.poll(() => flock().sessions(), { timeout: 20_000 }).toBe(0)
    const stopping = new AbortController()
    let parts = 0
    for await (const _part of streamText({ ...long, model: stories(), abortSignal: stopping.signal }).textStream) {
      if (++parts === 5) expect(flock().sessions()).toBe(2)
      if (parts === 5) stopping.abort()
    }
    await expect.poll(() => flock().sessions(), { timeout: 10_000, interval: 5 }).toBe(0)

    const closing = await flock().open()
    let text = ''
    let ending: Promise<void> | undefined
    const errors: unknown[] = []
    const stream = streamText({ ...long, model: stories(`${closing.url}/v1`) })
    for await (const part of stream.fullStream) {
      if (part.type === 'text-delta') text += part.text
      if (part.type === 'error') errors.push(part.error)
      if (text.length > 20) ending ??= closing.close()
    }
    expect(errors).toMatchObject([{ code: 'leaving', type: 'server_error' }])
    expect(await stream.finishReason).toBe('error')
    expect(text.length).toBeGreaterThan(20)
    await ending
  })
}
