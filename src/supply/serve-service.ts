/**
 * Gives others what the store has, chunk by chunk. What goes out was checked against the chunk list first, so a peer
 * with a failing disk says that it does not have a chunk, and is not taken for a liar.
 */
import { hash } from 'node:crypto'
import type { ModelId, PeerId } from '../base/ids.ts'
import { BoundedQueue } from '../base/queue.ts'
import { ProtocolError } from '../errors.ts'
import {
  supplyFrameBytesMax,
  supplyListsBytesMax,
  supplyOpenMs,
  supplyRequestsMax,
  supplySilentMs,
  supplyStreamsPerPeerMax,
  supplyWatchesMax
} from '../limits.ts'
import { ChunkSet, chunkCount, chunkLength, digestOf, listDigest, sameBytes } from '../model/chunks.ts'
import { encodeManifest, type FileEntry } from '../model/manifest.ts'
import type { ModelStore, StoredModel } from '../model/store.ts'
import type { Channel, Links } from '../swarm/links.ts'
import { decodeRequest, encodeFrame } from './codec.ts'
import { type AnswerFrame, type FileId, type RequestFrame, shardsProtocol } from './frame.ts'
import type { Pace } from './pace.ts'

/** A file that is being fetched: what has come of it can be given on. */
export interface ComingFile {
  readonly list: Uint8Array
  readonly have: ChunkSet
  read(chunk: number): Promise<Uint8Array>
}

export interface ServeInit {
  readonly links: Links
  readonly store: ModelStore
  readonly pace: Pace
  /** What has come of a file that is being fetched; undefined for others. */
  readonly coming: (file: FileId) => ComingFile | undefined
  readonly onViolation: (peer: PeerId, kind: string, message: string) => void
}

interface Client {
  readonly channel: Channel
  readonly queue: BoundedQueue<RequestFrame>
  readonly watches: Set<FileId>
  readonly closed: AbortController
  answering: boolean
  /** The chunk that was read last: ranges of one chunk follow one another. */
  last: { readonly file: FileId; readonly chunk: number; readonly bytes: Uint8Array } | undefined
}

/** What the manifests here say of a file. */
type KnownFile = Pick<FileEntry, 'bytes' | 'chunks'>

const none = new Uint8Array(0)

/** Manifests are read again at most this often for a name that none of them has. */
const readAgainMs = 1_000

export class Serving {
  readonly #init: ServeInit
  readonly #clients = new Set<Client>()
  readonly #models = new Map<ModelId, StoredModel>()
  readonly #files = new Map<FileId, KnownFile>()
  /** Chunk lists that equal the manifest's digest, the last used at the end. */
  readonly #lists = new Map<FileId, Uint8Array>()
  readonly #stopping = new AbortController()
  #listsBytes = 0
  #readAtMs = Number.NEGATIVE_INFINITY
  #reading: Promise<void> | undefined

  constructor(init: ServeInit) {
    this.#init = init
  }

