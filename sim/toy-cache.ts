/** Caches of the toy engine, and the memory that they stand for: pages, as the engine in WebAssembly has them. */
import type { CacheType } from '../src/base/cache-type.ts'
import { pagesHeld } from '../src/base/pages.ts'
import type { Sampling } from '../src/engine/engine.ts'
import type { CacheBlocks } from '../src/engine/prefixes.ts'
import { bytePage } from '../src/engine/wasm/byte-page.ts'
import { layerCacheBytes } from '../src/engine/wasm/footprint.ts'
import { headWidth } from '../src/engine/wasm/kernels.ts'
import { positionsOf } from '../src/engine/wasm/paged-cache.ts'
import { rollbackTokens } from '../src/engine/limits.ts'
import { cutLength, floorOf, latestTokens, readFrom } from '../src/engine/windows.ts'
import { attentionBlock } from '../src/model/limits.ts'
import type { Hash } from './toy-hash.ts'

/** Stands for the memory of a page: who has it may be several sessions, and who keeps it besides. */
interface ToyPage {
  readonly bytes: number
  holders: number
}

/** Layers that see equally far back. */
export interface ToyGroup {
  readonly window: number | undefined
  /** Of a page, and of a block, of which a page has one or several. */
  readonly bytes: number
  readonly blockBytes: number
}

/** What a session's type of cache makes of memory, in the layers of a stage. */
export interface ToyPages {
  /** Tokens of a page. */
  readonly tokens: number
  readonly groups: readonly ToyGroup[]
  /** Tokens that a cache may be cut by. */
  readonly rollback: number
}

/** Pages as the engine in WebAssembly has them, of one head of so many dimensions. @param windows of the layers */
export function toyPages(
  headDim: number,
  windows: readonly (number | undefined)[],
  cache: CacheType,
  rollback = rollbackTokens
): ToyPages {
  const tokens = positionsOf(cache, headWidth(headDim))
  const page = layerCacheBytes({ kvHeads: 1, headDim }, tokens, cache)
  const block = cache === 'f32' ? page : byteBlockBytes(headWidth(headDim))
  const groups = [...Map.groupBy(windows, window => window)].map(([window, { length: layers }]) => ({
    ...{ window, bytes: layers * page, blockBytes: layers * block }
  }))
  return { tokens, groups, rollback }
}

/** What a session of so many tokens is charged. */
export function toyCacheBytes({ tokens: ofPage, groups, rollback }: ToyPages, tokensMax: number): number {
  return groups.reduce(
    (sum, { window, bytes }) => sum + pagesHeld(tokensMax, ofPage, latestTokens(window, rollback)) * bytes,
    0
  )
}

function byteBlockBytes(width: number): number {
  const { headBytes, positions } = bytePage(width)
  return (headBytes / positions) * attentionBlock
}

interface ToySessionInit {
  readonly tokensMax: number
  readonly sampling: Sampling
  readonly cache: CacheType
  readonly paging: ToyPages
  /** Its pages are of no use to it any more. */
  readonly letGo: (session: ToySession) => void
}

export class ToySession {
  readonly tokensMax: number
  readonly sampling: Sampling
  readonly cache: CacheType
  readonly paging: ToyPages
  /** The hash after each position. */
  readonly chain: Hash[] = []
  /** The ids of its text as they came beside the rows, where tokens are drawn by them. */
  readonly ids: number[] = []
  /** [groups][pages]; undefined: it has given the page back. */
  readonly pages: readonly (ToyPage | undefined)[][]
  /** The most tokens that it has had since it was empty. */
  reached = 0
  readonly #letGo: ToySessionInit['letGo']

  constructor({ tokensMax, sampling, cache, paging, letGo }: ToySessionInit) {
    this.tokensMax = tokensMax
    this.sampling = sampling
    this.cache = cache
    this.paging = paging
    this.pages = paging.groups.map(() => [])
    this.#letGo = letGo
  }

  get length(): number {
    return this.chain.length
  }

  /** The shortest that it can be cut to, other than to nothing. */
  get floor(): number {
    const { groups, rollback } = this.paging
    return floorOf(
      groups.map(({ window }) => window),
      this.reached,
      rollback
    )
  }

  truncate(length: number): void {
    const { floor } = this
    this.chain.length = cutLength(length, floor)
    if (this.length > 0) return
    this.reached = 0
    if (floor > 0) this.#letGo(this)
  }

  /** Whether the keys and values are there that a token at a position sees. */
  sees(position: number): boolean {
    const { groups, tokens: ofPage } = this.paging
    return groups.every(({ window }, g) => {
      const from = window === undefined ? position : Math.max(0, position + 1 - window)
      for (let i = Math.floor(from / ofPage); i * ofPage <= position; i++) {
        if (this.pages[g]![i] === undefined) return false
      }
      return true
    })
  }

