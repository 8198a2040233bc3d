/** Caches of the toy engine, and the memory that they stand for: pages, as the engine in WebAssembly has them. */
import type { CacheType } from '../src/base/cache-type.ts'
import type { Sampling } from '../src/engine/engine.ts'
import type { CacheBlocks } from '../src/engine/prefixes.ts'
import { attentionBlock } from '../src/model/limits.ts'
import type { Hash } from './toy-hash.ts'

/** Stands for the memory of a block: who has it may be several sessions, and who keeps it besides. */
interface ToyPage {
  readonly bytes: number
  holders: number
}

interface ToySessionInit {
  readonly tokensMax: number
  readonly sampling: Sampling
  readonly cache: CacheType
  readonly blockBytes: number
}

export class ToySession {
  readonly tokensMax: number
  readonly sampling: Sampling
  readonly cache: CacheType
  readonly blockBytes: number
  /** The hash after each position. */
  readonly chain: Hash[] = []
  /** The ids of its text as they came beside the rows, where tokens are drawn by them. */
  readonly ids: number[] = []
  /** Of its full blocks. */
  readonly pages: ToyPage[] = []

  constructor({ tokensMax, sampling, cache, blockBytes }: ToySessionInit) {
    this.tokensMax = tokensMax
    this.sampling = sampling
    this.cache = cache
    this.blockBytes = blockBytes
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
  readonly page: ToyPage
  readonly hashes: readonly Hash[]
}

const T = attentionBlock

/**
 * Takes memory as pages do, as a session grows, and one of its own where it writes to what others have; only full ones count, since
 * short sessions reserve less than one.
 */
export class ToyBlocks implements CacheBlocks<ToySession, ToyBlock> {
  readonly bytesMax = Number.MAX_SAFE_INTEGER
  bytesUsed = 0

  blockBytes({ blockBytes }: ToySession): number {
    return blockBytes
  }

  /** It shares the page. */
  holdBytes(): number {
    return 0
  }

  adoptBytes(): number {
    return 0
  }

  needs({ pages, length, blockBytes }: ToySession, tokens: number): number {
    const before = Math.floor(length / T)
    const own = pages.slice(before).filter(({ holders }) => holders === 1).length
    return Math.max(0, Math.floor((length + tokens) / T) - before - own) * blockBytes
  }

  grow(session: ToySession, tokens: number): void {
    const { pages, length, blockBytes: bytes } = session
    this.drop(session, Math.floor(length / T))
    while (pages.length < Math.floor((length + tokens) / T)) {
      pages.push({ bytes, holders: 1 })
      this.bytesUsed += bytes
    }
  }

  drop(session: ToySession, from: number): void {
    for (const page of session.pages.splice(from)) this.#letGo(page)
  }

  hold({ chain, pages }: ToySession, block: number): ToyBlock {
    const page = pages[block]!
    page.holders++
    return { page, hashes: chain.slice(block * T, (block + 1) * T) }
  }

  adopt(session: ToySession, { page, hashes }: ToyBlock): void {
    this.drop(session, session.length / T)
    page.holders++
    session.pages.push(page)
    session.chain.push(...hashes)
  }

  release({ page }: ToyBlock): void {
    this.#letGo(page)
  }

  #letGo(page: ToyPage): void {
    page.holders--
    if (page.holders === 0) this.bytesUsed -= page.bytes
  }
}
