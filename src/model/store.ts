/**
 * Models on this machine, addressed by content (promise P9). A store folder holds
 *
 * - `manifests/<model id>.json`: canonical manifest bytes, whose digest is the file's name;
 * - `manifests/<model id>.gives-way`: the model's files may be removed where a disk budget needs room (`marks.ts`);
 * - `manifests/<model id>.signatures`: by whom it is signed (`signatures.ts`);
 * - `shards/<sha256>`: shards and tokenizers, each under its own digest, so equal ones are kept once;
 * - `shards/.partial-<sha256>`: what has come of a file that is fetched from peers. It survives restarts.
 *
 * One folder is the peer's own; others (the models that ship with the package) are only read. A file gets its
 * final name by a rename after it was written and synced, so what has a name is whole, whenever the power went.
 */
import path from 'node:path'
import { assert } from '../base/assert.ts'
import type { ModelId } from '../base/ids.ts'
import { copyFile, link, open, rename } from '../disk/files.ts'
import { appendLines } from '../disk/lines.ts'
import { syncPath, writeWhole } from '../disk/whole-file.ts'
import { CorruptShardError, ImportError, InvalidManifestError, InvalidOptionError, type SkeinError } from '../errors.ts'
import { chunkBytes } from './limits.ts'
import { Addition } from './addition.ts'
import { chunkLength } from './chunks.ts'
import { digestOfBytes, Hashing } from './hash-service.ts'
import { journalPrefix, removeUnlisted, sweep, temporaryPrefix } from './leftovers.ts'
import { type FormerModel, olderModel } from './older.ts'
import { type AnyManifest, encodeManifest, modelId, type ShardEntry, stageShards } from './manifest.ts'
import { decodeManifest } from './read-manifest.ts'
import { givingWay, setGivesWay } from './marks.ts'
import { forget, type RemovedModel } from './removal.ts'
import { files, meant, type NamedFile, namedShard, namedTokenizer } from './named-files.ts'
import { meantModel, type Usable } from './meant-model.ts'
import { meantBy } from './names.ts'
import { type IncomingFile, openPartial, type PartialFile } from './partial-file.ts'
import { ShardFiles } from './shard-files.ts'
import type { AnyModel, Stored } from './stored.ts'
import { alone, hasSize, makeFolder, manifestBytes, names, processFile, readFully } from './store-files.ts'

export type { AnyModel, Stored, StoredGraph, StoredModel } from './stored.ts'

export interface StoreInit {
  /** Read and written; made when the first file is put. */
  readonly own: string
  /** Read only. @default [] */
  readonly shipped?: readonly string[]
  /** Why a model here may not be used, by what lies beside it in the own folder; undefined where it may. @default each may */
  readonly refusal?: ((model: AnyModel, own: string) => Promise<SkeinError | undefined>) | undefined
}

/**
 * Opens a store. Removes what an interrupted write of a process that is gone has left.
 *
 * @throws the file system's error when a folder cannot be read
 */
export async function openStore(init: StoreInit): Promise<ModelStore> {
  const store = new ModelStore(init)
  await store.sweep()
  return store
}

/** A store as the rest of a peer sees it, whatever the files lie on: this one's lie on a disk, the simulator's in memory. */
export type Store = Pick<
  ModelStore,
  | 'own'
  | 'list'
  | 'find'
  | 'resolve'
  | 'unusable'
  | 'held'
  | 'verify'
  | 'verifiedStage'
  | 'tokenizerFile'
  | 'readChunk'
  | 'chunkList'
  | 'putManifest'
  | 'digest'
> & {
  openPartial(file: { readonly bytes: number; readonly sha256: string }): Promise<IncomingFile>
}

/** Held by who gives a model its name. */
const namingFile = '.naming'

export class ModelStore {
  readonly own: string
  readonly #folders: readonly string[]
  readonly #files: ShardFiles
  readonly #hashing = new Hashing()
  readonly #refusal: StoreInit['refusal']

  constructor({ own, shipped = [], refusal }: StoreInit) {
    this.#refusal = refusal
    this.own = path.resolve(own)
    this.#folders = [...new Set([this.own, ...shipped.map(folder => path.resolve(folder))])]
    this.#files = new ShardFiles(this.#folders, this.#hashing)
  }

  /** Where its own shards lie, each under its digest. */
  get ownShards(): string {
    return path.join(this.own, 'shards')
  }

