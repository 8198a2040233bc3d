/** Which request is answered by what. */
import { randomUUID } from 'node:crypto'
import { Hono } from 'hono'
import { chatRoute } from './chat-route.ts'
import { completionsRoute } from './completions-route.ts'
import type { Api, ApiContext, ApiEnv } from './context.ts'
import { Bodies, tooLarge } from './bodies.ts'
import { goneOf, refusal } from './context.ts'
import { embeddingsRoute } from './embeddings-route.ts'
import { ApiError } from './errors.ts'
import { nowS } from './answering.ts'
import { requestBytesMax, requestIdCharsMax } from './limits.ts'
import { isReady, listed, listedModel } from './models.ts'
import { Requests } from './requests.ts'
import { responsesRoute } from './responses-route.ts'
import { detokenizeRoute, tokenizeRoute, tokenizerInfoRoute } from './tokens-route.ts'
import { windowFiles, windowRoutes } from './window-routes.ts'

/** Paths that need no key: they tell nothing but whether this peer lives and can answer, or are files of a page. */
const openPaths = new Set(['/healthz', '/readyz', '/health', ...windowFiles])

export function createApp(api: Api): Hono<ApiEnv> {
  const app = new Hono<ApiEnv>()
  const startedS = nowS()
  const requests = new Requests(api)
  const bodies = new Bodies()
  app.use(async (c, next) => {
    requests.come(c)
    c.set('bodies', bodies)
    const refused = letIn(api, c)
    if (refused !== undefined) return refused
    return next()
  })
  const health = (c: ApiContext): Response => c.json({ status: 'ok', peer: api.peer.status().self })
  app.get('/healthz', health)
  app.get('/health', health)
  app.get('/readyz', c => {
    const ready = api.peer.status().models.filter(isReady)
    if (ready.length > 0) return c.json({ status: 'ready', models: ready.map(({ name }) => name) })
    return c.json({ status: 'not ready', message: 'no model has all of its layers served now' }, 503)
  })
  app.get('/v1/models', c => c.json({ object: 'list', data: listed(api.peer.status(), startedS) }))
  // A name may have slashes in it.
  app.get('/v1/models/:id{.+}', c => c.json(listedModel(api.peer.status(), startedS, c.req.param('id'))))
  app.post('/v1/chat/completions', c => chatRoute(api, c))
  app.post('/v1/completions', c => completionsRoute(api, c))
  app.post('/v1/responses', c => responsesRoute(api, c))
  app.post('/v1/embeddings', c => embeddingsRoute(api, c))
  app.post('/tokenize', c => tokenizeRoute(api, c))
  app.post('/detokenize', c => detokenizeRoute(api, c))
  app.get('/tokenizer_info', c => tokenizerInfoRoute(api, c))
  windowRoutes(app, api)
  app.notFound(c => answered(c, unknownRoute(app, c)))
  app.onError((error, c) => answered(c, refusal(api, c, error)))
  return app
}

/**
 * Gives the request its id, its client and the signal of its connection, and what all answers have to their headers.
 *
 * @returns the answer where it ends here. @throws {ApiError} when it is not let in
 */
function letIn(api: Api, c: ApiContext): Response | undefined {
  const given = c.req.header('x-request-id')
  const isUsable = given !== undefined && given.length <= requestIdCharsMax && /^[\x21-\x7e]+$/.test(given)
  const requestId = isUsable ? given : randomUUID()
  c.set('requestId', requestId)
  c.set('gone', goneOf(c.req.raw.signal))
  c.header('x-request-id', requestId)
  const origin = c.req.header('origin')
  if (origin !== undefined && api.doors.mayRead(origin)) {
    c.header('access-control-allow-origin', origin)
    c.header('access-control-expose-headers', 'x-request-id, x-skein-seed, retry-after, retry-after-ms')
    c.header('vary', 'origin')
  }
  const knock = {
    host: c.req.header('host'),
    origin,
    authorization: c.req.header('authorization'),
    fetch: {
      site: c.req.header('sec-fetch-site'),
      mode: c.req.header('sec-fetch-mode'),
      dest: c.req.header('sec-fetch-dest')
    },
    address: c.env.incoming.socket.remoteAddress ?? 'unknown'
  }
  api.doors.checkPlace(knock)
  if (c.req.method === 'OPTIONS' && c.req.header('access-control-request-method') !== undefined) return preflight(c)
  if (!openPaths.has(c.req.path)) c.set('client', api.doors.clientOf(knock))
  if (Number(c.req.header('content-length')) > requestBytesMax) throw tooLarge()
  return undefined
}

/** What a browser asks before a page may ask. Clients send headers of their own, and more with each version. */
function preflight(c: ApiContext): Response {
  c.header('access-control-allow-methods', 'GET, POST, OPTIONS')
  c.header('access-control-allow-headers', c.req.header('access-control-request-headers') ?? '*')
  c.header('access-control-max-age', '600')
  if (c.req.header('access-control-request-private-network') === 'true') {
    c.header('access-control-allow-private-network', 'true')
  }
  return c.body(null, 204)
}

function answered(c: ApiContext, { status, body, headers }: ApiError): Response {
  for (const [name, value] of Object.entries(headers)) c.header(name, value)
  return c.body(JSON.stringify(body), status as 400, { 'content-type': 'application/json' })
}

/** Where one of OpenAI's paths would be: clients are given a base address without `/v1`, or with it twice, or a slash at its end. */
function meantPath(path: string): string {
  const bare = path.replace(/^(?:\/v1)+(?=\/)/, '').replace(/\/+$/, '')
  return bare === '/tokenize' || bare === '/detokenize' ? bare : `/v1${bare}`
}

/** What another API's clients are told. */
function foreign(path: string): string {
  return path.startsWith('/api/') ? ": this is no Ollama, whose clients may ask it as OpenAI's API, under /v1" : ''
}

function unknownRoute(app: Hono<ApiEnv>, { req: { method, path } }: ApiContext): ApiError {
  const known = app.routes.filter(route => route.method !== 'ALL' && path === route.path).map(route => route.method)
  if (known.length === 0) {
    const meant = app.routes.find(route => route.path === meantPath(path))?.path
    const hint = meant === undefined ? foreign(path) : `: ${meant} is what it is called`
    return new ApiError(404, 'invalid_request_error', `there is no ${path} here${hint}`, { code: 'unknown_url' })
  }
  const allow = [...new Set(known)].join(', ')
  return new ApiError(405, 'invalid_request_error', `${path} is asked with ${allow}, not ${method}`, {
    code: 'method_not_allowed',
    headers: { allow }
  })
}
