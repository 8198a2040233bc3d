/** `POST /v1/chat/completions`. */
import type { ChatMessage, ChatOptions, GrammarSpec, StoredModel } from '../index.ts'
import type { Finish, Piece } from './answer.ts'
import { Answering, newId, nowS } from './answering.ts'
import { chatMessages } from './chat.ts'
import { type Api, type ApiContext, jsonBody } from './context.ts'
import { invalid, unsupported } from './errors.ts'
import { callsGrammar, either, formatOf } from './grammars.ts'
import { chatLogprobs, type ScoredToken } from './logprobs.ts'
import { chatTokensUsual } from './limits.ts'
import { fingerprint } from './models.ts'
import { type Asked, askedOf } from './sampling.ts'
import { type ChatRequest, chatSchema, read, refuseUnknown, type RequestTool } from './schema.ts'
import { dataFrame, doneFrame } from './stream.ts'
import { offeredIn } from './call-texts.ts'
import { type Callable, callForm, withTools } from './tools.ts'

export async function chatRoute(api: Api, c: ApiContext): Promise<Response> {
  const body = await jsonBody(c)
  const request = read(chatSchema, body)
  refuseUnknown(request)
  const asked = askedOf(request, chatTokensUsual)
  if (asked.options.maxTokens === 0) throw invalid("'max_tokens' must be at least 1, not 0", { param: 'max_tokens' })
  const messages = chatMessages(request.messages)
  const signal = c.get('gone')
  const model = await api.peer.model(request.model, { signal })
  const format = await formatOf(request, { signal })
  const oneCall = request.parallel_tool_calls === false
  const tools = await toolsOf({ ...request, oneCall, format }, model, signal)
  const scores = scoresOf(request)
  const variables = {
    ...request.chat_template_kwargs,
    ...(request.reasoning_effort === undefined ? {} : { reasoning_effort: request.reasoning_effort })
  }
  const extras = { variables, ...scores, ...(format === undefined ? {} : { grammar: format }) }
  const answering = answeringChat(api, c, { asked, model, messages, tools, extras })
  const head = {
    id: newId('chatcmpl-'),
    created: nowS(),
    model: model.manifest.name,
    system_fingerprint: fingerprint(api.peer, model)
  }
  if (asked.isStreamed) return answering.stream(chunks(answering, head, asked.tellsUsage))
  const choices = answering.taken.map(() => new Message())
  for await (const [index, piece] of answering.pieces()) choices[index]!.add(piece)
  return c.json(
    {
      ...head,
      object: 'chat.completion',
      choices: choices.map((choice, index) => choice.choice(index)),
      usage: answering.usage
    },
    200,
    answering.headers
  )
}

interface ChatAsked {
  readonly asked: Asked
  readonly model: StoredModel
  readonly messages: readonly ChatMessage[]
  readonly tools: ChatTools | undefined
  /** What else the peer is asked for. */
  readonly extras: ChatOptions
}

/** Answers what was said last in a conversation. */
export function answeringChat(
  api: Api,
  c: ApiContext,
  { asked, model, messages, tools, extras }: ChatAsked
): Answering {
  const given = tools === undefined ? {} : { tools: tools.given }
  const forced = tools?.grammar === undefined ? {} : { grammar: tools.grammar }
  const told = tools === undefined ? messages : withTools(messages, model.manifest.chatTemplate ?? '', tools.given)
  return new Answering(api, c, {
    asked,
    model: model.id,
    prompts: 1,
    stops: asked.stops,
    calls: tools?.calls,
    oneCall: tools?.oneCall ?? false,
    ask: (_, options) => api.peer.chat(told, { ...options, ...given, ...extras, ...forced })
  })
}

interface ChatTools {
  readonly given: readonly object[]
  readonly calls: Callable
  /** The answer ends after its first call. */
  readonly oneCall: boolean
  /** What the answer must be, where it may not be anything. */
  readonly grammar: GrammarSpec | undefined
}

interface ToolsRequest extends Pick<ChatRequest, 'tools' | 'tool_choice'> {
  readonly oneCall: boolean
  /** What the answer must be where it is no call. */
  readonly format: GrammarSpec | undefined
}

/** What functions the model is told of; undefined where it is told of none. @throws {ApiError} 400 when that cannot be done */
export async function toolsOf(
  { tools = [], tool_choice = 'auto', oneCall, format }: ToolsRequest,
  { manifest: { name, chatTemplate } }: StoredModel,
  signal: AbortSignal
): Promise<ChatTools | undefined> {
  if (chatTemplate === null) {
    throw invalid(`${name} has no chat template: it only continues a text, ask it at /v1/completions`, {
      param: 'model',
      code: 'no_chat_template'
    })
  }
  const choice = choiceOf(tool_choice, tools)
  if (tools.length === 0 || choice === 'none') return undefined
  // As it was sent: a template would write what is missing as such.
  const given: object[] = JSON.parse(JSON.stringify(tools))
  const form = callForm(chatTemplate, name)
  const calls = { form, offered: offeredIn(given) }
  if (typeof choice === 'object') {
    const one = await callsGrammar(form, [choice], { most: 1, signal })
    return { given, calls, oneCall: true, grammar: one }
  }
  if (choice === 'auto' && format === undefined) return { given, calls, oneCall, grammar: undefined }
  const some = await callsGrammar(form, tools, { most: oneCall ? 1 : undefined, signal })
  return {
    given,
    calls,
    oneCall,
    grammar: format === undefined || choice === 'required' ? some : either([some, format])
  }
}