  /**
   * Removes what processes that no longer run have left: half-written files, all files of a half-done import or removal,
   * and what had come of files that no model here lists any more.
   *
   * @param endedThread one of this process that no longer runs, either
   */
  async sweep(endedThread?: number): Promise<void> {
    await sweep(this, endedThread)
  }

  /**
   * Every readable model, own ones first, then by name. The same id in two folders counts once.
   *
   * @param onBroken told of each manifest that cannot be used, and its file; the others are listed all the same
   */
  async list({
    onBroken
  }: {
    onBroken?: (error: InvalidManifestError, file: string) => void
  } = {}): Promise<AnyModel[]> {
    const models = new Map<ModelId, AnyModel>()
    for (const folder of this.#folders) {
      for (const name of (await names(path.join(folder, 'manifests'))).sort()) {
        if (!name.endsWith('.json') || name.startsWith('.')) continue
        try {
          const model = await this.#read(folder, name)
          if (!models.has(model.id)) models.set(model.id, model)
        } catch (err) {
          // One that was removed meanwhile is none that is here.
          if ((err as NodeJS.ErrnoException).code === 'ENOENT') continue
          if (!(err instanceof InvalidManifestError)) throw err
          onBroken?.(err, path.join(folder, 'manifests', name))
        }
      }
    }
    return [...models.values()].sort(
      (a, b) => Number(a.shipped) - Number(b.shipped) || (a.manifest.name < b.manifest.name ? -1 : 1)
    )
  }

