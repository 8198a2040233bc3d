/** What an answer must be, as whoever asks says it. Types alone. */

/** What an answer must be: no token is drawn that it does not allow, and the answer ends where it is whole. */
export type GrammarSpec =
  /** A JSON object, as OpenAI's `json_object` wants it. */
  | { readonly kind: 'json' }
  /**
   * JSON that a schema allows. `strict`: objects have no other properties than it names, unless it says so. @default false
   */
  | { readonly kind: 'json-schema'; readonly schema: object | boolean; readonly strict?: boolean | undefined }
  /** A text that a regular expression of JavaScript fits as a whole. */
  | { readonly kind: 'regex'; readonly pattern: string }
  /** This text. */
  | { readonly kind: 'text'; readonly text: string }
  /** One after the other. */
  | { readonly kind: 'sequence'; readonly of: readonly GrammarSpec[] }
  /** One of them. */
  | { readonly kind: 'either'; readonly of: readonly GrammarSpec[] }
  /** `min` to `max` of them, one after the other. */
  | { readonly kind: 'times'; readonly of: GrammarSpec; readonly min: number; readonly max: number }
