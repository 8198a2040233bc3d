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
  /** `min` to `max` of them, one after the other; without `max` as many as one likes. */
  | { readonly kind: 'times'; readonly of: GrammarSpec; readonly min: number; readonly max?: number | undefined }
  /** What fits, unless one of these texts comes within it. Neither this nor `plain` may stand within it. */
  | { readonly kind: 'without'; readonly of: GrammarSpec; readonly texts: readonly string[] }
  /**
   * An object that a schema allows, with marks around each property and with texts that have no quotes, as some models write what they call a
   * function with. `strict`: as with `json-schema`.
   */
  | {
      readonly kind: 'plain'
      readonly schema: object | boolean
      readonly strict?: boolean | undefined
      readonly marks: PlainMarks
    }

/** What stands around a property's name and value: of the first three one text of each. */
export interface PlainMarks {
  readonly beforeName: readonly string[]
  readonly beforeValue: readonly string[]
  readonly afterValue: readonly string[]
  /** Texts that no value may have in it, such as what shows where it ends. */
  readonly never: readonly string[]
}
