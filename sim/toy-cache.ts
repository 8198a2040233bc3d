/** Caches of the toy engine, and the memory that they stand for: pages, as the engine in WebAssembly has them. */
import type { CacheType } from '../src/base/cache-type.ts'
import type { Sampling } from '../src/engine/engine.ts'
import type { CacheBlocks } from '../src/engine/prefixes.ts'
import { bytePage } from '../src/engine/wasm/byte-page.ts'
import { layerCacheBytes } from '../src/engine/wasm/footprint.ts'
import { headWidth } from '../src/engine/wasm/kernels.ts'
import { positionsOf } from '../src/engine/wasm/paged-cache.ts'
import { attentionBlock } from '../src/model/limits.ts'
import type { Hash } from './toy-hash.ts'

/** Stands for the memory of a page: who has it may be several sessions, and who keeps it besides. */
interface ToyPage {
  readonly bytes: number
  holders: number
}

/** What a session's type of cache makes of memory, in all layers of a stage. */
export interface ToyPages {
  /** Tokens of a page, and its bytes. */
  readonly tokens: number
  readonly bytes: number
  /** Of a block, of which a page has one or several. */
  readonly blockBytes: number
}

/** Pages as the engine in WebAssembly has them, of one head of so many dimensions. */
export function toyPages(headDim: number, layers: number, cache: CacheType): ToyPages {
  const tokens = positionsOf(cache, headWidth(headDim))
  const bytes = layers * layerCacheBytes({ kvHeads: 1, headDim }, tokens, cache)
  const blockBytes = cache === 'f32' ? bytes : layers * byteBlockBytes(headWidth(headDim))
  return { tokens, bytes, blockBytes }
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
  readonly pages: ToyPage[] = []

  constructor({ tokensMax, sampling, cache, paging }: ToySessionInit) {
    this.tokensMax = tokensMax
    this.sampling = sampling
    this.cache = cache
    this.paging = paging
  }

  get length(): number {
    return this.chain.length
  }

  truncate(length: number): void {
    this.chain.length = length
  }

  /** Tokens from `position` on have come with these ids. */
  wrote(position: number, ids: ArrayLike<number>): void {
    this.ids.length = Math.min(this.ids.length, position)
    for (let i = 0; i < ids.length; i++) this.ids[position + i] = ids[i]!
  }
}

export interface ToyBlock {
  /** What it shares with the caches that have it; undefined where it was copied out of a page of several blocks. */
  readonly page: ToyPage | undefined
  readonly copiedBytes: number
  readonly hashes: readonly Hash[]
}

const T = attentionBlock

/**
 * Takes memory as pages do (`src/engine/wasm/paged-cache.ts`): whole ones, as a session grows, and one of its own where it writes to
 * what others have.
 */
export class ToyBlocks implements CacheBlocks<ToySession, ToyBlock> {
  readonly bytesMax = Number.MAX_SAFE_INTEGER
  bytesUsed = 0

  blockBytes({ paging }: ToySession): number {
    return paging.blockBytes
  }

  /** A page of one block is shared. One of several would have to be copied whenever the next one grows. */
  holdBytes(session: ToySession): number {
    return session.paging.tokens === T ? 0 : this.blockBytes(session)
  }

  adoptBytes(session: ToySession, blocks: number): number {
    return session.paging.tokens === T ? 0 : this.needs(session, blocks * T)
  }

  needs({ pages, length, paging }: ToySession, tokens: number): number {
    let count = 0
    for (let i = Math.floor(length / paging.tokens); i * paging.tokens < length + tokens; i++) {
      if (pages[i]?.holders !== 1) count++
    }
    return count * paging.bytes
  }

  grow({ pages, length, paging: { tokens: ofPage, bytes } }: ToySession, tokens: number): void {
    for (let i = Math.floor(length / ofPage); i * ofPage < length + tokens; i++) {
      const page = pages[i]
      if (page?.holders === 1) continue
      if (page !== undefined) this.#letGo(page)
      pages[i] = { bytes, holders: 1 }
      this.bytesUsed += bytes
    }
  }

  drop(session: ToySession, from: number): void {
    for (const page of session.pages.splice(from)) this.#letGo(page)
  }

  hold(session: ToySession, block: number): ToyBlock {
    const hashes = session.chain.slice(block * T, (block + 1) * T)
    const copiedBytes = this.holdBytes(session)
    this.bytesUsed += copiedBytes
    if (copiedBytes > 0) return { page: undefined, copiedBytes, hashes }
    const page = session.pages[block]!
    page.holders++
    return { page, copiedBytes, hashes }
  }

  adopt(session: ToySession, { page, hashes }: ToyBlock): void {
    if (page === undefined) this.grow(session, T)
    else {
      this.drop(session, session.length / T)
      page.holders++
      session.pages.push(page)
    }
    session.chain.push(...hashes)
  }

  release({ page, copiedBytes }: ToyBlock): void {
    this.bytesUsed -= copiedBytes
    if (page !== undefined) this.#letGo(page)
  }

  #letGo(page: ToyPage): void {
    page.holders--
    if (page.holders === 0) this.bytesUsed -= page.bytes
  }
}
