/** A conversation as text: the template that came with a model writes it, and what people wrote in it stays text. */
import { Template } from '@huggingface/jinja'
import { z } from 'zod'
import { InvalidManifestError, InvalidOptionError } from '../errors.ts'
import {
  chatCharsMax,
  chatMessagesMax,
  chatRefusalCharsMax,
  chatRenderedCharsMin,
  chatRenderedFactor
} from './limits.ts'

/** One message of a conversation, as chat templates read it. */
export interface ChatMessage {
  /** `system`, `user` or `assistant`; a template may know others. */
  readonly role: string
  readonly content: string
  /** What else the template of the model reads: `tool_calls`, `tool_call_id`, `name`, `reasoning_content`. */
  readonly [field: string]: unknown
}

/** What a template is given beside the messages. */
export interface ChatExtras {
  /** JSON schemas of functions that the model may call, as transformers and OpenAI's API have them. @default none */
  readonly tools?: readonly object[] | undefined
  /** Other variables that the template reads, such as `enable_thinking`. @default none */
  readonly variables?: Readonly<Record<string, unknown>> | undefined
}

export interface Conversation extends ChatExtras {
  readonly messages: readonly ChatMessage[]
}

const conversationSchema = z.object({
  messages: z
    .array(z.object({ role: z.string().min(1).max(64), content: z.string() }).catchall(z.json()))
    .min(1)
    .max(chatMessagesMax),
  tools: z.array(z.record(z.string(), z.json())).optional(),
  variables: z.record(z.string(), z.json()).optional()
})

/** @throws {InvalidOptionError} when it is no conversation, or too long for any model: says what is wrong where. */
export function checkConversation(conversation: Conversation): void {
  let wrong: z.core.$ZodIssue | undefined
  let chars = 0
  try {
    wrong = conversationSchema.safeParse(conversation).error?.issues[0]
    if (wrong === undefined) chars = conversationChars(conversation)
  } catch {
    // The stack has ended, or there is no JSON of a circle.
    throw new InvalidOptionError('the conversation is nested too deeply, or in a circle')
  }
  if (wrong !== undefined) {
    const { path, message } = wrong
    throw new InvalidOptionError(`the conversation is wrong at ${path.join('.') || 'its beginning'}: ${message}`)
  }
  if (chars > chatCharsMax) {
    throw new InvalidOptionError(
      `the conversation has ${chars} characters, and none may have more than ${chatCharsMax}`
    )
  }
}

/** Characters (UTF-16 units) that a conversation has as JSON. */
export function conversationChars({ messages, tools = [], variables = {} }: Conversation): number {
  return JSON.stringify([messages, tools, variables]).length
}

/** What is said of a model that has no template. */
export function noTemplate(name: string): InvalidOptionError {
  return new InvalidOptionError(`${name} has no chat template: it only continues a text, give it a prompt`)
}

/** A template that was read, with what it calls the model's tokens. */
export interface ChatTemplate {
  /** Of the model, for messages. */
  readonly name: string
  readonly source: string
  readonly bosToken: string
  readonly eosToken: string
}

/**
 * The prompt that asks for the next assistant message, as `apply_chat_template` of transformers gives it.
 *
 * @throws {InvalidOptionError} when the template refuses these messages
 * @throws {InvalidManifestError} when the template is no valid Jinja, or writes more than any conversation needs
 */
export function renderChat({ name, source, bosToken, eosToken }: ChatTemplate, conversation: Conversation): string {
  let template: Template
  try {
    template = new Template(source)
  } catch (err) {
    throw new InvalidManifestError(`the chat template of ${name} cannot be read: ${(err as Error).message}`)
  }
  const { messages, tools, variables = {} } = conversation
  let text: string
  try {
    text = template.render({
      documents: null,
      ...variables,
      messages,
      tools: tools ?? null,
      add_generation_prompt: true,
      bos_token: bosToken,
      eos_token: eosToken
    })
  } catch (err) {
    const why = (err as Error).message.slice(0, chatRefusalCharsMax)
    throw new InvalidOptionError(`the chat template of ${name} refuses these messages: ${why}`)
  }
  const most = chatRenderedCharsMin + chatRenderedFactor * conversationChars(conversation)
  if (text.length > most) {
    throw new InvalidManifestError(
      `the chat template of ${name} makes ${text.length} characters of a conversation for which ${most} are plenty`
    )
  }
  return text
}

