/** So many at once and so many a second. Pure: time comes in as an argument. */
export class Budget {
  readonly #perSecond: number
  readonly #burst: number
  #left: number
  #refilledMs: number

  constructor({ perSecond, burst }: { perSecond: number; burst: number }, nowMs = 0) {
    this.#perSecond = perSecond
    this.#burst = burst
    this.#left = burst
    this.#refilledMs = nowMs
  }

  /** True when there is one left, which is then taken. */
  take(nowMs: number): boolean {
    this.#left = Math.min(this.#burst, this.#left + ((nowMs - this.#refilledMs) * this.#perSecond) / 1000)
    this.#refilledMs = nowMs
    if (this.#left < 1) return false
    this.#left -= 1
    return true
  }
}
