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
/** A pass that takes longer than so many times what is expected counts as that long: its thread was given no processor. */
const surpriseMax = 3

export class PassCost {
  #firstMs: number | undefined
  #share = shareGuess
  /** A row of a pass of many, the first row's time shared among all; undefined before there was one. */
  #rowMs: number | undefined

  /** A pass of one row, in ms; undefined before the first pass. */
  get firstMs(): number | undefined {
    return this.#firstMs
  }

  /** What a further row takes of the first. */
  get share(): number {
    return this.#share
  }

  /** A pass of so many rows, in ms; undefined before the first pass. */
  msOf(rows: number): number | undefined {
    return this.#firstMs === undefined ? undefined : this.#firstMs * this.#times(rows)
  }

  /**
   * How many rows add no more than so many ms to a pass: rather fewer than more of them, since what the first row takes, and
   * sampling, is counted as theirs, too. Undefined before the first pass.
   */
  rowsWithin(ms: number): number | undefined {
    const row = this.#rowMs ?? this.#firstMs
    return row === undefined ? undefined : Math.floor(ms / row)
  }

  /** A pass of so many rows has taken so long. */
  took(rows: number, ms: number): void {
    const expected = this.msOf(rows)
    const seen = expected === undefined ? ms : Math.min(ms, surpriseMax * expected)
    const first = seen / this.#times(rows)
    this.#firstMs = near(this.#firstMs, first, rows < manyRows ? weight : weight / manyRows)
    if (rows < manyRows) return
    this.#rowMs = near(this.#rowMs, seen / rows, weight)
    if (expected === undefined) return
    const share = (seen / this.#firstMs - 1) / (rows - 1)
    this.#share = Math.max(shareMin, Math.min(shareMax, near(this.#share, share, weight)))
  }

  /** A pass of so many rows, as so many of one row. */
  #times(rows: number): number {
    return 1 + (rows - 1) * this.#share
  }
}

/** A mean of what was seen, to which the newest counts with a weight; it alone where it is the first. */
function near(mean: number | undefined, value: number, weight: number): number {
  return mean === undefined ? value : mean + weight * (value - mean)
}
