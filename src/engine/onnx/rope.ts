/**
 * Rotary position embedding (Su et al. 2021) in Hugging Face's half-rotation form, as two tables with one row per
 * position: pair i of a head turns by position·theta^(-2i / headDim). Row 0 turns by nothing.
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
    const half = this.#headDim / 2
    const cos = new Float32Array(rows * half)
    const sin = new Float32Array(rows * half)
    cos.set(this.#cos)
    sin.set(this.#sin)
    for (let i = 0; i < half; i++) {
      const frequency = this.#theta ** ((-2 * i) / this.#headDim)
      for (let position = this.#rows; position < rows; position++) {
        cos[position * half + i] = Math.cos(position * frequency)
        sin[position * half + i] = Math.sin(position * frequency)
      }
    }
    this.#rows = rows
    this.#cos = cos
    this.#sin = sin
  }

  get rows(): number {
    return this.#rows
  }

  /** [rows, headDim / 2]: the cosine of each pair. Replaced when the tables grow. */
  get cos(): Float32Array {
    return this.#cos
  }

  /** [rows, headDim / 2]: the sine of each pair. Replaced when the tables grow. */
  get sin(): Float32Array {
    return this.#sin
  }
}