/** How many messages at the beginning are no turn: what the system says stays. */
function headOf(messages: readonly ChatMessage[]): number {
  const first = messages.findIndex(({ role }) => role !== 'system' && role !== 'developer')
  return first < 0 ? messages.length : first
}

/** Where turns begin, as indices of messages: each with what the user says, the first one with what comes first. */
export function turnStarts(messages: readonly ChatMessage[]): number[] {
  const head = headOf(messages)
  return messages.flatMap(({ role }, i) => (i === head || (i > head && role === 'user') ? [i] : []))
}

/** The conversation without its oldest turns; what the system says at its beginning stays. */
export function withoutTurns(conversation: Conversation, dropped: number): Conversation {
  const { messages } = conversation
  const starts = turnStarts(messages)
  if (dropped === 0) return conversation
  return {
    ...conversation,
    messages: [...messages.slice(0, headOf(messages)), ...messages.slice(starts[dropped] ?? messages.length)]
  }
}

/** Pairs of marks around what a model thinks before it answers, as their templates and vocabularies spell them. */
const thinkingMarks = [
  ['<think>', '</think>'],
  ['[THINK]', '[/THINK]'],
  ['<|START_THINKING|>', '<|END_THINKING|>']
] as const

/** How a model marks what it thinks before it answers. */
export interface Thinking {
  readonly open: string
  readonly close: string
  /** Their ids, where each is one token. */
  readonly openId: number | undefined
  readonly closeId: number | undefined
  /** The prompt ends within thoughts: the template has opened them. */
  readonly opened: boolean
}

/**
 * How the answer to a prompt has its thoughts marked; undefined where the model marks none, as far as its template and
 * vocabulary show.
 */
export function thinkingOf(
  template: string,
  prompt: string,
  idOf: (token: string) => number | undefined
): Thinking | undefined {
  for (const [open, close] of thinkingMarks) {
    const [openId, closeId] = [idOf(open), idOf(close)]
    if (!template.includes(close) && (openId === undefined || closeId === undefined)) continue
    return { open, close, openId, closeId, opened: prompt.trimEnd().endsWith(open) }
  }
  return undefined
}

/** Tokens that end a turn or a text, as the families spell them; llama.cpp (`src/llama-vocab.cpp`) has most of them. */
export const turnEnds: readonly string[] = [
  ...['<|im_end|>', '<|eot_id|>', '<|eom_id|>', '<|end|>', '<end_of_turn>', '<turn|>', '<|endoftext|>'],
  ...['<|end_of_text|>', '<|return|>', '<EOT>', '<eos>', '<end_of_utterance>', '<｜end▁of▁sentence｜>']
]

/** What the template writes at the end of turns, so that a model which writes it has ended its answer. */
export function endsWrittenBy(template: string | null): string[] {
  return template === null ? [] : turnEnds.filter(end => template.includes(end))
}

/** What a prompt may take. */
export interface ConversationRoom {
  /** Tokens of prompt and answer together. */
  readonly contextMax: number
  /** Tokens that the answer is to have at least. */
  readonly answerTokens: number
  /**
   * Where the conversation does not fit, its oldest turns go but for so many of the newest.
   * @default all stay, and it is refused
   */
  readonly keepTurns?: number | undefined
}

export interface ConversationPrompt {
  readonly ids: readonly number[]
  /** Turns that are not in it, the oldest ones. */
  readonly droppedTurns: number
  /** How the answer marks what the model thinks; undefined where it marks none. */
  readonly thinking: Thinking | undefined
}
