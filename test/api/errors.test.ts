/** What a client is told of an error of ours: whose fault it is decides the status, and whether asking again can help. */
import { expect, it } from 'vitest'
import * as errors from '../../src/errors.ts'
import { apiErrorOf } from '../../src/api/errors.ts'

const told = (error: unknown) => {
  const { status, body, headers } = apiErrorOf(error, { promptParam: 'messages', models: ['small'] })
  const { type, code, param, message } = body.error
  return { status, type, code, param, message, again: 'retry-after' in headers }
}

it.each([
  [
    new errors.NotAdmittedError('this machine may ask nothing: its certificate does not have the role driver'),
    { status: 403, type: 'permission_error', code: 'not_admitted', param: null, again: false }
  ],
  [
    new errors.ModelSignatureError('big (0123456789ab) is not signed'),
    { status: 403, type: 'permission_error', code: 'model_not_signed', param: 'model', again: false }
  ],
  [
    new errors.PromptTooLongError('the prompt has 9 tokens'),
    { status: 400, type: 'invalid_request_error', code: 'context_length_exceeded', param: 'messages', again: false }
  ],
  [
    new errors.NotCoveredError('layer 3 is missing'),
    { status: 503, type: 'server_error', code: 'no_route', param: null, again: true }
  ]
])('$name', (error, expected) => {
  expect(told(error)).toEqual({ ...expected, message: error.message })
})

it('names the models that answer where another one is asked for', () => {
  expect(told(new errors.UnknownModelError("no model 'x'"))).toEqual({
    ...{ status: 404, type: 'invalid_request_error', code: 'model_not_found', param: 'model', again: false },
    message: "no model 'x'; can answer now: small"
  })
})

it('says nothing of what is inside where a defect is', () => {
  expect(told(new TypeError('secret is not a function'))).toEqual({
    ...{ status: 500, type: 'server_error', code: 'internal_error', param: null, again: false },
    message: 'the peer failed: its log says more'
  })
})