  /** Tokens from `position` on have come with these ids. */
  wrote(position: number, ids: ArrayLike<number>): void {
    this.ids.length = Math.min(this.ids.length, position)
    for (let i = 0; i < ids.length; i++) this.ids[position + i] = ids[i]!
  }
}

export interface ToyBlock {
  /** [groups] what it shares with the caches that have it; undefined where it was copied out of a page of several blocks. */
  readonly pages: readonly ToyPage[] | undefined
  readonly copiedBytes: number
  readonly hashes: readonly Hash[]
}

const T = attentionBlock

/**
 * Takes memory as pages do (`src/engine/wasm/paged-cache.ts`): whole ones, as a session grows, and one of its own where it writes to
 * what others have; and gives back what windows have left behind.
 */
export class ToyBlocks implements CacheBlocks<ToySession, ToyBlock> {
  readonly bytesMax = Number.MAX_SAFE_INTEGER
  bytesUsed = 0

  blockBytes({ paging }: ToySession): number {
    return paging.groups.reduce((sum, { blockBytes }) => sum + blockBytes, 0)
  }

  /** A page of one block is shared. One of several would have to be copied whenever the next one grows. */
  holdBytes(session: ToySession): number {
    return session.paging.tokens === T ? 0 : this.blockBytes(session)
  }

  adoptBytes(session: ToySession, blocks: number): number {
    return session.paging.tokens === T ? 0 : this.needs(session, blocks * T)
  }

  needs({ pages, length, paging: { tokens: ofPage, groups } }: ToySession, tokens: number): number {
    let bytes = 0
    for (const [g, of] of pages.entries()) {
      for (let i = Math.floor(length / ofPage); i * ofPage < length + tokens; i++) {
        if (of[i]?.holders !== 1) bytes += groups[g]!.bytes
      }
    }
    return bytes
  }

  /** Room for some of so many tokens, no more at a time than the cache may be cut by: what comes first is read. Returns how many. */
  grow(session: ToySession, wanted: number): number {
    const tokens = Math.min(wanted, session.paging.rollback)
    this.#makeRoom(session, session.length + tokens)
    return tokens
  }

  #makeRoom(session: ToySession, tokens: number): void {
    const { length, pages, paging } = session
    this.#reach(session, tokens)
    for (const [g, of] of pages.entries()) {
      const { bytes } = paging.groups[g]!
      for (let i = Math.floor(length / paging.tokens); i * paging.tokens < tokens; i++) {
        const page = of[i]
        if (page?.holders === 1) continue
        if (page !== undefined) this.#letGo(page)
        of[i] = { bytes, holders: 1 }
        this.bytesUsed += bytes
      }
    }
  }

  /** What a session cannot come back to once it has so many tokens is given back. */
  #reach(session: ToySession, tokens: number): void {
    const { pages, paging } = session
    session.reached = Math.max(session.reached, tokens)
    for (const [g, of] of pages.entries()) {
      const { window } = paging.groups[g]!
      const end = Math.floor(readFrom(window, session.reached, paging.rollback) / paging.tokens)
      for (let i = Math.min(end, of.length) - 1; i >= 0 && of[i] !== undefined; i--) {
        this.#letGo(of[i]!)
        of[i] = undefined
      }
    }
  }

  drop(session: ToySession, from: number): void {
    for (const page of session.pages.flatMap(of => of.splice(from))) if (page !== undefined) this.#letGo(page)
  }

  has({ pages, paging }: ToySession, block: number): boolean {
    return pages.every(of => of[Math.floor((block * T) / paging.tokens)] !== undefined)
  }

  hold(session: ToySession, block: number): ToyBlock {
    const hashes = session.chain.slice(block * T, (block + 1) * T)
    const copiedBytes = this.holdBytes(session)
    this.bytesUsed += copiedBytes
    if (copiedBytes > 0) return { pages: undefined, copiedBytes, hashes }
    const pages = session.pages.map(of => of[block]!)
    for (const page of pages) page.holders++
    return { pages, copiedBytes, hashes }
  }

  adopt(session: ToySession, { pages, hashes }: ToyBlock): void {
    if (pages === undefined) this.#makeRoom(session, session.length + T)
    else {
      this.drop(session, session.length / T)
      this.#reach(session, session.length + T)
      for (const [g, page] of pages.entries()) {
        page.holders++
        session.pages[g]!.push(page)
      }
    }
    session.chain.push(...hashes)
  }

  release({ pages, copiedBytes }: ToyBlock): void {
    this.bytesUsed -= copiedBytes
    for (const page of pages ?? []) this.#letGo(page)
  }

  #letGo(page: ToyPage): void {
    page.holders--
    if (page.holders === 0) this.bytesUsed -= page.bytes
  }
}
