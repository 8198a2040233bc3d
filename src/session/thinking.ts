/** Which tokens of an answer are thoughts, where the model marks them. Pure. */
import type { Thinking } from '../model/chat.ts'
import type { Sequence } from './parts.ts'

/** The id that ends the thoughts which the prompt of a session has opened: what its answer must be begins after it. Undefined where nothing has. */
export function thoughtsEnd({ begun, conversation }: Pick<Sequence, 'begun' | 'conversation'>): number | undefined {
  if (begun !== undefined) return begun.thoughtsEnd
  return conversation?.thinking?.opened === true ? conversation.thinking.closeId : undefined
}

/** What a token belongs to. The marks themselves are part of the thoughts. */
export type AnswerPart = 'thinking' | 'answer'

/**
 * Thoughts begin where the prompt has opened them, or with the token of the opening mark; they end with the closing one, which
 * may be several tokens.
 */
export class AnswerParts {
  readonly #thinking: Thinking
  #isThinking: boolean
  /** The end of the thoughts so far, in which the closing mark may have begun. */
  #end = ''

  constructor(thinking: Thinking) {
    this.#thinking = thinking
    this.#isThinking = thinking.opened
  }

  /** Takes a token and the text that came with it. */
  next(id: number, text: string): AnswerPart {
    const { openId, close, closeId } = this.#thinking
    if (!this.#isThinking) {
      if (id !== openId) return 'answer'
      this.#isThinking = true
      this.#end = ''
      return 'thinking'
    }
    const end = this.#end + text
    if (id === closeId || end.includes(close)) this.#isThinking = false
    this.#end = end.slice(-close.length)
    return 'thinking'
  }
}