  async start(): Promise<void> {
    await this.#init.links.handle(
      shardsProtocol,
      { inboundMax: supplyStreamsPerPeerMax, frameBytesMax: supplyFrameBytesMax },
      channel => this.#accept(channel)
    )
  }

  async stop(): Promise<void> {
    if (this.#stopping.signal.aborted) return
    this.#stopping.abort(new Error('the peer is stopping'))
    await this.#init.links.unhandle(shardsProtocol)
    await Promise.all([...this.#clients].map(({ channel }) => channel.close()))
  }

  /** Another chunk of a file that is being fetched has come, or will. */
  announce(kind: 'have' | 'coming', file: FileId, chunk: number): void {
    for (const { watches, channel } of this.#clients) {
      if (watches.has(file)) channel.send(encodeFrame({ kind, file, chunk }))
    }
  }

  /** A model whose files may be given to others. Those whose manifest is in the store are found without this. */
  know(model: StoredModel): void {
    this.#models.set(model.id, model)
    const { shards, tokenizer } = model.manifest
    for (const { sha256, bytes, chunks } of [...shards, tokenizer]) this.#files.set(sha256, { bytes, chunks })
  }

  /** The disk was searched for chunks of a file that is being fetched. */
  found(file: FileId): void {
    const known = this.#files.get(file)
    if (known === undefined) return
    for (const { watches, channel } of this.#clients) if (watches.has(file)) channel.send(this.#state(file, known))
  }

  /** What was known of a file's bytes counts no more: it turned out to be damaged, or was fetched anew. */
  forget(file: FileId): void {
    this.#listsBytes -= this.#lists.get(file)?.length ?? 0
    this.#lists.delete(file)
    for (const client of this.#clients) if (client.last?.file === file) client.last = undefined
  }

  #accept(channel: Channel): void {
    const client: Client = {
      channel,
      queue: new BoundedQueue(supplyRequestsMax),
      watches: new Set(),
      closed: new AbortController(),
      answering: false,
      last: undefined
    }
    this.#clients.add(client)
    channel.receive({
      onFrame: bytes => {
        try {
          if (!client.queue.push(decodeRequest(bytes))) throw new ProtocolError('too many requests wait for answers')
          void this.#answerAll(client)
        } catch (error) {
          if (!(error instanceof ProtocolError)) throw error
          this.#violation(client, error)
        }
      },
      onClose: () => {
        this.#clients.delete(client)
        client.closed.abort(new Error('the stream is closed'))
        client.queue.clear()
      }
    })
  }

  #violation({ channel }: Client, error: ProtocolError): void {
    this.#init.onViolation(channel.remote, 'bad shards frame', `${channel.remote}: ${error.message}`)
    channel.abort(error)
  }

  /** Answers a stream's requests one after another, so that a reader that is slow holds up itself alone. */
  async #answerAll(client: Client): Promise<void> {
    if (client.answering) return
    client.answering = true
    const ended = AbortSignal.any([client.closed.signal, this.#stopping.signal])
    try {
      for (let next = client.queue.shift(); next !== undefined; next = client.queue.shift()) {
        const answer = await this.#answer(client, next, ended)
        ended.throwIfAborted()
        if (answer === undefined || client.channel.send(encodeFrame(answer))) continue
        await client.channel.ready({ signal: AbortSignal.any([ended, AbortSignal.timeout(supplySilentMs)]) })
      }
    } catch (error) {
      if (ended.aborted) return
      if (error instanceof ProtocolError) this.#violation(client, error)
      else client.channel.abort(error as Error)
    } finally {
      client.answering = false
    }
  }

  /** The answer, or undefined when it was sent already. */
  async #answer(client: Client, request: RequestFrame, signal: AbortSignal): Promise<AnswerFrame | undefined> {
    switch (request.kind) {
      case 'manifest-request': {
        const { model } = request
        const stored = await this.#model(model)
        if (stored === undefined) return { kind: 'refuse', subject: 'manifest', model }
        return { kind: 'manifest', model, json: encodeManifest(stored.manifest) }
      }
      case 'watch': {
        const { file } = request
        const known = await this.#file(file)
        if (known === undefined) return { kind: 'refuse', subject: 'file', file }
        const whole = (await this.#whole(file, known, signal)) !== undefined
        if (client.watches.size >= supplyWatchesMax) throw new ProtocolError('it watches too many files')
        client.watches.add(file)
        // Sent in the same turn: what comes later is announced after it.
        client.channel.send(
          whole ? encodeFrame({ kind: 'state', file, whole, chunks: none }) : this.#state(file, known)
        )
        return undefined
      }
      case 'list-request': {
        const { file } = request
        const known = await this.#file(file)
        const list = known && (this.#init.coming(file)?.list ?? (await this.#whole(file, known, signal)))
        if (list === undefined) return { kind: 'refuse', subject: 'list', file }
        return { kind: 'list', file, digests: list }
      }
      case 'range-request': {
        const { file, chunk, offset, length } = request
        const bytes = await this.#chunk(client, file, chunk, signal)
        if (bytes === undefined || offset + length > bytes.length) {
          return { kind: 'refuse', subject: 'range', file, chunk, offset }
        }
        await this.#paced(length, signal)
        const { live } = this.#init.pace
        return { kind: 'range', file, chunk, offset, data: bytes.subarray(offset, offset + length), live }
      }
    }
  }

  #state(file: FileId, { bytes }: KnownFile): Uint8Array {
    const { bits } = this.#init.coming(file)?.have ?? new ChunkSet(chunkCount(bytes))
    return encodeFrame({ kind: 'state', file, whole: false, chunks: bits.slice() })
  }

  /** Waits until bulk may go out, and takes its share. */
  async #paced(bytes: number, signal: AbortSignal): Promise<void> {
    const { pace } = this.#init
    for (;;) {
      signal.throwIfAborted()
      const waitMs = pace.waitMs(performance.now())
      if (waitMs === 0) break
      await new Promise(resolve => setTimeout(resolve, Math.min(waitMs, supplyOpenMs)))
    }
    pace.take(bytes, performance.now())
  }

  /** A chunk that has the digest that its list gives, or undefined. */
  async #chunk(client: Client, file: FileId, chunk: number, signal: AbortSignal): Promise<Uint8Array | undefined> {
    if (client.last?.file === file && client.last.chunk === chunk) return client.last.bytes
    const known = await this.#file(file)
    if (known === undefined || chunk >= chunkCount(known.bytes)) return undefined
    const coming = this.#init.coming(file)
    const list = coming?.list ?? (await this.#whole(file, known, signal))
    if (list === undefined) return undefined
    const bytes = coming?.have.has(chunk)
      ? await coming.read(chunk).catch(() => undefined)
      : await this.#init.store.readChunk({ bytes: known.bytes, sha256: file }, chunk).catch(() => undefined)
    if (bytes?.length !== chunkLength(known.bytes, chunk)) return undefined
    if (!sameBytes(hash('sha256', bytes, 'buffer'), digestOf(list, chunk))) {
      this.forget(file)
      return undefined
    }
    client.last = { file, chunk, bytes }
    return bytes
  }

  /** The chunk list of a file that is here whole and right; undefined for others. */
  async #whole(file: FileId, known: KnownFile, signal: AbortSignal): Promise<Uint8Array | undefined> {
    const found = this.#lists.get(file)
    if (found !== undefined) {
      this.#lists.delete(file)
      this.#lists.set(file, found)
      return found
    }
    const list = await this.#init.store.chunkList({ bytes: known.bytes, sha256: file }, { signal })
    if (list === undefined || listDigest(list) !== known.chunks) return undefined
    this.#lists.set(file, list)
    this.#listsBytes += list.length
    for (const [old] of this.#lists) {
      if (this.#listsBytes <= supplyListsBytesMax || old === file) break
      this.forget(old)
    }
    return list
  }

  async #file(file: FileId): Promise<KnownFile | undefined> {
    if (!this.#files.has(file)) await this.#readManifests()
    return this.#files.get(file)
  }

  async #model(model: ModelId): Promise<StoredModel | undefined> {
    if (!this.#models.has(model)) await this.#readManifests()
    return this.#models.get(model)
  }

  /** Nothing but what a manifest here lists is ever read for others. */
  async #readManifests(): Promise<void> {
    if (this.#reading === undefined) {
      if (performance.now() - this.#readAtMs < readAgainMs) return
      this.#reading = this.#init.store
        .list()
        .then(models => {
          this.#models.clear()
          this.#files.clear()
          for (const model of models) this.know(model)
        })
        .finally(() => {
          this.#readAtMs = performance.now()
          this.#reading = undefined
        })
    }
    // Those who ask meanwhile wait for the same answer.
    await this.#reading
  }
}