/** Whether functions are called, or the one that must be. @throws {ApiError} 400 when that is not clear */
function choiceOf(choice: unknown, tools: readonly RequestTool[]): 'auto' | 'none' | 'required' | RequestTool {
  const param = 'tool_choice'
  if (choice === 'auto' || choice === 'none') return choice
  if (choice === 'required') {
    if (tools.length > 0) return choice
    throw invalid("'tool_choice' is 'required', and there are no 'tools'", { param })
  }
  const {
    type,
    function: inner,
    name = (inner as { name?: unknown } | undefined)?.name
  } = (typeof choice === 'object' ? choice : {}) as Record<string, unknown>
  if (type !== 'function' || typeof name !== 'string') {
    throw unsupported(param, "'tool_choice' is 'auto', 'none', 'required', or a function by its name")
  }
  const found = tools.find(tool => tool.function.name === name)
  if (found !== undefined) return found
  throw invalid(`'tool_choice' is the function ${JSON.stringify(name)}, which is not among 'tools'`, { param })
}

/** How many of the likeliest tokens are told of with each. @throws {ApiError} 400 when that is not clear */
function scoresOf({ logprobs = false, top_logprobs }: ChatRequest): { logprobs?: number } {
  if (logprobs) return { logprobs: top_logprobs ?? 0 }
  if (top_logprobs === undefined || top_logprobs === 0) return {}
  throw invalid("'top_logprobs' goes with 'logprobs': true", { param: 'top_logprobs' })
}

interface Head {
  readonly id: string
  readonly created: number
  readonly model: string
  readonly system_fingerprint: string
}

/** What the stream of an answer begins with. */
const begin = { delta: { role: 'assistant', content: '' }, logprobs: null, finish_reason: null }

async function* chunks(answering: Answering, head: Head, tellsUsage: boolean): AsyncGenerator<string> {
  const chunk = (choices: readonly object[], usage: object | null): string =>
    dataFrame({ ...head, object: 'chat.completion.chunk', choices, ...(tellsUsage ? { usage } : {}) })
  let isBegun = false
  const scored = new Map<number, ScoredToken[]>()
  for await (const [index, piece] of answering.pieces()) {
    // All of them in their order, whichever comes first: clients make room for each as they hear of it.
    if (!isBegun) {
      isBegun = true
      for (const [index] of answering.taken.entries()) yield chunk([{ index, ...begin }], null)
    }
    if (piece.kind === 'scored') {
      scored.set(index, [...(scored.get(index) ?? []), piece.token])
      continue
    }
    if (piece.kind === 'prompt') continue
    const delta = (delta: object, finish: Finish | null = null, logprobs: object | null = null): string =>
      chunk([{ index, delta, logprobs, finish_reason: finish }], null)
    const scores = (): object | null => {
      const tokens = scored.get(index)
      scored.delete(index)
      return tokens === undefined ? null : chatLogprobs(tokens)
    }
    if (piece.kind === 'text') yield delta({ content: piece.text }, null, scores())
    else if (piece.kind === 'thought') yield delta({ reasoning_content: piece.text })
    else if (piece.kind === 'end') yield delta({}, piece.finish, scores())
    else {
      const { index, name } = piece
      const call = { index, id: newId('call_'), type: 'function', function: { name, arguments: '' } }
      yield delta({ tool_calls: [call] })
      yield delta({ tool_calls: [{ index, function: { arguments: piece.arguments } }] })
    }
  }
  if (tellsUsage) yield chunk([], answering.usage)
  yield doneFrame
}

/** One answer, whole. */
class Message {
  #text = ''
  #thoughts = ''
  readonly #calls: object[] = []
  readonly #scored: ScoredToken[] = []
  #finish: Finish = 'stop'

  add(piece: Piece): void {
    if (piece.kind === 'text') this.#text += piece.text
    else if (piece.kind === 'thought') this.#thoughts += piece.text
    else if (piece.kind === 'scored') this.#scored.push(piece.token)
    else if (piece.kind === 'end') this.#finish = piece.finish
    else if (piece.kind === 'call') {
      const { name, arguments: given } = piece
      this.#calls.push({ id: newId('call_'), type: 'function', function: { name, arguments: given } })
    }
  }

  choice(index: number): object {
    const hasCalls = this.#calls.length > 0
    return {
      index,
      message: {
        role: 'assistant',
        content: hasCalls && this.#text === '' ? null : this.#text,
        refusal: null,
        ...(this.#thoughts === '' ? {} : { reasoning_content: this.#thoughts }),
        ...(hasCalls ? { tool_calls: this.#calls } : {})
      },
      logprobs: this.#scored.length === 0 ? null : chatLogprobs(this.#scored),
      finish_reason: this.#finish
    }
  }
}
