/**
 * Gives others what the store has, chunk by chunk: gives `serve.ts` its streams, files and time. What goes out was
 * checked against the chunk list first, so a peer with a failing disk says that it does not have a chunk, and is not
 * taken for a liar.
 */
import { type Clock, systemClock, type Timer } from '../base/clock.ts'
import type { ModelId, PeerId } from '../base/ids.ts'
import { Turns } from '../base/turns.ts'
import { type ModelSignatureError, ProtocolError } from '../errors.ts'
import { supplyFrameBytesMax, supplyListsBytesMax, supplySilentMs, supplyStreamsPerPeerMax } from './limits.ts'
import { sameBytes } from '../base/same-bytes.ts'
import { ChunkSet, chunkCount, chunkLength, digestOf, listDigest } from '../model/chunks.ts'
import { type AnyManifest, encodeManifest, type FileEntry } from '../model/manifest.ts'
import type { AnyModel, Store } from '../model/store.ts'
import type { Channel, Links } from '../swarm/links.ts'
import { encodeFrame } from './codec.ts'
import { type FileId, type RequestFrame, shardsProtocol } from './frame.ts'
import type { BulkRate } from './bulk-rate.ts'
import { type ClientId, type Found, Serve, type ServeEffect, type ServeEvent } from './serve.ts'

/** A file that is being fetched: what has come of it can be given on. */
export interface ComingFile {
  readonly list: Uint8Array
  readonly have: ChunkSet
  read(chunk: number): Promise<Uint8Array>
}

export interface ServeInit {
  readonly links: Links
  readonly store: Store
  readonly bulkRate: BulkRate
  /** What has come of a file that is being fetched; undefined for others. */
  readonly coming: (file: FileId) => ComingFile | undefined
  readonly signatures: KnownSignatures | undefined
  readonly onViolation: (peer: PeerId, kind: string, message: string) => void
  /** @default the machine's */
  readonly clock?: Clock
}

/** Signatures of models, as bytes: who signed, and whether that is right, is known elsewhere. */
export interface KnownSignatures {
  /** Those of a model here; none where they cannot be read. */
  of(model: ModelId): Promise<Uint8Array>
  /** Keeps those that are right of what a peer sent. Never throws. */
  learn(model: ModelId, signatures: Uint8Array): Promise<void>
  /** Why a model may not come here, by the signatures that a peer sent with its manifest; undefined where it may. */
  refusal(
    model: { readonly id: ModelId; readonly manifest: AnyManifest },
    sent: Uint8Array
  ): Promise<ModelSignatureError | undefined>
}

interface Client {
  readonly channel: Channel
  readonly closed: AbortController
}

/** What the manifests here say of a file. */
type KnownFile = Pick<FileEntry, 'bytes' | 'chunks'>

/** Manifests are read again at most this often for a name that none of them has. */
const readAgainMs = 1_000

