/** Log-probabilities of tokens, as the two endpoints have them. Pure. */
import type { Scored } from '../index.ts'

/** A token of an answer with what the model makes of it. */
export type ScoredToken = Pick<Scored, 'logprob' | 'bytes' | 'top'>

/** JSON has no infinity; OpenAI's own lowest. */
const lowest = -9999

const lossy = new TextDecoder('utf-8', { ignoreBOM: true })
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Of a chat: one entry a token, with its bytes, which may be a part of a character. */
export function chatLogprobs(tokens: readonly ScoredToken[]): object {
  const told = ({ logprob, bytes }: Pick<Scored, 'logprob' | 'bytes'>) => ({
    token: lossy.decode(bytes),
    logprob: finite(logprob),
    bytes: [...bytes]
  })
  return { content: tokens.map(token => ({ ...told(token), top_logprobs: token.top.map(told) })), refusal: null }
}

/** A token of a completion or its prompt. */
export type ToldToken = Partial<ScoredToken> & {
  readonly bytes: Uint8Array
  /** It is spelt, and is no part of the text. */
  readonly isControl?: boolean
}

export interface CompletionLogprobs {
  readonly tokens: string[]
  /** Null for the first token of a prompt: nothing is before it. */
  readonly token_logprobs: (number | null)[]
  readonly top_logprobs: (Record<string, number> | null)[]
  /** Characters (code points) of the text before each token. */
  readonly text_offset: number[]
}

/** Of a completion, piece by piece. */
export class CompletionScores {
  /** Characters so far, those of whole tokens before a piece included. */
  #offset = 0
  #bytes: number[] = []
  readonly #text: string
  #isFirst = true

  /** @param text what the completion begins with, as far as that is known: its tokens may spell a space before it. @default nothing */
  constructor(text?: string) {
    this.#text = text ?? ' '
  }

  take(tokens: readonly ToldToken[]): CompletionLogprobs {
    const told: CompletionLogprobs = { tokens: [], token_logprobs: [], top_logprobs: [], text_offset: [] }
    for (const token of tokens) {
      told.tokens.push(spelt(token.bytes))
      told.text_offset.push(Math.max(0, this.#offset))
      const { bytes, logprob, top } = token
      if (logprob !== undefined && top !== undefined) {
        const all = [...top, { bytes, logprob }].map(each => [spelt(each.bytes), finite(each.logprob)] as const)
        told.token_logprobs.push(finite(logprob))
        told.top_logprobs.push(Object.fromEntries(all))
      } else {
        told.token_logprobs.push(null)
        told.top_logprobs.push(null)
      }
      if (token.isControl !== true) this.#pass(bytes)
    }
    return told
  }

  /** A character counts with its last byte. */
  #pass(bytes: Uint8Array): void {
    if (this.#isFirst && bytes[0] === 0x20 && !this.#text.startsWith(' ')) this.#offset--
    this.#isFirst = false
    this.#bytes.push(...bytes)
    try {
      this.#offset += codePoints(strict.decode(Uint8Array.from(this.#bytes)))
      this.#bytes = []
    } catch {
      // The rest of a character is still to come, unless what came is none: then each byte is shown as one.
      if (this.#bytes.length < 4) return
      this.#offset += codePoints(lossy.decode(Uint8Array.from(this.#bytes)))
      this.#bytes = []
    }
  }
}

/** As text; bytes that are none are spelt as such, so that two of them have two names. */
function spelt(bytes: Uint8Array): string {
  try {
    return strict.decode(bytes)
  } catch {
    return `bytes:${[...bytes].map(byte => `\\x${byte.toString(16).padStart(2, '0')}`).join('')}`
  }
}

function codePoints(text: string): number {
  let count = 0
  for (const _ of text) count++
  return count
}

function finite(logprob: number): number {
  return Number.isFinite(logprob) ? logprob : lowest
}
