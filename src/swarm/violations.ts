/**
 * What peers have done that the protocols forbid: all of it is counted, and each kind is told of each peer once at once and then now and then, since
 * whoever breaks the rules without a pause would fill the log with it. Pure: time comes in as an argument.
 */
import type { PeerId } from '../base/ids.ts'
import { violationAgainMs, violationsToldMax } from './limits.ts'

interface Told {
  readonly atMs: number
  /** Since then. */
  more: number
}

export class Violations {
  readonly #counts = new Map<string, number>()
  /** By peer and kind, the longest ago first. */
  readonly #told = new Map<string, Told>()

  /** How often each kind was seen, of all peers. */
  counts(): Record<string, number> {
    return Object.fromEntries(this.#counts)
  }

  /** @returns the sentence that is to be told; undefined where the like was told of that peer just now */
  take(peer: PeerId, kind: string, message: string, nowMs: number): string | undefined {
    this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1)
    const name = `${peer} ${kind}`
    const before = this.#told.get(name)
    if (before !== undefined && nowMs - before.atMs < violationAgainMs) {
      before.more += 1
      return undefined
    }
    this.#told.delete(name)
    this.#told.set(name, { atMs: nowMs, more: 0 })
    if (this.#told.size > violationsToldMax) this.#told.delete(this.#told.keys().next().value!)
    return before === undefined || before.more === 0
      ? message
      : `${message} (and ${before.more} times since it was told)`
  }
}
