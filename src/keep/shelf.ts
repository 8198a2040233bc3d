/**
 * What a keeper holds for others: sealed entries that it cannot read, each with a version that only grows and a time
 * after which it is gone (protocols/keep.md). Pure: requests in, answers and changes out; `shelf-service.ts` has the
 * streams and the disk.
 */
import { PeerBudgets } from '../base/budget.ts'
import type { PeerId } from '../base/ids.ts'
import {
  keepBytesMax,
  keepEntriesMax,
  keepEntryBytesMax,
  keepFairBytes,
  keepFairEntries,
  keepPartsMax,
  keepPeerBytesMax,
  keepPeerEntriesMax,
  keepPutBytesBurstMax,
  keepPutBytesPerSecondMax,
  keepTtlMaxMs
} from './limits.ts'
import type { EntryId, KeepAnswer, KeepReason, KeepRequest, PutRequest } from './message.ts'

/** One entry on the shelf. */
export interface ShelfEntry {
  readonly id: EntryId
  /** Who put its newest version: it counts against this peer's bounds. */
  readonly owner: PeerId
  readonly version: number
  readonly parts: readonly Uint8Array[]
  /** Of all parts. */
  readonly bytes: number
  /** When it is gone, on the shelf's clock. */
  readonly untilMs: number
}

export interface ShelfResult {
  readonly answer: KeepAnswer
  /** Entries that are new or changed, and that are gone. */
  readonly saved: readonly EntryId[]
  readonly erased: readonly EntryId[]
}

export interface ShelfInit {
  /** Entries and their bytes, of one peer and of all. @default those of `limits.ts` */
  readonly peerEntriesMax?: number
  readonly peerBytesMax?: number
  readonly entriesMax?: number
  readonly bytesMax?: number
  readonly entryBytesMax?: number
  /** What a peer keeps whoever comes after it. */
  readonly fairEntries?: number
  readonly fairBytes?: number
}

/** What one peer has here. */
interface Holding {
  entries: number
  bytes: number
}

