/** What becomes of an error at the door: a status and a body as OpenAI's API has them, all four fields always. */
import { reasonOf } from '../index.ts'
import { retryAfterMs, unknownModelsShown } from './limits.ts'

export type ErrorType =
  | 'invalid_request_error'
  | 'authentication_error'
  | 'permission_error'
  | 'rate_limit_error'
  | 'server_error'

export interface ErrorBody {
  readonly error: {
    readonly message: string
    readonly type: ErrorType
    /** Field of the request that is wrong, as a path: `messages.0.content`. */
    readonly param: string | null
    readonly code: string | null
  }
}

interface ApiErrorInit {
  readonly param?: string | null
  readonly code?: string | null
  readonly headers?: Readonly<Record<string, string>>
}

/** Thrown when a request is refused: with the status and the body that it is answered with. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  readonly status: number
  readonly body: ErrorBody
  readonly headers: Readonly<Record<string, string>>

  constructor(
    status: number,
    type: ErrorType,
    message: string,
    { param = null, code = null, headers = {} }: ApiErrorInit = {}
  ) {
    super(message)
    this.status = status
    this.body = { error: { message, type, param, code } }
    this.headers = headers
  }
}

/** A request that is wrong, whoever asks and whenever. */
export function invalid(message: string, init: ApiErrorInit = {}): ApiError {
  return new ApiError(400, 'invalid_request_error', message, init)
}

/** What a request asks for and this peer does not do: never left out in silence. */
export function unsupported(param: string, message: string): ApiError {
  return invalid(message, { param, code: 'unsupported_parameter' })
}

/** Where a request stood when it failed, for what its error says. */
export interface FailedRequest {
  /** Field that holds the prompt. */
  readonly promptParam: string
  /** Models that answer here. */
  readonly models: readonly string[]
}

const retry = (ms: number): Record<string, string> => ({
  'retry-after': String(Math.max(1, Math.ceil(ms / 1000))),
  'retry-after-ms': String(Math.max(1, Math.ceil(ms)))
})

/** The error as the client is told it. What is no expected failure says nothing of what is inside. */
export function apiErrorOf(error: unknown, { promptParam, models }: FailedRequest): ApiError {
  if (error instanceof ApiError) return error
  const name = error instanceof Error ? error.name : ''
  const message = reasonOf(error)
  const status = (code: number, type: ErrorType, init: ApiErrorInit = {}): ApiError =>
    new ApiError(code, type, message, init)
  const again = { headers: retry(retryAfterMs) }
  switch (name) {
    case 'InvalidOptionError':
    case 'GraphRunError':
      return status(400, 'invalid_request_error')
    case 'InvalidManifestError':
      // A chat template that cannot be used, which came with the model: no other request to it will fare better.
      return status(400, 'invalid_request_error', { param: 'model', code: 'unusable_model' })
    case 'PromptTooLongError':
      return status(400, 'invalid_request_error', { param: promptParam, code: 'context_length_exceeded' })
    case 'AmbiguousModelError':
    case 'WrongModelKindError':
      return status(400, 'invalid_request_error', { param: 'model', code: 'wrong_model' })
    case 'NotAdmittedError':
      // The certificate of this machine lacks a role: it is no defect, and asking again does not help.
      return status(403, 'permission_error', { code: 'not_admitted' })
    case 'ModelSignatureError':
      return status(403, 'permission_error', { param: 'model', code: 'model_not_signed' })
    case 'UnknownModelError':
      return unknownModel(message, models)
    case 'OverloadedError': {
      const { retryAfterMs: ms } = error as Error & { readonly retryAfterMs: number }
      return status(429, 'rate_limit_error', { code: 'overloaded', headers: retry(ms) })
    }
    case 'NotCoveredError':
    case 'NotHeldError':
      return status(503, 'server_error', { code: 'no_route', ...again })
    case 'NoRoomError':
      return status(503, 'server_error', { code: 'no_room', ...again })
    case 'PeerLeavingError':
      return status(503, 'server_error', { code: 'leaving', ...again })
    case 'SessionFailedError':
    case 'PeerLostError':
    case 'DeadlineError':
    case 'EngineError':
      return status(503, 'server_error', { code: 'answer_failed', ...again })
  }
  const isExpected = typeof (error as { exitCode?: unknown } | null)?.exitCode === 'number'
  return new ApiError(500, 'server_error', isExpected ? message : 'the peer failed: its log says more', {
    code: 'internal_error'
  })
}

function unknownModel(message: string, models: readonly string[]): ApiError {
  const shown = models.slice(0, unknownModelsShown)
  const more = models.length - shown.length
  const known =
    models.length === 0
      ? 'no model can answer now'
      : `can answer now: ${shown.join(', ')}${more > 0 ? ` and ${more} more` : ''}`
  return new ApiError(404, 'invalid_request_error', `${message}; ${known}`, {
    param: 'model',
    code: 'model_not_found'
  })
}
