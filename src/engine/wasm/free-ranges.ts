/**
 * Addresses of a memory that were taken once and are free now, for takers of several sizes: neighbours that are free are one range, so
 * that what small ones have given back is there for a large one. Pure.
 */
import { assert } from '../../base/assert.ts'

interface FreeRange {
  at: number
  bytes: number
}

export class FreeRanges {
  /** In the order of their addresses; no two touch. */
  readonly #ranges: FreeRange[] = []

  /** Bytes that are free in all. */
  get bytes(): number {
    return this.#ranges.reduce((sum, { bytes }) => sum + bytes, 0)
  }

  /** The address of so many bytes, from the smallest range that has them; undefined where none has. */
  take(bytes: number): number | undefined {
    let best: number | undefined
    for (const [i, range] of this.#ranges.entries()) {
      if (range.bytes < bytes || (best !== undefined && this.#ranges[best]!.bytes <= range.bytes)) continue
      best = i
      if (range.bytes === bytes) break
    }
    if (best === undefined) return undefined
    const range = this.#ranges[best]!
    const { at } = range
    range.at += bytes
    range.bytes -= bytes
    if (range.bytes === 0) this.#ranges.splice(best, 1)
    return at
  }

  /** Gives back what was taken; or what was taken from elsewhere and is free now. */
  give(at: number, bytes: number): void {
    const after = this.#after(at)
    const [before, next] = [this.#ranges[after - 1], this.#ranges[after]]
    const touchesBefore = before !== undefined && before.at + before.bytes === at
    const touchesNext = next !== undefined && at + bytes === next.at
    assert(before === undefined || before.at + before.bytes <= at, () => `${bytes} bytes at ${at} are free already`)
    assert(next === undefined || at + bytes <= next.at, () => `${bytes} bytes at ${at} are free already`)
    if (touchesBefore) {
      before.bytes += bytes + (touchesNext ? next.bytes : 0)
      if (touchesNext) this.#ranges.splice(after, 1)
    } else if (touchesNext) {
      next.at = at
      next.bytes += bytes
    } else {
      this.#ranges.splice(after, 0, { at, bytes })
    }
  }

  /** Index of the first range behind an address. */
  #after(at: number): number {
    let [low, high] = [0, this.#ranges.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#ranges[middle]!.at < at) low = middle + 1
      else high = middle
    }
    return low
  }
}
