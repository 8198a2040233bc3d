/** Texts that may not come within another one, looked for byte by byte, all at once (Aho and Corasick, 1975). Pure. */

/** Where a search stands: how much of which text the last bytes are. */
interface State {
  /** [byte] the state after it, for bytes that do not lead to the search's beginning. */
  readonly next: Map<number, State>
  readonly id: number
  /** The last bytes are one of the texts. */
  isFound: boolean
}

export class UnwantedTexts {
  /** By id; nothing is looked for in the first. */
  readonly #states: { readonly next: ReadonlyMap<number, State>; readonly begin: number }[] = [
    { next: new Map(), begin: 0 }
  ]
  /** [texts] where the search for them begins. */
  readonly #begins = new Map<string, number>()

  /**
   * A search for these.
   *
   * @param borders of 257: set where a byte is told from the one before it
   * @returns the state with which it begins
   */
  add(texts: readonly string[], borders: Uint8Array): number {
    const key = JSON.stringify(texts)
    const known = this.#begins.get(key)
    if (known !== undefined) return known
    const begin = this.#newState(this.#states.length)
    for (const text of texts) {
      let at = begin
      for (const byte of new TextEncoder().encode(text)) {
        borders[byte] = 1
        borders[byte + 1] = 1
        if (!at.next.has(byte)) at.next.set(byte, this.#newState(begin.id))
        at = at.next.get(byte)!
      }
      at.isFound = true
    }
    join(begin)
    this.#begins.set(key, begin.id)
    return begin.id
  }

  /** The state after one more byte; undefined where a text that is looked for ends with it. */
  after(state: number, byte: number): number | undefined {
    if (state === 0) return 0
    const { next, begin } = this.#states[state]!
    const after = next.get(byte)
    return after === undefined ? begin : after.isFound ? undefined : after.id
  }

  #newState(begin: number): State {
    const state: State = { next: new Map(), id: this.#states.length, isFound: false }
    this.#states.push({ next: state.next, begin })
    return state
  }
}

/** Has every state go on where what it read ends with the beginning of another text, those nearest to the beginning first. */
function join(begin: State): void {
  const shorter = new Map<State, State>()
  const queue = [...begin.next.values()]
  for (const child of queue) shorter.set(child, begin)
  for (const state of queue) {
    const rest = shorter.get(state)!
    if (rest.isFound) state.isFound = true
    for (const [byte, child] of state.next) {
      shorter.set(child, rest.next.get(byte) ?? begin)
      queue.push(child)
    }
    for (const [byte, child] of rest.next) if (!state.next.has(byte)) state.next.set(byte, child)
  }
}
