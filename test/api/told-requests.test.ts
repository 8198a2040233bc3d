/** What is told of requests: to a log, and as spans to a collector of OpenTelemetry, over real HTTP. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, it, onTestFinished } from 'vitest'
import { traceContextOf } from '../../src/api/requests.ts'
import type { ToldRequest } from '../../src/api/told-request.ts'
import { frontDoors } from './front-door.ts'

const { open } = frontDoors('told-requests')

interface Span {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly name: string
  readonly kind: number
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
  readonly attributes: readonly { readonly key: string; readonly value: Record<string, unknown> }[]
  readonly status: { readonly code?: number }
}

/** A collector that keeps what it is sent. */
async function collector(status = 200): Promise<{ endpoint: string; spans: Span[]; keys: string[] }> {
  const [spans, keys]: [Span[], string[]] = [[], []]
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', part => {
      body += part
    })
    request.on('end', () => {
      keys.push(`${request.url} ${request.headers['x-key']}`)
      const { resourceSpans } = JSON.parse(body) as { resourceSpans: { scopeSpans: { spans: Span[] }[] }[] }
      spans.push(...resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(each => each.spans)))
      response.writeHead(status).end()
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  return { endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, spans, keys }
}

const attributeOf = ({ attributes }: Span, key: string): unknown =>
  Object.values(attributes.find(each => each.key === key)?.value ?? {})[0]

it('each is told once with its size, times and model, and nothing of what it says', { timeout: 90_000 }, async () => {
  const told: ToldRequest[] = []
  const { ask, url } = await open({ api: { onRequest: request => told.push(request) } })
  const messages = [{ role: 'user', content: 'Tell me of a walrus' }]
  const json = { model: 'storychat', messages, max_tokens: 6 }
  expect((await ask('/v1/chat/completions', { json, headers: { 'x-request-id': 'mine' } })).status).toBe(200)
  await ask('/v1/completions', {
    json: { prompt: 'A walrus', max_tokens: 4, n: 2 },
    headers: { 'x-request-id': 'two' }
  })
  await ask('/v1/chat/completions', { json: { ...json, model: 'nobody' } })
  await ask('/v1/models')
  const gone = new AbortController()
  const body = JSON.stringify({ ...json, max_tokens: 200, stream: true })
  const left = await fetch(`${url}/v1/chat/completions`, { method: 'POST', body, signal: gone.signal })
  await left.body!.getReader().read()
  gone.abort()
  await expect.poll(() => told, { timeout: 10_000 }).toHaveLength(4)
  const [first, second, third, fourth] = told
  expect(first).toMatchObject({
    request: 'mine',
    method: 'POST',
    path: '/v1/chat/completions',
    status: 200,
    aborted: false,
    model: 'storychat',
    precision: 'q8',
    tokens: 6,
    recoveries: 0,
    error: null
  })
  expect(first!.client).toMatch(/^address /)
  expect(first!.promptTokens).toBeGreaterThan(4)
  expect(first!.ms).toBeGreaterThanOrEqual(first!.firstTokenMs!)
  expect(second).toMatchObject({ request: 'two', tokens: 8 })
  expect(third).toMatchObject({ status: 404, model: null, tokens: 0 })
  expect(fourth).toMatchObject({ status: 200, aborted: true, model: 'storychat' })
  expect(JSON.stringify(told)).not.toContain('walrus')
})

