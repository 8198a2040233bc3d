/**
 * What sessions of one owner begin with alike is computed once, and kept: blocks of positions, each under the digest chain of
 * the rows that this engine was given from position 0 on. What a block holds was computed here from these very rows, so that
 * nobody can have wrong ones kept. The owner and the type of the cache begin the chain: how long a step takes tells nobody what
 * others have asked. The layers, and the bits that they give, are the engine's own. Pure.
 */
import { assert } from '../base/assert.ts'
import { attentionBlock } from '../model/limits.ts'
import { prefixBytesMax } from './limits.ts'

const B = attentionBlock

/** Full blocks of caches, however a runtime keeps them. One that is held stays as it is, whatever its cache does. */
export interface CacheBlocks<Cache, Held> {
  /** Bytes of one block of a cache in all layers. */
  blockBytes(cache: Cache): number
  /** What holding one takes besides: 0 where it stays the cache's, too, until that is written to. */
  holdBytes(cache: Cache): number
  /** What a cache takes that adds so many held blocks: 0 where it has them together with who holds them. */
  adoptBytes(cache: Cache, blocks: number): number
  /** Of all caches and of all that is held. */
  readonly bytesUsed: number
  /** What memory could ever have room for. */
  readonly bytesMax: number
  /** Bytes that a cache has yet to take for so many tokens more. */
  needs(cache: Cache, tokens: number): number
  /** Whether a cache has all of a full block still: what windows leave behind may have been given back. @default always */
  has?(cache: Cache, block: number): boolean
  /** @param block index of a full one that it has */
  hold(cache: Cache, block: number): Held
  /** Adds a held block to a cache that ends at a block border. */
  adopt(cache: Cache, held: Held): void
  release(held: Held): void
}

/** A digest of one row, and of what the digest `before` stands for. */
export type Link = (before: string, row: Uint8Array) => string

/** A step, as its rows came. */
export interface Rows {
  readonly position: number
  readonly tokens: number
  /** [tokens] rows: token ids of 4 bytes, or hidden states in the edge type. */
  readonly bytes: Uint8Array
  /** So many of the last ones are computed in any case. */
  readonly least: number
}

/** A kept block. */
interface Kept<Held> {
  readonly key: string
  /** Key of the block before it; undefined for the first. */
  readonly before: string | undefined
  readonly held: Held
  /** [128] rows as they went to the next stage; empty at the tail. */
  readonly rows: Uint8Array
  /** Of the block in the cache. */
  readonly bytes: number
}

/** What is known of a step before it is computed. */
export interface Known<Held> {
  /** Of its first tokens, that need not be computed. */
  readonly tokens: number
  readonly blocks: readonly Kept<Held>[]
  /** [tokens of the step] the chain after each of its rows; undefined for a step that neither finds nor fills a block. */
  readonly links: readonly string[] | undefined
  readonly step: Rows
}

interface Chain {
  readonly seed: string
  /** [tokens] the chain after each row of the cache; fewer where it is not known any more. */
  readonly links: string[]
  /** Rows that were computed and follow it: their links are still to be made. */
  late: Rows | undefined
  /** Blocks that the step under way gives. */
  coming: readonly string[]
  /** Rows that the block at the end has given so far: [from its start, end). */
  growing: { readonly block: number; end: number; readonly rows: Uint8Array } | undefined
}

export interface PrefixesInit<Cache, Held> {
  readonly blocks: CacheBlocks<Cache, Held>
  /** Of a row as it goes to the next stage; 0 at the tail. */
  readonly rowBytes: number
  readonly link: Link
}

export class Prefixes<Cache extends { readonly length: number; truncate(length: number): void }, Held> {
  readonly #blocks: CacheBlocks<Cache, Held>
  readonly #rowBytes: number
  readonly #link: Link
  readonly #chains = new Map<string, Chain>()
  /** By key, the least recently used first. A block is used whenever one after it is, so that none outlives those before it. */
  readonly #kept = new Map<string, Kept<Held>>()
  /** Blocks that are being computed, and for which session. */
  readonly #coming = new Map<string, string>()
  /** Chains of which something is late. */
  readonly #behind = new Set<Chain>()
  /** Rows of kept blocks, and of those that grow. */
  #rows = 0
  /** Kept blocks, without their rows. */
  #blockBytes = 0
  #bytesMax = 0

  constructor({ blocks, rowBytes, link }: PrefixesInit<Cache, Held>) {
    this.#blocks = blocks
    this.#rowBytes = rowBytes
    this.#link = link
  }

  /** What is kept, in bytes; blocks that sessions use as well included. */
  get bytes(): number {
    return this.#blockBytes + this.#rows
  }

  /** What caches, and all that is kept, take of memory. */
  get bytesUsed(): number {
    return this.#blocks.bytesUsed + this.#rows
  }

