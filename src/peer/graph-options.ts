/** What texts and runs of graphs may be asked with. Types alone. */

/** How long a run of a graph may take, and how long somebody who serves it is waited for. */
export interface InferenceOptions {
  /** For one run at one peer, in ms: up to ten minutes. @default 60 s */
  deadlineMs?: number
  /**
   * How long to wait until somebody offers it, and then for a peer that serves it, in ms.
   * @default a minute where one is loading it; while this peer has just started and nobody offers any model; else not at all
   */
  waitMs?: number
  /** Replace personal data in texts that are embedded, as in prompts (`scrub` of an answer); tensors are not looked at. @default false */
  scrub?: boolean
  /** What the one who asks calls this run, for the audit log. @default a number of this peer */
  request?: string
  /** Who asks, for the audit log. @default `local` */
  client?: string
  /** Ends the run. */
  signal?: AbortSignal
}

/** As which model, and with which control tokens, a text is read. */
export interface TokenizeOptions {
  /** Name or id. @default the model that answers where none is named */
  model?: string
  /** Without the token that the model wants in front. @default false */
  bare?: boolean
  /** Control tokens that the text spells become those tokens. @default false: they are text */
  special?: boolean
  /** Ends the wait for the tokenizer, and for the model where nobody offers it yet. */
  signal?: AbortSignal
}
