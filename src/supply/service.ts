/**
 * Weights from peers: what of a model is not here is fetched from those who have it, and what is here, is given to
 * those who ask (protocols/shards.md).
 */
import { hash } from 'node:crypto'
import { type Clock, systemClock } from '../base/clock.ts'
import { endAll } from '../base/ends.ts'
import type { ModelId, PeerId } from '../base/ids.ts'
import type { Rng } from '../base/rng.ts'
import {
  CorruptShardError,
  InvalidManifestError,
  type ModelSignatureError,
  NotHeldError,
  ProtocolError
} from '../errors.ts'
import { manifestBytesMax } from '../model/limits.ts'
import { supplyOpenMs } from './limits.ts'
import type { AnyManifest, FileEntry } from '../model/manifest.ts'
import { decodeManifest } from '../model/read-manifest.ts'
import type { AnyModel, Store } from '../model/store.ts'
import type { Links } from '../swarm/links.ts'
import { decodeAnswer, encodeFrame } from './codec.ts'
import type { FetchProgress } from './event.ts'
import { Fetching } from './fetch-service.ts'
import { type AnswerFrame, type FileId, shardsProtocol } from './frame.ts'
import { BulkRate } from './bulk-rate.ts'
import { Giving, type KnownSignatures } from './serve-service.ts'

export type { KnownSignatures } from './serve-service.ts'

export interface SupplyInit {
  readonly links: Links
  readonly store: Store
  /** Whether sessions run on this peer now: then bulk goes slowly. */
  readonly live: () => boolean
  /**
   * Makes room on the disk for files that are to come, until what it returns is called.
   * @throws what ends the fetch before it begins @default there is room
   */
  readonly room?: (what: string, files: readonly FileEntry[]) => Promise<() => void>
  /** What is known of who signed models. @default nothing, and nothing is kept */
  readonly signatures?: KnownSignatures | undefined
  /** Called once for every stream that a peer broke by breaking the protocol or by sending wrong bytes. */
  readonly onViolation: (peer: PeerId, kind: string, message: string) => void
  /** @default the machine's */
  readonly clock?: Clock
  /** Spreads what is asked for over the sources. @default the machine's */
  readonly rng?: Rng
}

export interface FetchOptions {
  /** Peers that may have it, the likeliest first; asked again at every {@link Supply.changed}. */
  readonly peers: () => readonly PeerId[]
  readonly signal: AbortSignal
  /** What sentences call it: `layers 3-5 of big`. @default `files of a model` */
  readonly what?: string
  /** One of several files is here, whole and right. */
  readonly onFile?: () => void
}

export interface Supply {
  /**
   * Brings files into the store, whole and right. What has come stays there however it ends: the next call goes on.
   *
   * @throws {NotHeldError} when no peer has what is missing; {CorruptShardError} when the manifest contradicts itself;
   *   {DiskBudgetError} when they do not fit
   * @throws the file system's error, or the signal's reason
   */
  fetch(files: readonly FileEntry[], options: FetchOptions): Promise<void>
  /**
   * Makes a model known here: its manifest and its tokenizer come from peers, its shards when they are needed.
   *
   * @throws as {@link fetch}, and {ModelSignatureError} where a signature is required and no peer that was asked has one, before anything is fetched
   */
  learn(model: ModelId, options: FetchOptions): Promise<AnyModel>
  /** How far files have come, those together that are being fetched; undefined when none is. */
  progress(files: readonly FileEntry[]): FetchProgress | undefined
  /** Peers or their records have changed. */
  changed(): void
  /** Does work that needs the processor to itself: meanwhile bulk takes little of it. @throws what the work throws */
  gently<T>(work: () => Promise<T>): Promise<T>
  /** Files of which another peer is given chunks now. */
  readonly sending: ReadonlySet<FileId>
  /** A file here turned out to be damaged, or is gone. */
  forget(file: FileId): void
  stop(): Promise<void>
}

/** Starts to give what the store has. */
export async function createSupply(init: SupplyInit): Promise<Supply> {
  const supply = new Service(init)
  await supply.start()
  return supply
}

class Service implements Supply {
  readonly #init: SupplyInit
  readonly #giving: Giving
  readonly #fetching: Fetching
  /** Work under way that needs the processor. */
  #gentle = 0

