/**
 * The bytes of a model's tokens as a tree: tokens that begin alike are looked at once for as far as they do. Laid out in the order in which
 * it is walked, so that a look at all tokens is one pass over flat arrays. Pure.
 */
import type { ReadState, Recogniser } from './recogniser.ts'

export class TokenTree {
  /** Tokens of the model: masks have a bit for each. */
  readonly vocab: number
  /** Of each node: its byte, its depth, where the next one that is not below it is, and the token that ends there, or -1. */
  readonly #bytes: Uint8Array
  readonly #depths: Uint16Array
  readonly #ends: Uint32Array
  readonly #tokens: Int32Array
  /** Further tokens of the same bytes, by the first one. */
  readonly #alike = new Map<number, number[]>()
  readonly #depthMax: number

  /**
   * @param tokens bytes of each id, none of an id that is no text
   * @param vocab ids that the model draws from, be it that its tokenizer lacks some
   */
  constructor(tokens: readonly Uint8Array[], vocab: number) {
    this.vocab = vocab
    const order = tokens
      .map((bytes, id) => ({ bytes, id }))
      .filter(({ bytes, id }) => bytes.length > 0 && id < vocab)
      .sort((a, b) => compared(a.bytes, b.bytes) || a.id - b.id)
    const nodesMax = order.reduce((sum, { bytes }) => sum + bytes.length, 0)
    const [bytesOf, depths] = [new Uint8Array(nodesMax), new Uint16Array(nodesMax)]
    const [ends, ids] = [new Uint32Array(nodesMax), new Int32Array(nodesMax).fill(-1)]
    /** The nodes on the way to the last token. */
    const way: number[] = []
    let count = 0
    let before = new Uint8Array(0)
    let deepest = 0
    for (const { bytes, id } of order) {
      let shared = 0
      while (shared < before.length && shared < bytes.length && before[shared] === bytes[shared]) shared++
      for (const node of way.splice(shared)) ends[node] = count
      for (let depth = shared; depth < bytes.length; depth++) {
        bytesOf[count] = bytes[depth]!
        depths[count] = depth
        way.push(count++)
      }
      const last = way.at(-1)!
      if (ids[last] === -1) ids[last] = id
      else this.#alike.set(ids[last]!, [...(this.#alike.get(ids[last]!) ?? []), id])
      before = new Uint8Array(bytes)
      deepest = Math.max(deepest, bytes.length)
    }
    for (const node of way) ends[node] = count
    this.#depthMax = deepest
    this.#bytes = bytesOf.slice(0, count)
    this.#depths = depths.slice(0, count)
    this.#ends = ends.slice(0, count)
    this.#tokens = ids.slice(0, count)
  }

  /**
   * Which tokens may follow: a bit for each of the vocabulary, the least significant of a byte first.
   *
   * @throws {TooManyWaysError}
   */
  mask(recogniser: Recogniser, state: ReadState): Uint8Array {
    const mask = new Uint8Array(Math.ceil(this.vocab / 8))
    const [bytes, depths, ends, tokens] = [this.#bytes, this.#depths, this.#ends, this.#tokens]
    const states: ReadState[] = new Array(this.#depthMax + 1).fill(state)
    for (let node = 0; node < bytes.length; ) {
      const depth = depths[node]!
      const next = recogniser.after(states[depth]!, bytes[node]!)
      if (next === null) {
        node = ends[node]!
        continue
      }
      states[depth + 1] = next
      const id = tokens[node]!
      if (id >= 0) this.#allow(mask, id)
      node++
    }
    return mask
  }

  #allow(mask: Uint8Array, id: number): void {
    mask[id >> 3]! |= 1 << (id & 7)
    for (const other of this.#alike.get(id) ?? []) mask[other >> 3]! |= 1 << (other & 7)
  }
}

function compared(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return a[i]! - b[i]!
  return a.length - b.length
}
