/**
 * The keys and values of one session in one span of layers. The graph reads them in place and hands back
 * only the new rows; so a step copies what it adds, never the cache.
 *
 * Keys lie by position. Values lie in blocks of {@link attentionBlock} positions, head by head, as the
 * product over a block wants them; the block that is still growing lies by position in a tail of its own and
 * is laid out head by head once, when it is full.
 */
import { assert } from '../../base/assert.ts'
import type { CacheBlocks } from '../prefixes.ts'
import { attentionBlock } from '../../model/limits.ts'

const T = attentionBlock

export interface CacheShape {
  readonly layers: number
  readonly kvHeads: number
  readonly headDim: number
}

/** Bytes of a session's cache for `tokensMax` tokens: its keys, its whole blocks of values, and the tail. */
export function cacheBytes({ layers, kvHeads, headDim }: CacheShape, tokensMax: number): number {
  const rows = tokensMax + Math.floor(tokensMax / T) * T + Math.min(T, tokensMax)
  return layers * rows * kvHeads * headDim * Float32Array.BYTES_PER_ELEMENT
}

interface LayerCache {
  /** [tokensMax, kvHeads, headDim] */
  readonly keys: Float32Array
  /** [whole blocks, kvHeads, T, headDim] */
  readonly values: Float32Array
  /** [T, kvHeads, headDim]: the values of the block that is still growing. */
  readonly valueTail: Float32Array
}

/** A full block's keys [T, kvHeads, headDim] and values [kvHeads, T, headDim], by layer. */
type BlockCopy = readonly { readonly keys: Float32Array; readonly values: Float32Array }[]

export class SessionCache {
  readonly shape: CacheShape
  readonly tokensMax: number
  readonly layers: readonly LayerCache[]
  #length = 0
  readonly #freed: () => void

  /** Zero-filled: a masked key's weight is exactly 0, and 0 times a finite value is 0. */
  constructor(shape: CacheShape, tokensMax: number, freed = (): void => {}) {
    this.shape = shape
    this.#freed = freed
    this.tokensMax = tokensMax
    const row = shape.kvHeads * shape.headDim
    this.layers = Array.from({ length: shape.layers }, () => ({
      keys: new Float32Array(tokensMax * row),
      values: new Float32Array(Math.floor(tokensMax / T) * T * row),
      valueTail: new Float32Array(Math.min(T, tokensMax) * row)
    }))
  }

  /** Tokens in the cache. */
  get length(): number {
    return this.#length
  }

  /** Tokens in whole blocks. */
  get past(): number {
    return this.#length - (this.#length % T)
  }

  /** Drops every token from `length` on. The values of a block that grows again move back to the tail. */
  truncate(length: number): void {
    assert(length >= 0 && length <= this.#length, `cannot truncate ${this.#length} tokens to ${length}`)
    const block = Math.floor(length / T)
    const rows = length % T
    if (rows > 0 && block !== Math.floor(this.#length / T)) {
      for (const layer of this.layers) this.#copyBlock(layer, block, rows, false)
    }
    this.#length = length
  }

  /** Its memory goes with it. */
  free(): void {
    this.truncate(0)
    this.#freed()
  }

  /** A full block. */
  copy(block: number): BlockCopy {
    assert((block + 1) * T <= this.#length, `block ${block} of ${this.#length} tokens is not full`)
    const size = T * this.shape.kvHeads * this.shape.headDim
    const [from, to] = [block * size, (block + 1) * size]
    return this.layers.map(({ keys, values }) => ({ keys: keys.slice(from, to), values: values.slice(from, to) }))
  }

  /** Adds a full block to whole ones. */
  appendBlock(copy: BlockCopy): void {
    assert(this.#length % T === 0 && this.#length + T <= this.tokensMax, `no block fits after ${this.#length} tokens`)
    const at = this.#length * this.shape.kvHeads * this.shape.headDim
    for (const [l, { keys, values }] of copy.entries()) {
      this.layers[l]!.keys.set(keys, at)
      this.layers[l]!.values.set(values, at)
    }
    this.#length += T
  }

  /**
   * Adds n tokens of one block.
   * @param fresh [n, layers, 2, kvHeads·headDim]: for each layer its rotated keys, then its values.
   */
  append(fresh: Float32Array, n: number): void {
    const { kvHeads, headDim } = this.shape
    const row = kvHeads * headDim
    const stride = this.layers.length * 2 * row
    const tail = this.#length % T
    assert(fresh.length === n * stride, `${n} tokens need ${n * stride} numbers, not ${fresh.length}`)
    assert(tail + n <= T && this.#length + n <= this.tokensMax, `${n} tokens do not fit after ${this.#length}`)
    for (const [l, layer] of this.layers.entries()) {
      for (let i = 0; i < n; i++) {
        const at = i * stride + l * 2 * row
        layer.keys.set(fresh.subarray(at, at + row), (this.#length + i) * row)
        layer.valueTail.set(fresh.subarray(at + row, at + 2 * row), (tail + i) * row)
      }
      if (tail + n === T) this.#copyBlock(layer, Math.floor(this.#length / T), T, true)
    }
    this.#length += n
  }

  /** Copies the first rows of a block from the tail to where whole blocks lie, or back. */
  #copyBlock(layer: LayerCache, block: number, rows: number, toBlocks: boolean): void {
    const { kvHeads, headDim } = this.shape
    for (let head = 0; head < kvHeads; head++) {
      const base = (block * kvHeads + head) * T * headDim
      for (let t = 0; t < rows; t++) {
        const inBlock = base + t * headDim
        const inTail = (t * kvHeads + head) * headDim
        if (toBlocks) layer.values.set(layer.valueTail.subarray(inTail, inTail + headDim), inBlock)
        else layer.valueTail.set(layer.values.subarray(inBlock, inBlock + headDim), inTail)
      }
    }
  }
}

/** Blocks of sessions' caches: who holds one has a copy of it. */
export class BlockCopies implements CacheBlocks<SessionCache, BlockCopy> {
  readonly bytesMax = Number.MAX_SAFE_INTEGER
  readonly #blockBytes: number
  #held = 0
  #caches = 0

  constructor({ layers, kvHeads, headDim }: CacheShape) {
    this.#blockBytes = 2 * layers * T * kvHeads * headDim * Float32Array.BYTES_PER_ELEMENT
  }

  get bytesUsed(): number {
    return this.#caches + this.#held * this.#blockBytes
  }

  open(shape: CacheShape, tokensMax: number): SessionCache {
    const bytes = cacheBytes(shape, tokensMax)
    this.#caches += bytes
    return new SessionCache(shape, tokensMax, () => {
      this.#caches -= bytes
    })
  }

  blockBytes(): number {
    return this.#blockBytes
  }

  holdBytes(): number {
    return this.#blockBytes
  }

  /** A cache has all that it ever takes. */
  adoptBytes(): number {
    return 0
  }

  needs(): number {
    return 0
  }

  hold(cache: SessionCache, block: number): BlockCopy {
    const copy = cache.copy(block)
    this.#held++
    return copy
  }

  adopt(cache: SessionCache, copy: BlockCopy): void {
    cache.appendBlock(copy)
  }

  release(): void {
    this.#held--
  }
}