  constructor(init: SupplyInit) {
    this.#init = init
    const { links, store, live, onViolation, signatures, clock = systemClock, rng } = init
    const bulkRate = new BulkRate(live, () => this.#gentle > 0)
    this.#giving = new Giving({
      links,
      store,
      bulkRate,
      clock,
      onViolation,
      signatures,
      coming: file => this.#fetching.coming(file)
    })
    this.#fetching = new Fetching({
      links,
      store,
      bulkRate,
      clock,
      rng,
      onViolation,
      onFound: file => this.#giving.found(file),
      onComing: (file, chunk) => this.#giving.announce('coming', file, chunk),
      onChunk: (file, chunk) => this.#giving.announce('have', file, chunk),
      onFile: file => this.#giving.forget(file)
    })
  }

  async start(): Promise<void> {
    await this.#giving.start()
  }

  async fetch(files: readonly FileEntry[], options: FetchOptions): Promise<void> {
    const { what = 'files of a model' } = options
    const leave = await this.#init.room?.(what, files)
    try {
      const fetchOne = async (file: FileEntry): Promise<void> => {
        await this.#fetching.fetch(file, options)
        options.onFile?.()
      }
      const each = await Promise.allSettled(files.map(fetchOne))
      for (const result of each) if (result.status === 'rejected') throw result.reason
    } finally {
      leave?.()
    }
  }

  get sending(): ReadonlySet<FileId> {
    return this.#giving.sending
  }

  async learn(model: ModelId, { peers, signal }: FetchOptions): Promise<AnyModel> {
    const { store } = this.#init
    const { manifest, signatures } = await this.#manifest(model, { peers, signal })
    const { tokenizer } = manifest
    const stored = { id: model, manifest, folder: store.own, shipped: false } as AnyModel
    try {
      if (tokenizer !== null) await store.tokenizerFile(stored, { signal })
    } catch (error) {
      if (!(error instanceof CorruptShardError) || tokenizer === null) throw error
      await this.fetch([tokenizer], { peers, signal, what: `the tokenizer of ${manifest.name}` })
    }
    const put = (await store.putManifest(manifest, { partial: true })) as AnyModel
    if (signatures.length > 0) await this.#init.signatures?.learn(model, signatures)
    this.#giving.know(put)
    return put
  }

  progress(files: readonly FileEntry[]): FetchProgress | undefined {
    const each = files.flatMap(({ sha256 }) => this.#fetching.progress(sha256) ?? [])
    if (each.length === 0) return undefined
    return {
      bytes: each.reduce((sum, { bytes }) => sum + bytes, 0),
      bytesTotal: each.reduce((sum, { bytesTotal }) => sum + bytesTotal, 0),
      peers: Math.max(...each.map(({ peers }) => peers))
    }
  }

  changed(): void {
    this.#fetching.changed()
  }

  async gently<T>(work: () => Promise<T>): Promise<T> {
    this.#gentle++
    try {
      return await work()
    } finally {
      this.#gentle--
    }
  }

  forget(file: FileId): void {
    this.#giving.forget(file)
  }

  async stop(): Promise<void> {
    await endAll([() => this.#giving.stop(), () => this.#fetching.stop()])
  }

  /** Asks one peer after another. */
  async #manifest(
    model: ModelId,
    { peers, signal }: FetchOptions
  ): Promise<{ readonly manifest: AnyManifest; readonly signatures: Uint8Array }> {
    const said: string[] = []
    let unsigned: ModelSignatureError | undefined
    for (const peer of peers()) {
      signal.throwIfAborted()
      try {
        const answer = await this.#ask(peer, model, signal)
        if (answer.kind === 'refuse') {
          said.push(`${peer.slice(-8)} does not have it`)
          continue
        }
        if (answer.kind !== 'manifest' || answer.model !== model || answer.json.length > manifestBytesMax) {
          throw new ProtocolError('it answers something else than a manifest that was asked for')
        }
        const sent = hash('sha256', answer.json, 'hex')
        if (sent !== model) {
          throw new ProtocolError(`it sent the manifest of ${sent.slice(0, 12)} for ${model.slice(0, 12)}`)
        }
        const manifest = decodeManifest(answer.json, `the manifest of ${model.slice(0, 12)}`)
        const { signatures } = answer
        unsigned = await this.#init.signatures?.refusal({ id: model, manifest }, signatures)
        // Another one may know of more who signed it.
        if (unsigned !== undefined) continue
        return { manifest, signatures }
      } catch (error) {
        signal.throwIfAborted()
        // The bytes are what the id says: nobody else has others.
        if (error instanceof InvalidManifestError) throw error
        if (error instanceof ProtocolError) {
          this.#init.onViolation(peer, 'wrong bytes', `${peer}: ${error.message}`)
        }
        said.push((error as Error).message)
      }
    }
    if (unsigned !== undefined) throw unsigned
    const why = said.length === 0 ? 'nobody offers it' : said.join('; ')
    throw new NotHeldError(`the manifest of ${model.slice(0, 12)} could not be fetched: ${why}`)
  }

  /** One question on a stream of its own. */
  async #ask(peer: PeerId, model: ModelId, signal: AbortSignal): Promise<AnswerFrame> {
    const limited = AbortSignal.any([signal, (this.#init.clock ?? systemClock).deadline(supplyOpenMs)])
    const channel = await this.#init.links.open(peer, shardsProtocol, { signal: limited })
    try {
      const { promise, resolve, reject } = Promise.withResolvers<AnswerFrame>()
      limited.addEventListener('abort', () => reject(new NotHeldError(`${peer} did not answer in time`)), {
        once: true
      })
      channel.receive({
        onFrame: bytes => {
          try {
            const answer = decodeAnswer(bytes)
            if (answer !== undefined) resolve(answer)
          } catch (error) {
            reject(error)
          }
        },
        onClose: error => reject(error ?? new NotHeldError(`${peer} closed its stream without an answer`))
      })
      channel.send(encodeFrame({ kind: 'manifest-request', model }))
      return await promise
    } finally {
      void channel.close()
    }
  }
}
