/** Keys and values of sessions, in pages that they take as they grow and that others have after them. */
import { assert } from '../../base/assert.ts'
import type { LayersCache } from '../serve-thread.ts'
import type { CacheType } from '../../base/cache-type.ts'
import { pageHalfBytes, pagePositions, valueSlice } from './attention.ts'
import { bytePage } from './byte-page.ts'
import type { StageMemory } from './stage-memory.ts'

/** One session's keys and values. */
export class PagedCache implements LayersCache {
  /** Addresses of the pages, by page and then by layer. */
  readonly pages: number[][] = []
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
  readonly layers: number
  readonly kvHeads: number
  /** A head's dimensions, filled up. */
  readonly width: number
}

/** All pages of a stage. Those that are free hold zeros: whoever has one next multiplies what is left there with 0. */
export class CachePages {
  readonly #memory: StageMemory
  readonly #shape: PageShape
  readonly #free: number[] = []

  constructor(memory: StageMemory, shape: PageShape) {
    this.#memory = memory
    this.#shape = shape
  }

  get #bytes(): number {
    return 2 * this.#shape.kvHeads * pageHalfBytes(this.#shape.width)
  }

  open(type: CacheType): PagedCache {
    return new PagedCache(type, positionsOf(type, this.#shape.width), cache => {
      this.#release(cache.pages.flat())
      cache.pages.length = 0
      cache.length = 0
    })
  }

  /** Pages for so many tokens. @throws {EngineError} when there is no memory; the cache is as it was. */
  makeRoom(cache: PagedCache, tokens: number): void {
    while (cache.pages.length * cache.pagePositions < tokens) {
      const taken: number[] = []
      try {
        while (taken.length < this.#shape.layers) taken.push(this.#free.pop() ?? this.#memory.take(this.#bytes))
      } catch (error) {
        this.#free.push(...taken)
        throw error
      }
      cache.pages.push(taken)
    }
  }

  /** Values after the last token that counts: a step that failed may have left some that are not finite. */
  wipe(cache: PagedCache): void {
    this.#release(cache.pages.splice(Math.ceil(cache.length / cache.pagePositions)).flat())
    const rest = cache.length % cache.pagePositions
    // Levels of values and their scales are finite, whatever they were made of.
    if (rest === 0 || cache.type === 'i8') return
    for (const page of cache.pages.at(-1) ?? []) {
      for (let head = 0; head < this.#shape.kvHeads; head++) this.#wipeValues(page, head, rest)
    }
  }

  #wipeValues(page: number, head: number, rest: number): void {
    const { width } = this.#shape
    const half = pageHalfBytes(width)
    for (let slice = 0; slice < width / valueSlice; slice++) {
      const values = page + 2 * half * head + half + 4 * valueSlice * pagePositions * slice
      this.#memory.zero(values + 4 * valueSlice * rest, 4 * valueSlice * (pagePositions - rest))
    }
  }

  #release(pages: readonly number[]): void {
    for (const page of pages) {
      this.#memory.zero(page, this.#bytes)
      this.#free.push(page)
    }
  }
}
