/**
 * Proposes what followed the last time that the sequence read as it does now: its last four tokens, else three, else two.
 * Where that is a passage that repeats itself, what is proposed goes on repeating it. Pure.
 */
import type { Drafter, Proposal } from './drafter.ts'
import { indexedTokensMax, matchTokensMax } from './limits.ts'

const lengths = [4, 3, 2] as const
/** Entries for each token: one for each length, and as much again, so that few of them take the place of others. */
const entriesPerToken = 6

export class NGrams implements Drafter {
  /**
   * By hash of an n-gram, the position after its last occurrence; 0 where there is none. Two n-grams of one hash take each
   * other's place: what is found is compared.
   */
  #after: Int32Array | undefined
  readonly #entries: number
  /** N-grams that end before this position are in there. */
  #indexed = 1

  /** @param tokensMax of the sequence. */
  constructor(tokensMax: number) {
    this.#entries = 2 ** Math.ceil(Math.log2(entriesPerToken * tokensMax))
  }

  propose(ids: readonly number[], count: number): Proposal | undefined {
    // A session whose hops know no drafts never asks: some 48 bytes for each token of its context are not taken then.
    this.#after ??= new Int32Array(this.#entries)
    this.#index(ids, this.#after)
    for (const n of lengths) {
      const at = ids.length < n ? 0 : this.#after[this.#slot(ids, ids.length, n)]!
      const matched = at === 0 ? 0 : alike(ids, at)
      // Where it repeats itself before it comes to its end, it does so again.
      if (matched >= n)
        return {
          ids: Array.from({ length: count }, (_, i) => ids[at + (i % (ids.length - at))]!),
          kind: kindOf(matched)
        }
    }
    return undefined
  }

  /** A long prompt is taken in bit by bit: it would keep the peer from all else. */
  #index(ids: readonly number[], after: Int32Array): void {
    const end = Math.min(ids.length, this.#indexed + indexedTokensMax)
    for (; this.#indexed < end; this.#indexed++) {
      for (const n of lengths) {
        if (this.#indexed >= n) after[this.#slot(ids, this.#indexed, n)] = this.#indexed
      }
    }
  }

  /** Where the n-gram that ends before `end` has its entry. */
  #slot(ids: readonly number[], end: number, n: number): number {
    let hash = n
    for (let i = end - n; i < end; i++) hash = Math.imul(hash ^ ids[i]!, 0x9e3779b1) ^ (hash >>> 15)
    return (hash ^ (hash >>> 16)) & (this.#entries - 1)
  }
}

/** How many tokens before `at` are those at the end of the sequence, as far as it matters. */
function alike(ids: readonly number[], at: number): number {
  let n = 0
  while (n < matchTokensMax && n < at && ids[at - 1 - n] === ids[ids.length - 1 - n]) n++
  return n
}

/** 2, 3, 4 to 7, 8 to 15, and more. */
function kindOf(matched: number): number {
  return matched < 4 ? matched - 2 : Math.min(4, Math.floor(Math.log2(matched)))
}
