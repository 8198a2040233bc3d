/** The memory of one section of a stage: weights from its beginning on, then whatever is taken, which stays taken. */
import { EngineError } from '../../errors.ts'
import { memoryPageBytes, memoryPagesMax } from './emit.ts'
import type { Views } from './job.ts'
import { roundUp } from '../../model/tiles.ts'

/** All of a memory, as it is now. */
export function viewsOf({ buffer }: WebAssemblyMemory): Views {
  return { floats: new Float32Array(buffer), integers: new Uint32Array(buffer) }
}

/** Asks for large pages for a memory that is about to be written to; what is in it does not change. */
export type LargePages = (memory: ArrayBufferLike) => void

export class StageMemory {
  /** What kernels import. */
  readonly memory: WebAssemblyMemory
  /** All of it; others after it has grown. */
  views: Views
  #top: number
  readonly #largePages: LargePages | undefined
  readonly #pagesMax: number

  /**
   * @param bytes that are taken from the beginning on
   * @param options.shared several threads use it
   * @param options.spareBytes that are about to be taken besides: without them the memory would grow while it is loaded. @default 0
   * @param options.bytesMax that it may have in the end; whole pages of 64 KiB. @default 4 GiB
   * @param options.largePages @default as the system has them
   * @throws {EngineError} when they cannot be reserved.
   */
  constructor(
    bytes: number,
    {
      shared,
      spareBytes = 0,
      bytesMax = memoryPagesMax * memoryPageBytes,
      largePages
    }: {
      shared: boolean
      spareBytes?: number
      bytesMax?: number | undefined
      largePages?: LargePages | undefined
    }
  ) {
    this.#pagesMax = Math.floor(bytesMax / memoryPageBytes)
    const pages = Math.ceil((bytes + spareBytes) / memoryPageBytes) + 1
    try {
      this.memory = new WebAssembly.Memory({ initial: pages, maximum: this.#pagesMax, shared })
    } catch {
      throw new EngineError(
        `${bytes} bytes for weights cannot be reserved in a memory of at most ${this.#bytesMax} bytes: this machine or its limits give no more`
      )
    }
    this.#largePages = largePages
    largePages?.(this.memory.buffer)
    this.views = viewsOf(this.memory)
    this.#top = roundUp(bytes, 64)
  }

  get #bytesMax(): number {
    return this.#pagesMax * memoryPageBytes
  }

  /** Zeroed memory, by its address. @throws {EngineError} when there is none. */
  take(bytes: number): number {
    const at = this.#top
    const top = roundUp(at + bytes, 64)
    const missing = top - this.memory.buffer.byteLength
    if (missing > 0) this.#grow(Math.ceil(missing / memoryPageBytes), bytes)
    this.#top = top
    return at
  }

  /**
   * Grows by an eighth at least: each time takes V8 up to several ms where one thread has the memory, and what nobody has written to
   * takes none of the machine's.
   */
  #grow(pages: number, bytes: number): void {
    const { byteLength } = this.memory.buffer
    const spare = Math.min(Math.ceil(byteLength / memoryPageBytes / 8), this.#pagesMax - byteLength / memoryPageBytes)
    if (!this.#grows(Math.max(pages, spare)) && !this.#grows(pages)) {
      throw new EngineError(
        `${bytes} bytes more than ${byteLength} cannot be reserved in a memory of at most ${this.#bytesMax} bytes`
      )
    }
    this.views = viewsOf(this.memory)
  }

  #grows(pages: number): boolean {
    try {
      this.memory.grow(pages)
      this.#largePages?.(this.memory.buffer)
      return true
    } catch {
      return false
    }
  }

  /** What it could still grow by. */
  get bytesFree(): number {
    return this.#bytesMax - this.#top
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
