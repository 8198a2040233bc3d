/** What a program is told of a request. It imports nothing: whoever embeds a front door compiles against it. */

/** One request of somebody who asked over HTTP. */
export interface ToldRequest {
  /** Its id, as in `x-request-id`. */
  readonly request: string
  readonly method: string
  readonly path: string
  /** Of the answer; 0 when there was none before the client hung up. */
  readonly status: number
  /** The client went before the answer was whole. */
  readonly aborted: boolean
  /** From its headers to the end of its answer, in ms. */
  readonly ms: number
  /** Name of the key that it came with, or its address; null when it was not let in. */
  readonly client: string | null
  /** Null where no model was asked. */
  readonly model: string | null
  /** Types of the model's weights; null where nobody knows. */
  readonly precision: string | null
  readonly promptTokens: number
  /** Of all its answers. */
  readonly tokens: number
  readonly firstTokenMs: number | null
  readonly recoveries: number
  /** Name of what an answer failed with. */
  readonly error: string | null
}
