/** What every way of finding peers has in common. */

export interface Discovery {
  /** One word or two: `mdns`, `static`. */
  readonly way: string
  /** One sentence: what it found, or why it found nothing. */
  state(): string
  start(): Promise<void>
  /** Safe to call before `start` and twice. */
  stop(): Promise<void>
}
