/**
 * What a source gives, to whom, and when (protocols/shards.md). Pure: frames and times in, effects out. Each stream's
 * requests are answered once, one after another, so that a reader that is slow holds up itself alone; bulk waits for its
 * rate, whoever has waited longest first.
 */
import { PeerBudgets } from '../base/budget.ts'
import type { PeerId } from '../base/ids.ts'
import { BoundedQueue } from '../base/queue.ts'
import { ProtocolError } from '../errors.ts'
import {
  supplyOpenMs,
  supplyReadsBurstMax,
  supplyReadsPerSecondMax,
  supplyRequestsMax,
  supplyWatchesMax
} from './limits.ts'
import { decodeRequest } from './codec.ts'
import type { AnswerFrame, FileId, RequestFrame } from './frame.ts'
import type { BulkRate } from './bulk-rate.ts'

/** A stream from a fetcher, as its host numbers them. */
export type ClientId = number

type RangeRequest = RequestFrame & { readonly kind: 'range-request' }

/** What the disk and its records have of what a request names; for a range that is its whole chunk. */
export type Found =
  | { readonly kind: 'manifest'; readonly json: Uint8Array; readonly signatures: Uint8Array }
  /** `chunks`: a bit for each chunk that is here and right; not looked at where the file is whole. */
  | { readonly kind: 'state'; readonly whole: boolean; readonly chunks: Uint8Array }
  | { readonly kind: 'list'; readonly digests: Uint8Array }
  /** Checked against the chunk list: who sends wrong bytes is taken for a liar (W3). */
  | { readonly kind: 'chunk'; readonly bytes: Uint8Array }

export type ServeEvent =
  | { readonly kind: 'accepted'; readonly client: ClientId; readonly peer: PeerId }
  | { readonly kind: 'closed'; readonly client: ClientId }
  | { readonly kind: 'frame'; readonly client: ClientId; readonly bytes: Uint8Array }
  /** Answer to `find`; undefined where there is no such thing here. */
  | { readonly kind: 'found'; readonly client: ClientId; readonly found: Found | undefined }
  /** Answer to `answer`: the stream takes more. */
  | { readonly kind: 'ready'; readonly client: ClientId }
  /** A chunk of a file that is being fetched here was asked for, or is here. */
  | { readonly kind: 'coming' | 'have'; readonly file: FileId; readonly chunk: number }
  /** The disk was searched for chunks of a file that is being fetched. */
  | { readonly kind: 'searched'; readonly file: FileId; readonly chunks: Uint8Array }
  /** What was known of a file's bytes counts no more. */
  | { readonly kind: 'forget'; readonly file: FileId }
  | { readonly kind: 'tick' }

export type ServeEffect =
  | { readonly kind: 'find'; readonly client: ClientId; readonly request: RequestFrame }
  /** A request's answer: nothing more is answered before the stream is ready for it. */
  | { readonly kind: 'answer'; readonly client: ClientId; readonly frame: AnswerFrame }
  /** A word beside the answers, to one who watches. */
  | { readonly kind: 'tell'; readonly client: ClientId; readonly frame: AnswerFrame }
  /** End the stream: what came on it breaks the protocol. */
  | {
      readonly kind: 'violation'
      readonly client: ClientId
      readonly peer: PeerId
      readonly violation: string
      readonly message: string
    }
  /** Send a `tick` then; a later wake does not cancel an earlier one. */
  | { readonly kind: 'wake'; readonly atMs: number }

interface Client {
  readonly id: ClientId
  readonly peer: PeerId
  readonly queue: BoundedQueue<RequestFrame>
  readonly watches: Set<FileId>
  /** The request that is being answered. */
  current: RequestFrame | undefined
  /** The chunk that was found last: ranges of one chunk follow one another. */
  last: { readonly file: FileId; readonly chunk: number; readonly bytes: Uint8Array } | undefined
}

const none = new Uint8Array(0)

export class Serve {
  readonly #bulkRate: BulkRate
  readonly #clients = new Map<ClientId, Client>()
  /** Whose next range waits for its turn, the first first, and the chunk that it is part of. */
  readonly #waiting = new Map<Client, Uint8Array>()
  /** Who asks for more chunks than one peer is read for a second, the first first. */
  readonly #late = new Set<Client>()
  readonly #reads = new PeerBudgets({ perSecond: supplyReadsPerSecondMax, burst: supplyReadsBurstMax })
  #nowMs = 0
  #effects: ServeEffect[] = []

  /** @param bulkRate what all bulk of this peer shares */
  constructor(bulkRate: BulkRate) {
    this.#bulkRate = bulkRate
  }

  /** Files of which somebody was given a chunk last, or waits for one. */
  get sending(): ReadonlySet<FileId> {
    const files = new Set<FileId>()
    for (const { last, current, queue } of this.#clients.values()) {
      if (last !== undefined) files.add(last.file)
      for (const request of [current, queue.peek()]) if (request?.kind === 'range-request') files.add(request.file)
    }
    return files
  }

  handle(event: ServeEvent, nowMs: number): ServeEffect[] {
    this.#nowMs = nowMs
    this.#readLate()
    this.#note(event)
    this.#giveRanges(nowMs)
    return this.#effects.splice(0)
  }

