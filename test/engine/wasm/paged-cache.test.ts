/** Pages that several sessions have: nobody writes to one that is not its own. */
import { describe, expect, it } from 'vitest'
import { pagePositions as T } from '../../../src/engine/wasm/attention.ts'
import { CachePages, type Page, type PagedCache } from '../../../src/engine/wasm/paged-cache.ts'
import { StageMemory } from '../../../src/engine/wasm/stage-memory.ts'
import { EngineError } from '../../../src/errors.ts'

function stage() {
  const memory = new StageMemory(0, { shared: false })
  const pages = new CachePages([memory, memory], { kvHeads: 1, width: 16, bytesMax: memory.bytesFree })
  const bytes = pages.pageBytes / 2
  const fill = ({ pages: of }: PagedCache, index: number, value: number): void => {
    for (const at of of[0]![index]!.at) memory.views.floats.fill(value, at / 4, (at + bytes) / 4)
  }
  const seen = ({ pages: of }: PagedCache, index: number): number[] => [
    ...new Set(of[0]![index]!.at.flatMap(at => [...memory.views.floats.subarray(at / 4, (at + bytes) / 4)]))
  ]
  /** A session of two full pages, of ones and twos. */
  const full = (): PagedCache => {
    const cache = pages.open('f32')
    pages.makeRoom(cache, 2 * T)
    cache.length = 2 * T
    fill(cache, 0, 1)
    fill(cache, 1, 2)
    return cache
  }
  return { memory, pages, fill, seen, full }
}