it('spans of a request, its laps and their hops are one trace, which the client may have begun', {
  timeout: 90_000
}, async () => {
  const { endpoint, spans, keys } = await collector()
  const { ask, peer } = await open({
    api: { otlp: { endpoint, headers: 'x-key=a%20b' } },
    peer: { traceEvery: 1 }
  })
  const trace = '0af7651916cd43dd8448eb211c80319c'
  const headers = { traceparent: `00-${trace}-b7ad6b7169203331-01` }
  const messages = [{ role: 'user', content: 'Tell me of a walrus' }]
  const json = { model: 'storychat', messages, max_tokens: 6 }
  const answered = await ask('/v1/chat/completions', { json, headers })
  expect(answered.headers.get('traceresponse')).toMatch(new RegExp(`^00-${trace}-[0-9a-f]{16}-01$`))
  // Whoever does not record it has no part of it recorded here.
  await ask('/v1/chat/completions', { json, headers: { traceparent: `00-${trace}-b7ad6b7169203331-00` } })
  await ask('/v1/chat/completions', { json: { ...json, model: 'nobody' } })
  await expect.poll(() => spans.filter(({ kind }) => kind === 2), { timeout: 10_000 }).toHaveLength(2)
  const [own, failed] = spans.filter(({ kind }) => kind === 2)
  expect(own).toMatchObject({ name: 'chat storychat', traceId: trace, parentSpanId: 'b7ad6b7169203331', status: {} })
  expect(attributeOf(own!, 'gen_ai.usage.output_tokens')).toBe('6')
  expect(attributeOf(own!, 'skein.precision')).toBe('q8')
  expect(failed).toMatchObject({ name: 'POST /v1/chat/completions', status: { code: 2 } })
  expect(failed!.traceId).not.toBe(trace)
  const laps = spans.filter(({ name }) => name === 'lap')
  expect(laps.length).toBeGreaterThan(1)
  expect(laps.every(({ parentSpanId, traceId }) => parentSpanId === own!.spanId && traceId === trace)).toBe(true)
  const computed = spans.filter(({ name }) => name === 'compute')
  expect(computed).toHaveLength(laps.length)
  for (const span of computed) {
    expect(attributeOf(span, 'skein.peer')).toBe(peer.id)
    expect(BigInt(span.endTimeUnixNano)).toBeGreaterThanOrEqual(BigInt(span.startTimeUnixNano))
    expect(laps.some(({ spanId }) => spanId === span.parentSpanId)).toBe(true)
  }
  expect(BigInt(own!.startTimeUnixNano)).toBeLessThan(BigInt(own!.endTimeUnixNano))
  expect(Math.abs(Number(BigInt(own!.endTimeUnixNano) / 1_000_000n) - Date.now())).toBeLessThan(60_000)
  expect(new Set(keys)).toEqual(new Set(['/v1/traces a b']))
  expect(JSON.stringify(spans)).not.toContain('walrus')
})

it('a collector that fails is told of once, and no request waits for it', { timeout: 120_000 }, async () => {
  const { endpoint } = await collector(503)
  const warnings: string[] = []
  const { ask } = await open({ api: { otlp: { endpoint }, onWarning: message => warnings.push(message) } })
  const json = { model: 'storychat', messages: [{ role: 'user', content: 'x' }], max_tokens: 2 }
  for (let i = 0; i < 2; i++) {
    expect((await ask('/v1/chat/completions', { json })).status).toBe(200)
    await new Promise(resolve => setTimeout(resolve, 2_500))
  }
  await expect
    .poll(() => warnings)
    .toEqual([expect.stringMatching(/^traces cannot be sent to .*v1\/traces: it answers 503/)])
  await expect(open({ api: { otlp: { endpoint: 'collector' } } })).rejects.toMatchObject({ name: 'InvalidOptionError' })
})

it('a context is read as W3C has it', () => {
  const trace = '0af7651916cd43dd8448eb211c80319c'
  expect(traceContextOf(`00-${trace}-b7ad6b7169203331-01`)).toMatchObject({ trace, parent: 'b7ad6b7169203331' })
  expect(traceContextOf(`cc-${trace}-b7ad6b7169203331-01-what-the-future-holds`)).toMatchObject({ trace })
  expect(traceContextOf(`00-${trace}-b7ad6b7169203331-00`)).toBeNull()
  const wrong = [`00-${'0'.repeat(32)}-b7ad6b7169203331-01`, `ff-${trace}-b7ad6b7169203331-01`, 'nonsense', undefined]
  for (const header of wrong) {
    const own = traceContextOf(header)!
    expect(own.parent).toBeNull()
    expect(own.trace).toMatch(/^[0-9a-f]{32}$/)
    expect(own.trace).not.toBe(trace)
  }
})
