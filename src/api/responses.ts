/** Requests of the Responses API as conversations, and what comes in answer as its items and events. Pure. */
import type { ChatMessage } from '../index.ts'
import type { Finish, Piece } from './answer.ts'
import { chatMessages } from './chat.ts'
import { invalid } from './errors.ts'
import type { RequestMessage, ResponsesRequest } from './schema.ts'

type Item = Exclude<ResponsesRequest['input'], string>[number]

/** @throws {ApiError} 400 that names an item which is none that is known */
export function conversationOf({
  instructions,
  input
}: Pick<ResponsesRequest, 'instructions' | 'input'>): ChatMessage[] {
  const items: readonly Item[] = typeof input === 'string' ? [{ role: 'user', content: input }] : input
  const messages: RequestMessage[] = instructions === undefined ? [] : [{ role: 'system', content: instructions }]
  for (const [i, item] of items.entries()) {
    const message = messageOf(item, i)
    if (message === undefined) continue
    const last = messages.at(-1)
    // Templates want one message of the system, at the beginning, and calls that belong together in one of the assistant.
    if (isSystem(message) && last !== undefined && messages.every(isSystem)) {
      messages[messages.length - 1] = { ...last, content: `${textOf(last.content)}\n\n${textOf(message.content)}` }
    } else if (message.tool_calls !== undefined && last?.role === 'assistant') {
      messages[messages.length - 1] = { ...last, tool_calls: [...(last.tool_calls ?? []), ...message.tool_calls] }
    } else {
      messages.push(message)
    }
  }
  if (messages.length === 0) throw invalid("'input' must not be empty", { param: 'input' })
  return chatMessages(messages)
}

function isSystem({ role }: RequestMessage): boolean {
  return role === 'system' || role === 'developer'
}

/** Undefined for what the model has thought: it thinks anew. */
function messageOf(item: Item, i: number): RequestMessage | undefined {
  const { type = 'message', role = 'user', content, call_id: id, name, arguments: given, output } = item
  if (type === 'reasoning') return undefined
  if (type === 'message') return { role, content: partsText(content, `input.${i}.content`) }
  if (type === 'function_call' && name !== undefined) {
    return {
      role: 'assistant',
      content: '',
      tool_calls: [{ id, type: 'function', function: { name, arguments: given } }]
    }
  }
  if (type === 'function_call_output') {
    return { role: 'tool', content: partsText(output, `input.${i}.output`), tool_call_id: id }
  }
  throw invalid(
    `'input.${i}' must be a message, a function_call with a name, a function_call_output or a reasoning, not a ${type}`,
    { param: `input.${i}.type` }
  )
}

function textOf(content: RequestMessage['content']): string {
  return typeof content === 'string' ? content : ''
}

function partsText(content: Item['content'], param: string): string {
  if (content === undefined || content === null) return ''
  if (typeof content === 'string') return content
  const texts = content.map((part, i) => {
    if (part.text !== undefined && /^(input_|output_)?text$/.test(part.type)) return part.text
    if (part.type === 'refusal' && typeof part.refusal === 'string') return part.refusal
    throw invalid(`'${param}.${i}' must be a part of text: models here read text alone`, { param: `${param}.${i}` })
  })
  return texts.join('\n')
}

/** An event of a stream, without its number. */
export interface ResponseEvent {
  readonly type: string
  readonly [field: string]: unknown
}

type OutputItem = { readonly id: string; readonly type: string; readonly [field: string]: unknown }

/** What an answer is made of, item by item, with the events that tell of each. */
export class ResponseItems {
  readonly output: OutputItem[] = []
  finish: Finish = 'stop'
  readonly #newId: (prefix: string) => string
  #open: { readonly kind: 'text' | 'thought'; readonly id: string; text: string } | undefined

  /** @param newId an id that begins so, and nobody has had before */
  constructor(newId: (prefix: string) => string) {
    this.#newId = newId
  }

  *add(piece: Piece): Generator<ResponseEvent> {
    if (piece.kind === 'scored' || piece.kind === 'prompt') return
    if (piece.kind === 'end') {
      yield* this.#close()
      this.finish = piece.finish
    } else if (piece.kind === 'call') {
      yield* this.#close()
      yield* this.#call(piece.name, piece.arguments)
    } else {
      if (this.#open?.kind !== piece.kind) {
        yield* this.#close()
        yield* this.#begin(piece.kind)
      }
      const open = this.#open!
      open.text += piece.text
      const more = piece.kind === 'text' ? { logprobs: [] } : {}
      yield { type: `response.${typeOf(piece.kind)}.delta`, ...this.#place(open.id), delta: piece.text, ...more }
    }
  }

  #place(id: string): { readonly item_id: string; readonly output_index: number; readonly content_index: number } {
    return { item_id: id, output_index: this.output.length, content_index: 0 }
  }

  *#begin(kind: 'text' | 'thought'): Generator<ResponseEvent> {
    const id = this.#newId(kind === 'text' ? 'msg_' : 'rs_')
    this.#open = { kind, id, text: '' }
    const item = itemOf(kind, id, 'in_progress', [])
    yield { type: 'response.output_item.added', output_index: this.output.length, item }
    yield { type: 'response.content_part.added', ...this.#place(id), part: partOf(kind, '') }
  }

  *#close(): Generator<ResponseEvent> {
    const open = this.#open
    if (open === undefined) return
    this.#open = undefined
    const { kind, id, text } = open
    const part = partOf(kind, text)
    const more = kind === 'text' ? { logprobs: [] } : {}
    yield { type: `response.${typeOf(kind)}.done`, ...this.#place(id), text, ...more }
    yield { type: 'response.content_part.done', ...this.#place(id), part }
    yield* this.#done(itemOf(kind, id, 'completed', [part]))
  }

  *#call(name: string, given: string): Generator<ResponseEvent> {
    const id = this.#newId('fc_')
    const call = { id, type: 'function_call', call_id: this.#newId('call_'), name }
    const place = { item_id: id, output_index: this.output.length }
    const begun = { ...call, status: 'in_progress', arguments: '' }
    yield { type: 'response.output_item.added', output_index: this.output.length, item: begun }
    yield { type: 'response.function_call_arguments.delta', ...place, delta: given }
    yield { type: 'response.function_call_arguments.done', ...place, name, arguments: given }
    yield* this.#done({ ...call, status: 'completed', arguments: given })
  }

  *#done(item: OutputItem): Generator<ResponseEvent> {
    yield { type: 'response.output_item.done', output_index: this.output.length, item }
    this.output.push(item)
  }
}

function typeOf(kind: 'text' | 'thought'): string {
  return kind === 'text' ? 'output_text' : 'reasoning_text'
}

function partOf(kind: 'text' | 'thought', text: string): object {
  const type = typeOf(kind)
  return kind === 'text' ? { type, text, annotations: [], logprobs: [] } : { type, text }
}

function itemOf(kind: 'text' | 'thought', id: string, status: string, content: readonly object[]): OutputItem {
  if (kind === 'text') return { id, type: 'message', status, role: 'assistant', content }
  return { id, type: 'reasoning', status, summary: [], content }
}
