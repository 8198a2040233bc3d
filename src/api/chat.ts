/** Messages as OpenAI's API has them into those that chat templates read. Pure. */
import type { ChatMessage } from '../index.ts'
import { invalid } from './errors.ts'
import { readJson } from './json.ts'
import type { RequestMessage } from './schema.ts'

/** @throws {ApiError} 400 that names a part that is no text, or arguments that are no JSON object */
export function chatMessages(messages: readonly RequestMessage[]): ChatMessage[] {
  return messages.map((message, i) => {
    const { role, name, tool_call_id, tool_calls = [], reasoning_content } = message
    const content = textOf(message.content, `messages.${i}.content`)
    return {
      // The word that newer models have for what the system says; templates know the old one.
      role: role === 'developer' ? 'system' : role,
      content,
      ...(name === undefined ? {} : { name }),
      ...(tool_call_id === undefined ? {} : { tool_call_id }),
      ...(reasoning_content === undefined ? {} : { reasoning_content }),
      ...(tool_calls.length === 0 ? {} : { tool_calls: tool_calls.map((call, j) => callOf(call, i, j)) })
    }
  })
}

/** Templates that are given parts write them as JSON, or leave them out: they get one text. */
function textOf(content: RequestMessage['content'], param: string): string {
  if (content === undefined || content === null) return ''
  if (typeof content === 'string') return content
  const texts = content.map((part, i) => {
    if (part.type === 'text' && part.text !== undefined) return part.text
    if (part.type === 'refusal' && typeof part.refusal === 'string') return part.refusal
    const message = `'${param}.${i}' must be a text part, { "type": "text", "text": "…" }: models here read text alone`
    throw invalid(message, { param: `${param}.${i}` })
  })
  return texts.join('\n')
}

/** Templates want the arguments as an object, the API has them as JSON in a string. */
function callOf(call: NonNullable<RequestMessage['tool_calls']>[number], i: number, j: number): object {
  const { name, arguments: given = '{}' } = call.function
  const param = `messages.${i}.tool_calls.${j}.function.arguments`
  let parsed: unknown = given
  if (typeof given === 'string') parsed = given === '' ? {} : readJson(given, `'${param}'`, param)
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw invalid(`'${param}' must be a JSON object in a string`, { param })
  }
  return { ...(call.id === undefined ? {} : { id: call.id }), type: 'function', function: { name, arguments: parsed } }
}
