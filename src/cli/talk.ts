/** What was said in a conversation, and what of it is sent. Pure. */
import type { ChatMessage } from '../index.ts'

const encoder = new TextEncoder()

interface Turn {
  readonly said: string
  answer: string | undefined
}

export class Talk {
  readonly #system: string | undefined
  readonly #turns: Turn[] = []
  /** The first turn that is still sent. */
  #from = 0

  /** @param system what the system says first, if anything */
  constructor(system: string | undefined) {
    this.#system = system
  }

  /** Turns so far. */
  get length(): number {
    return this.#turns.length
  }

  say(said: string): void {
    this.#turns.push({ said, answer: undefined })
  }

  /** What came in answer, whole or until it was stopped; nothing at all undoes what was said. */
  answered(text: string): void {
    const turn = this.#turns.at(-1)
    if (text === '') this.#turns.pop()
    else if (turn !== undefined) turn.answer = text
    this.#from = Math.min(this.#from, this.#turns.length)
  }

  /** So many of the oldest turns that are sent are sent no more. */
  drop(turns: number): void {
    this.#from += turns
  }

  /**
   * How many of the oldest turns that are sent have to go for so many bytes of JSON to go, where the last `keep` stay; undefined
   * where that is not enough.
   */
  turnsOf(bytes: number, keep: number): number | undefined {
    let turns = 0
    for (let left = bytes; left > 0; turns++) {
      const turn = this.#turns[this.#from + turns]
      if (turn === undefined || this.#turns.length - this.#from - turns <= keep) return undefined
      // Each message has a comma after it, as the last ones stay.
      for (const message of messagesOf(turn)) left -= encoder.encode(JSON.stringify(message)).length + 1
    }
    return turns
  }

  reset(): void {
    this.#turns.length = 0
    this.#from = 0
  }

  /** Messages to be sent. */
  get sent(): ChatMessage[] {
    return this.#messages(this.#turns.slice(this.#from))
  }

  /** All messages, those that are sent no more as well. */
  get all(): ChatMessage[] {
    return this.#messages(this.#turns)
  }

  #messages(turns: readonly Turn[]): ChatMessage[] {
    const messages = this.#system === undefined ? [] : [{ role: 'system', content: this.#system }]
    for (const turn of turns) messages.push(...messagesOf(turn))
    return messages
  }
}

function messagesOf({ said, answer }: Turn): ChatMessage[] {
  const user = { role: 'user', content: said }
  return answer === undefined ? [user] : [user, { role: 'assistant', content: answer }]
}

/** What a line means. */
export type ChatLine =
  | { readonly kind: 'say'; readonly text: string }
  | { readonly kind: 'reset' | 'help' | 'quit' | 'nothing' }
  | { readonly kind: 'save'; readonly file: string }
  | { readonly kind: 'wrong'; readonly sentence: string }

/** Reads a line: commands begin with a slash, and text that does is written with two. */
export function readChatLine(line: string): ChatLine {
  const text = line.replace(/\r$/, '')
  if (text.trim() === '') return { kind: 'nothing' }
  if (!text.startsWith('/')) return { kind: 'say', text }
  if (text.startsWith('//')) return { kind: 'say', text: text.slice(1) }
  const [, name, rest = ''] = /^\/(\S*)\s*(.*)$/s.exec(text) ?? []
  const argument = rest.trim()
  if (name === 'save') {
    return argument === ''
      ? { kind: 'wrong', sentence: '/save takes a file: /save talk.json' }
      : { kind: 'save', file: argument }
  }
  if (name === 'reset' || name === 'help' || name === 'quit') {
    return argument === '' ? { kind: name } : { kind: 'wrong', sentence: `/${name} takes nothing after it` }
  }
  return {
    kind: 'wrong',
    sentence: `there is no /${name}; /help lists what there is, and text with a slash in front has two: //${name}`
  }
}

export const chatHelp = `/reset      forget what was said
/save FILE  write the conversation to a file, as JSON
/quit       end; so does the end of input
//text      say text that begins with a slash
Ctrl-C      stop an answer; twice: end`
