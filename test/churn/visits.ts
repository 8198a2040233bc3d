/** How clients of a front door behave: some read their answer, others hang up, read slowly or send what is wrong. */
import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

export interface Question {
  readonly path: string
  readonly json: Readonly<Record<string, unknown>>
}

const messages = [{ role: 'user', content: 'Tell me of a cat.' }]
const seeded = { model: 'storychat', seed: 5 }

/** Of all kinds, each with a seed: it has one answer. */
export const questions: readonly Question[] = [
  { path: '/v1/chat/completions', json: { ...seeded, messages, max_tokens: 40 } },
  { path: '/v1/chat/completions', json: { ...seeded, messages, max_tokens: 30, stream: true } },
  { path: '/v1/chat/completions', json: { ...seeded, messages, max_tokens: 12, n: 3 } },
  { path: '/v1/chat/completions', json: { ...seeded, messages, max_tokens: 20, logprobs: true, top_logprobs: 3 } },
  { path: '/v1/completions', json: { ...seeded, prompt: 'Once upon a time', max_tokens: 60, stream: true } },
  { path: '/v1/completions', json: { ...seeded, prompt: ['The dog', 'A girl'], max_tokens: 20, stop: [' the'] } },
  { path: '/v1/completions', json: { ...seeded, prompt: 'The sun', max_tokens: 0, echo: true, logprobs: 1 } },
  { path: '/v1/responses', json: { ...seeded, input: messages, max_output_tokens: 30, stream: true } },
  { path: '/tokenize', json: { model: 'storychat', prompt: 'Once upon a time' } }
]

/** A request that did not end as it should have: an answer that is none, or none in time. */
export class VisitError extends Error {
  override readonly name = 'VisitError'
}

/** Longer than any of these takes on a busy machine: who has no answer by then hangs. */
const visitMs = 120_000

/** What came: the text of an answer of any kind, with how it ended. `firstMs`: to the first byte of its body. */
export interface Visit {
  readonly status: number
  readonly said: string
  readonly firstMs: number
  readonly retryMs: number
}

type Reading = 'at once' | 'slowly'

/** Asks and reads all of the answer. @throws {VisitError} when it hangs or is cut short */
export async function visit(url: string, { path, json }: Question, reading: Reading = 'at once'): Promise<Visit> {
  const askedMs = performance.now()
  try {
    const response = await fetch(url + path, {
      method: 'POST',
      body: JSON.stringify(json),
      signal: AbortSignal.timeout(visitMs)
    })
    const parts: string[] = []
    let firstMs = 0
    for await (const part of response.body!.pipeThrough(new TextDecoderStream())) {
      if (parts.length === 0) firstMs = performance.now() - askedMs
      parts.push(part)
      if (reading === 'slowly' && parts.length < 4) await delay(500)
    }
    const { status, headers } = response
    return { status, said: saidIn(parts.join('')), firstMs, retryMs: Number(headers.get('retry-after-ms')) || 1000 }
  } catch (error) {
    const hung = (error as Error).name === 'TimeoutError'
    throw new VisitError(`${path} ${hung ? `has no answer after ${visitMs / 1000} s` : `was cut: ${String(error)}`}`)
  }
}

/** Asks and goes: after so many ms, or once so many pieces have come. */
export async function hangUp(
  url: string,
  { path, json }: Question,
  after: { ms: number } | { pieces: number }
): Promise<void> {
  const leaving = new AbortController()
  const timer = 'ms' in after ? setTimeout(() => leaving.abort(), after.ms) : undefined
  try {
    const response = await fetch(url + path, { method: 'POST', body: JSON.stringify(json), signal: leaving.signal })
    let pieces = 0
    for await (const _ of response.body!) if ('pieces' in after && ++pieces >= after.pieces) leaving.abort()
  } catch {
    // That is what it wanted.
  } finally {
    clearTimeout(timer)
  }
}

/** Sends a request by hand and closes its side, then leaves the rest unread. */
export async function halfClose(url: string, { path, json }: Question): Promise<void> {
  const { hostname, port } = new URL(url)
  const body = JSON.stringify(json)
  const socket = connect(Number(port), hostname)
  socket.on('error', () => {})
  socket.end(`POST ${path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`)
  await delay(300)
  socket.destroy()
}

/** The words of an answer, without what differs from time to time: ids, dates, speeds. */
function saidIn(text: string): string {
  const frames = text.includes('data: {') ? text.split('\n\n').flatMap(framesIn) : [JSON.parse(text) as unknown]
  return JSON.stringify(frames.map(told => wordsOf(told)))
}

function framesIn(frame: string): unknown[] {
  const data = /^data: (\{.*)$/m.exec(frame)?.[1]
  return data === undefined ? [] : [JSON.parse(data)]
}

/** Fields of an answer that are the same each time. */
const lasting = new Set([
  ...[
    'choices',
    'index',
    'message',
    'delta',
    'content',
    'text',
    'finish_reason',
    'logprobs',
    'token',
    'logprob',
    'bytes'
  ],
  ...['top_logprobs', 'token_logprobs', 'tokens', 'text_offset', 'error', 'code', 'type', 'status', 'output', 'count']
])

function wordsOf(told: unknown): unknown {
  if (Array.isArray(told)) return told.map(wordsOf)
  if (typeof told !== 'object' || told === null) return told
  const kept = Object.entries(told).filter(([field]) => lasting.has(field) || /[^a-z_]/.test(field))
  return Object.fromEntries(kept.map(([field, value]) => [field, wordsOf(value)]))
}
