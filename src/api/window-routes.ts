/**
 * The window: one page that shows the swarm and takes questions. Its files lie in `window/` of the package and are served as they are;
 * they ask nobody but this peer. Beside it, what Prometheus scrapes.
 */
import { readFile } from 'node:fs/promises'
import type { Hono } from 'hono'
import { z } from 'zod'
import type { ChatMessage, Generation, GenerationEvent } from '../index.ts'
import { type Api, type ApiContext, type ApiEnv, jsonBody, refusal, withAnswerHeaders } from './context.ts'
import { ApiError } from './errors.ts'
import { statusMs, windowMessagesMax, windowTokensMax } from './limits.ts'
import { read } from './schema.ts'
import { dataFrame, eventStream } from './stream.ts'
import { WindowFeed } from './window-feed.ts'

const folder = new URL(import.meta.url.endsWith('.ts') ? '../../window/' : '../../../window/', import.meta.url)

/** [path] file and type: nothing else of the disk can be asked for. */
const files: Readonly<Record<string, readonly [file: string, type: string]>> = {
  '/': ['index.html', 'text/html; charset=utf-8'],
  '/window/window.css': ['window.css', 'text/css; charset=utf-8'],
  '/window/window.js': ['window.js', 'text/javascript; charset=utf-8'],
  '/window/picture.js': ['picture.js', 'text/javascript; charset=utf-8'],
  '/window/talk.js': ['talk.js', 'text/javascript; charset=utf-8'],
  '/window/stream.js': ['stream.js', 'text/javascript; charset=utf-8']
}

/** Paths of files of the page, which tell nothing of the peer: whoever has no key gets them, too, to type one. */
export const windowFiles: readonly string[] = Object.keys(files)

/** The page runs what lies here, talks to this peer, and stands in no frame of another site. */
const headers = {
  'content-security-policy': [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "connect-src 'self'",
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'"
  ].join('; '),
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-cache'
}

const message = z.strictObject({ role: z.enum(['system', 'user', 'assistant']), content: z.string() })
const question = z.strictObject({
  messages: z.array(message).min(1).max(windowMessagesMax),
  model: z.string().max(256).optional(),
  maxTokens: z.int().min(1).max(windowTokensMax)
})

export function windowRoutes(app: Hono<ApiEnv>, api: Api): void {
  const feed = new WindowFeed(api.peer)
  api.closing.addEventListener('abort', () => feed.close(), { once: true })
  for (const [path, [file, type]] of Object.entries(files)) {
    app.get(path, async c => c.body(await readFile(new URL(file, folder)), 200, { ...headers, 'content-type': type }))
  }
  app.get('/window/events', c => {
    const type = 'text/event-stream; charset=utf-8'
    // Who asks for the headers alone reads no stream, and would hold the place of a page.
    if (c.req.method === 'HEAD') return c.body(null, 200, { ...headers, 'content-type': type })
    const stream = feed.open()
    if (stream === undefined) {
      throw new ApiError(503, 'server_error', 'too many windows of this peer are open: close one of them', {
        code: 'too_many_windows'
      })
    }
    return c.body(stream, 200, { ...headers, 'content-type': type, 'x-accel-buffering': 'no' })
  })
  app.post('/window/ask', c => ask(api, c))
  app.post('/window/drain', c => {
    checkOrigin(c)
    // How far it has come is seen in the picture; that it cannot go on is an event of the peer.
    api.drain().catch(() => {})
    return c.json({ leaving: true }, 202)
  })
  const aliases = api.metricsAliases === undefined ? {} : { aliases: api.metricsAliases }
  const metricsType = 'text/plain; version=0.0.4; charset=utf-8'
  app.get('/metrics', c => c.body(api.peer.metrics(aliases), 200, { 'content-type': metricsType }))
}

/**
 * A page of another site can have a browser send a request with no key and no question. What acts is for this peer's own page.
 * @throws {ApiError} 403
 */
function checkOrigin(c: ApiContext): void {
  const origin = c.req.header('origin')
  const host = c.req.header('host')
  if (origin !== undefined && URL.canParse(origin) && new URL(origin).host === host) return
  throw new ApiError(403, 'permission_error', `only the page at ${host} may do that, and it says so by its origin`, {
    code: 'foreign_origin'
  })
}

/** Answers the last of some messages, event by event; a model without a chat template continues it as a text. */
async function ask(api: Api, c: ApiContext): Promise<Response> {
  checkOrigin(c)
  const { messages, model: wanted, maxTokens } = read(question, await jsonBody(c))
  const ending = new AbortController()
  const gone = c.get('gone')
  const model = await api.peer.model(wanted, { signal: gone })
  const options = {
    model: model.id,
    client: c.get('client'),
    maxTokens,
    fit: true,
    signal: AbortSignal.any([gone, api.closing, ending.signal])
  }
  const generation =
    model.manifest.chatTemplate === null
      ? api.peer.generate(messages.at(-1)!.content, options)
      : api.peer.chat(messages as ChatMessage[], options)
  const response = await eventStream({
    frames: framesOf(generation),
    headers,
    statusMs,
    pingMs: api.pingMs,
    stallMs: api.stallMs,
    failure: error => dataFrame({ event: 'failed', message: refusal(api, c, error).body.error.message }),
    end: reason => ending.abort(reason),
    cut: () => c.env.outgoing.destroy()
  })
  return withAnswerHeaders(c, response)
}

async function* framesOf(generation: Generation): AsyncGenerator<string> {
  for await (const event of generation.events()) yield dataFrame(shown(event))
}

/** What the page shows of an event: the ids of a whole answer are not among it. */
function shown(event: GenerationEvent): object {
  if (event.event !== 'done') return event
  const { promptIds, ids, ...rest } = event
  return { ...rest, promptTokens: promptIds.length, tokens: ids.length }
}
