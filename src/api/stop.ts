/**
 * Strings that end an answer. Text comes in pieces of any size; what may be the beginning of one of them is withheld until it is clear.
 * The one that is complete first ends the answer, of several that end at the same character the longest: which one that is does not
 * depend on the pieces. Pure.
 */
export class Stops {
  readonly #stops: readonly string[]
  #held = ''
  #isOver = false

  constructor(stops: readonly string[]) {
    this.#stops = stops
  }

  /** One of them has come: the text before it was the last. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** Takes more text; returns what of it is certain not to be of one of them. */
  push(piece: string): string {
    if (this.#isOver) return ''
    if (this.#stops.length === 0) return piece
    const text = this.#held + piece
    const at = this.#firstIn(text)
    if (at !== undefined) {
      this.#isOver = true
      this.#held = ''
      return text.slice(0, at)
    }
    const held = this.#begunIn(text)
    this.#held = text.slice(text.length - held)
    return text.slice(0, text.length - held)
  }

  /** No more text comes: what was withheld. */
  end(): string {
    const rest = this.#held
    this.#held = ''
    return rest
  }

  /** Where the one begins that ends first. */
  #firstIn(text: string): number | undefined {
    let best: { start: number; end: number } | undefined
    for (const stop of this.#stops) {
      const start = text.indexOf(stop)
      if (start < 0) continue
      const end = start + stop.length
      if (best === undefined || end < best.end || (end === best.end && start < best.start)) best = { start, end }
    }
    return best?.start
  }

  /** Characters at its end that one of them may begin with. */
  #begunIn(text: string): number {
    let most = 0
    for (const stop of this.#stops) {
      for (let length = Math.min(stop.length - 1, text.length); length > most; length--) {
        if (text.endsWith(stop.slice(0, length))) most = length
      }
    }
    return most
  }
}
