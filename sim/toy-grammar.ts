/** A grammar of the toy's tokens: what may follow is a hash of the text, out of few masks or of many, as JSON's are inside strings and beside them. */
import { letsThrough, maskBytes, type TokenMask } from '../src/engine/mask.ts'
import { mix } from './toy-hash.ts'

const origin = [0x9a55e, 0x11e5] as const

export class ToyGrammar {
  readonly #vocab: number
  readonly #wait: () => Promise<void>
  /** Texts that it was asked about, by their lengths. */
  readonly asked: number[] = []

  /** @param wait before it says anything */
  constructor(vocab: number, wait: () => Promise<void> = async () => {}) {
    this.#vocab = vocab
    this.#wait = wait
  }

  /** What may follow an answer's tokens so far. */
  after(text: readonly number[]): TokenMask {
    const [hash] = mix(origin, text.length, ...text.slice(-2))
    // Every other time one of three that come again and again, else one that hardly ever does.
    const seed = hash % 2 === 0 ? (hash >> 1) % 3 : hash
    const [bits, place] = mix(origin, seed)
    const mask = new Uint8Array(maskBytes(this.#vocab))
    // The same bits again and again, in a part of the vocabulary: some masks are shorter as runs, and some as bits.
    const from = place % mask.length
    for (let at = from; at < mask.length; at++) mask[at] = bits >> ((at % 3) << 3)
    const beyond = this.#vocab % 8
    if (beyond !== 0) mask[mask.length - 1]! &= (1 << beyond) - 1
    if (mask.every(byte => byte === 0)) mask[0] = 1
    return mask
  }

  async masks(text: readonly number[], drafts: readonly number[]): Promise<readonly TokenMask[]> {
    this.asked.push(text.length)
    await this.#wait()
    const masks = [this.after(text)]
    for (const [i, id] of drafts.entries()) {
      if (!letsThrough(masks[i]!, id)) break
      masks.push(this.after([...text, ...drafts.slice(0, i + 1)]))
    }
    return masks
  }

  close(): void {}
}
