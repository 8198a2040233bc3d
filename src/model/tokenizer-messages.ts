/** What passes between a tokenizer's thread and the one that talks to the network. */
import type { Conversation, ConversationRoom } from './chat.ts'

export interface TokenizerInit {
  /** A `tokenizer.json`: a file that was verified, or bytes that are still being imported. */
  readonly from: { readonly file: string } | { readonly bytes: Uint8Array }
  readonly name: string
  readonly bosId: number | null
  readonly eosIds: readonly number[]
  /** Jinja template; null for a model that only continues text. */
  readonly chatTemplate: string | null
}

/** What the thread says when it has read the file. */
export interface TokenizerFacts {
  /** `ModelTokenizer.longest` */
  readonly longest: number
  /** `ModelTokenizer.size` */
  readonly size: number
}

/** Where a stream of text stands, as plain data: a thread that was started anew goes on from it. */
export interface TextState {
  /** One token whose text is out, if there is any, and those after it whose text is not, or not all. */
  readonly window: readonly number[]
  /** Characters (UTF-16 units) of the window's text that are out. */
  readonly out: number
}

export type TokenizerRequest =
  | { readonly kind: 'id'; readonly token: string }
  | { readonly kind: 'front'; readonly id: number }
  | { readonly kind: 'vocabulary' }
  | { readonly kind: 'bytes'; readonly ids: readonly number[] }
  | { readonly kind: 'whole'; readonly text: string }
  | { readonly kind: 'encode'; readonly text: string; readonly special: boolean; readonly bare?: boolean }
  | { readonly kind: 'chat'; readonly conversation: Conversation; readonly room: ConversationRoom }
  | {
      readonly kind: 'text'
      /** Where the stream stands, or the ids that it follows. */
      readonly from: TextState | { readonly prompt: Int32Array }
      readonly ids: readonly number[]
      /** No more ids come: what is held back is due, too. */
      readonly last: boolean
    }

/**
 * The answer to `text`. That to `encode` are the ids, an Int32Array; to `chat` a `ConversationPrompt`; to `id` an id or undefined; to `front` a boolean; to
 * `vocabulary` its digest; to `bytes` a Uint8Array for each id.
 */
export interface TokenizerText {
  readonly text: string
  readonly state: TextState
}
