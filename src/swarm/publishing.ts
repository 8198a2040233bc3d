/** When the own record is put into the DHT (protocols/records.md, R13). Pure. */
import { sameBytes } from '../base/same-bytes.ts'
import { provideSettleMs, publishMs, publishRefreshMs } from './limits.ts'

export class Publishing {
  #lastMs = Number.NEGATIVE_INFINITY
  /** The addresses that the DHT has, or is about to have; undefined where nobody may have been there to keep them. */
  #addresses: readonly Uint8Array[] | undefined

  /** Whether it is time: whoever looks a record up wants to reach its origin, which says the rest itself. */
  isDue(addresses: readonly Uint8Array[], nowMs: number): boolean {
    const isSame = this.#addresses !== undefined && areSame(this.#addresses, addresses)
    return nowMs - this.#lastMs >= (isSame ? publishRefreshMs : publishMs)
  }

  published(addresses: readonly Uint8Array[], nowMs: number): void {
    this.#lastMs = nowMs
    this.#addresses = addresses
  }

  /** What was published alone was published to nobody; the DHT needs a moment to know who came. */
  anew(nowMs: number): void {
    this.#addresses = undefined
    this.#lastMs = Math.min(this.#lastMs, nowMs - publishMs + provideSettleMs)
  }
}

function areSame(a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean {
  return a.length === b.length && a.every((address, i) => sameBytes(address, b[i]!))
}
