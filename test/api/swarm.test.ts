/** The front door of a peer in a swarm: one without layers, losses in mid-answer, and more requests than there is room for. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import OpenAI, { RateLimitError } from 'openai'
import { afterEach, expect, it } from 'vitest'
import { type ApiInit, type ApiServer, serveApi } from '../../src/api/serve.ts'
import type { Peer } from '../../src/index.ts'
import { newSwarm } from '../../src/swarm/swarm-file.ts'
import { livePeers } from '../peer/live-peers.ts'
import { clientsOf, type FrontDoor } from './front-door.ts'

const { peers, folder, start } = livePeers('api-swarm')
const doors: ApiServer[] = []
afterEach(async () => {
  await Promise.all(doors.splice(0).map(door => door.close()))
})

async function doorOf(peer: Peer, init: ApiInit = {}): Promise<FrontDoor> {
  doors.push(await serveApi(peer, { port: 0, ...init }))
  return clientsOf(doors.at(-1)!, peer)
}

async function covered(peer: Peer, times: readonly number[]): Promise<void> {
  const coverage = () => peer.status().models.find(({ name }) => name === 'stories15m')?.coverage
  await expect.poll(coverage, { timeout: 60_000 }).toEqual(times)
}

const completions = '/v1/completions'
const prompt = 'Once upon a time'
/** A peer whose answers tell a test which way they go. */
function watched(peer: Peer, onRoute: (hops: readonly { readonly peer: string }[]) => void): Peer {
  const generate: Peer['generate'] = (...asked) => {
    const generation = peer.generate(...asked)
    async function* events() {
      for await (const event of generation.events()) {
        if (event.event === 'route') onRoute(event.hops)
        yield event
      }
    }
    return { events, answer: Promise.resolve() } as never
  }
  return new Proxy(peer, {
    get(_, key) {
      const value = peer[key as keyof Peer]
      return key === 'generate' ? generate : typeof value === 'function' ? value.bind(peer) : value
    }
  })
}

/** Never ends by itself. */
const endless = { 1: -100, 2: -100 }

it('answers without layers of its own, the same after a loss, and tells the truth when all is lost', {
  timeout: 180_000
}, async () => {
  const swarm = newSwarm('api-swarm')
  const first = await start({ swarm, layers: { start: 0, end: 3 }, memoryBytes: 256e6 })
  await start({ swarm, layers: { start: 3, end: 6 }, memoryBytes: 256e6 })
  await start({ swarm, layers: { start: 3, end: 6 }, memoryBytes: 256e6 })
  const driver = await start({ swarm, memoryBytes: 0 })
  await covered(driver, [1, 1, 1, 2, 2, 2])
  let route: readonly { readonly peer: string }[] = []
  const { ask, openai } = await doorOf(
    watched(driver, hops => {
      route = hops
    })
  )
  const request = { model: 'stories15m', prompt, max_tokens: 100, seed: 11, logit_bias: endless }
  const [undisturbed, ...others] = await Promise.all(
    [11, 1, 2, 3, 4].map(seed => ask(completions, { json: { ...request, seed } }))
  )
  const { choices, usage, system_fingerprint: print } = undisturbed!.json
  expect(usage.skein).toMatchObject({ hops: 2, recoveries: 0, exact: true, seed: 11 })
  expect(new Set(others.map(({ json }) => json.choices[0].text)).size).toBe(4)

  const stream = await openai.completions.create({ ...request, stream: true, stream_options: { include_usage: true } })
  let text = ''
  let skein: Record<string, unknown> = {}
  let stopping: Promise<void> | undefined
  for await (const chunk of stream) {
    text += chunk.choices[0]?.text ?? ''
    expect(chunk.system_fingerprint).toBe(print)
    if (chunk.usage) ({ skein } = chunk.usage as never)
    if (stopping !== undefined || text.length < 30) continue
    const tail = peers.findIndex(({ id }) => id === route.at(-1)!.peer)
    stopping = peers.splice(tail, 1)[0]!.stop()
  }
  await stopping
  expect(text).toBe(choices[0].text)
  expect(skein).toMatchObject({ hops: 2, exact: true })
  // On a busy machine the stand-in may be slow to answer, and is asked again.
  expect(skein.recoveries).toBeGreaterThan(0)

  for (const peer of peers.splice(0, 2)) if (peer !== driver) await peer.stop()
  expect(first.id).not.toBe(driver.id)
  await expect.poll(async () => (await ask('/readyz')).status, { timeout: 30_000 }).toBe(503)
  expect((await ask('/v1/models')).json).toEqual({ object: 'list', data: [] })
  expect((await ask('/healthz')).json).toEqual({ status: 'ok', peer: driver.id })
  const refused = await ask(completions, { json: request })
  expect([404, 503]).toContain(refused.status)
})

it('refuses in advance what there will be no room for, and has clients take turns', { timeout: 180_000 }, async () => {
  const peer = await start({ swarm: newSwarm('api-full'), memoryBytes: 22e6 })
  await covered(peer, [1, 1, 1, 1, 1, 1])
  const keys = join(await folder(), 'keys')
  await writeFile(keys, 'ada 0123456789abcdef\nbob fedcba9876543210\n')
  const { ask, url } = await doorOf(peer, { apiKeyFile: keys })
  const over: string[] = []
  const request = async (name: string, key: string) => {
    const json = { prompt, max_tokens: 200, logit_bias: endless }
    const told = await ask(completions, { json, headers: { authorization: `Bearer ${key}` } })
    if (told.status === 200) over.push(name)
    return told
  }
  const flood = Array.from({ length: 40 }, () => request('ada', '0123456789abcdef'))
  const refused = await Promise.race(flood)
  expect(refused.status).toBe(429)
  expect(refused.json.error).toMatchObject({ type: 'rate_limit_error', code: 'overloaded', param: null })
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
  // OpenAI's client has a class for that, and the time after which it asks again.
  const ada = new OpenAI({ baseURL: `${url}/v1`, apiKey: '0123456789abcdef', maxRetries: 0 })
  const full = await ada.completions.create({ model: 'stories15m', prompt, max_tokens: 200 }).catch(error => error)
  expect(full).toBeInstanceOf(RateLimitError)
  expect(full).toMatchObject({ status: 429, code: 'overloaded', type: 'rate_limit_error' })
  expect(Number(full.headers.get('retry-after-ms'))).toBeGreaterThan(0)
  expect((await request('bob', 'fedcba9876543210')).status).toBe(200)
  const aheadOfBob = over.length - 1
  const all = await Promise.all(flood)
  expect(new Set(all.map(({ status }) => status))).toEqual(new Set([200, 429]))
  expect(aheadOfBob).toBeLessThan(over.length - 1)
})