export class Shelf {
  readonly #bounds: Required<ShelfInit>
  /** In the order of their last put: the first is the least recent. */
  readonly #entries = new Map<EntryId, ShelfEntry>()
  /** In the order in which they came to have something here. */
  readonly #holdings = new Map<PeerId, Holding>()
  #bytes = 0
  /** Bytes that each peer may put. */
  readonly #puts = new PeerBudgets({
    perSecond: keepPutBytesPerSecondMax,
    burst: keepPutBytesBurstMax
  })

  constructor(init: ShelfInit = {}) {
    this.#bounds = {
      peerEntriesMax: keepPeerEntriesMax,
      peerBytesMax: keepPeerBytesMax,
      entriesMax: keepEntriesMax,
      bytesMax: keepBytesMax,
      entryBytesMax: keepEntryBytesMax,
      fairEntries: keepFairEntries,
      fairBytes: keepFairBytes,
      ...init
    }
  }

  get size(): number {
    return this.#entries.size
  }

  get bytes(): number {
    return this.#bytes
  }

  entry(id: EntryId): ShelfEntry | undefined {
    return this.#entries.get(id)
  }

  /** Does what a peer asks, or says why not. */
  handle(remote: PeerId, request: KeepRequest, nowMs: number): ShelfResult {
    const erased = this.expire(nowMs)
    const entry = this.#entries.get(request.id)
    if (request.kind === 'put') return this.#put(remote, request, entry, erased, nowMs)
    if (entry === undefined) return { answer: refused('unknown', 0), saved: [], erased }
    const { version, parts, untilMs } = entry
    if (request.kind === 'get') {
      const leftMs = Math.max(1, Math.floor(untilMs - nowMs))
      return { answer: { kind: 'entry', version, parts, leftMs }, saved: [], erased }
    }
    this.#drop(entry)
    return { answer: { kind: 'kept', version: 0 }, saved: [], erased: [...erased, entry.id] }
  }

  /** Puts back what was saved before a restart, the least recent first. Returns what does not fit any more. */
  restore(entry: Omit<ShelfEntry, 'bytes'>, nowMs: number): readonly EntryId[] {
    const bytes = bytesOf(entry.parts)
    const untilMs = Math.min(entry.untilMs, nowMs + keepTtlMaxMs)
    if (untilMs <= nowMs || !this.#fits(entry.parts.length, bytes)) return [entry.id]
    const gone = this.#replace({ ...entry, bytes, untilMs })
    return gone ?? [entry.id]
  }

  /** Drops what is past its time; returns it. */
  expire(nowMs: number): EntryId[] {
    const gone = [...this.#entries.values()].filter(({ untilMs }) => untilMs <= nowMs)
    for (const entry of gone) this.#drop(entry)
    return gone.map(({ id }) => id)
  }

  /** K4 to K7. */
  #put(
    remote: PeerId,
    put: PutRequest,
    before: ShelfEntry | undefined,
    expired: readonly EntryId[],
    nowMs: number
  ): ShelfResult {
    const { id, base, version, from } = put
    const refuse = (reason: KeepReason): ShelfResult => ({
      answer: refused(reason, before?.version ?? 0),
      saved: [],
      erased: expired
    })
    if (before !== undefined && version <= before.version) return refuse('stale')
    if (from > 0 && (before?.version !== base || before.parts.length < from)) return refuse('gap')
    const parts = [...(before?.parts.slice(0, from) ?? []), ...put.parts]
    const bytes = bytesOf(parts)
    if (!this.#fits(parts.length, bytes)) return refuse('no-room')
    if (!this.#puts.take(remote, nowMs, bytesOf(put.parts))) return refuse('no-room')
    const untilMs = nowMs + Math.min(put.ttlMs, keepTtlMaxMs)
    const evicted = this.#replace({ id, owner: remote, version, parts, bytes, untilMs })
    if (evicted === undefined) return refuse('no-room')
    return { answer: { kind: 'kept', version }, saved: [id], erased: [...expired, ...evicted] }
  }

  /** Puts an entry in the place of what has its id, and returns what had to go for it; undefined, and nothing changed, without room. */
  #replace(entry: ShelfEntry): EntryId[] | undefined {
    const gone = this.#roomFor(entry.owner, entry.id, entry.bytes)
    if (gone === undefined) return undefined
    // Added before anything is dropped: who had only this one keeps its place among those that came.
    const before = this.#entries.get(entry.id)
    this.#count(entry.owner, 1, entry.bytes)
    if (before !== undefined) this.#drop(before)
    this.#entries.set(entry.id, entry)
    for (const each of gone) this.#drop(each)
    return gone.map(({ id }) => id)
  }

  #fits(parts: number, bytes: number): boolean {
    const { entryBytesMax, peerBytesMax, bytesMax } = this.#bounds
    return parts > 0 && parts <= keepPartsMax && bytes <= Math.min(entryBytesMax, peerBytesMax, bytesMax)
  }

  /**
   * What has to go for an entry of `owner` to come: first its own least recent entries; where all together have too much,
   * those of whoever holds most, down to its fair share; then those of peers that came here after `owner`, the last one
   * first. Undefined where that is not enough: identities cost nothing, so hundreds of them with an entry each must not cost
   * a peer what it has had here for longer.
   */
  #roomFor(owner: PeerId, id: EntryId, bytes: number): ShelfEntry[] | undefined {
    const { peerEntriesMax, peerBytesMax, entriesMax, bytesMax, fairEntries, fairBytes } = this.#bounds
    const before = this.#entries.get(id)
    const gone = new Set<ShelfEntry>(before === undefined ? [] : [before])
    const holdings = new Map([...this.#holdings].map(([peer, holding]) => [peer, { ...holding }]))
    if (!holdings.has(owner)) holdings.set(owner, { entries: 0, bytes: 0 })
    const all: Holding = { entries: this.#entries.size, bytes: this.#bytes }
    const count = (peer: PeerId, entries: number, size: number): void => {
      for (const each of [holdings.get(peer)!, all]) {
        each.entries += entries
        each.bytes += size
      }
    }
    const dropOf = (peer: PeerId): boolean => {
      const first = this.#entries.values().find(entry => entry.owner === peer && !gone.has(entry))
      if (first === undefined) return false
      gone.add(first)
      count(peer, -1, -first.bytes)
      return true
    }
    if (before !== undefined) count(before.owner, -1, -before.bytes)
    count(owner, 1, bytes)
    const mine = holdings.get(owner)!
    while (mine.entries > peerEntriesMax || mine.bytes > peerBytesMax) if (!dropOf(owner)) return undefined
    while (all.entries > entriesMax || all.bytes > bytesMax) {
      const measure = all.bytes > bytesMax ? 'bytes' : 'entries'
      const share = measure === 'bytes' ? fairBytes : fairEntries
      const large = [...holdings].filter(([, holding]) => holding[measure] > share)
      const peers = [...holdings.keys()]
      const later = peers.slice(peers.indexOf(owner) + 1).reverse()
      const givers = [...large.sort(([, a], [, b]) => b[measure] - a[measure]).map(([peer]) => peer), ...later]
      if (!givers.some(dropOf)) return undefined
    }
    gone.delete(before!)
    return [...gone]
  }

  #drop(entry: ShelfEntry): void {
    if (this.#entries.get(entry.id) === entry) this.#entries.delete(entry.id)
    this.#count(entry.owner, -1, -entry.bytes)
  }

  #count(owner: PeerId, entries: number, bytes: number): void {
    const holding = this.#holdings.get(owner) ?? { entries: 0, bytes: 0 }
    holding.entries += entries
    holding.bytes += bytes
    this.#bytes += bytes
    if (holding.entries === 0) this.#holdings.delete(owner)
    else this.#holdings.set(owner, holding)
  }
}

function refused(reason: KeepReason, version: number): KeepAnswer {
  return { kind: 'refused', reason, version }
}

function bytesOf(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, part) => sum + part.byteLength, 0)
}
