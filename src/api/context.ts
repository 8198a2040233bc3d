/** What every handler of the front door has. */
import type { HttpBindings } from '@hono/node-server'
import type { Context } from 'hono'
import type { Peer } from '../index.ts'
import type { Bodies } from './bodies.ts'
import type { Doors } from './doors.ts'
import { ApiError, apiErrorOf, invalid } from './errors.ts'
import { readJson } from './json.ts'
import { answeringNames } from './models.ts'
import type { ToldRequest } from './told-request.ts'
import type { Spans } from './spans.ts'

/** What the front door serves, and how. */
export interface Api {
  readonly peer: Peer
  readonly doors: Doors
  /** Told of each request once it is over. */
  readonly onRequest?: ((told: ToldRequest) => void) | undefined
  /** Whose names metrics have beside their own. */
  readonly metricsAliases?: 'vllm' | undefined
  /** Where spans of requests go; none where nobody collects them. */
  readonly spans?: Spans | undefined
  /** Has the peer go. */
  readonly drain: () => Promise<unknown>
  /** The door closes: answers under way end. */
  readonly closing: AbortSignal
  /** See `limits.ts`. */
  readonly pingMs: number
  readonly stallMs: number
  /** Told of what is no expected failure. */
  readonly onDefect: (error: unknown, requestId: string) => void
}

export interface ApiEnv {
  Bindings: HttpBindings
  Variables: {
    requestId: string
    /** Who asks, of several whom the peer answers in turn. */
    client: string
    /** The client has gone. */
    gone: AbortSignal
    /** Reads what it sends. */
    bodies: Bodies
  }
}

export type ApiContext = Context<ApiEnv>

/** The body of a request, as JSON. @throws {ApiError} as {@link readJson} and {@link Bodies.text} */
export async function jsonBody(c: ApiContext): Promise<unknown> {
  const encoding = c.req.header('content-encoding')
  if (encoding !== undefined && encoding !== 'identity') {
    const sentence = `a body that is ${encoding} is not read here: send it as it is, without 'content-encoding'`
    throw new ApiError(415, 'invalid_request_error', sentence, { code: 'unsupported_encoding' })
  }
  const text = await c.get('bodies').text(c.req.raw.body)
  if (text.trim() === '') throw invalid('the request has no body: send a JSON object')
  return readJson(text)
}

/** Aborted when the client has gone, with an error that is nobody's defect and that nobody reads. */
export function goneOf(connection: AbortSignal): AbortSignal {
  const gone = new AbortController()
  const go = (): void => gone.abort(new ApiError(499, 'invalid_request_error', 'the client has gone'))
  if (connection.aborted) go()
  else connection.addEventListener('abort', go, { once: true })
  return gone.signal
}

/** What a request failed with, as its client is told it. */
export function refusal(api: Api, c: ApiContext, error: unknown): ApiError {
  const path = c.req.path
  const promptParam = path.endsWith('/chat/completions')
    ? 'messages'
    : path.endsWith('/completions')
      ? 'prompt'
      : 'input'
  const told = apiErrorOf(error, { promptParam, models: answeringNames(api.peer.status()) })
  if (told.body.error.code === 'internal_error') api.onDefect(error, c.get('requestId'))
  return told
}

/** A response that was made without the request's context, with the headers that each answer has: its id, and who may read it. */
export function withAnswerHeaders(c: ApiContext, { body, headers }: Response): Response {
  return c.newResponse(body, 200, Object.fromEntries(headers))
}
