/** Fetches files from peers into the store: gives the decider in `fetch.ts` its streams, disk and time. */
import { type Clock, systemClock, type Timer } from '../base/clock.ts'
import { systemRng } from '../base/entropy.ts'
import type { PeerId } from '../base/ids.ts'
import type { Rng } from '../base/rng.ts'
import { Turns } from '../base/turns.ts'
import { NotHeldError, ProtocolError } from '../errors.ts'
import { supplyOpenMs, supplyTickMs } from './limits.ts'
import { sameBytes } from '../base/same-bytes.ts'
import type { ChunkSet } from '../model/chunks.ts'
import type { FileEntry } from '../model/manifest.ts'
import type { IncomingFile } from '../model/partial-file.ts'
import type { Store } from '../model/store.ts'
import type { Channel, Links } from '../swarm/links.ts'
import { encodeFrame } from './codec.ts'
import type { FetchEffect, FetchEvent, FetchProgress } from './event.ts'
import { Fetch } from './fetch.ts'
import { type FileId, shardsProtocol } from './frame.ts'
import type { BulkRate } from './bulk-rate.ts'
import type { ComingFile } from './serve-service.ts'

export interface FetchServiceInit {
  readonly links: Links
  readonly store: Store
  readonly bulkRate: BulkRate
  readonly onViolation: (peer: PeerId, kind: string, message: string) => void
  /** @default the machine's */
  readonly clock?: Clock
  /** @default the machine's */
  readonly rng?: Rng | undefined
  /** The disk was searched for chunks of a file. */
  readonly onFound: (file: FileId) => void
  /** A chunk of a file was asked for. */
  readonly onComing: (file: FileId, chunk: number) => void
  /** A chunk of a file has come. */
  readonly onChunk: (file: FileId, chunk: number) => void
  /** A file has come whole. */
  readonly onFile: (file: FileId) => void
}

/** Those who wait for one file. */
interface Coming {
  readonly entry: FileEntry
  readonly partial: IncomingFile
  readonly peers: () => readonly PeerId[]
  readonly settled: PromiseWithResolvers<void>
  readonly ending: AbortController
  list: Uint8Array | undefined
  have: ChunkSet | undefined
  /** The last write to the file: it is closed after it. */
  writing: Promise<void>
  /** All of it is here, and is being looked at: nothing more of it is wanted. */
  isWhole: boolean
}

