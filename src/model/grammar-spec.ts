/** What an answer must be, as whoever asks says it. Types alone. */

export type GrammarSpec =
  /** A JSON object, as OpenAI's `json_object` wants it. */
  | { readonly kind: 'json' }
  /** JSON that a schema allows. `strict`: objects have no other properties than it names, unless it says so. @default false */
  | { readonly kind: 'json-schema'; readonly schema: object | boolean; readonly strict?: boolean | undefined }
