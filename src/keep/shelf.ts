/**
 * What a keeper holds for others: sealed entries that it cannot read, each with a version that only grows and a time
 * after which it is gone (protocols/keep.md). Pure: requests in, answers and changes out; `shelf-service.ts` has the
 * streams and the disk.
 */
import type { PeerId } from '../base/ids.ts'
import {
  keepBytesMax,
  keepEntriesMax,
  keepEntryBytesMax,
  keepPartsMax,
  keepPeerBytesMax,
  keepPeerEntriesMax,
  keepTtlMaxMs
} from '../limits.ts'
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
  readonly #holdings = new Map<PeerId, Holding>()
  #bytes = 0

  constructor(init: ShelfInit = {}) {
    this.#bounds = {
      peerEntriesMax: keepPeerEntriesMax,
      peerBytesMax: keepPeerBytesMax,
      entriesMax: keepEntriesMax,
      bytesMax: keepBytesMax,
      entryBytesMax: keepEntryBytesMax,
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
    const before = this.#entries.get(entry.id)
    if (before !== undefined) this.#drop(before)
    this.#add({ ...entry, bytes, untilMs })
    return this.#evict(entry.owner, entry.id)
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
    if (before !== undefined) this.#drop(before)
    this.#add({ id, owner: remote, version, parts, bytes, untilMs: nowMs + Math.min(put.ttlMs, keepTtlMaxMs) })
    const evicted = this.#evict(remote, id)
    return { answer: { kind: 'kept', version }, saved: [id], erased: [...expired, ...evicted] }
  }

  #fits(parts: number, bytes: number): boolean {
    const { entryBytesMax, peerBytesMax, bytesMax } = this.#bounds
    return parts > 0 && parts <= keepPartsMax && bytes <= Math.min(entryBytesMax, peerBytesMax, bytesMax)
  }

  /**
   * Makes room for what `owner` just put: first its own least recent entries go, then those of whoever holds most.
   * Nobody's flood costs another peer its entries as long as that one holds less.
   */
  #evict(owner: PeerId, keep: EntryId): EntryId[] {
    const { peerEntriesMax, peerBytesMax, entriesMax, bytesMax } = this.#bounds
    const gone: EntryId[] = []
    const dropOf = (peer: PeerId): boolean => {
      for (const entry of this.#entries.values()) {
        if (entry.owner !== peer || entry.id === keep) continue
        this.#drop(entry)
        gone.push(entry.id)
        return true
      }
      return false
    }
    const mine = this.#holdings.get(owner)!
    while ((mine.entries > peerEntriesMax || mine.bytes > peerBytesMax) && dropOf(owner));
    while (this.#entries.size > entriesMax || this.#bytes > bytesMax) {
      const measure = this.#bytes > bytesMax ? 'bytes' : 'entries'
      const largest = [...this.#holdings].sort(([, a], [, b]) => b[measure] - a[measure]).find(([peer]) => dropOf(peer))
      if (largest === undefined) break
    }
    return gone
  }

  #add(entry: ShelfEntry): void {
    this.#entries.set(entry.id, entry)
    this.#bytes += entry.bytes
    const holding = this.#holdings.get(entry.owner) ?? { entries: 0, bytes: 0 }
    holding.entries++
    holding.bytes += entry.bytes
    this.#holdings.set(entry.owner, holding)
  }

  #drop(entry: ShelfEntry): void {
    this.#entries.delete(entry.id)
    this.#bytes -= entry.bytes
    const holding = this.#holdings.get(entry.owner)!
    holding.entries--
    holding.bytes -= entry.bytes
    if (holding.entries === 0) this.#holdings.delete(entry.owner)
  }
}

function refused(reason: KeepReason, version: number): KeepAnswer {
  return { kind: 'refused', reason, version }
}

function bytesOf(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, part) => sum + part.byteLength, 0)
}