export class Fetching {
  readonly #init: FetchServiceInit
  readonly #clock: Clock
  readonly #decider: Fetch
  readonly #coming = new Map<FileId, Coming>()
  /** By file: how many callers wait, and for what. */
  readonly #waiting = new Map<FileId, { callers: number; readonly done: Promise<void> }>()
  readonly #channels = new Map<PeerId, Channel>()
  readonly #stopping = new AbortController()
  readonly #turns = new Turns<FetchEvent>(event => {
    for (const effect of this.#decider.handle(event, this.#clock.nowMs())) this.#do(effect)
  })
  #tick: Timer | undefined
  #wake: Timer | undefined

  constructor(init: FetchServiceInit) {
    this.#init = init
    this.#clock = init.clock ?? systemClock
    this.#decider = new Fetch({ rng: init.rng ?? systemRng, bulkRate: init.bulkRate })
  }

  /** What has come of a file that is being fetched, once its chunk list is known. */
  coming(file: FileId): ComingFile | undefined {
    const coming = this.#coming.get(file)
    if (coming?.list === undefined || coming.have === undefined) return undefined
    return { list: coming.list, have: coming.have, read: chunk => coming.partial.read(chunk) }
  }

  progress(file: FileId): FetchProgress | undefined {
    return this.#decider.progress(file)
  }

  /**
   * Fetches one file; it is in the store, right and whole, when the promise resolves. What has come stays on disk
   * however it ends. Several callers share one fetch.
   *
   * @throws {NotHeldError} when no peer has what is missing, {CorruptShardError} when the manifest contradicts itself
   * @throws the file system's error, or the signal's reason
   */
  async fetch(
    entry: FileEntry,
    { peers, signal }: { peers: () => readonly PeerId[]; signal: AbortSignal }
  ): Promise<void> {
    signal.throwIfAborted()
    this.#stopping.signal.throwIfAborted()
    const file = entry.sha256
    let waiting = this.#waiting.get(file)
    if (waiting === undefined) {
      const done = this.#fetchOne(entry, peers)
      waiting = { callers: 0, done }
      this.#waiting.set(file, waiting)
      const forget = (): void => void this.#waiting.delete(file)
      done.then(forget, forget)
    }
    waiting.callers++
    const aborted = Promise.withResolvers<never>()
    const abort = (): void => aborted.reject(signal.reason)
    signal.addEventListener('abort', abort, { once: true })
    try {
      await Promise.race([waiting.done, aborted.promise])
    } finally {
      signal.removeEventListener('abort', abort)
      waiting.callers--
      if (signal.aborted && waiting.callers === 0) {
        this.#coming.get(file)?.ending.abort(signal.reason)
        await waiting.done.catch(() => {})
      }
    }
  }

  /** Peers or what they hold may have changed. */
  changed(): void {
    for (const { entry, peers, isWhole } of this.#coming.values()) {
      // The decider has forgotten it, and would fetch it once more.
      if (isWhole) continue
      const { sha256: file, bytes, chunks } = entry
      this.#feed({ kind: 'want', wanted: { file, bytes, chunks }, peers: peers() })
    }
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the peer is stopping'))
    for (const { ending } of this.#coming.values()) ending.abort(this.#stopping.signal.reason)
    await Promise.allSettled([...this.#waiting.values()].map(({ done }) => done))
    this.#tick?.stop()
    this.#wake?.stop()
    await Promise.all([...this.#channels.values()].map(channel => channel.close()))
  }

  async #fetchOne(entry: FileEntry, peers: () => readonly PeerId[]): Promise<void> {
    const { sha256: file, bytes, chunks } = entry
    const partial = await this.#init.store.openPartial(entry)
    const coming: Coming = {
      entry,
      partial,
      peers,
      settled: Promise.withResolvers<void>(),
      ending: new AbortController(),
      list: undefined,
      have: undefined,
      writing: Promise.resolve(),
      isWhole: false
    }
    const { settled, ending } = coming
    ending.signal.addEventListener('abort', () => settled.reject(ending.signal.reason))
    this.#coming.set(file, coming)
    if (this.#stopping.signal.aborted) ending.abort(this.#stopping.signal.reason)
    try {
      this.#feed({ kind: 'want', wanted: { file, bytes, chunks }, peers: peers() })
      await settled.promise
      await partial.finish({ signal: ending.signal })
      this.#coming.delete(file)
      this.#init.onFile(file)
    } catch (error) {
      this.#coming.delete(file)
      this.#feed({ kind: 'drop', file })
      await coming.writing.catch(() => {})
      await partial.close().catch(() => {})
      throw error
    }
  }

  /** One event after another: what an effect causes at once waits its turn. */
  #feed(event: FetchEvent): void {
    if (!this.#turns.give(event)) return
    if (this.#tick === undefined && this.#decider.busy && !this.#stopping.signal.aborted) {
      this.#tick = this.#clock.every(supplyTickMs, () => this.#onTick()).unref()
    }
  }

  #onTick(): void {
    this.#feed({ kind: 'tick' })
    if (this.#decider.busy) return
    this.#tick?.stop()
    this.#tick = undefined
  }

  #do(effect: FetchEffect): void {
    switch (effect.kind) {
      case 'open':
        void this.#open(effect.peer)
        break
      case 'close':
        void this.#channels.get(effect.peer)?.close()
        this.#channels.delete(effect.peer)
        break
      case 'send':
        // The window bounds what is asked for, so `ready` need not be waited for.
        this.#channels.get(effect.peer)?.send(encodeFrame(effect.frame))
        break
      case 'list':
        void this.#scan(effect.file, effect.list)
        break
      case 'coming':
        this.#init.onComing(effect.file, effect.chunk)
        break
      case 'check':
        void this.#check(effect)
        break
      case 'store':
        this.#store(effect.file, effect.chunk, effect.bytes)
        break
      case 'done':
        this.#whole(effect.file)
        break
      case 'failed':
        this.#coming.get(effect.file)?.settled.reject(new NotHeldError(effect.message))
        break
      case 'violation':
        this.#channels.get(effect.peer)?.abort(new ProtocolError(effect.message))
        this.#init.onViolation(effect.peer, effect.violation, effect.message)
        break
      case 'wake': {
        this.#wake?.stop()
        const waitMs = Math.max(1, effect.atMs - this.#clock.nowMs())
        this.#wake = this.#clock.after(waitMs, () => this.#feed({ kind: 'tick' })).unref()
        break
      }
    }
  }

  #whole(file: FileId): void {
    const coming = this.#coming.get(file)
    if (coming === undefined) return
    coming.isWhole = true
    coming.settled.resolve()
  }

  async #open(peer: PeerId): Promise<void> {
    let channel: Channel
    try {
      const signal = AbortSignal.any([this.#stopping.signal, this.#clock.deadline(supplyOpenMs)])
      channel = await this.#init.links.open(peer, shardsProtocol, { signal })
    } catch {
      this.#feed({ kind: 'closed', peer })
      return
    }
    this.#channels.set(peer, channel)
    this.#feed({ kind: 'opened', peer })
    channel.receive({
      onFrame: bytes => {
        if (this.#channels.get(peer) !== channel) return
        this.#feed({ kind: 'frame', peer, bytes })
        channel.wanted?.()
      },
      onClose: () => {
        if (this.#channels.get(peer) !== channel) return
        this.#channels.delete(peer)
        this.#feed({ kind: 'closed', peer })
      }
    })
  }

  async #scan(file: FileId, list: Uint8Array): Promise<void> {
    const coming = this.#coming.get(file)
    if (coming === undefined) return
    try {
      const have = await coming.partial.scan(list, { signal: coming.ending.signal })
      coming.list = list
      coming.have = have
      if (have.size > 0) this.#init.onFound(file)
      this.#feed({ kind: 'resumed', file, have })
    } catch (error) {
      coming.settled.reject(error)
    }
  }

  async #check({ check, file, bytes, digest }: FetchEffect & { readonly kind: 'check' }): Promise<void> {
    try {
      this.#feed({ kind: 'checked', check, isRight: sameBytes(await this.#init.store.digest(bytes), digest) })
    } catch (error) {
      // Not for what the bytes are: there was no memory to look at them.
      this.#coming.get(file)?.settled.reject(error)
    }
  }

  #store(file: FileId, chunk: number, bytes: Uint8Array): void {
    const coming = this.#coming.get(file)
    if (coming === undefined) return
    const written = coming.partial.write(chunk, bytes)
    coming.writing = Promise.all([coming.writing, written]).then(() => {})
    coming.writing.catch(() => {})
    written.then(
      () => {
        coming.have?.add(chunk)
        this.#init.onChunk(file, chunk)
        this.#feed({ kind: 'stored', file, chunk })
      },
      error => coming.settled.reject(error)
    )
  }
}
