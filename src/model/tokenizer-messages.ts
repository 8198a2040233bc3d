/** What passes between a tokenizer's thread and the one that talks to the network. */
import type { TextState } from './tokenizer.ts'

export interface TokenizerInit {
  /** A `tokenizer.json` that was verified. */
  readonly file: string
  readonly name: string
  readonly bosId: number | null
  readonly eosIds: readonly number[]
}

/** What the thread says when it has read the file. */
export interface TokenizerFacts {
  /** `ModelTokenizer.longest` */
  readonly longest: number
}

export type TokenizerRequest =
  | { readonly kind: 'encode'; readonly text: string; readonly special: boolean }
  | {
      readonly kind: 'text'
      /** Where the stream stands, or the ids that it follows. */
      readonly from: TextState | { readonly prompt: Int32Array }
      readonly ids: readonly number[]
      /** No more ids come: what is held back is due, too. */
      readonly last: boolean
    }

/** The answer to `text`; that to `encode` are the ids, an Int32Array. */
export interface TokenizerText {
  readonly text: string
  readonly state: TextState
}