export class Giving {
  readonly #init: ServeInit
  readonly #clock: Clock
  readonly #decider: Serve
  readonly #clients = new Map<ClientId, Client>()
  readonly #models = new Map<ModelId, AnyModel>()
  readonly #files = new Map<FileId, KnownFile>()
  /** Chunk lists that equal the manifest's digest, the last used at the end. */
  readonly #lists = new Map<FileId, Uint8Array>()
  readonly #stopping = new AbortController()
  #listsBytes = 0
  #readAtMs = Number.NEGATIVE_INFINITY
  #reading: Promise<void> | undefined
  #accepted = 0
  readonly #turns = new Turns<ServeEvent>(event => {
    for (const effect of this.#decider.handle(event, this.#clock.nowMs())) this.#do(effect)
  })
  #wake: Timer | undefined

  constructor(init: ServeInit) {
    this.#init = init
    this.#clock = init.clock ?? systemClock
    this.#decider = new Serve(init.bulkRate)
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
    this.#wake?.stop()
    await this.#init.links.unhandle(shardsProtocol)
    await Promise.all([...this.#clients.values()].map(({ channel }) => channel.close()))
  }

  /** Files of which somebody is given chunks now. */
  get sending(): ReadonlySet<FileId> {
    return this.#decider.sending
  }

  /** Another chunk of a file that is being fetched has come, or will. */
  announce(kind: 'have' | 'coming', file: FileId, chunk: number): void {
    this.#feed({ kind, file, chunk })
  }

  /** A model whose files may be given to others. Those whose manifest is in the store are found without this. */
  know(model: AnyModel): void {
    this.#models.set(model.id, model)
    const { shards, tokenizer } = model.manifest
    const files = tokenizer === null ? shards : [...shards, tokenizer]
    for (const { sha256, bytes, chunks } of files) this.#files.set(sha256, { bytes, chunks })
  }

  /** The disk was searched for chunks of a file that is being fetched. */
  found(file: FileId): void {
    const known = this.#files.get(file)
    if (known !== undefined) this.#feed({ kind: 'searched', file, chunks: this.#coming(file, known) })
  }

  /** What was known of a file's bytes counts no more: it turned out to be damaged, or was fetched anew. */
  forget(file: FileId): void {
    this.#listsBytes -= this.#lists.get(file)?.length ?? 0
    this.#lists.delete(file)
    this.#feed({ kind: 'forget', file })
  }

  #accept(channel: Channel): void {
    const client = ++this.#accepted
    const closed = new AbortController()
    this.#clients.set(client, { channel, closed })
    this.#feed({ kind: 'accepted', client, peer: channel.remote })
    channel.receive({
      onFrame: bytes => this.#feed({ kind: 'frame', client, bytes }),
      onClose: () => {
        this.#clients.delete(client)
        closed.abort(new Error('the stream is closed'))
        this.#feed({ kind: 'closed', client })
      }
    })
  }

  /** One event after another: what an effect causes at once waits its turn. */
  #feed(event: ServeEvent): void {
    this.#turns.give(event)
  }

  #do(effect: ServeEffect): void {
    if (effect.kind === 'wake') {
      this.#wake?.stop()
      if (this.#stopping.signal.aborted) return
      const waitMs = Math.max(1, effect.atMs - this.#clock.nowMs())
      this.#wake = this.#clock.after(waitMs, () => this.#feed({ kind: 'tick' })).unref()
      return
    }
    const client = this.#clients.get(effect.client)
    switch (effect.kind) {
      case 'find':
        if (client !== undefined) void this.#find(effect.client, client, effect.request)
        break
      case 'answer':
        if (client === undefined) break
        if (client.channel.send(encodeFrame(effect.frame))) this.#feed({ kind: 'ready', client: effect.client })
        else void this.#ready(effect.client, client)
        break
      case 'tell':
        client?.channel.send(encodeFrame(effect.frame))
        break
      case 'violation':
        this.#init.onViolation(effect.peer, effect.violation, `${effect.peer}: ${effect.message}`)
        client?.channel.abort(new ProtocolError(effect.message))
        break
    }
  }

  async #ready(id: ClientId, { channel, closed }: Client): Promise<void> {
    try {
      await channel.ready({ signal: AbortSignal.any([closed.signal, this.#clock.deadline(supplySilentMs)]) })
      this.#feed({ kind: 'ready', client: id })
    } catch (error) {
      // A reader that takes nothing any more; where the stream is closed, this does nothing.
      channel.abort(error as Error)
    }
  }

  async #find(id: ClientId, { channel, closed }: Client, request: RequestFrame): Promise<void> {
    try {
      const found = await this.#search(request, AbortSignal.any([closed.signal, this.#stopping.signal]))
      this.#feed({ kind: 'found', client: id, found: typeof found === 'function' ? found() : found })
    } catch (error) {
      channel.abort(error as Error)
    }
  }

  /** What there is, or how it is looked up in the turn in which it is told. */
  async #search(request: RequestFrame, signal: AbortSignal): Promise<Found | (() => Found) | undefined> {
    if (request.kind === 'manifest-request') {
      const stored = await this.#model(request.model)
      if (stored === undefined) return undefined
      // They are read anew each time: a person may have signed it since.
      const signatures = (await this.#init.signatures?.of(stored.id)) ?? new Uint8Array()
      return { kind: 'manifest', json: encodeManifest(stored.manifest), signatures }
    }
    const { file } = request
    const known = await this.#file(file)
    if (known === undefined) return undefined
    switch (request.kind) {
      case 'watch': {
        const whole = (await this.#whole(file, known, signal)) !== undefined
        return () => ({ kind: 'state', whole, chunks: this.#coming(file, known) })
      }
      case 'list-request': {
        const digests = this.#init.coming(file)?.list ?? (await this.#whole(file, known, signal))
        return digests && { kind: 'list', digests }
      }
      case 'range-request': {
        const bytes = await this.#chunk(file, known, request.chunk, signal)
        return bytes && { kind: 'chunk', bytes }
      }
    }
  }

  /** [chunks / 8] what has come of a file that is being fetched; nothing of others. */
  #coming(file: FileId, { bytes }: KnownFile): Uint8Array {
    return (this.#init.coming(file)?.have ?? new ChunkSet(chunkCount(bytes))).bits.slice()
  }

  /** A chunk that has the digest that its list gives, or undefined. */
  async #chunk(file: FileId, known: KnownFile, chunk: number, signal: AbortSignal): Promise<Uint8Array | undefined> {
    if (chunk >= chunkCount(known.bytes)) return undefined
    const coming = this.#init.coming(file)
    const list = coming?.list ?? (await this.#whole(file, known, signal))
    if (list === undefined) return undefined
    const bytes = coming?.have.has(chunk)
      ? await coming.read(chunk).catch(() => undefined)
      : await this.#init.store.readChunk({ bytes: known.bytes, sha256: file }, chunk).catch(() => undefined)
    if (bytes?.length !== chunkLength(known.bytes, chunk)) return undefined
    if (!sameBytes(await this.#init.store.digest(bytes), digestOf(list, chunk))) {
      this.forget(file)
      return undefined
    }
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

  async #model(model: ModelId): Promise<AnyModel | undefined> {
    if (!this.#models.has(model)) await this.#readManifests()
    return this.#models.get(model)
  }

  /** Nothing but what a manifest here lists is ever read for others. */
  async #readManifests(): Promise<void> {
    if (this.#reading === undefined) {
      if (this.#clock.nowMs() - this.#readAtMs < readAgainMs) return
      this.#reading = this.#init.store
        .list()
        .then(models => {
          this.#models.clear()
          this.#files.clear()
          for (const model of models) this.know(model)
        })
        .finally(() => {
          this.#readAtMs = this.#clock.nowMs()
          this.#reading = undefined
        })
    }
    // Those who ask meanwhile wait for the same answer.
    await this.#reading
  }
}
