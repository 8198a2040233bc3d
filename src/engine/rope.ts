/**
 * Rotary position embedding (Su et al. 2021) in Hugging Face's half-rotation form, as two tables whose rows
 * the graph takes as views: positions of a pass are contiguous, so no lookup is needed.
 */
export class RopeTable {
  readonly #headDim: number
  readonly #theta: number
  #rows = 0
  #cos = new Float32Array(0)
  #sin = new Float32Array(0)

  constructor(headDim: number, theta: number) {
    this.#headDim = headDim
    this.#theta = theta
  }

  /** Makes the tables reach to position `rows - 1`: as long as the longest open session, not the model's context. */
  grow(rows: number): void {
    if (rows <= this.#rows) return
    const d = this.#headDim
    const half = d / 2
    const cos = new Float32Array(rows * d)
    const sin = new Float32Array(rows * d)
    cos.set(this.#cos)
    sin.set(this.#sin)
    for (let i = 0; i < half; i++) {
      const frequency = this.#theta ** ((-2 * i) / d)
      for (let position = this.#rows; position < rows; position++) {
        const at = position * d + i
        const c = Math.cos(position * frequency)
        const s = Math.sin(position * frequency)
        cos[at] = c
        cos[at + half] = c
        sin[at] = -s
        sin[at + half] = s
      }
    }
    this.#rows = rows
    this.#cos = cos
    this.#sin = sin
  }

  /** [n, 1, 2, headDim / 2]: the cosine of each pair, once per half. A view. */
  cos(position: number, n: number): Float32Array {
    return this.#cos.subarray(position * this.#headDim, (position + n) * this.#headDim)
  }

  /** [n, 1, 2, headDim / 2]: minus the sine for the first half, the sine for the second. A view. */
  sin(position: number, n: number): Float32Array {
    return this.#sin.subarray(position * this.#headDim, (position + n) * this.#headDim)
  }
}