  async #read(folder: string, name: string): Promise<AnyModel> {
    const file = path.join(folder, 'manifests', name)
    const manifest = decodeManifest(await manifestBytes(file), file)
    const id = modelId(manifest)
    if (name !== `${id}.json`) {
      throw new InvalidManifestError(`${file} was changed: the digest of what it holds is ${id}`)
    }
    return { id, manifest, folder, shipped: folder !== this.own } as AnyModel
  }

  /** Every readable model, by whether it may be used here. @param onBroken as with {@link list} */
  async usable(options: Parameters<ModelStore['list']>[0] = {}): Promise<Usable> {
    const models: AnyModel[] = []
    const refused: { model: AnyModel; error: SkeinError }[] = []
    for (const model of await this.list(options)) {
      const error = await this.#refusal?.(model, this.own)
      if (error === undefined) models.push(model)
      else refused.push({ model, error })
    }
    return { models, refused }
  }

  /** The model of that name or id that may be used here. @throws as {@link meantModel} */
  async resolve(nameOrId: string): Promise<AnyModel> {
    const broken: string[] = []
    const usable = await this.usable({ onBroken: ({ message }) => broken.push(message) })
    return meantModel(nameOrId, usable, broken)
  }

  /** Why models here cannot be used, one sentence each. */
  async unusable(): Promise<string[]> {
    const sentences: string[] = []
    const { refused } = await this.usable({ onBroken: ({ message }) => sentences.push(`unusable: ${message}`) })
    return [...sentences, ...refused.map(({ error }) => `unusable: ${error.message}`)]
  }

  /** The models that may be used here and have that name, id, or beginning of an id. */
  async find(nameOrId: string): Promise<AnyModel[]> {
    return meant((await this.usable()).models, nameOrId)
  }

  /** Which of the model's shards are here with the right size. Their digests are checked before use, not here. */
  async held(model: AnyModel): Promise<ShardEntry[]> {
    const present = await Promise.all(model.manifest.shards.map(shard => this.#files.find(shard)))
    return model.manifest.shards.filter((_, i) => present[i] !== undefined)
  }

  /**
   * Reads files whole and compares their digests with the manifest's; what is here is looked at before what is not.
   *
   * @param shards @default every shard, and the tokenizer
   * @throws {CorruptShardError} that names the shard, its file, and both digests or sizes; or all that are missing
   * @throws the signal's reason when aborted
   */
  async verify(
    model: AnyModel,
    { shards, signal }: { shards?: readonly ShardEntry[]; signal: AbortSignal }
  ): Promise<void> {
    const files = (shards ?? model.manifest.shards).map(namedShard)
    if (shards === undefined) files.push(...namedTokenizer(model))
    const absent: NamedFile[] = []
    for (const file of files) {
      if (await this.#files.isAbsent(file)) absent.push(file)
      else await this.#files.verify(model, file, { signal, again: true })
    }
    if (absent.length === 1) await this.#files.missing(model, absent[0]!)
    if (absent.length === 0) return
    const names = absent.map(({ label }) => label.replace(/ shard$/, '')).join(', ')
    throw new CorruptShardError(
      `${absent.length} of ${files.length} files of ${model.manifest.name} are missing, the others are right: ${names} (a peer that serves a part of a model needs no more than that part)`
    )
  }

  /**
   * The folder that holds the shards of layers [start, end), each verified against the manifest. A file that
   * this process has verified and that has not changed since is not read again.
   *
   * @throws {CorruptShardError}
   * @throws the signal's reason when aborted
   */
  async verifiedStage(
    model: AnyModel,
    start: number,
    end: number,
    { signal }: { signal: AbortSignal }
  ): Promise<{ folder: string; shards: ShardEntry[] }> {
    const shards = stageShards(model.manifest, start, end)
    const folder = await this.shardDirectory(model, shards)
    for (const shard of shards) {
      await this.#files.verify(model, namedShard(shard), { signal, again: false, at: path.join(folder, shard.sha256) })
    }
    return { folder, shards }
  }

  /**
   * One folder that holds all the given shards, each named by its digest: what maps them wants a single folder.
   * Where they are spread over several, the own folder gets hard links to the missing ones, or copies where the
   * file system has no links across.
   *
   * @param shards @default all shards of the model
   * @throws {CorruptShardError} when one is missing or has another size
   */
  async shardDirectory(model: AnyModel, shards: readonly ShardEntry[] = model.manifest.shards): Promise<string> {
    for (const folder of this.#folders) {
      const here = await Promise.all(
        shards.map(shard => this.#files.has(path.join(folder, 'shards', shard.sha256), shard))
      )
      if (here.every(Boolean)) return path.join(folder, 'shards')
    }
    const target = this.ownShards
    await makeFolder(target)
    for (const shard of shards) {
      const found = (await this.#files.find(shard)) ?? (await this.#files.missing(model, namedShard(shard)))
      const to = path.join(target, shard.sha256)
      if (found === to) continue
      const temporary = this.#temporary()
      await link(found, temporary).catch(async () => {
        await copyFile(found, temporary)
        await syncPath(temporary)
      })
      await rename(temporary, to)
    }
    return target
  }

  /**
   * Where the model's `tokenizer.json` is, verified as with {@link verifiedStage}.
   *
   * @throws {CorruptShardError}
   * @throws the signal's reason when aborted
   */
  async tokenizerFile(model: AnyModel, { signal }: { signal: AbortSignal }): Promise<string> {
    const [file] = namedTokenizer(model)
    assert(file !== undefined, 'a graph without a tokenizer is asked for none')
    const at = (await this.#files.find(file)) ?? (await this.#files.missing(model, file))
    await this.#files.verify(model, file, { signal, again: false, at })
    return at
  }

  /**
   * Opens what has come of a file, or begins it: with the bytes of a damaged file of that digest where there is one,
   * as most of its chunks are right. One process at a time writes it.
   */
  openPartial(file: { readonly bytes: number; readonly sha256: string }): Promise<PartialFile> {
    return openPartial(file, {
      own: this.ownShards,
      folders: this.#folders.map(folder => path.join(folder, 'shards')),
      hashing: this.#hashing,
      onVerified: state => this.#files.wasVerified(state, file.sha256)
    })
  }

  /**
   * Reads one chunk of a file that is here.
   *
   * @returns undefined when the file is not here with that size
   */
  async readChunk(
    file: { readonly bytes: number; readonly sha256: string },
    chunk: number
  ): Promise<Uint8Array | undefined> {
    const found = await this.#files.find(file)
    if (found === undefined) return undefined
    const handle = await open(found, 'r')
    try {
      return await readFully(handle, chunk * chunkBytes, chunkLength(file.bytes, chunk))
    } finally {
      await handle.close()
    }
  }

  /**
   * The digests of a file's chunks, one after another. `undefined` when the file is not here with that size.
   *
   * @throws the signal's reason when aborted
   */
  async chunkList(
    file: { readonly bytes: number; readonly sha256: string },
    { signal }: { signal: AbortSignal }
  ): Promise<Uint8Array | undefined> {
    const found = await this.#files.find(file)
    if (found === undefined) return undefined
    return (await this.#hashing.chunks(found, { signal })).list
  }

  /** SHA-256 of some bytes, made off this thread. */
  digest(bytes: Uint8Array): Promise<Uint8Array> {
    return digestOfBytes(bytes)
  }

  /** Begins to add the files of a model. Ends with `commit` or `rollBack`. */
  async begin(): Promise<Addition> {
    await makeFolder(this.ownShards)
    const journal = processFile(this.ownShards, journalPrefix)
    await appendLines(journal, [])
    return new Addition(
      this.#hashing,
      journal,
      () => this.#temporary(),
      async digests => void (await removeUnlisted(this, digests))
    )
  }

  /**
   * Makes a model known: its manifest is written last, when all its files are here.
   *
   * @param partial true for a model that comes from peers: whatever is missing is fetched when it is needed, and the
   *   name, which others chose, may belong to another model too
   * @param givesWay whether its files may be removed where a disk budget needs room. @default true for one that comes from
   *   peers and was not here
   * @throws {ImportError} when the name belongs to another model, or a file is missing
   */
  async putManifest<M extends AnyManifest>(
    manifest: M,
    { partial = false, givesWay = partial }: { partial?: boolean; givesWay?: boolean } = {}
  ): Promise<Stored<M>> {
    const id = modelId(manifest)
    const model: Stored<M> = { id, manifest, folder: this.own, shipped: false }
    if (partial) return this.#writeManifest(model, { partial, givesWay })
    await makeFolder(path.join(this.own, 'shards'))
    // Else another import could take the name between the look and the write.
    return alone(path.join(this.own, 'shards', namingFile), async () => {
      await this.nameIsFree(manifest.name, other => other.id === id)
      for (const file of files(model)) {
        if (!(await hasSize(path.join(this.own, 'shards', file.sha256), file))) {
          throw new ImportError(`${manifest.name}: the ${file.label} (${file.sha256}) is gone from ${this.own}`)
        }
      }
      return this.#writeManifest(model, { partial, givesWay })
    })
  }

  async #writeManifest<M extends AnyManifest>(
    model: Stored<M>,
    { partial, givesWay }: { readonly partial: boolean; readonly givesWay: boolean }
  ): Promise<Stored<M>> {
    const { id, manifest } = model
    await makeFolder(this.ownShards)
    await syncPath(this.ownShards)
    const folder = path.join(this.own, 'manifests')
    await makeFolder(folder)
    const isHere = (await names(folder)).includes(`${id}.json`)
    // One that was imported stays so, whoever else offers it. The mark comes first: a manifest without it is kept for ever.
    if (!partial || !isHere) await setGivesWay(this.own, id, givesWay)
    // Under a name that `sweep` knows.
    await writeWhole(path.join(folder, `${id}.json`), encodeManifest(manifest), {
      mode: 0o666,
      beside: this.#temporary()
    })
    return model
  }

  /** Models whose files may be removed where a disk budget needs room. */
  givingWay(): Promise<ReadonlySet<string>> {
    return givingWay(this.own)
  }

  /**
   * @throws {ImportError} when a model of that name exists that `same` does not accept
   */
  async nameIsFree(name: string, same: (model: AnyModel) => boolean): Promise<void> {
    const other = (await this.list()).find(model => model.manifest.name === name && !same(model))
    if (other === undefined) return
    const id = other.id.slice(0, 12)
    const way = other.shipped ? 'choose another name' : `choose another name, or first remove it: skein model rm ${id}`
    throw new ImportError(`the name ${name} belongs to another model, ${id}: ${way}`)
  }

  /**
   * Forgets a model: first its manifest, then the files that no other own model lists.
   *
   * @throws {InvalidOptionError} when the model ships with the package
   */
  async remove(model: AnyModel): Promise<RemovedModel> {
    const { id, manifest, shipped } = model
    if (shipped) throw new InvalidOptionError(`${manifest.name} ships with Skein and cannot be removed`)
    return forget(this, { id, name: manifest.name, digests: files(model).map(file => file.sha256) })
  }

  /** The one model of that name or id that an older Skein imported here, and this one can only remove. */
  async findOlder(nameOrId: string): Promise<FormerModel | undefined> {
    const broken: string[] = []
    await this.list({ onBroken: (_, file) => broken.push(file) })
    const own = broken.filter(file => path.dirname(file) === path.join(this.own, 'manifests'))
    const older = await Promise.all(own.map(olderModel))
    const found = meantBy(
      nameOrId,
      older.filter(model => model !== undefined)
    )
    return found.length === 1 ? found[0] : undefined
  }

  /** Forgets one that `findOlder` found, and the files that nobody else lists. */
  removeOlder(older: FormerModel): Promise<RemovedModel> {
    return forget(this, older)
  }

  #temporary(): string {
    return processFile(this.ownShards, temporaryPrefix)
  }
}
