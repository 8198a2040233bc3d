/**
 * Keys and values of sessions, in pages that they take as they grow and that others have after them. A full page may be several
 * sessions': who writes to it takes a copy first. Layers with a window give pages back while a session goes on (`../windows.ts`), so
 * that layers with the same one have pages of their own.
 */
import { assert } from '../../base/assert.ts'
import type { CacheBlocks } from '../prefixes.ts'
import type { LayersCache } from '../serve-thread.ts'
import type { CacheType } from '../../base/cache-type.ts'
import { attentionBlock } from '../../model/limits.ts'
import { rollbackTokens } from '../limits.ts'
import { cutLength, floorOf, readFrom } from '../windows.ts'
import { keyTile, pageHalfBytes, pagePositions, valueSlice } from './attention.ts'
import { bytePage, valueBlock } from './byte-page.ts'
import { FreeRanges } from './free-ranges.ts'
import type { StageMemory } from './stage-memory.ts'

/** Some positions in the layers of a group, of a cache's `pagePositions`. */
export interface Page {
  /** [layers of the group] addresses */
  readonly at: readonly number[]
  readonly positions: number
  /** Caches that have it, and who holds it besides: with more than one nobody writes to it. */
  holders: number
}

/** Layers that see equally far back, and hold the same of a position. */
interface Group {
  readonly window: number | undefined
  /** As in {@link PageShape}. */
  readonly rowBytes: number | undefined
  /** Indices among those of the stage, in order. */
  readonly layers: readonly number[]
}

/** Where a layer's address is in a page: of which group, and the how manieth of it. */
interface LayerPlace {
  readonly group: number
  readonly index: number
}

interface CacheInit {
  readonly type: CacheType
  readonly pagePositions: number
  readonly groups: readonly Group[]
  /** [layers] */
  readonly places: readonly LayerPlace[]
  readonly free: (cache: PagedCache) => void
}

/** One session's keys and values. */
export class PagedCache implements LayersCache {
  /** [groups][pages]; undefined: it has given the page back. */
  readonly pages: readonly (Page | undefined)[][]
  /** Tokens in it that count. */
  length = 0
  /** The most tokens that it has had since it was empty. */
  reached = 0
  readonly type: CacheType
  /** Positions of a page. */
  readonly pagePositions: number
  readonly #init: CacheInit

  constructor(init: CacheInit) {
    this.type = init.type
    this.pagePositions = init.pagePositions
    this.pages = init.groups.map(() => [])
    this.#init = init
  }

  truncate(length: number): void {
    assert(length >= 0 && length <= this.length, `cannot truncate ${this.length} tokens to ${length}`)
    const floor = floorOf(
      this.#init.groups.map(({ window }) => window),
      this.reached
    )
    this.length = cutLength(length, floor)
    if (this.length > 0) return
    this.reached = 0
    // What it has given back does not come again: it begins anew.
    if (floor > 0) this.free()
  }

  free(): void {
    this.#init.free(this)
  }

