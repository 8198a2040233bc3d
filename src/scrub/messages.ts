/** What passes between the thread that scrubs and the one that talks to the network. */
export interface ScrubRequest {
  readonly texts: readonly string[]
  readonly country: string | undefined
}
