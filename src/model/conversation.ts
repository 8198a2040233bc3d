/** A conversation into the ids of a prompt: as much of it as its model's context holds, if whoever asks allows that. */
import { PromptTooLongError } from '../errors.ts'
import {
  type ChatTemplate,
  type Conversation,
  conversationChars,
  type ConversationPrompt,
  type ConversationRoom,
  noTemplate,
  renderChat,
  thinkingOf,
  turnStarts,
  withoutTurns
} from './chat.ts'
import { StandIns } from './stand-ins.ts'
import type { ModelTokenizer } from './tokenizer.ts'

/** Where turns have to go, so many go that the next ones fit, too: else each answer would read the whole prompt anew. */
const filledShare = 0.75

/**
 * What people wrote is text in it, whatever it spells (`stand-ins.ts`).
 *
 * @param conversation checked (`checkConversation`)
 * @throws {InvalidOptionError} when the model's template refuses it or is missing
 * @throws {InvalidManifestError} when the template cannot be used
 * @throws {PromptTooLongError} when it does not fit
 */
export function promptOf(
  tokenizer: ModelTokenizer,
  { name, chatTemplate: source }: { readonly name: string; readonly chatTemplate: string | null },
  conversation: Conversation,
  room: ConversationRoom
): ConversationPrompt {
  if (source === null) throw noTemplate(name)
  const spelt = (id: number | null | undefined): string => (id == null ? '' : (tokenizer.token(id) ?? ''))
  const template = {
    name,
    source,
    bosToken: spelt(tokenizer.bosId),
    eosToken: spelt(tokenizer.eosIds.find(id => id !== tokenizer.bosId))
  }
  const standIns = new StandIns(tokenizer.controls, JSON.stringify([conversation, source, tokenizer.controls]))
  const write = (dropped: number): Written =>
    written(tokenizer, template, standIns, withoutTurns(conversation, dropped), room)
  const turns = turnStarts(conversation.messages).length
  let droppedTurns = 0
  let prompt = write(droppedTurns)
  if (prompt.tokens + room.answerTokens > room.contextMax && room.keepTurns !== undefined) {
    const most = Math.max(0, turns - room.keepTurns)
    const goal = Math.max(1, filledShare * room.contextMax - room.answerTokens)
    droppedTurns = Math.min(most, turnsBeyond(conversation, goal / prompt.tokens))
    prompt = write(droppedTurns)
    while (prompt.tokens > goal && droppedTurns < most) prompt = write(++droppedTurns)
  }
  if (prompt.ids === undefined || prompt.tokens + room.answerTokens > room.contextMax) {
    throw tooLong(prompt, room, turns - droppedTurns)
  }
  const thinking = thinkingOf(source, prompt.text, token => tokenizer.id(token))
  return { ids: prompt.ids, droppedTurns, thinking }
}

interface Written {
  readonly text: string
  /** Undefined where the text is longer than any that fits: it is not encoded. */
  readonly ids: readonly number[] | undefined
  /** Tokens; at least so many where it was not encoded. */
  readonly tokens: number
}

function written(
  tokenizer: ModelTokenizer,
  template: ChatTemplate,
  standIns: StandIns,
  conversation: Conversation,
  { contextMax }: ConversationRoom
): Written {
  const { messages, tools, variables } = conversation
  const text = renderChat(template, {
    messages: standIns.shield(messages),
    tools: standIns.shield(tools),
    variables: standIns.shield(variables)
  })
  // Most tokens are far shorter than the longest one: it is encoded up to several times of what fits.
  if (text.length > tokenizer.longest * contextMax) {
    return { text, ids: undefined, tokens: Math.max(contextMax, Math.ceil(text.length / tokenizer.longest)) }
  }
  const ids = tokenizer.encodeChat(text, standIns)
  return { text, ids, tokens: ids.length }
}

/** How many of its oldest turns have to go until so small a share of it is left, by its characters. */
function turnsBeyond(conversation: Conversation, share: number): number {
  const { messages } = conversation
  const starts = turnStarts(messages)
  let left = conversationChars(conversation)
  const goal = share * left
  let dropped = 0
  while (left > goal && dropped < starts.length) {
    const turn = messages.slice(starts[dropped], starts[dropped + 1])
    left -= JSON.stringify(turn).length
    dropped++
  }
  return dropped
}

function tooLong(
  { ids, text, tokens }: Written,
  { contextMax, answerTokens, keepTurns }: ConversationRoom,
  turns: number
): PromptTooLongError {
  const size = ids === undefined ? `${text.length} characters` : `${tokens} tokens`
  const what =
    keepTurns === undefined
      ? 'the conversation has'
      : turns === 1
        ? 'the last turn of the conversation has'
        : `the last ${turns} turns of the conversation have`
  // Where one turn is too long by itself nothing else can go.
  const fewer =
    keepTurns === undefined ? 'begin a new one, or let its oldest turns go (--keep, keepTurns)' : 'keep fewer'
  const said = turns > 1 ? fewer : 'say less at once'
  const left = contextMax - tokens
  // Where the answer would take most of the context, it is not what was said that is too long.
  const way = ids !== undefined && left > 0 && answerTokens > tokens ? `ask for at most ${left}` : said
  const answer = `${answerTokens} token${answerTokens === 1 ? '' : 's'} for an answer`
  return new PromptTooLongError(
    `${what} ${size}, which with ${answer} do not fit the model's context of ${contextMax}: ${way}`
  )
}
