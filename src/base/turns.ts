/**
 * Takes things one after another: what comes while one is being taken (an effect of it may cause an event at once) waits
 * its turn, so that effects are always done in order.
 */
export class Turns<T extends object> {
  readonly #take: (item: T) => void
  readonly #waiting: T[] = []
  #isTaking = false

  /** @param take does all that an item calls for; what it throws reaches whoever gave the first one of its turn */
  constructor(take: (item: T) => void) {
    this.#take = take
  }

  /** Returns whether everything has been taken; false while another call is at it, which sees to this item, too. */
  give(item: T): boolean {
    this.#waiting.push(item)
    if (this.#isTaking) return false
    this.#isTaking = true
    try {
      for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) this.#take(next)
    } finally {
      this.#isTaking = false
    }
    return true
  }
}
