/**
 * Models on this machine, addressed by content (promise P9). A store folder holds
 *
 * - `manifests/<model id>.json`: canonical manifest bytes, whose digest is the file's name;
 * - `shards/<sha256>`: shards and tokenizers, each under its own digest, so equal ones are kept once;
 * - `shards/.partial-<sha256>`: what has come of a file that is fetched from peers. It survives restarts.
 *
 * One folder is the peer's own; others (the models that ship with the package) are only read. A file gets its
 * final name by a rename after it was written and synced, so what has a name is whole, whenever the power went.
 */
import { randomBytes } from 'node:crypto'
import type { Stats } from 'node:fs'
import {
  type FileHandle,
  copyFile,
  link,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  writeFile
} from 'node:fs/promises'
import path from 'node:path'
import type { ModelId, ShardId } from '../base/ids.ts'
import { readPlainFile } from '../base/plain-file.ts'
import { syncPath, writeWhole } from '../disk/whole-file.ts'
import {
  AmbiguousModelError,
  CorruptShardError,
  ImportError,
  InvalidOptionError,
  UnknownModelError
} from '../errors.ts'
import { InvalidManifestError } from '../errors.ts'
import { chunkBytes, manifestBytesMax } from '../limits.ts'
import { ChunkSet, chunkCount, chunkLength, digestOf, sameBytes } from './chunks.ts'
import { Hashing } from './hash-service.ts'
import {
  decodeManifest,
  encodeManifest,
  type Manifest,
  modelId,
  type ShardEntry,
  shardName,
  stageShards
} from './manifest.ts'
import { meantBy, nameWithId } from './names.ts'

export interface StoreDirectories {
  /** Read and written; made when the first file is put. */
  readonly own: string
  /** Read only. @default [] */
  readonly shipped?: readonly string[]
}

export interface StoredModel {
  readonly id: ModelId
  readonly manifest: Manifest
  /** The store folder whose `manifests/` names it. */
  readonly folder: string
  /** True when it is in a read-only folder. */
  readonly shipped: boolean
}

/** What became of a model that was removed. */
export interface RemovedModel {
  readonly id: ModelId
  readonly name: string
  /** Bytes of the disk that are free now; what another model shares stays. */
  readonly bytesFreed: number
  /** Why no file was removed yet: manifests here that cannot be read, and might list any of them. */
  readonly unreadable: readonly string[]
}

/** A file that was written whole and checked: its place and what it holds. */
export interface StoredFile {
  readonly path: string
  readonly bytes: number
  readonly sha256: ShardId
  /** Digest of its chunk list (`chunks.ts`). */
  readonly chunks: string
}

/** A file of the model with what messages call it. */
interface NamedFile {
  readonly label: string
  readonly bytes: number
  readonly sha256: string
  readonly chunks: string
}

const temporaryPrefix = '.writing-'
/** A list of the files that a running import has added, or that a removal takes, one digest a line. */
const journalPrefix = '.importing-'
const partialPrefix = '.partial-'

/**
 * Opens a store. Removes what an interrupted write of a process that is gone has left.
 *
 * @throws the file system's error when a folder cannot be read
 */
export async function openStore(directories: StoreDirectories): Promise<ModelStore> {
  const store = new ModelStore(directories)
  await store.sweep()
  return store
}

export class ModelStore {
  readonly own: string
  readonly #folders: readonly string[]
  /** Digest that a file had when it was last read whole; the key holds what changes when the file does. */
  readonly #digests = new Map<string, string>()
  /** The same of files that turned out to be damaged: they are not looked for any more. */
  readonly #damaged = new Map<string, string>()
  readonly #hashing = new Hashing()

  constructor({ own, shipped = [] }: StoreDirectories) {
    this.own = path.resolve(own)
    this.#folders = [...new Set([this.own, ...shipped.map(folder => path.resolve(folder))])]
  }

