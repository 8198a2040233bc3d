/** `POST /v1/responses`, without anything kept: each request has its whole conversation. */
import { type Answering, newId, nowS } from './answering.ts'
import { answeringChat, toolsOf } from './chat-route.ts'
import { type Api, type ApiContext, jsonBody } from './context.ts'
import { invalid, unsupported } from './errors.ts'
import { formatOf } from './grammars.ts'
import { chatTokensUsual } from './limits.ts'
import { conversationOf, type ResponseEvent, ResponseItems } from './responses.ts'
import { askedOf } from './sampling.ts'
import { read, refuseUnknown, type ResponsesRequest, responsesSchema } from './schema.ts'

export async function responsesRoute(api: Api, c: ApiContext): Promise<Response> {
  const request = read(responsesSchema, await jsonBody(c))
  refuseUnknown(request)
  refuseStored(request)
  const limit = request.max_output_tokens
  const asked = askedOf({ ...request, n: 1, ...(limit === undefined ? {} : { max_tokens: limit }) }, chatTokensUsual)
  const messages = conversationOf(request)
  const signal = c.get('gone')
  const model = await api.peer.model(request.model, { signal })
  const functions = (request.tools ?? []).flatMap(({ type, ...rest }) =>
    // What other kinds of tools do is done elsewhere, if at all.
    type === 'function' && rest.name !== undefined
      ? [{ type: 'function' as const, function: { ...rest, name: rest.name } }]
      : []
  )
  const format = await formatOf(request, { text: request.text, signal })
  const oneCall = request.parallel_tool_calls === false
  const tools = await toolsOf({ tools: functions, tool_choice: request.tool_choice, oneCall, format }, model, signal)
  const effort = request.reasoning?.effort
  const answering = answeringChat(api, c, {
    asked,
    model,
    messages,
    tools,
    extras: {
      ...(format === undefined ? {} : { grammar: format }),
      ...(effort === undefined ? {} : { variables: { reasoning_effort: effort } }),
      ...(request.truncation === 'auto' ? { keepTurns: 1 } : {})
    }
  })
  const items = new ResponseItems(newId)
  const told = teller(request, model.manifest.name, items, answering)
  if (asked.isStreamed) {
    let number = 0
    const frame = (event: ResponseEvent): string =>
      `event: ${event.type}\ndata: ${JSON.stringify({ ...event, sequence_number: number++ })}\n\n`
    return answering.stream(frames(answering, items, told, frame), body => frame({ type: 'error', ...failed(body) }))
  }
  for await (const [, piece] of answering.pieces()) for (const _ of items.add(piece));
  return c.json(told(), 200, answering.headers)
}

/** @throws {ApiError} 400 for what would need something to be kept, or cannot be done */
function refuseStored({
  previous_response_id: before,
  conversation,
  background,
  response_format: format,
  input
}: ResponsesRequest): void {
  const kept = "is not done here: nothing is kept, so send the whole conversation as 'input'"
  if (before !== undefined) throw unsupported('previous_response_id', `'previous_response_id' ${kept}`)
  if (conversation !== undefined) throw unsupported('conversation', `'conversation' ${kept}`)
  if (background === true) throw unsupported('background', "'background' is not done here: stream the answer")
  if (format !== undefined && format.type !== 'text') {
    throw unsupported('response_format', "'response_format' is 'text.format' of a response: say it there")
  }
  if (input.length === 0) throw invalid("'input' must not be empty", { param: 'input' })
}

/** Tells of the response as it stands; without a status, as it ended. */
function teller(
  request: ResponsesRequest,
  model: string,
  items: ResponseItems,
  answering: Answering
): (status?: 'in_progress') => object {
  const head = { id: newId('resp_'), object: 'response', created_at: nowS(), model, error: null }
  return status => {
    const isCut = status === undefined && items.finish === 'length'
    return {
      ...head,
      status: status ?? (isCut ? 'incomplete' : 'completed'),
      incomplete_details: isCut ? { reason: 'max_output_tokens' } : null,
      instructions: request.instructions ?? null,
      max_output_tokens: request.max_output_tokens ?? null,
      output: status === undefined ? items.output : [],
      parallel_tool_calls: request.parallel_tool_calls ?? true,
      previous_response_id: null,
      reasoning: { effort: request.reasoning?.effort ?? null, summary: null },
      store: false,
      temperature: request.temperature ?? 1,
      text: { format: request.text?.format ?? { type: 'text' } },
      tool_choice: request.tool_choice ?? 'auto',
      tools: request.tools ?? [],
      top_p: request.top_p ?? 1,
      truncation: request.truncation ?? 'disabled',
      metadata: request.metadata ?? {},
      usage: status === undefined ? usage(answering) : null
    }
  }
}

function usage(answering: Answering): object {
  const { prompt_tokens, completion_tokens, completion_tokens_details, total_tokens, skein, ...rest } = answering.usage
  return {
    input_tokens: prompt_tokens,
    // Clients of this API take it for granted.
    input_tokens_details: { cached_tokens: rest.prompt_tokens_details?.cached_tokens ?? 0, cache_write_tokens: 0 },
    output_tokens: completion_tokens,
    output_tokens_details: completion_tokens_details,
    total_tokens,
    skein
  }
}

async function* frames(
  answering: Answering,
  items: ResponseItems,
  told: (status?: 'in_progress') => object,
  frame: (event: ResponseEvent) => string
): AsyncGenerator<string> {
  let isFirst = true
  for await (const [, piece] of answering.pieces()) {
    if (isFirst) {
      yield frame({ type: 'response.created', response: told('in_progress') })
      yield frame({ type: 'response.in_progress', response: told('in_progress') })
    }
    isFirst = false
    for (const event of items.add(piece)) yield frame(event)
  }
  const type = items.finish === 'length' ? 'response.incomplete' : 'response.completed'
  yield frame({ type, response: told() })
}

function failed(body: object): { readonly [field: string]: unknown } {
  const { error } = body as { readonly error: { readonly message: string; readonly code: string | null } }
  return { ...error, error }
}
