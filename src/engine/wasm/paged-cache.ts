/**
 * Keys and values of sessions, in pages that they take as they grow and that others have after them. A full page may be several
 * sessions': who writes to it takes a copy first.
 */
import { assert } from '../../base/assert.ts'
import type { CacheBlocks } from '../prefixes.ts'
import type { LayersCache } from '../serve-thread.ts'
import type { CacheType } from '../../base/cache-type.ts'
import { attentionBlock } from '../../model/limits.ts'
import { keyTile, pageHalfBytes, pagePositions, valueSlice } from './attention.ts'
import { bytePage, valueBlock } from './byte-page.ts'
import type { StageMemory } from './stage-memory.ts'

/** Some positions in all layers, of a cache's `pagePositions`. */
export interface Page {
  /** [layers] addresses */
  readonly at: readonly number[]
  /** Caches that have it, and who holds it besides: with more than one nobody writes to it. */
  holders: number
}

/** One session's keys and values. */
export class PagedCache implements LayersCache {
  readonly pages: Page[] = []
  /** Tokens in it that count. */
  length = 0
  readonly type: CacheType
  /** Positions of a page. */
  readonly pagePositions: number
  readonly #free: (cache: PagedCache) => void

  constructor(type: CacheType, pagePositions: number, free: (cache: PagedCache) => void) {
    this.type = type
    this.pagePositions = pagePositions
    this.#free = free
  }

  truncate(length: number): void {
    assert(length >= 0 && length <= this.length, `cannot truncate ${this.length} tokens to ${length}`)
    this.length = length
  }

  free(): void {
    this.#free(this)
  }
}

/** Positions of a page: those of all types are of the same size, so that any session can have any page. */
export function positionsOf(type: CacheType, width: number): number {
  return type === 'f32' ? pagePositions : bytePage(width).positions
}

export interface PageShape {
  readonly kvHeads: number
  /** A head's dimensions, filled up. */
  readonly width: number
  /** That all pages may take, in all layers. */
  readonly bytesMax: number
}

/** A held block of a cache whose pages hold several: a copy of what each head has of it, one after the other. */
type BlockCopy = readonly Uint8Array[]

/** All pages of a stage. Those that are free hold zeros: whoever has one next multiplies what is left there with 0. */
export class CachePages implements CacheBlocks<PagedCache, Page | BlockCopy> {
  /** [layers] where the pages of each lie: layers of one section have the same. */
  readonly #memories: readonly StageMemory[]
  readonly #shape: PageShape
  readonly #free: ReadonlyMap<StageMemory, number[]>
  readonly bytesMax: number
  /** Pages that somebody has. */
  #used = 0
  #copiedBytes = 0

  /** @param memories [layers] */
  constructor(memories: readonly StageMemory[], shape: PageShape) {
    this.#memories = memories
    this.#shape = shape
    this.#free = new Map(memories.map(memory => [memory, []]))
    this.bytesMax = shape.bytesMax
  }

