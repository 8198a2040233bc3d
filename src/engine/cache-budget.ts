/** What all sessions' caches in one engine may take together. */
import { assert } from '../base/assert.ts'
import { formatBytes } from '../base/units.ts'
import { NoRoomError } from '../errors.ts'

/** Counts the bytes of open caches against one bound. */
export class CacheBudget {
  readonly #bytesMost: number
  #bytesMax: number
  #used = 0

  /** @param bytesMost that the bound can ever be: what there is memory for */
  constructor(bytesMax: number, bytesMost: number = Number.POSITIVE_INFINITY) {
    this.#bytesMost = bytesMost
    this.#bytesMax = Math.min(bytesMax, bytesMost)
  }

  get bytesMax(): number {
    return this.#bytesMax
  }

  /** Lowering it takes nothing away from those who have reserved. */
  set bytesMax(bytes: number) {
    this.#bytesMax = Math.min(bytes, this.#bytesMost)
  }

  get used(): number {
    return this.#used
  }

  /** @throws {NoRoomError} when `bytes` more do not fit; nothing is reserved then. */
  reserve(bytes: number): void {
    if (this.#used + bytes > this.bytesMax) {
      throw new NoRoomError(
        `a cache of ${formatBytes(bytes)} (${bytes} bytes) does not fit: ${this.#used} of ${this.bytesMax} bytes are in use`
      )
    }
    this.#used += bytes
  }

  release(bytes: number): void {
    assert(bytes <= this.#used, `cannot release ${bytes} of ${this.#used} bytes`)
    this.#used -= bytes
  }
}