  /** What caches and all that is kept may take together. What is kept gives way at once. */
  limit(bytes: number): void {
    this.#bytesMax = Math.min(bytes, this.#blocks.bytesMax)
    this.makeRoom(0)
  }

  /** A session's rows are followed from now on. */
  open(session: string, owner: string): void {
    this.#chains.set(session, {
      seed: this.#link('', utf8(owner)),
      links: [],
      late: undefined,
      coming: [],
      growing: undefined
    })
  }

  free(session: string): void {
    this.over(session)
    const chain = this.#chains.get(session)
    if (chain !== undefined) {
      this.#behind.delete(chain)
      this.#stopGrowing(chain)
    }
    this.#chains.delete(session)
  }

  /**
   * Looks how much of a step is known. Undefined where nobody follows its session, or what lies before the step is not known. Of a
   * step within one block, as those of answers are, there is nothing to find: its links can wait until it has been answered.
   */
  find(session: string, step: Rows): Known<Held> | undefined {
    const { position, tokens, least } = step
    const chain = this.#chains.get(session)
    if (chain !== undefined) this.#catchUp(chain)
    if (chain === undefined || chain.links.length < position) return undefined
    if ((position % B) + tokens < B) return { tokens: 0, blocks: [], links: undefined, step }
    const links = this.#linksOf(chain, step)
    const blocks: Kept<Held>[] = []
    for (let end = B; position % B === 0 && end <= tokens; end += B) {
      const kept = this.#kept.get(links[end - 1]!)
      if (kept === undefined) break
      blocks.push(kept)
    }
    const last = blocks.at(-1)
    if (last !== undefined) this.#use(last)
    return { tokens: Math.max(0, Math.min(blocks.length * B, tokens - least)), blocks, links, step }
  }

  /** [tokens] the chain after each row of a step. */
  #linksOf(chain: Chain, { position, tokens, bytes }: Rows): string[] {
    const links: string[] = []
    const width = bytes.length / tokens
    let before = position === 0 ? chain.seed : chain.links[position - 1]!
    for (let t = 0; t < tokens; t++) {
      before = this.#link(before, bytes.subarray(t * width, (t + 1) * width))
      links.push(before)
    }
    return links
  }

  /** Does what was put off: to be called when nobody waits, at the latest before the next step. */
  catchUp(): void {
    for (const chain of this.#behind) this.#catchUp(chain)
  }

  #catchUp(chain: Chain): void {
    const { late } = chain
    if (late === undefined) return
    chain.late = undefined
    this.#behind.delete(chain)
    chain.links.push(...this.#linksOf(chain, late))
  }

  /** The session for which the next block of a step is being computed at this moment, if another one is: it is worth waiting for. */
  awaited(session: string, { position, tokens }: Rows, { blocks, links }: Known<Held>): string | undefined {
    const end = (blocks.length + 1) * B
    const other = position % B === 0 && end <= tokens ? this.#coming.get(links![end - 1]!) : undefined
    return other === session ? undefined : other
  }

  /** A step is about to be computed: whoever comes with the same rows may wait for its blocks, until it is {@link over}. */
  expect(session: string, { position, tokens }: Rows, { blocks, links }: Known<Held>): void {
    const chain = this.#chains.get(session)
    if (chain === undefined || position % B !== 0) return
    const coming: string[] = []
    for (let end = (blocks.length + 1) * B; end <= tokens; end += B) coming.push(links![end - 1]!)
    chain.coming = coming.filter(key => !this.#coming.has(key))
    for (const key of chain.coming) this.#coming.set(key, session)
  }

  /** A session's step is over, whatever became of it. */
  over(session: string): void {
    const chain = this.#chains.get(session)
    for (const key of chain?.coming ?? []) this.#coming.delete(key)
    if (chain !== undefined) chain.coming = []
  }

  /**
   * A step begins: its cache, which ends where the step starts, goes on with what is known of it.
   *
   * @param out [tokens of the step] rows for the next stage; undefined at the tail
   */
  begin(session: string, cache: Cache, known: Known<Held> | undefined, out: Uint8Array | undefined): void {
    const position = cache.length
    const chain = this.#chains.get(session)
    if (chain !== undefined) {
      this.#catchUp(chain)
      chain.links.length = Math.min(chain.links.length, position)
    }
    if (known === undefined || known.tokens === 0) return
    assert(out !== undefined || this.#rowBytes === 0, 'what goes to the next stage has a place')
    // These blocks, and those before them, are what was used last.
    const spared = Math.floor(position / B) + known.blocks.length
    this.makeRoom(this.#blocks.adoptBytes(cache, known.blocks.length), spared)
    for (const [i, { held, rows }] of known.blocks.entries()) {
      this.#blocks.adopt(cache, held)
      out?.set(rows, i * rows.length)
    }
    cache.truncate(position + known.tokens)
  }

  /** A step that began at `position` was computed: its blocks that are full are kept. `out`: as in {@link begin}. */
  end(
    session: string,
    cache: Cache,
    position: number,
    known: Known<Held> | undefined,
    out: Uint8Array | undefined
  ): void {
    const chain = this.#chains.get(session)
    if (chain === undefined || known === undefined) return
    const { links } = chain
    if (known.links === undefined) {
      this.#grow(chain, position, position + known.step.tokens, out ?? new Uint8Array())
      chain.late = known.step
      this.#behind.add(chain)
      return
    }
    links.push(...known.links)
    for (let at = position; at < links.length; ) {
      const block = Math.floor(at / B)
      const end = Math.min(links.length, (block + 1) * B)
      const rows = out?.subarray((at - position) * this.#rowBytes, (end - position) * this.#rowBytes)
      this.#grow(chain, at, end, rows ?? new Uint8Array())
      if (end % B === 0) this.#keep(chain, cache, block)
      at = end
    }
  }

  /**
   * Has what is kept give way to so many bytes, as far as it can. Returns whether there is room for them now.
   *
   * @param spared so many blocks stay, those that were used last
   */
  makeRoom(bytes: number, spared = 0): boolean {
    for (;;) {
      if (this.bytesUsed + bytes <= this.#bytesMax) return true
      if (!this.#giveWay(spared)) return false
    }
  }

  /** Bytes that the caches of a pass have yet to take. */
  needs(parts: readonly { readonly cache: Cache; readonly tokens: number }[]): number {
    return parts.reduce((sum, { cache, tokens }) => sum + this.#blocks.needs(cache, tokens), 0)
  }

  /** Positions [at, end) of one block have given these rows. */
  #grow(chain: Chain, at: number, end: number, rows: Uint8Array): void {
    const block = Math.floor(at / B)
    const { growing } = chain
    if (growing?.block !== block || growing.end < at) this.#stopGrowing(chain)
    if (this.#kept.has(chain.links[(block + 1) * B - 1] ?? '')) return
    if (chain.growing === undefined) {
      // What the block began with is gone, or nobody would find it, or there is no room.
      if (at % B !== 0 || !this.#follows(chain, block) || !this.makeRoom(B * this.#rowBytes, block)) return
      chain.growing = { block, end: at, rows: new Uint8Array(B * this.#rowBytes) }
      this.#rows += chain.growing.rows.length
    }
    chain.growing.rows.set(rows, (at % B) * this.#rowBytes)
    chain.growing.end = end
  }

  #stopGrowing(chain: Chain): void {
    this.#rows -= chain.growing?.rows.length ?? 0
    chain.growing = undefined
  }

  /** A block of a session is full. */
  #keep(chain: Chain, cache: Cache, block: number): void {
    const key = chain.links[(block + 1) * B - 1]!
    const rows = chain.growing?.rows
    this.#stopGrowing(chain)
    const known = this.#kept.get(key)
    if (known !== undefined) this.#use(known)
    if (known !== undefined || rows === undefined) return
    if (!this.#follows(chain, block) || this.#blocks.has?.(cache, block) === false) return
    const bytes = this.#blocks.blockBytes(cache)
    while (this.bytes + bytes + rows.length > prefixBytesMax) if (!this.#giveWay(block)) return
    if (!this.makeRoom(this.#blocks.holdBytes(cache) + rows.length, block)) return
    this.#rows += rows.length
    this.#blockBytes += bytes
    const kept = { key, before: keyBefore(chain, block), held: this.#blocks.hold(cache, block), rows, bytes }
    this.#kept.set(key, kept)
    this.#use(kept)
  }

  /** Whether the block before is kept, which is then used: nobody would find one that has nothing before it. */
  #follows(chain: Chain, block: number): boolean {
    const before = this.#kept.get(keyBefore(chain, block) ?? '')
    if (before !== undefined) this.#use(before)
    return block === 0 || before !== undefined
  }

  /** A block is used, and so are those before it, which stay longer. */
  #use(used: Kept<Held>): void {
    for (let kept: Kept<Held> | undefined = used; kept !== undefined; kept = this.#kept.get(kept.before ?? '')) {
      this.#kept.delete(kept.key)
      this.#kept.set(kept.key, kept)
    }
  }

  /** Drops what was used least lately; after all that is kept what grows, too. Returns whether there was something to drop. */
  #giveWay(spared: number): boolean {
    const oldest = this.#kept.values().next().value
    if (oldest !== undefined && this.#kept.size > spared) {
      this.#kept.delete(oldest.key)
      this.#rows -= oldest.rows.length
      this.#blockBytes -= oldest.bytes
      this.#blocks.release(oldest.held)
      return true
    }
    if (spared > 0) return false
    const chain = this.#chains.values().find(({ growing }) => growing !== undefined)
    if (chain !== undefined) this.#stopGrowing(chain)
    return chain !== undefined
  }
}

/** Key of the block before one; undefined for the first. */
function keyBefore({ links }: Chain, block: number): string | undefined {
  return block === 0 ? undefined : links[block * B - 1]
}

function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}
