/** A model's files on a modelled disk, as a peer's store has them: reading and writing take time, and every byte is judged. */
import { CorruptShardError } from '../src/errors.ts'
import { sameBytes } from '../src/base/same-bytes.ts'
import { ChunkSet, chunkCount, chunkLength } from '../src/model/chunks.ts'
import type { AnyManifest, ShardEntry } from '../src/model/manifest.ts'
import { stageShards } from '../src/model/manifest.ts'
import type { IncomingFile } from '../src/model/partial-file.ts'
import type { Store, Stored, StoredModel } from '../src/model/store.ts'
import type { Promises } from './promises.ts'
import { chunkOf, type Disk, sha256, type Weights, type WeightsFile } from './weights.ts'

export interface MemoryStoreInit {
  readonly name: string
  readonly model: StoredModel
  /** Undefined where everybody has all of it. */
  readonly weights: Weights | undefined
  readonly disk: Disk
  readonly promises: Promises
  /** Lets the disk read or write so many bytes. */
  readonly spend: (bytes: number) => Promise<void>
}

type Named = { readonly bytes: number; readonly sha256: string }

export class MemoryStore implements Store {
  readonly own = 'memory'
  readonly #init: MemoryStoreInit

  constructor(init: MemoryStoreInit) {
    this.#init = init
  }

  async list(): Promise<StoredModel[]> {
    return [this.#init.model]
  }

  async find(nameOrId: string): Promise<StoredModel[]> {
    const { model } = this.#init
    return nameOrId === model.id || nameOrId === model.manifest.name ? [model] : []
  }

  async resolve(): Promise<StoredModel> {
    return this.#init.model
  }

  async unusable(): Promise<string[]> {
    return []
  }

  async held({ manifest }: StoredModel): Promise<ShardEntry[]> {
    return manifest.shards.filter(shard => this.#has(shard))
  }

  async verify(): Promise<void> {}

  async verifiedStage({ manifest }: StoredModel, start: number, end: number): ReturnType<Store['verifiedStage']> {
    const missing = stageShards(manifest, start, end).find(shard => !this.#has(shard))
    if (missing !== undefined) throw new CorruptShardError(`${missing.sha256} is not here`)
    return { folder: this.own } as Awaited<ReturnType<Store['verifiedStage']>>
  }

  async tokenizerFile(): Promise<string> {
    return this.own
  }

  async putManifest<M extends AnyManifest>(_: M): Promise<Stored<M>> {
    return this.#init.model as Stored<AnyManifest> as Stored<M>
  }

  async digest(bytes: Uint8Array): Promise<Uint8Array> {
    return sha256(bytes)
  }

  async readChunk({ sha256: file }: Named, chunk: number): Promise<Uint8Array | undefined> {
    const found = this.#init.weights?.get(file)
    if (found === undefined || !this.#init.disk.has(file)) return undefined
    const bytes = chunkOf(found, chunk)
    await this.#init.spend(bytes.length)
    return bytes
  }

  async chunkList({ sha256: file }: Named): Promise<Uint8Array | undefined> {
    return this.#init.disk.has(file) ? this.#init.weights?.get(file)?.list : undefined
  }

  async openPartial({ sha256: file }: Named): Promise<IncomingFile> {
    return new MemoryPartial(this.#init, this.#init.weights!.get(file)!)
  }

  /** A file without bytes is everywhere. */
  #has({ sha256: file, bytes }: Named): boolean {
    const { weights, disk } = this.#init
    return weights === undefined || bytes === 0 || disk.has(file)
  }
}

/** A file on its way. What was written is on the disk, whatever becomes of the process. */
class MemoryPartial implements IncomingFile {
  readonly #init: MemoryStoreInit
  readonly #file: WeightsFile

  constructor(init: MemoryStoreInit, file: WeightsFile) {
    this.#init = init
    this.#file = file
  }

  async scan(list: Uint8Array): Promise<ChunkSet> {
    const { promises, name, weights, disk, spend } = this.#init
    if (!sameBytes(list, this.#file.list)) {
      promises.broken('wrong-weights', `${name} believes a wrong chunk list of ${weights!.names([this.#file])}`)
    }
    const here = disk.chunks(this.#file)
    if (here.size > 0) await spend(Math.min(this.#file.bytes, here.size * chunkLength(this.#file.bytes, 0)))
    return new ChunkSet(here.chunks, here.bits.slice())
  }

  async read(chunk: number): Promise<Uint8Array> {
    const bytes = chunkOf(this.#file, chunk)
    await this.#init.spend(bytes.length)
    return bytes
  }

  async write(chunk: number, bytes: Uint8Array): Promise<void> {
    const { promises, name, weights, disk, spend } = this.#init
    promises.checks++
    if (!sameBytes(bytes, chunkOf(this.#file, chunk))) {
      promises.broken(
        'wrong-weights',
        `${name} stores wrong bytes as chunk ${chunk} of ${weights!.names([this.#file])}`
      )
    }
    await spend(bytes.length)
    disk.write(this.#file, chunk)
  }

  async finish(): Promise<void> {
    const { promises, name, weights, disk } = this.#init
    const { chunks, size } = disk.chunks(this.#file)
    if (size < chunks || chunks !== chunkCount(this.#file.bytes)) {
      promises.broken(
        'wrong-weights',
        `${name} takes ${weights!.names([this.#file])} for whole, and some of it is missing`
      )
    }
  }

  async close(): Promise<void> {}
}
