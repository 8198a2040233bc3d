/** The memory of one stage: weights from its beginning on, then whatever is taken, which stays taken. */
import { EngineError } from '../../errors.ts'
import { memoryPagesMax } from './compile.ts'
import { memoryPageBytes } from './emit.ts'
import type { Views } from './job.ts'
import { roundUp } from '../../model/tiles.ts'

/** All of a memory, as it is now. */
export function viewsOf({ buffer }: WebAssemblyMemory): Views {
  return { floats: new Float32Array(buffer), integers: new Int32Array(buffer) }
}

export class StageMemory {
  /** What kernels import. */
  readonly memory: WebAssemblyMemory
  /** All of it; others after it has grown. */
  views: Views
  #top: number

  /**
   * @param bytes that are taken from the beginning on
   * @param options.shared several threads use it
   * @throws {EngineError} when they cannot be reserved.
   */
  constructor(bytes: number, { shared }: { shared: boolean }) {
    const pages = Math.ceil(bytes / memoryPageBytes) + 1
    if (pages > memoryPagesMax) {
      throw new EngineError(`${bytes} bytes of weights do not fit into one memory of 4 GiB: serve fewer layers`)
    }
    try {
      this.memory = new WebAssembly.Memory({ initial: pages, maximum: memoryPagesMax, shared })
    } catch {
      throw new EngineError(`${bytes} bytes for weights cannot be reserved`)
    }
    this.views = viewsOf(this.memory)
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
      this.views = viewsOf(this.memory)
    }
    this.#top = top
    return at
  }

  /** What it could still grow by. */
  get bytesFree(): number {
    return memoryPagesMax * memoryPageBytes - this.#top
  }

  copy(from: number, to: number, bytes: number): void {
    this.views.floats.copyWithin(to / 4, from / 4, (from + bytes) / 4)
  }

  /** A view that is valid until the memory grows. */
  bytes({ at, bytes }: { readonly at: number; readonly bytes: number }): Uint8Array {
    return new Uint8Array(this.memory.buffer, at, bytes)
  }

  zero(at: number, bytes: number): void {
    this.views.floats.fill(0, at / 4, (at + bytes) / 4)
  }
}
