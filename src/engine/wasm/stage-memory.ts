/** The memory of one stage: weights from its beginning on, then whatever is taken, which stays taken. */
import { EngineError } from '../../errors.ts'
import { memoryPagesMax } from './compile.ts'
import { memoryPageBytes } from './emit.ts'
import { roundUp } from './tiles.ts'

export class StageMemory {
  /** What kernels import. */
  readonly memory: WebAssemblyMemory
  /** All of it; another view after it has grown. */
  floats: Float32Array<ArrayBuffer>
  #top: number

  /**
   * @param bytes that are taken from the beginning on
   * @throws {EngineError} when they cannot be reserved.
   */
  constructor(bytes: number) {
    const pages = Math.ceil(bytes / memoryPageBytes) + 1
    if (pages > memoryPagesMax) {
      throw new EngineError(`${bytes} bytes of weights do not fit into one memory of 4 GiB: serve fewer layers`)
    }
    try {
      this.memory = new WebAssembly.Memory({ initial: pages, maximum: memoryPagesMax })
    } catch {
      throw new EngineError(`${bytes} bytes for weights cannot be reserved`)
    }
    this.floats = new Float32Array(this.memory.buffer)
    this.#top = roundUp(bytes, 64)
  }

  /** Zeroed memory, by its address. @throws {EngineError} when there is none. */
  take(bytes: number): number {
    const at = this.#top
    const top = roundUp(at + bytes, 64)
    const missing = top - this.memory.buffer.byteLength
    if (missing > 0) {
      try {
        this.memory.grow(Math.ceil(missing / memoryPageBytes))
      } catch {
        throw new EngineError(`${bytes} bytes more than ${this.memory.buffer.byteLength} cannot be reserved`)
      }
      this.floats = new Float32Array(this.memory.buffer)
    }
    this.#top = top
    return at
  }

  zero(at: number, bytes: number): void {
    this.floats.fill(0, at / 4, (at + bytes) / 4)
  }
}
