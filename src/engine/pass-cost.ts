/**
 * What a pass takes, by its rows: so much for the first, which reads the weights, and a share of that for each further one,
 * which only computes. Both are learnt from the passes as they run, since they change with what else the machine does. Pure.
 */

/** What a further row takes of the first, before any pass has shown it: between a quarter and two fifths (`bench/results`). */
const shareGuess = 0.3
const shareMin = 0.02
const shareMax = 1
/** What a pass adds to what those before have shown. */
const weight = 0.3
/** A pass of so many rows says more of the further ones than of the first. */
const manyRows = 4
/** A pass that takes so many times what is expected says no more than that: its thread was given no processor. */
const surpriseMax = 3

export class PassCost {
  #firstMs: number | undefined
  #share = shareGuess
  /** A pass of many rows has shown it. */
  #isShown = false

  /** A pass of one row, in ms; undefined before the first pass. */
  get firstMs(): number | undefined {
    return this.#firstMs
  }

  /** What a further row takes of the first. */
  get share(): number {
    return this.#share
  }

  /** A pass of so many rows, in ms; 0 for none, undefined before the first pass. */
  msOf(rows: number): number | undefined {
    if (rows === 0) return 0
    return this.#firstMs === undefined ? undefined : this.#firstMs * this.#times(rows)
  }

  /**
   * How many rows add no more than so many ms to a pass of `beside` others; undefined before the first pass. Each may take as
   * long as the first until it is shown that it does not.
   */
  rowsWithin(ms: number, beside: number): number | undefined {
    if (this.#firstMs === undefined) return undefined
    const further = this.#firstMs * (this.#isShown ? this.#share : 1)
    return Math.max(0, Math.floor(beside > 0 ? ms / further : 1 + (ms - this.#firstMs) / further))
  }

  /** A pass of so many rows has taken so long. */
  took(rows: number, ms: number): void {
    if (this.#firstMs === undefined) {
      this.#firstMs = ms / this.#times(rows)
      return
    }
    const seen = Math.min(ms, surpriseMax * this.#firstMs * this.#times(rows))
    if (rows >= manyRows) {
      const share = (seen / this.#firstMs - 1) / (rows - 1)
      const step = this.#isShown ? weight : 1
      this.#share = clamp(this.#share + step * (share - this.#share), shareMin, shareMax)
      this.#isShown = true
    }
    const step = rows >= manyRows ? weight / manyRows : weight
    this.#firstMs += step * (seen / this.#times(rows) - this.#firstMs)
  }

  /** A pass of so many rows, as so many of one row. */
  #times(rows: number): number {
    return 1 + (rows - 1) * this.#share
  }
}

function clamp(value: number, min: number, max: number): number {
  return Math.max(min, Math.min(max, value))
}