  #note(event: ServeEvent): void {
    switch (event.kind) {
      case 'accepted': {
        const { client: id, peer } = event
        const queue = new BoundedQueue<RequestFrame>(supplyRequestsMax)
        this.#clients.set(id, { id, peer, queue, watches: new Set(), current: undefined, last: undefined })
        break
      }
      case 'closed':
        this.#forgetClient(event.client)
        break
      case 'coming':
      case 'have':
        this.#tell(event.file, event)
        break
      case 'searched': {
        const { file, chunks } = event
        this.#tell(file, { kind: 'state', file, whole: false, chunks })
        break
      }
      case 'forget':
        for (const client of this.#clients.values()) if (client.last?.file === event.file) client.last = undefined
        break
      case 'tick':
        break
      default: {
        // A stream that was ended in between is no client any more.
        const client = this.#clients.get(event.client)
        if (client === undefined) break
        try {
          this.#fromClient(client, event)
        } catch (error) {
          if (!(error instanceof ProtocolError)) throw error
          this.#violation(client, error.message)
        }
      }
    }
  }

  #fromClient(client: Client, event: ServeEvent & { readonly kind: 'frame' | 'found' | 'ready' }): void {
    switch (event.kind) {
      case 'frame': {
        const request = decodeRequest(event.bytes)
        if (request !== undefined && !client.queue.push(request)) {
          throw new ProtocolError(`more than ${supplyRequestsMax} requests wait for answers`)
        }
        this.#next(client)
        break
      }
      case 'found':
        if (client.current !== undefined) this.#found(client, client.current, event.found)
        break
      case 'ready':
        client.current = undefined
        this.#next(client)
        break
    }
  }

  #forgetClient(id: ClientId): void {
    const client = this.#clients.get(id)
    if (client === undefined) return
    this.#clients.delete(id)
    this.#waiting.delete(client)
    this.#late.delete(client)
  }

  #violation({ id, peer }: Client, message: string): void {
    this.#forgetClient(id)
    this.#effects.push({ kind: 'violation', client: id, peer, violation: 'bad shards frame', message })
  }

  #tell(file: FileId, frame: AnswerFrame): void {
    for (const { id, watches } of this.#clients.values()) {
      if (watches.has(file)) this.#effects.push({ kind: 'tell', client: id, frame })
    }
  }

  #next(client: Client): void {
    if (client.current !== undefined) return
    const request = client.queue.shift()
    if (request === undefined) return
    client.current = request
    const { last } = client
    const isRead = request.kind === 'range-request' && request.file === last?.file && request.chunk === last.chunk
    if (isRead) this.#range(client, request, last.bytes)
    else if (this.#mayRead(client, request)) this.#effects.push({ kind: 'find', client: client.id, request })
    else {
      this.#late.add(client)
      this.#wakeForLate()
    }
  }

  /** A chunk is read and hashed whole, whatever is asked of it: while sessions run here each peer has so many a second. */
  #mayRead({ peer }: Client, request: RequestFrame): boolean {
    return request.kind !== 'range-request' || !this.#bulkRate.live || this.#reads.take(peer, this.#nowMs)
  }

  #readLate(): void {
    for (const client of this.#late) {
      const request = client.current
      if (request === undefined || !this.#mayRead(client, request)) continue
      this.#late.delete(client)
      this.#effects.push({ kind: 'find', client: client.id, request })
    }
    if (this.#late.size > 0) this.#wakeForLate()
  }

  #wakeForLate(): void {
    this.#effects.push({ kind: 'wake', atMs: this.#nowMs + 1_000 / supplyReadsPerSecondMax })
  }

  #found(client: Client, request: RequestFrame, found: Found | undefined): void {
    const { id: to } = client
    switch (request.kind) {
      case 'manifest-request': {
        const { model } = request
        if (found?.kind === 'manifest') this.#answer(to, { ...found, model })
        else this.#answer(to, { kind: 'refuse', subject: 'manifest', model })
        break
      }
      case 'watch': {
        const { file } = request
        if (found?.kind !== 'state') {
          this.#answer(to, { kind: 'refuse', subject: 'file', file })
          break
        }
        if (client.watches.size >= supplyWatchesMax) throw new ProtocolError('it watches too many files')
        // In one turn with its answer: what comes later is told after it.
        client.watches.add(file)
        const { whole, chunks } = found
        this.#answer(to, { kind: 'state', file, whole, chunks: whole ? none : chunks })
        break
      }
      case 'list-request': {
        const { file } = request
        const digests = found?.kind === 'list' ? found.digests : undefined
        this.#answer(to, digests ? { kind: 'list', file, digests } : { kind: 'refuse', subject: 'list', file })
        break
      }
      case 'range-request': {
        const bytes = found?.kind === 'chunk' ? found.bytes : undefined
        if (bytes !== undefined) client.last = { file: request.file, chunk: request.chunk, bytes }
        this.#range(client, request, bytes)
        break
      }
    }
  }

  #answer(client: ClientId, frame: AnswerFrame): void {
    this.#effects.push({ kind: 'answer', client, frame })
  }

  /** Refuses a range, or has it wait for its turn. */
  #range(client: Client, { file, chunk, offset, length }: RangeRequest, bytes: Uint8Array | undefined): void {
    if (bytes !== undefined && offset + length <= bytes.length) this.#waiting.set(client, bytes)
    else this.#answer(client.id, { kind: 'refuse', subject: 'range', file, chunk, offset })
  }

  #giveRanges(nowMs: number): void {
    for (const [client, bytes] of this.#waiting) {
      const waitMs = this.#bulkRate.waitMs(nowMs)
      if (waitMs > 0) {
        // What slows bulk may end before.
        this.#effects.push({ kind: 'wake', atMs: nowMs + Math.min(waitMs, supplyOpenMs) })
        return
      }
      this.#waiting.delete(client)
      const { file, chunk, offset, length } = client.current as RangeRequest
      this.#bulkRate.take(length, nowMs)
      const data = bytes.subarray(offset, offset + length)
      this.#answer(client.id, { kind: 'range', file, chunk, offset, data, live: this.#bulkRate.live })
    }
  }
}