  /** Of one page in one layer. */
  get #bytes(): number {
    return 2 * this.#shape.kvHeads * pageHalfBytes(this.#shape.width)
  }

  /** Of one page in all layers. */
  get pageBytes(): number {
    return this.#bytes * this.#memories.length
  }

  get bytesUsed(): number {
    return this.#used * this.pageBytes + this.#copiedBytes
  }

  open(type: CacheType): PagedCache {
    return new PagedCache(type, positionsOf(type, this.#shape.width), cache => {
      this.#drop(cache, 0)
      cache.length = 0
    })
  }

  /** Pages of its own for so many tokens, from its last one on. @throws {EngineError} when there is no memory; the cache is as it was. */
  makeRoom(cache: PagedCache, tokens: number): void {
    const { pages, pagePositions: positions } = cache
    for (let i = Math.floor(cache.length / positions); i * positions < tokens; i++) {
      const page = pages[i]
      if (page?.holders === 1) continue
      const own = this.#take()
      if (page !== undefined) {
        // What is behind the last token that counts is finite, and that is all it must be.
        if (i * positions < cache.length)
          for (const [l, at] of page.at.entries()) this.#memories[l]!.copy(at, own.at[l]!, this.#bytes)
        this.#letGo(page)
      }
      pages[i] = own
    }
  }

  // ── Blocks ──────────────────────────────────────────────────────────────────────────────────────

  blockBytes({ type }: PagedCache): number {
    return type === 'f32'
      ? this.pageBytes
      : this.#memories.length * this.#shape.kvHeads * byteBlock(this.#shape.width).bytes
  }

  /** A page of one block is shared. One of several would have to be copied whenever the next one grows. */
  holdBytes(cache: PagedCache): number {
    return cache.type === 'f32' ? 0 : this.blockBytes(cache)
  }

  adoptBytes(cache: PagedCache, blocks: number): number {
    return cache.type === 'f32' ? 0 : this.needs(cache, blocks * attentionBlock)
  }

  needs(cache: PagedCache, tokens: number): number {
    const { pages, pagePositions: positions } = cache
    let count = 0
    for (let i = Math.floor(cache.length / positions); i * positions < cache.length + tokens; i++) {
      if (pages[i]?.holders !== 1) count++
    }
    return count * this.pageBytes
  }

  hold(cache: PagedCache, block: number): Page | BlockCopy {
    assert((block + 1) * attentionBlock <= cache.length, `block ${block} of ${cache.length} tokens is not full`)
    if (cache.type === 'f32') {
      const page = cache.pages[block]!
      page.holders++
      return page
    }
    this.#copiedBytes += this.blockBytes(cache)
    return this.#rangesOf(cache, block).map(range => range.slice())
  }

  adopt(cache: PagedCache, held: Page | BlockCopy): void {
    const { length } = cache
    assert(length % attentionBlock === 0, `a block follows others, not ${length} tokens`)
    if ('holders' in held) {
      this.#drop(cache, length / cache.pagePositions)
      held.holders++
      cache.pages.push(held)
    } else {
      this.makeRoom(cache, length + attentionBlock)
      for (const [i, range] of this.#rangesOf(cache, length / attentionBlock).entries()) {
        range.set(held[i]!)
      }
    }
    cache.length += attentionBlock
  }

  release(held: Page | BlockCopy): void {
    if ('holders' in held) this.#letGo(held)
    else this.#copiedBytes -= held.reduce((sum, { length }) => sum + length, 0)
  }

  /** The keys and the values of a block of int8, by layer and then by head: views, until a memory grows. */
  #rangesOf(cache: PagedCache, block: number): Uint8Array[] {
    const { headBytes, values } = bytePage(this.#shape.width)
    const { keyBytes, valueBytes } = byteBlock(this.#shape.width)
    const first = block * attentionBlock
    const page = cache.pages[Math.floor(first / cache.pagePositions)]!
    const inPage = (first % cache.pagePositions) / attentionBlock
    return page.at.flatMap((at, layer) =>
      Array.from({ length: this.#shape.kvHeads }, (_, head) => at + head * headBytes).flatMap(head => [
        this.#memories[layer]!.bytes({ at: head + inPage * keyBytes, bytes: keyBytes }),
        this.#memories[layer]!.bytes({ at: head + values + inPage * valueBytes, bytes: valueBytes })
      ])
    )
  }

  /** Values after the last token that counts: a step that failed may have left some that are not finite. */
  wipe(cache: PagedCache): void {
    this.#drop(cache, Math.ceil(cache.length / cache.pagePositions))
    const rest = cache.length % cache.pagePositions
    const last = cache.pages.at(-1)
    // Levels of values and their scales are finite, whatever they were made of. And to a page that others have nothing was written.
    if (rest === 0 || cache.type === 'i8' || last === undefined || last.holders > 1) return
    for (const [layer, page] of last.at.entries()) {
      const memory = this.#memories[layer]!
      for (let head = 0; head < this.#shape.kvHeads; head++) this.#wipeValues(memory, page, head, rest)
    }
  }

  #wipeValues(memory: StageMemory, page: number, head: number, rest: number): void {
    const { width } = this.#shape
    const half = pageHalfBytes(width)
    for (let slice = 0; slice < width / valueSlice; slice++) {
      const values = page + 2 * half * head + half + 4 * valueSlice * pagePositions * slice
      memory.zero(values + 4 * valueSlice * rest, 4 * valueSlice * (pagePositions - rest))
    }
  }

  /** A cache has no use for its pages from an index on. */
  #drop(cache: PagedCache, from: number): void {
    for (const page of cache.pages.splice(from)) this.#letGo(page)
  }

  #letGo(page: Page): void {
    page.holders--
    if (page.holders > 0) return
    this.#used--
    for (const [layer, at] of page.at.entries()) {
      const memory = this.#memories[layer]!
      memory.zero(at, this.#bytes)
      this.#free.get(memory)!.push(at)
    }
  }

  #take(): Page {
    const at: number[] = []
    try {
      for (const memory of this.#memories) at.push(this.#free.get(memory)!.pop() ?? memory.take(this.#bytes))
    } catch (error) {
      for (const [layer, taken] of at.entries()) this.#free.get(this.#memories[layer]!)!.push(taken)
      throw error
    }
    this.#used++
    return { at, holders: 1 }
  }
}

/** What one head has of a block of int8. */
function byteBlock(width: number): { readonly keyBytes: number; readonly valueBytes: number; readonly bytes: number } {
  const { keyTileBytes, valueBlockBytes } = bytePage(width)
  const keyBytes = (attentionBlock / keyTile) * keyTileBytes
  const valueBytes = (attentionBlock / valueBlock) * valueBlockBytes
  return { keyBytes, valueBytes, bytes: keyBytes + valueBytes }
}