describe('pages of several sessions', () => {
  it('are copied by who writes to one, and taken anew where nothing of it counts', () => {
    const { pages, fill, seen, full } = stage()
    const first = full()
    const held = [pages.hold(first, 0), pages.hold(first, 1)] as Page[][]
    const second = pages.open('f32')
    for (const page of held) pages.adopt(second, page)
    expect([second.length, pages.bytesUsed]).toEqual([2 * T, 2 * pages.pageBytes])
    second.truncate(100)
    expect(pages.needs(second, 10)).toBe(pages.pageBytes)
    expect(pages.needs(second, T)).toBe(2 * pages.pageBytes)
    pages.makeRoom(second, 100 + T)
    expect(pages.bytesUsed).toBe(4 * pages.pageBytes)
    expect([seen(second, 0), seen(second, 1)]).toEqual([[1], [0]])
    fill(second, 0, 7)
    fill(second, 1, 8)
    expect([seen(first, 0), seen(first, 1)]).toEqual([[1], [2]])
    first.free()
    expect(held.flat().map(page => page.holders)).toEqual([1, 1])
    const third = pages.open('f32')
    for (const page of held) pages.adopt(third, page)
    expect([seen(third, 0), seen(third, 1)]).toEqual([[1], [2]])
    for (const page of held) pages.release(page)
    for (const cache of [second, third]) cache.free()
    expect(pages.bytesUsed).toBe(0)
    // What is free holds zeros.
    const fourth = pages.open('f32')
    pages.makeRoom(fourth, 4 * T)
    expect([0, 1, 2, 3].flatMap(index => seen(fourth, index))).toEqual([0, 0, 0, 0])
  })

  it('of bytes hold several blocks each, which are copied to wherever they go on', () => {
    const { pages: all } = stage()
    const first = all.open('i8')
    const blocks = first.pagePositions / T + 1
    all.makeRoom(first, blocks * T)
    first.length = blocks * T
    const held = Array.from({ length: blocks }, (_, i) => all.hold(first, i) as Uint8Array[])
    expect(all.bytesUsed).toBe(2 * all.pageBytes + blocks * all.blockBytes(first))
    for (const [i, ranges] of held.entries()) for (const range of ranges) range.fill(i + 1)
    const second = all.open('i8')
    expect(all.adoptBytes(second, blocks)).toBe(2 * all.pageBytes)
    for (const block of held) all.adopt(second, block)
    expect([second.length, second.pages[0]!.length]).toEqual([blocks * T, 2])
    expect(Array.from({ length: blocks }, (_, i) => all.hold(second, i))).toEqual(held)
    for (const cache of [first, second]) cache.free()
    for (const block of [...held, ...held]) all.release(block)
    expect(all.bytesUsed).toBe(0)
  })

  it('stay as they are where there is no memory for a copy', () => {
    const { memory, pages, seen, full } = stage()
    const first = full()
    const second = pages.open('f32')
    pages.adopt(second, pages.hold(first, 0))
    second.truncate(100)
    memory.take(memory.bytesFree - (1 << 17))
    const take = (): void => {
      for (;;) memory.take(1 << 10)
    }
    expect(take).toThrow(EngineError)
    expect(() => pages.makeRoom(second, 120)).toThrow(EngineError)
    // As after a step that failed.
    pages.wipe(second)
    expect([second.length, seen(first, 0), seen(second, 0)]).toEqual([100, [1], [1]])
    second.free()
    expect(seen(first, 0)).toEqual([1])
  })

  it('of short convolutions serve caches of both types, whichever had the memory before', () => {
    // Rows of 512 bytes: a page of float32 has 128 of them, and one of int8 several times as many.
    const rowBytes = [512, 512]
    const memory = new StageMemory(0, { shared: false, bytesMax: 4 << 20 })
    const pages = new CachePages([memory, memory], { kvHeads: 1, width: 16, bytesMax: memory.bytesFree, rowBytes })
    /** As many sessions of one page as there is memory for. */
    const fill = (type: 'f32' | 'i8'): PagedCache[] => {
      const caches: PagedCache[] = []
      for (;;) {
        const cache = pages.open(type)
        try {
          pages.makeRoom(cache, 1)
        } catch (error) {
          expect(error).toBeInstanceOf(EngineError)
          return caches
        }
        caches.push(cache)
      }
    }
    const counts = (['i8', 'f32', 'i8', 'f32'] as const).map(type => {
      const caches = fill(type)
      const all = caches.flatMap(cache => cache.addresses(0, 2))
      expect(new Set(all).size).toBe(all.length)
      // Given back in another order than taken.
      for (const cache of caches.toSorted((a, b) => (a.addresses(0, 1)[0]! % 7) - (b.addresses(0, 1)[0]! % 7)))
        cache.free()
      expect(pages.bytesUsed).toBe(0)
      return caches.length
    })
    const perPage = pages.open('i8').pagePositions / T
    expect(perPage).toBeGreaterThan(1)
    expect(counts[2]).toBe(counts[0])
    expect(counts[3]).toBe(counts[1])
    // Of what large pages had the small ones use all, but for less than one at each end.
    expect(counts[1]).toBeGreaterThanOrEqual(counts[0]! * perPage)
  })

  it('come back from layers with a window while a session goes on, and stay with whoever holds them', () => {
    const memory = new StageMemory(0, { shared: false })
    const [window, layers] = [100, 3]
    const shape = { kvHeads: 1, width: 16, bytesMax: memory.bytesFree, windows: [window, undefined, window] }
    const pages = new CachePages(new Array(layers).fill(memory), shape)
    const ofLayer = pages.pageBytes / layers
    const cache = pages.open('f32')
    const grow = (to: number): void => {
      for (; cache.length < to; cache.length = Math.min(to, cache.length + T))
        pages.makeRoom(cache, Math.min(to, cache.length + T))
    }
    grow(3 * T)
    expect(pages.bytesUsed).toBe(3 * pages.pageBytes)
    const held = pages.hold(cache, 0) as Page[]
    grow(10 * T)
    // Of the two with a window: from 10 · 128 - 256 - 100 + 1 on, that is the pages from the seventh to the tenth, and what is held.
    expect([pages.has(cache, 6), pages.has(cache, 7)]).toEqual([false, true])
    expect(pages.bytesUsed).toBe((10 + 2 * 3 + 2 * 1) * ofLayer)
    pages.release(held)
    expect(pages.bytesUsed).toBe((10 + 2 * 3) * ofLayer)
    expect(cache.addresses(0, 3).map(at => at > 0)).toEqual(
      Array.from({ length: 10 }, (_, i) => [i >= 7, true, i >= 7]).flat()
    )
    expect(cache.addresses(1, 2).every(at => at > 0)).toBe(true)
    // As far back as is promised it is cut; further back nothing is left of it.
    cache.truncate(10 * T - 256)
    expect([cache.length, pages.bytesUsed]).toEqual([10 * T - 256, (10 + 2 * 3) * ofLayer])
    cache.truncate(10 * T - 257)
    expect([cache.length, pages.bytesUsed]).toEqual([0, 0])
    grow(2 * T)
    expect(pages.bytesUsed).toBe(2 * pages.pageBytes)
  })
})
