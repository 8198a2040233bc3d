/** What passes between a thread for grammars and the one that talks to the network. */
import type { GrammarSpec } from './grammar-spec.ts'

export interface GrammarInit {
  /** A verified `tokenizer.json`. */
  readonly file: string
  readonly name: string
  readonly bosId: number | null
  readonly eosIds: readonly number[]
  /** Ids that the model draws from. */
  readonly vocab: number
}

export interface MasksRequest {
  readonly kind: 'masks'
  readonly session: number
  /** What the answer must be, where the thread may not know the session. */
  readonly grammar: { readonly key: string; readonly spec: GrammarSpec; readonly after: number | undefined } | undefined
  /** The ids of the answer from its n-th on: the thread has those before. */
  readonly from: number
  readonly ids: readonly number[]
  readonly drafts: readonly number[]
}

export type GrammarRequest = { readonly kind: 'ready'; readonly key: string; readonly spec: GrammarSpec } | MasksRequest

/** The answer to `masks`: what `AnswerGrammar.masks` gives, or this where the thread has not what comes before. */
export const unknownText = 'unknown'