  /** Index of the first page that a group's layers may read when `reached` tokens have been there. */
  firstPage(group: number, reached: number): number {
    return Math.floor(readFrom(this.#init.groups[group]!.window, reached) / this.pagePositions)
  }

  /** Addresses of its pages in layers [from, to): by page, and then by layer; 0 of one that it has given back. */
  addresses(from: number, to: number): number[] {
    const places = this.#init.places.slice(from, to)
    const firsts = this.pages.map((_, group) => this.firstPage(group, this.reached))
    const count = Math.max(...this.pages.map(({ length }) => length))
    const all: number[] = []
    for (let i = 0; i < count; i++) {
      for (const { group, index } of places) {
        const page = this.pages[group]![i]
        assert(page !== undefined || i < firsts[group]!, () => `page ${i} of a cache of ${this.length} tokens is gone`)
        all.push(page?.at[index] ?? 0)
      }
    }
    return all
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
  /** [layers] how many positions a token sees; undefined: all. @default all layers see all */
  readonly windows?: readonly (number | undefined)[]
  /** [layers] bytes of one position of a short convolution; undefined: it has keys and values. @default all layers have these */
  readonly rowBytes?: readonly (number | undefined)[]
}

/** A held block of a cache whose pages hold several: a copy of what each head has of it, one after the other. */
type BlockCopy = readonly Uint8Array[]

/** The pages of a held block that is one: of each group. */
type BlockPages = readonly Page[]

/** All pages of a stage. Those that are free hold zeros: whoever has one next multiplies what is left there with 0. */
export class CachePages implements CacheBlocks<PagedCache, BlockPages | BlockCopy> {
  /** [layers] where the pages of each lie: layers of one section have the same. */
  readonly #memories: readonly StageMemory[]
  readonly #shape: PageShape
  readonly #groups: readonly Group[]
  readonly #places: readonly LayerPlace[]
  /** Pages of keys and values are of one size; those of rows hold more rows for caches of int8, and are apart from them. */
  readonly #free: ReadonlyMap<StageMemory, { readonly pages: FreeRanges; readonly rows: FreeRanges }>
  readonly bytesMax: number
  #pageBytesUsed = 0
  #copiedBytes = 0

  /** @param memories [layers] */
  constructor(memories: readonly StageMemory[], shape: PageShape) {
    this.#memories = memories
    this.#shape = shape
    this.#free = new Map(memories.map(memory => [memory, { pages: new FreeRanges(), rows: new FreeRanges() }]))
    this.bytesMax = shape.bytesMax
    const { windows, rowBytes } = shape
    const keyOf = (layer: number): string => `${windows?.[layer]} ${rowBytes?.[layer]}`
    this.#groups = [...Map.groupBy(memories.keys(), keyOf).values()].map(layers => ({
      window: windows?.[layers[0]!],
      rowBytes: rowBytes?.[layers[0]!],
      layers
    }))
    this.#places = memories.map((_, layer) => {
      const group = this.#groups.findIndex(({ layers }) => layers.includes(layer))
      return { group, index: this.#groups[group]!.layers.indexOf(layer) }
    })
  }

  /** Of one page of so many positions in one layer of a group. */
  #bytes(group: number, positions: number): number {
    const { rowBytes } = this.#groups[group]!
    return rowBytes === undefined ? 2 * this.#shape.kvHeads * pageHalfBytes(this.#shape.width) : rowBytes * positions
  }

  /** Of one page of float32 in all layers. */
  get pageBytes(): number {
    return this.#groups.reduce((sum, _, group) => sum + this.#groupBytes(group, pagePositions), 0)
  }

  get bytesUsed(): number {
    return this.#pageBytesUsed + this.#copiedBytes
  }

  open(type: CacheType): PagedCache {
    return new PagedCache({
      type,
      pagePositions: positionsOf(type, this.#shape.width),
      groups: this.#groups,
      places: this.#places,
      free: cache => {
        this.#drop(cache, 0)
        cache.length = 0
        cache.reached = 0
      }
    })
  }

  /**
   * Pages of its own for so many tokens, from its last one on; those that nobody can ask for any more are given back. Where there are
   * windows it is no more than {@link rollbackTokens} at a time: what a pass begins with is read.
   *
   * @throws {EngineError} when there is no memory; the cache is as it was.
   */
  makeRoom(cache: PagedCache, tokens: number): void {
    const hasWindows = this.#groups.some(({ window }) => window !== undefined)
    assert(!hasWindows || tokens <= cache.length + rollbackTokens, 'a pass reads what it begins with')
    this.#reach(cache, tokens)
    const { pagePositions: positions } = cache
    for (const [g, pages] of cache.pages.entries()) {
      for (let i = Math.floor(cache.length / positions); i * positions < tokens; i++) {
        const page = pages[i]
        if (page?.holders === 1) continue
        const own = this.#take(g, positions)
        if (page !== undefined) {
          // What is behind the last token that counts is finite, and that is all it must be.
          if (i * positions < cache.length) this.#copy(g, page, own)
          this.#letGo(g, page)
        }
        pages[i] = own
      }
    }
  }

  /** A cache is to have so many tokens: what it cannot come back to then is given back. */
  #reach(cache: PagedCache, tokens: number): void {
    for (const [g, pages] of cache.pages.entries()) {
      const end = cache.firstPage(g, Math.max(cache.reached, tokens))
      for (let i = cache.firstPage(g, cache.reached); i < Math.min(end, pages.length); i++) {
        this.#letGo(g, pages[i]!)
        pages[i] = undefined
      }
    }
    cache.reached = Math.max(cache.reached, tokens)
  }

  // ── Blocks ──────────────────────────────────────────────────────────────────────────────────────

  blockBytes({ type }: PagedCache): number {
    if (type === 'f32') return this.pageBytes
    const bytes = this.#shape.kvHeads * byteBlock(this.#shape.width).bytes
    return this.#groups.reduce(
      (sum, { layers, rowBytes }) => sum + layers.length * (rowBytes === undefined ? bytes : rowBytes * attentionBlock),
      0
    )
  }

  /** A page of one block is shared. One of several would have to be copied whenever the next one grows. */
  holdBytes(cache: PagedCache): number {
    return cache.type === 'f32' ? 0 : this.blockBytes(cache)
  }

  adoptBytes(cache: PagedCache, blocks: number): number {
    return cache.type === 'f32' ? 0 : this.needs(cache, blocks * attentionBlock)
  }

  needs(cache: PagedCache, tokens: number): number {
    const { pagePositions: positions } = cache
    let bytes = 0
    for (const [g, pages] of cache.pages.entries()) {
      for (let i = Math.floor(cache.length / positions); i * positions < cache.length + tokens; i++) {
        if (pages[i]?.holders !== 1) bytes += this.#groupBytes(g, positions)
      }
    }
    return bytes
  }

  has(cache: PagedCache, block: number): boolean {
    const index = Math.floor((block * attentionBlock) / cache.pagePositions)
    return cache.pages.every(pages => pages[index] !== undefined)
  }

  hold(cache: PagedCache, block: number): BlockPages | BlockCopy {
    assert((block + 1) * attentionBlock <= cache.length, `block ${block} of ${cache.length} tokens is not full`)
    assert(this.has(cache, block), `block ${block} of ${cache.length} tokens is there`)
    if (cache.type === 'f32') {
      const held = cache.pages.map(pages => pages[block]!)
      for (const page of held) page.holders++
      return held
    }
    this.#copiedBytes += this.blockBytes(cache)
    return this.#rangesOf(cache, block).map(range => range.slice())
  }

  adopt(cache: PagedCache, held: BlockPages | BlockCopy): void {
    const { length } = cache
    assert(length % attentionBlock === 0, `a block follows others, not ${length} tokens`)
    if (isCopy(held)) {
      this.makeRoom(cache, length + attentionBlock)
      for (const [i, range] of this.#rangesOf(cache, length / attentionBlock).entries()) {
        range.set(held[i]!)
      }
    } else {
      this.#drop(cache, length / cache.pagePositions)
      this.#reach(cache, length + attentionBlock)
      for (const [g, page] of held.entries()) {
        page.holders++
        cache.pages[g]!.push(page)
      }
    }
    cache.length += attentionBlock
  }

  release(held: BlockPages | BlockCopy): void {
    if (isCopy(held)) this.#copiedBytes -= held.reduce((sum, { length }) => sum + length, 0)
    else for (const [g, page] of held.entries()) this.#letGo(g, page)
  }

  /** The keys and the values of a block of int8, by layer and then by head, or its rows: views, until a memory grows. */
  #rangesOf(cache: PagedCache, block: number): Uint8Array[] {
    const { headBytes, values } = bytePage(this.#shape.width)
    const { keyBytes, valueBytes } = byteBlock(this.#shape.width)
    const first = block * attentionBlock
    const i = Math.floor(first / cache.pagePositions)
    const inPage = (first % cache.pagePositions) / attentionBlock
    return this.#places.flatMap(({ group, index }, layer) => {
      const at = cache.pages[group]![i]!.at[index]!
      const { rowBytes } = this.#groups[group]!
      if (rowBytes !== undefined) {
        const bytes = rowBytes * attentionBlock
        return [this.#memories[layer]!.bytes({ at: at + inPage * bytes, bytes })]
      }
      return Array.from({ length: this.#shape.kvHeads }, (_, head) => at + head * headBytes).flatMap(head => [
        this.#memories[layer]!.bytes({ at: head + inPage * keyBytes, bytes: keyBytes }),
        this.#memories[layer]!.bytes({ at: head + values + inPage * valueBytes, bytes: valueBytes })
      ])
    })
  }

  /** Values after the last token that counts: a step that failed may have left some that are not finite. */
  wipe(cache: PagedCache): void {
    this.#drop(cache, Math.ceil(cache.length / cache.pagePositions))
    const rest = cache.length % cache.pagePositions
    // Levels of values and their scales are finite, whatever they were made of.
    if (rest === 0 || cache.type === 'i8') return
    for (const [g, pages] of cache.pages.entries()) {
      const last = pages.at(-1)
      // To a page that others have nothing was written. And a row is written before it is read.
      if (last === undefined || last.holders > 1 || this.#groups[g]!.rowBytes !== undefined) continue
      for (const [memory, page] of this.#placesOf(g, last)) {
        for (let head = 0; head < this.#shape.kvHeads; head++) this.#wipeValues(memory, page, head, rest)
      }
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

  // ── Pages ───────────────────────────────────────────────────────────────────────────────────────

  /** Of one page in all layers of a group. */
  #groupBytes(group: number, positions: number): number {
    return this.#bytes(group, positions) * this.#groups[group]!.layers.length
  }

  /** Where a page of a group lies, layer by layer. */
  #placesOf(group: number, { at }: Page): [StageMemory, number][] {
    return this.#groups[group]!.layers.map((layer, i) => [this.#memories[layer]!, at[i]!])
  }

  #copy(group: number, from: Page, to: Page): void {
    const bytes = this.#bytes(group, from.positions)
    for (const [i, [memory, at]] of this.#placesOf(group, from).entries()) memory.copy(at, to.at[i]!, bytes)
  }

  /** A cache has no use for its pages from an index on. */
  #drop(cache: PagedCache, from: number): void {
    for (const [g, pages] of cache.pages.entries()) {
      for (const page of pages.splice(from)) if (page !== undefined) this.#letGo(g, page)
    }
  }

  #letGo(group: number, page: Page): void {
    page.holders--
    if (page.holders > 0) return
    this.#pageBytesUsed -= this.#groupBytes(group, page.positions)
    const bytes = this.#bytes(group, page.positions)
    for (const [memory, at] of this.#placesOf(group, page)) {
      memory.zero(at, bytes)
      this.#freeOf(memory, group).give(at, bytes)
    }
  }

  #freeOf(memory: StageMemory, group: number): FreeRanges {
    const { pages, rows } = this.#free.get(memory)!
    return this.#groups[group]!.rowBytes === undefined ? pages : rows
  }

  #take(group: number, positions: number): Page {
    const bytes = this.#bytes(group, positions)
    const memories = this.#groups[group]!.layers.map(layer => this.#memories[layer]!)
    const at: number[] = []
    try {
      for (const memory of memories) at.push(this.#freeOf(memory, group).take(bytes) ?? memory.take(bytes))
    } catch (error) {
      for (const [i, taken] of at.entries()) this.#freeOf(memories[i]!, group).give(taken, bytes)
      throw error
    }
    this.#pageBytesUsed += this.#groupBytes(group, positions)
    return { at, positions, holders: 1 }
  }
}

function isCopy(held: BlockPages | BlockCopy): held is BlockCopy {
  return held[0] instanceof Uint8Array
}

/** What one head has of a block of int8. */
function byteBlock(width: number): { readonly keyBytes: number; readonly valueBytes: number; readonly bytes: number } {
  const { keyTileBytes, valueBlockBytes } = bytePage(width)
  const keyBytes = (attentionBlock / keyTile) * keyTileBytes
  const valueBytes = (attentionBlock / valueBlock) * valueBlockBytes
  return { keyBytes, valueBytes, bytes: keyBytes + valueBytes }
}