  /**
   * Removes what processes that no longer run have left: half-written files, all files of a half-done import or removal,
   * and what had come of files that no model here lists any more.
   */
  async sweep(): Promise<void> {
    const folder = path.join(this.own, 'shards')
    for (const name of await names(folder)) {
      const prefix = [temporaryPrefix, journalPrefix].find(prefix => name.startsWith(prefix))
      if (prefix === undefined || running(Number(name.slice(prefix.length).split('-')[0]))) continue
      const file = path.join(folder, name)
      if (prefix === journalPrefix) {
        const digests = (await readFile(file, 'utf8')).split('\n').filter(line => /^[0-9a-f]{64}$/.test(line))
        if ((await this.#removeUnlisted(digests)).unreadable.length > 0) continue
      }
      await rm(file, { force: true })
    }
    const partial = (await names(folder)).filter(name => name.startsWith(partialPrefix))
    await this.#removeUnlisted(partial.map(name => name.slice(partialPrefix.length)))
  }

  /**
   * Every readable model, own ones first, then by name. The same id in two folders counts once.
   *
   * @param onBroken told of each manifest that cannot be used; the others are listed all the same
   */
  async list({ onBroken }: { onBroken?: (error: InvalidManifestError) => void } = {}): Promise<StoredModel[]> {
    const models = new Map<ModelId, StoredModel>()
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
          onBroken?.(err)
        }
      }
    }
    return [...models.values()].sort(
      (a, b) => Number(a.shipped) - Number(b.shipped) || (a.manifest.name < b.manifest.name ? -1 : 1)
    )
  }

  async #read(folder: string, name: string): Promise<StoredModel> {
    const file = path.join(folder, 'manifests', name)
    const manifest = decodeManifest(await manifestBytes(file), file)
    const id = modelId(manifest)
    if (name !== `${id}.json`) {
      throw new InvalidManifestError(`${file} was changed: the digest of what it holds is ${id}`)
    }
    return { id, manifest, folder, shipped: folder !== this.own }
  }

  /**
   * The model of that name, id, or beginning of an id (at least 6 digits).
   *
   * @throws {UnknownModelError} when there is none; says what there is
   * @throws {AmbiguousModelError} when there is more than one
   */
  async resolve(nameOrId: string): Promise<StoredModel> {
    const broken: string[] = []
    const models = await this.list({ onBroken: err => broken.push(err.message) })
    const found = meant(models, nameOrId)
    if (found.length === 1) return found[0]!
    const describe = (list: StoredModel[]): string =>
      list.map(({ id, manifest }) => nameWithId({ id, name: manifest.name })).join(', ')
    if (found.length > 1) {
      throw new AmbiguousModelError(
        `'${nameOrId}' is more than one model: ${describe(found)}; give the beginning of an id`
      )
    }
    const have = models.length === 0 ? 'there is no model here' : `there are ${describe(models)}`
    throw new UnknownModelError(
      [`no model '${nameOrId}': ${have}`, ...broken.map(message => `unusable: ${message}`)].join('; ')
    )
  }

  /** Why manifests here cannot be used, one sentence each. */
  async unusable(): Promise<string[]> {
    const sentences: string[] = []
    await this.list({ onBroken: ({ message }) => sentences.push(`unusable: ${message}`) })
    return sentences
  }

  /** The models here that have that name, id, or beginning of an id. */
  async find(nameOrId: string): Promise<StoredModel[]> {
    return meant(await this.list(), nameOrId)
  }

  /** Which of the model's shards are here with the right size. Their digests are checked before use, not here. */
  async held(model: StoredModel): Promise<ShardEntry[]> {
    const present = await Promise.all(model.manifest.shards.map(shard => this.#find(shard)))
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
    model: StoredModel,
    { shards, signal }: { shards?: readonly ShardEntry[]; signal: AbortSignal }
  ): Promise<void> {
    const files = (shards ?? model.manifest.shards).map(namedShard)
    if (shards === undefined) files.push(namedTokenizer(model))
    const absent: NamedFile[] = []
    for (const file of files) {
      if (await this.#isAbsent(file)) absent.push(file)
      else await this.#verified(model, file, { signal, again: true })
    }
    if (absent.length === 1) await this.#missing(model, absent[0]!)
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
    model: StoredModel,
    start: number,
    end: number,
    { signal }: { signal: AbortSignal }
  ): Promise<{ folder: string; shards: ShardEntry[] }> {
    const shards = stageShards(model.manifest, start, end)
    const folder = await this.shardDirectory(model, shards)
    for (const shard of shards) {
      await this.#verified(model, namedShard(shard), { signal, again: false, at: path.join(folder, shard.sha256) })
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
  async shardDirectory(model: StoredModel, shards: readonly ShardEntry[] = model.manifest.shards): Promise<string> {
    for (const folder of this.#folders) {
      const here = await Promise.all(shards.map(shard => this.#has(path.join(folder, 'shards', shard.sha256), shard)))
      if (here.every(Boolean)) return path.join(folder, 'shards')
    }
    const target = path.join(this.own, 'shards')
    await makeFolder(target)
    for (const shard of shards) {
      const found = (await this.#find(shard)) ?? (await this.#missing(model, namedShard(shard)))
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
  async tokenizerFile(model: StoredModel, { signal }: { signal: AbortSignal }): Promise<string> {
    const file = namedTokenizer(model)
    const at = (await this.#find(file)) ?? (await this.#missing(model, file))
    await this.#verified(model, file, { signal, again: false, at })
    return at
  }

  /**
   * Opens what has come of a file, or begins it: with the bytes of a damaged file of that digest where there is one,
   * as most of its chunks are right. One process at a time writes it.
   */
  async openPartial(file: { readonly bytes: number; readonly sha256: string }): Promise<PartialFile> {
    const shards = path.join(this.own, 'shards')
    await makeFolder(shards)
    const partial = path.join(shards, `${partialPrefix}${file.sha256}`)
    let begun = (await stat(partial).catch(() => undefined)) !== undefined
    if (!begun) {
      // Copied, not renamed: an engine may have the damaged file mapped.
      for (const folder of this.#folders) {
        const damaged = path.join(folder, 'shards', file.sha256)
        if (!(await hasSize(damaged, file))) continue
        await copyFile(damaged, partial)
        begun = true
      }
    }
    // Opening for appending makes the file, but writes at an offset need it open for updating.
    await (await open(partial, 'a')).close()
    const handle = await open(partial, 'r+')
    await handle.truncate(file.bytes)
    const final = path.join(shards, file.sha256)
    return new PartialFile(handle, this.#hashing, partial, final, file, begun, state =>
      this.#digests.set(state, file.sha256)
    )
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
    const found = await this.#find(file)
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
    const found = await this.#find(file)
    if (found === undefined) return undefined
    return (await this.#hashing.chunks(found, { signal })).list
  }

  /** Begins to add the files of a model. Ends with `commit` or `rollBack`. */
  async begin(): Promise<Addition> {
    await makeFolder(path.join(this.own, 'shards'))
    const journal = this.#journal()
    return new Addition(
      await open(journal, 'wx'),
      this.#hashing,
      journal,
      () => this.#temporary(),
      async digests => void (await this.#removeUnlisted(digests))
    )
  }

  /**
   * Makes a model known: its manifest is written last, when all its files are here.
   *
   * @param partial true for a model that comes from peers: whatever is missing is fetched when it is needed, and the
   *   name, which others chose, may belong to another model too
   * @throws {ImportError} when the name belongs to another model, or a file is missing
   */
  async putManifest(manifest: Manifest, { partial = false }: { partial?: boolean } = {}): Promise<StoredModel> {
    const id = modelId(manifest)
    const model: StoredModel = { id, manifest, folder: this.own, shipped: false }
    if (!partial) {
      await this.nameIsFree(manifest.name, other => other.id === id)
      for (const file of files(model)) {
        if (!(await hasSize(path.join(this.own, 'shards', file.sha256), file))) {
          throw new ImportError(`${manifest.name}: the ${file.label} (${file.sha256}) is gone from ${this.own}`)
        }
      }
    }
    await makeFolder(path.join(this.own, 'shards'))
    await syncPath(path.join(this.own, 'shards'))
    const folder = path.join(this.own, 'manifests')
    await makeFolder(folder)
    // Under a name that `sweep` knows.
    await writeWhole(path.join(folder, `${id}.json`), encodeManifest(manifest), {
      mode: 0o666,
      beside: this.#temporary()
    })
    return model
  }

  /**
   * @throws {ImportError} when a model of that name exists that `same` does not accept
   */
  async nameIsFree(name: string, same: (model: StoredModel) => boolean): Promise<void> {
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
  async remove(model: StoredModel): Promise<RemovedModel> {
    const { id, manifest, shipped } = model
    if (shipped) throw new InvalidOptionError(`${manifest.name} ships with Skein and cannot be removed`)
    const digests = files(model).map(file => file.sha256)
    const journal = this.#journal()
    // Whoever opens the store after a removal was cut short, or found something unreadable, goes on with it. Where the disk is full there is no journal:
    // then a file may stay behind, but room can be made.
    await writeFile(journal, `${digests.join('\n')}\n`, { flag: 'wx' }).catch(() => {})
    await rm(path.join(this.own, 'manifests', `${id}.json`), { force: true })
    const removed = await this.#removeUnlisted(digests)
    if (removed.unreadable.length === 0) await rm(journal, { force: true })
    return { id, name: manifest.name, ...removed }
  }

  /**
   * Removes those of the given files that no own model lists. Nothing while there is a manifest that cannot be
   * read: it may be a newer Skein's, and list any of them.
   */
  async #removeUnlisted(digests: readonly string[]): Promise<Pick<RemovedModel, 'bytesFreed' | 'unreadable'>> {
    const unreadable: string[] = []
    const models = await this.list({ onBroken: ({ message }) => unreadable.push(message) })
    let bytesFreed = 0
    if (unreadable.length > 0) return { bytesFreed, unreadable }
    const kept = new Set(
      models
        .filter(({ shipped }) => !shipped)
        .flatMap(files)
        .map(file => file.sha256)
    )
    for (const sha256 of digests) {
      if (kept.has(sha256)) continue
      for (const name of [sha256, `${partialPrefix}${sha256}`]) {
        const file = path.join(this.own, 'shards', name)
        const found = await stat(file).catch(() => undefined)
        if (found === undefined) continue
        await rm(file, { force: true })
        // A link to a file of another folder frees nothing; of a file that is still coming, only what has come.
        if (found.nlink === 1) bytesFreed += Math.min(found.size, 512 * found.blocks)
      }
    }
    return { bytesFreed, unreadable }
  }

  async #find(file: { readonly sha256: string; readonly bytes: number }): Promise<string | undefined> {
    for (const folder of this.#folders) {
      const candidate = path.join(folder, 'shards', file.sha256)
      if (await this.#has(candidate, file)) return candidate
    }
    return undefined
  }

  /** Whether a file has that size, and was not found to be damaged as it is. */
  async #has(file: string, { bytes }: { readonly bytes: number }): Promise<boolean> {
    const found = await stat(file).catch(() => undefined)
    return found?.isFile() === true && found.size === bytes && !this.#damaged.has(stateOf(file, found))
  }

  /** Whether nothing here has that file's name, of whatever size. */
  async #isAbsent({ sha256 }: NamedFile): Promise<boolean> {
    const found = await Promise.all(
      this.#folders.map(folder => stat(path.join(folder, 'shards', sha256)).catch(() => undefined))
    )
    return found.every(each => each === undefined)
  }

  /** @throws {CorruptShardError} that says whether the file is missing or has another size. */
  async #missing(model: StoredModel, named: NamedFile): Promise<never> {
    const { label, bytes, sha256 } = named
    for (const folder of this.#folders) {
      const file = path.join(folder, 'shards', sha256)
      const found = await stat(file).catch(() => undefined)
      if (found === undefined) continue
      const actual = this.#damaged.get(stateOf(file, found))
      if (actual !== undefined) throw corrupt(model, named, file, actual)
      const { size } = found
      throw new CorruptShardError(
        `the ${label} of ${model.manifest.name} is damaged: ${file} has ${size} bytes, the manifest says ${bytes}`
      )
    }
    throw new CorruptShardError(
      `the ${label} of ${model.manifest.name} is missing: there is no file ${sha256} in ${this.#folders
        .map(folder => path.join(folder, 'shards'))
        .join(' or ')}`
    )
  }

  async #verified(
    model: StoredModel,
    file: NamedFile,
    { signal, again, at }: { signal: AbortSignal; again: boolean; at?: string }
  ): Promise<void> {
    signal.throwIfAborted()
    const found = at ?? (await this.#find(file)) ?? (await this.#missing(model, file))
    const key = stateOf(found, await stat(found))
    if (!again && this.#digests.get(key) === file.sha256) return
    const actual = await this.#hashing.whole(found, { signal })
    if (actual !== file.sha256) {
      this.#damaged.set(key, actual)
      throw corrupt(model, file, found, actual)
    }
    this.#digests.set(key, file.sha256)
  }

  #journal(): string {
    return path.join(this.own, 'shards', `${journalPrefix}${process.pid}-${randomBytes(8).toString('hex')}`)
  }

  #temporary(): string {
    return path.join(this.own, 'shards', `${temporaryPrefix}${process.pid}-${randomBytes(8).toString('hex')}`)
  }
}

/**
 * The files of one model on their way in. A journal beside them lists what is new, so that a process that opens
 * the store later can clear up after one that was killed.
 */
export class Addition {
  readonly #journal: FileHandle
  readonly #hashing: Hashing
  readonly #file: string
  readonly #temporary: () => string
  readonly #removeUnlisted: (digests: readonly string[]) => Promise<void>
  readonly #added: string[] = []

  constructor(
    journal: FileHandle,
    hashing: Hashing,
    file: string,
    temporary: () => string,
    removeUnlisted: (digests: readonly string[]) => Promise<void>
  ) {
    this.#journal = journal
    this.#hashing = hashing
    this.#file = file
    this.#temporary = temporary
    this.#removeUnlisted = removeUnlisted
  }

  /** Makes a file of known size to be written at any offset; it has no final name until `finish`. */
  async create(bytes: number): Promise<PendingFile> {
    const temporary = this.#temporary()
    const handle = await open(temporary, 'wx+')
    try {
      await handle.truncate(bytes)
    } catch (err) {
      await handle.close()
      await rm(temporary, { force: true })
      throw err
    }
    return new PendingFile(handle, this.#hashing, temporary, bytes, async sha256 => {
      // Written before the file gets its name: a journal may list a file that never came, but not miss one.
      this.#added.push(sha256)
      await this.#journal.write(`${sha256}\n`)
    })
  }

  /** Puts bytes under their digest. */
  async putBytes(bytes: Uint8Array, { signal }: { signal: AbortSignal }): Promise<StoredFile> {
    const file = await this.create(bytes.length)
    try {
      await file.write(bytes, 0)
      return await file.finish({ signal })
    } catch (err) {
      await file.discard()
      throw err
    }
  }

  /** Keeps everything: the manifest that lists it has been put. */
  async commit(): Promise<void> {
    await this.#journal.close()
    await rm(this.#file, { force: true })
  }

  /** Removes what was new, but for what another model has come to list. */
  async rollBack(): Promise<void> {
    await this.#removeUnlisted(this.#added)
    await this.commit()
  }
}

/** A file being written. Ends with `finish` or `discard`. */
export class PendingFile {
  readonly #handle: FileHandle
  readonly #hashing: Hashing
  readonly #temporary: string
  readonly #bytes: number
  readonly #onNew: (sha256: ShardId) => Promise<void>
  #open = true

  constructor(
    handle: FileHandle,
    hashing: Hashing,
    temporary: string,
    bytes: number,
    onNew: (sha256: ShardId) => Promise<void>
  ) {
    this.#handle = handle
    this.#hashing = hashing
    this.#temporary = temporary
    this.#bytes = bytes
    this.#onNew = onNew
  }

  /** Writes bytes at an offset; what is never written is zero. */
  async write(bytes: Uint8Array, offset: number): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await this.#handle.write(bytes, done, bytes.length - done, offset + done)
      done += bytesWritten
    }
  }

  /**
   * Reads the file back for its digest, syncs it and gives it that name. Replaces a file of that name: whatever
   * that one has become, this one is right, and whoever has mapped the old one keeps it.
   *
   * @throws {CorruptShardError} when `expected` is given and not met
   */
  async finish({ signal, expected }: { signal: AbortSignal; expected?: ShardId }): Promise<StoredFile> {
    const { sha256, chunks } = await this.#hashing.chunks(this.#temporary, { signal })
    if (expected !== undefined && sha256 !== expected) {
      throw new CorruptShardError(`received bytes have the SHA-256 ${sha256}, the manifest says ${expected}`)
    }
    await this.#handle.sync()
    this.#open = false
    await this.#handle.close()
    const file = path.join(path.dirname(this.#temporary), sha256)
    if ((await stat(file).catch(() => undefined)) === undefined) await this.#onNew(sha256)
    await rename(this.#temporary, file)
    return { path: file, bytes: this.#bytes, sha256, chunks }
  }

  /** Removes the file; nothing after `finish`. */
  async discard(): Promise<void> {
    if (this.#open) {
      this.#open = false
      await this.#handle.close()
    }
    await rm(this.#temporary, { force: true })
  }
}

/** A file that comes in chunks, in any order. Ends with `finish` or `close`; after `close` it can be opened again. */
export class PartialFile {
  readonly #handle: FileHandle
  readonly #hashing: Hashing
  readonly #partial: string
  readonly #final: string
  readonly #file: { readonly bytes: number; readonly sha256: string }
  /** There were bytes of it when it was opened. */
  readonly #begun: boolean
  readonly #onVerified: (state: string) => void

  constructor(
    handle: FileHandle,
    hashing: Hashing,
    partial: string,
    final: string,
    file: { readonly bytes: number; readonly sha256: string },
    begun: boolean,
    onVerified: (state: string) => void
  ) {
    this.#handle = handle
    this.#hashing = hashing
    this.#partial = partial
    this.#final = final
    this.#file = file
    this.#begun = begun
    this.#onVerified = onVerified
  }

  /** Which chunks have the digest that the list gives: reads the file whole, so that no other record can be wrong. */
  async scan(list: Uint8Array, { signal }: { signal: AbortSignal }): Promise<ChunkSet> {
    const set = new ChunkSet(chunkCount(this.#file.bytes))
    if (!this.#begun) return set
    const found = await this.#hashing.chunks(this.#partial, { signal })
    for (let chunk = 0; chunk < set.chunks; chunk++) {
      if (sameBytes(digestOf(found.list, chunk), digestOf(list, chunk))) set.add(chunk)
    }
    return set
  }

  async read(chunk: number): Promise<Uint8Array> {
    return readFully(this.#handle, chunk * chunkBytes, chunkLength(this.#file.bytes, chunk))
  }

  async write(chunk: number, bytes: Uint8Array): Promise<void> {
    const offset = chunk * chunkBytes
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await this.#handle.write(bytes, done, bytes.length - done, offset + done)
      done += bytesWritten
    }
  }

  /**
   * Reads it back for its digest, syncs it and gives it its name, in the place of a damaged file of that name.
   *
   * @throws {CorruptShardError} when the digest is another: then the manifest contradicts itself
   */
  async finish({ signal }: { signal: AbortSignal }): Promise<void> {
    const sha256 = await this.#hashing.whole(this.#partial, { signal })
    if (sha256 !== this.#file.sha256) {
      throw new CorruptShardError(
        `every chunk of ${this.#file.sha256} has its digest, but the whole has ${sha256}: the manifest contradicts itself`
      )
    }
    await this.#handle.sync()
    await this.#handle.close()
    await rename(this.#partial, this.#final)
    await syncPath(path.dirname(this.#final))
    // What was just read whole need not be read again before it is used, as long as it does not change.
    this.#onVerified(stateOf(this.#final, await stat(this.#final)))
  }

  /** Keeps what has come. */
  async close(): Promise<void> {
    await this.#handle.close()
  }
}

/** @throws {InvalidManifestError} when it cannot be one; the file system's error when it cannot be read */
async function manifestBytes(file: string): Promise<Uint8Array> {
  try {
    return await readPlainFile(file, manifestBytesMax)
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code !== undefined) throw err
    throw new InvalidManifestError(`${file} is no manifest: ${(err as Error).message}`)
  }
}

function namedShard(shard: ShardEntry): NamedFile {
  const { bytes, sha256, chunks } = shard
  return { label: `${shardName(shard)} shard`, bytes, sha256, chunks }
}

function meant(models: readonly StoredModel[], nameOrId: string): StoredModel[] {
  const named = models.map(model => ({ id: model.id, name: model.manifest.name, model }))
  return meantBy(nameOrId, named).map(({ model }) => model)
}

/** What changes when a file does. */
function stateOf(file: string, { size, mtimeMs, ctimeMs, ino }: Stats): string {
  return [file, size, mtimeMs, ctimeMs, ino].join(' ')
}

function namedTokenizer({ manifest }: StoredModel): NamedFile {
  return { label: 'tokenizer', ...manifest.tokenizer }
}

function files(model: StoredModel): NamedFile[] {
  return [...model.manifest.shards.map(namedShard), namedTokenizer(model)]
}

function corrupt(model: StoredModel, file: NamedFile, at: string, actual: string): CorruptShardError {
  return new CorruptShardError(
    `the ${file.label} of ${model.manifest.name} is damaged: ${at} has the SHA-256 ${actual}, the manifest says ${file.sha256}`
  )
}

/** Reads exactly so many bytes. @throws when the file ends before. */
async function readFully(
  handle: FileHandle,
  offset: number,
  bytes: number,
  into: Uint8Array = new Uint8Array(bytes)
): Promise<Uint8Array> {
  for (let done = 0; done < bytes; ) {
    const { bytesRead } = await handle.read(into, done, bytes - done, offset + done)
    if (bytesRead === 0) throw new CorruptShardError(`a file ended at ${offset + done} while it was read`)
    done += bytesRead
  }
  return into.subarray(0, bytes)
}

/** Makes a folder and those above it: the first may be the data directory, which is its owner's alone. */
async function makeFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
}

/** Names in a folder; none when the folder is not there. */
async function names(folder: string): Promise<string[]> {
  return readdir(folder).catch((err: NodeJS.ErrnoException) => {
    if (err.code === 'ENOENT') return []
    throw err
  })
}

async function hasSize(file: string, { bytes }: { readonly bytes: number }): Promise<boolean> {
  const found = await stat(file).catch(() => undefined)
  return found?.isFile() === true && found.size === bytes
}

function running(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (err) {
    return (err as NodeJS.ErrnoException).code === 'EPERM'
  }
}
