/**
 * What a stage sent, kept for as long as its session lives (promise P4): when the next hop is lost, its
 * stand-in gets these states again instead of computing the prompt anew.
 */
import { assert } from '../base/assert.ts'
import { retainBlockTokens } from './limits.ts'

/** The hidden states [0, length) that one stage sent for one session, in edge bytes. */
export class RetainedStates {
  readonly #rowBytes: number
  readonly #tokensMax: number
  /** Each holds `retainBlockTokens` rows, the last one fewer when `tokensMax` is; made when first written. */
  readonly #blocks: Uint8Array[] = []
  #length = 0

  /** @param rowBytes hidden · edge size: bytes of one token's hidden state. */
  constructor(rowBytes: number, tokensMax: number) {
    this.#rowBytes = rowBytes
    this.#tokensMax = tokensMax
  }

  /** Bytes that a session of `tokensMax` tokens is charged. */
  static bytes(rowBytes: number, tokensMax: number): number {
    return rowBytes * tokensMax
  }

  /** Of the rows that are there. */
  get bytes(): number {
    return this.#rowBytes * this.#length
  }

  get length(): number {
    return this.#length
  }

  /** Drops everything from `length` on. */
  truncate(length: number): void {
    if (length < this.#length) this.#length = length
  }

  /**
   * Stores the states of tokens [position, position + n), where n = bytes.length / rowBytes; what was behind
   * position is dropped first, as the cache does (promise P2). Copies the bytes.
   */
  write(position: number, bytes: Uint8Array): void {
    const end = position + bytes.length / this.#rowBytes
    assert(Number.isInteger(end), () => `${bytes.length} bytes are no whole number of ${this.#rowBytes} byte states`)
    assert(
      position <= this.#length && end <= this.#tokensMax,
      () => `states [${position}, ${end}) leave a gap or do not fit`
    )
    for (let at = position; at < end; ) {
      const index = Math.floor(at / retainBlockTokens)
      const row = at - index * retainBlockTokens
      const rows = Math.min(retainBlockTokens - row, end - at)
      this.#block(index).set(
        bytes.subarray((at - position) * this.#rowBytes, (at - position + rows) * this.#rowBytes),
        row * this.#rowBytes
      )
      at += rows
    }
    this.#length = end
  }

  /** States [position, end) as a view that is valid until the next write; they must lie in one block. */
  read(position: number, end: number): Uint8Array {
    const index = Math.floor(position / retainBlockTokens)
    const base = index * retainBlockTokens
    assert(position < end && end <= this.#length, () => `states [${position}, ${end}) are not all retained`)
    assert(end <= base + retainBlockTokens, () => `states [${position}, ${end}) cross a block border`)
    return this.#blocks[index]!.subarray((position - base) * this.#rowBytes, (end - base) * this.#rowBytes)
  }

  /** States [0, end), all of which must be retained. The result is the caller's own. */
  copy(end: number): Uint8Array {
    const all = new Uint8Array(end * this.#rowBytes)
    for (let at = 0; at < end; at += retainBlockTokens) {
      all.set(this.read(at, Math.min(end, at + retainBlockTokens)), at * this.#rowBytes)
    }
    return all
  }

  #block(index: number): Uint8Array {
    const rows = Math.min(retainBlockTokens, this.#tokensMax - index * retainBlockTokens)
    this.#blocks[index] ??= new Uint8Array(rows * this.#rowBytes)
    return this.#blocks[index]
  }
}
