/** Personal data in requests over HTTP: it never becomes tokens, and the answer says how much there was. */
import { expect, it } from 'vitest'
import type { GenerateOptions } from '../../src/index.ts'
import { frontDoors } from './front-door.ts'

const { open } = frontDoors('scrub')
const secret = 'Write to bob@x.org or +49 171 1234567.'

it('is replaced where a request says so, whole and streamed, in prompts and in messages', {
  timeout: 120_000
}, async () => {
  const { ask, peer } = await open()
  const plain = await ask('/v1/completions', {
    json: { prompt: 'Write to [email-1] or [phone-1].', max_tokens: 4, seed: 5 }
  })
  const scrubbed = await ask('/v1/completions', {
    json: { prompt: secret, max_tokens: 4, seed: 5, skein: { scrub: true } }
  })
  // The same answer to the same tokens: that is what the hops have seen.
  expect(scrubbed.json.choices[0].text).toBe(plain.json.choices[0].text)
  expect(scrubbed.json.usage.prompt_tokens).toBe(plain.json.usage.prompt_tokens)
  expect(scrubbed.json.usage.skein.scrubbed).toEqual({ email: 1, phone: 1 })
  expect(plain.json.usage.skein).not.toHaveProperty('scrubbed')
  const messages = [{ role: 'user', content: `${secret} Again: bob@x.org` }]
  const chat = {
    messages,
    max_tokens: 4,
    stream: true,
    stream_options: { include_usage: true },
    skein: { scrub: true }
  }
  expect((await ask('/v1/chat/completions', { json: chat })).text).toContain('"scrubbed":{"email":2,"phone":1}')
  const response = await ask('/v1/responses', { json: { input: secret, max_output_tokens: 4, skein: { scrub: true } } })
  expect(response.json.usage.skein.scrubbed).toEqual({ email: 1, phone: 1 })
  const several = { prompt: [secret, 'nothing', '10.1.2.3'], max_tokens: 2, n: 2, skein: { scrub: true } }
  const { json } = await ask('/v1/completions', { json: several })
  expect(json.usage.skein.scrubbed).toEqual({ email: 1, phone: 1, ip: 1 })

  const refused = async (json: object): Promise<string> => (await ask('/v1/completions', { json })).json.error.message
  expect(await refused({ prompt: 'x', skein: { scrubb: true } })).toMatch(
    /'skein' must be an object with 'scrub' in it and nothing else/
  )
  expect(await refused({ prompt: 'x', skein: { scrub: 1 } })).toMatch(/'skein.scrub' must be true or false/)
  expect(await refused({ prompt: [1, 2, 3], skein: { scrub: true } })).toMatch(/it is token ids: give its text/)

  // A program says it as an option, and hears of it as an event before all else; ids of what was tokenized say what was left.
  const options: GenerateOptions = { maxTokens: 2, scrub: true }
  const events = []
  for await (const event of peer.generate(secret, options).events()) events.push(event)
  expect(events[0]).toEqual({ event: 'scrubbed', replaced: { email: 1, phone: 1 } })
  const done = events.find(({ event }) => event === 'done') as unknown as { promptIds: number[] }
  const text = await peer.detokenize(done.promptIds)
  expect(text.trim()).toBe('Write to [email-1] or [phone-1].')
  expect(JSON.stringify(events)).not.toMatch(/bob|1234567/)
})

it('is replaced in all that a peer is asked which is told so, with a long text too, and no request can do without', {
  timeout: 120_000
}, async () => {
  const { ask, peer } = await open({ peer: { scrub: true, scrubCountry: 'NO' } })
  const { json } = await ask('/v1/completions', {
    json: { prompt: 'ring 22334455', max_tokens: 2, skein: { scrub: false } }
  })
  expect(json.usage.skein.scrubbed).toEqual({ phone: 1 })
  expect((await ask('/v1/completions', { json: { prompt: [1, 2], max_tokens: 2 } })).status).toBe(400)
  // The thread has it.
  const long = `${'word '.repeat(900)} bob@x.org`
  const refused = peer.chat([{ role: 'user', content: long }], { maxTokens: 2, fit: true })
  const seen = []
  try {
    for await (const event of refused.events()) seen.push(event)
  } catch (error) {
    // The little model's context holds no such text; what matters is that nobody has had it as it was.
    expect((error as Error).message).not.toContain('bob')
  }
  expect(JSON.stringify(seen)).not.toContain('bob')
})
