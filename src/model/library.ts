/**
 * The models that one peer can use: those in its data directory, and those that ship with the package.
 * What `skein model` and programs that embed Skein call.
 */
import { readdir, statfs } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { reasonOf } from '../base/reason.ts'
import { copyFile, link, mkdir } from '../disk/files.ts'
import { Keeping } from '../disk/keeping.ts'
import { checkOpened } from '../disk/vault.ts'
import { formatBytes } from '../base/units.ts'
import { DataDirectoryError, DiskBudgetError, type InvalidManifestError } from '../errors.ts'
import { DiskBudget } from './disk-budget.ts'
import type { EdgeType } from './manifest.ts'
import type { DtypeChoice } from './dtype-choice.ts'
import type { Comparer } from './import-comparison.ts'
import { type ChooseEdge, checkName, type WhyNot, importModel as importInto } from './import.ts'
import { importGraph } from './import-graph.ts'
import { dropEmptyFetch, fetchFromHub, type HubInit, type HubModel } from './import-hub.ts'
import type { ImportProgress } from './import-writer.ts'
import { type AnyModel, ModelStore, openStore, type StoredGraph, type StoredModel, type StoreInit } from './store.ts'
import { asDecoder, isStoredDecoder, isStoredGraph } from './stored.ts'

/** The package's `models/`: two levels up from the source, three from the compiled file. */
const shippedModels = join(
  dirname(fileURLToPath(import.meta.url)),
  import.meta.url.endsWith('.ts') ? '../../models' : '../../../models'
)

/**
 * Opens the store of a data directory, with the shipped models beside it. Makes nothing until something is put.
 *
 * @param refusal as with {@link StoreInit}
 * @throws {DataDirectoryError} when the file system does not let it, here and in all below
 */
export async function openLibrary(dataDir: string, { refusal }: Pick<StoreInit, 'refusal'> = {}): Promise<ModelStore> {
  await checkOpened(dataDir)
  const entries = await readdir(shippedModels, { withFileTypes: true }).catch(() => [])
  const shipped = entries.filter(entry => entry.isDirectory()).map(entry => join(shippedModels, entry.name))
  return within(dataDir, () => openStore({ own: join(dataDir, 'models'), shipped: shipped.sort(), refusal }))
}

/** A folder without permission or a full disk is where this peer is, and no defect of ours. */
async function within<T>(dataDir: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (typeof (error as NodeJS.ErrnoException | null)?.syscall !== 'string') throw error
    throw new DataDirectoryError(`the models in ${dataDir} cannot be used: ${reasonOf(error)}`)
  }
}

/** The same where a model is put there: what is full, or may not be written to, is told with the model's name. */
async function putting<T>(name: string, dataDir: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    const { code, syscall } = error as NodeJS.ErrnoException
    if (typeof syscall !== 'string') throw error
    const sentence = `${name} cannot be put into ${dataDir}: ${reasonOf(error)}`
    if (code !== 'ENOSPC' && code !== 'EDQUOT') throw new DataDirectoryError(sentence)
    throw new DiskBudgetError(`${sentence}. What was written of it is removed again`)
  }
}

/**
 * Asks for room on the disk before a model is written, which takes minutes and more. One of that name may be there already: then
 * nobody knows how much is missing of it.
 */
async function onDisk(store: ModelStore, name: string, dataDir: string): Promise<Room> {
  const isNew = (await store.find(name)).length === 0
  return async bytes => {
    const freeBytes = await bytesFree(dataDir)
    if (!isNew || bytes <= freeBytes) return
    throw new DiskBudgetError(
      `${name} takes ${formatBytes(bytes)} of disk, and ${dataDir} has room for ${formatBytes(freeBytes)}`
    )
  }
}

type Room = (bytes: number) => Promise<void>

/** What the disk has is looked at once others have given way. */
function after(first: Room | undefined, second: Room): Room {
  return async bytes => {
    await first?.(bytes)
    await second(bytes)
  }
}

/** On the disk of a folder that may have to be made yet. */
async function bytesFree(folder: string): Promise<number> {
  for (let at = resolve(folder); ; at = dirname(at)) {
    const found = await statfs(at).catch(() => undefined)
    if (found !== undefined) return found.bavail * found.bsize
    if (dirname(at) === at) return Number.POSITIVE_INFINITY
  }
}

/**
 * Every usable decoder, imported ones first.
 *
 * @param options.onBroken told of each manifest that cannot be used
 */
export async function listModels(
  dataDir: string,
  options: { readonly onBroken?: (error: InvalidManifestError) => void } = {}
): Promise<StoredModel[]> {
  const library = await openLibrary(dataDir)
  const models = await within(dataDir, () => library.list(options))
  return models.filter(isStoredDecoder)
}

/** Every usable graph, by name. */
export async function listGraphs(dataDir: string): Promise<StoredGraph[]> {
  const library = await openLibrary(dataDir)
  return (await within(dataDir, () => library.list())).filter(isStoredGraph)
}

/** @throws {UnknownModelError} {AmbiguousModelError} when no model, or more than one, has that name or begins with that id. */
export async function findModel(dataDir: string, nameOrId: string): Promise<AnyModel> {
  const library = await openLibrary(dataDir)
  return within(dataDir, () => library.resolve(nameOrId))
}

/** The same of decoders. @throws {WrongModelKindError} when it is a graph */
export async function showModel(dataDir: string, nameOrId: string): Promise<StoredModel> {
  return asDecoder(await findModel(dataDir, nameOrId))
}

/**
 * Puts a model of one data directory into another one, with the same files where the file system can link them.
 *
 * @throws {UnknownModelError} {AmbiguousModelError} {DataDirectoryError}
 */
export async function shareModel(fromDir: string, nameOrId: string, toDir: string): Promise<AnyModel> {
  const library = await openLibrary(fromDir)
  const model = await within(fromDir, () => library.resolve(nameOrId))
  const [from, to] = [model.folder, join(toDir, 'models')]
  return within(toDir, async () => {
    for (const folder of ['manifests', 'shards']) await mkdir(join(to, folder), { recursive: true, mode: 0o700 })
    const { tokenizer, shards } = model.manifest
    const names = [
      ...new Set([...(tokenizer === null ? [] : [tokenizer]), ...shards].map(({ sha256 }) => `shards/${sha256}`))
    ]
    // The manifest comes last: what it lists is there.
    for (const name of [...names, `manifests/${model.id}.json`]) {
      await link(join(from, name), join(to, name)).catch(() => copyFile(join(from, name), join(to, name)))
    }
    return model
  })
}

/**
 * Reads every file of a model and compares digests.
 * @throws {UnknownModelError} {AmbiguousModelError}
 * @throws {CorruptShardError} that names the shard and both digests.
 * @throws the signal's reason.
 */
export async function verifyModel(
  dataDir: string,
  nameOrId: string,
  { signal }: { signal: AbortSignal }
): Promise<AnyModel> {
  const library = await openLibrary(dataDir)
  return within(dataDir, async () => {
    const model = await library.resolve(nameOrId)
    await library.verify(model, { signal })
    return model
  })
}

export interface LibraryImportInit {
  /** Folder with `config.json`, `*.safetensors` and `tokenizer.json`, or a GGUF file. */
  readonly source: string
  readonly dataDir: string
  readonly name: string
  /** What weights are converted to, all or by kind. @default 'q8'; of a GGUF file, what they are */
  readonly weights?: DtypeChoice
  /** As with `ImportInit.edge`. */
  readonly edge?: EdgeType | ChooseEdge
  /** As with `ImportInit.whyNot`. */
  readonly whyNot?: WhyNot
  /** As with `ImportInit.compare`. */
  readonly compare?: Comparer | undefined
  /** As with `ImportInit.licence`. */
  readonly licence?: string
  /** Where the model is from, as the manifest should give it. @default the folder's name */
  readonly origin?: string
  /** Whether its files may be removed where a peer's disk budget needs room. @default false: what was imported is kept */
  readonly givesWay?: boolean
  /**
   * What all models in `dataDir` may take of the disk: fetched ones give way to this one. Where a peer runs on it, it has the
   * budget, and `room` asks it.
   * @default no limit
   */
  readonly diskBytes?: number
  /** Asked once for room for so many bytes, before the first file is written; what it throws ends the import. */
  readonly room?: (bytes: number) => Promise<void>
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: ImportProgress) => void
  /** Told, in a sentence, what of the model is not as its files may make one think. */
  readonly onNote?: ((note: string) => void) | undefined
}

/**
 * Imports a Hugging Face directory or a GGUF file into a data directory's store, within its budget.
 * @throws {ImportError} {InvalidOptionError} as `importModel` of `import.ts`.
 * @throws {DiskBudgetError} when the disk has no room for it; {DataDirectoryError} when it lets nothing be written
 * @throws the signal's reason.
 */
export async function importIntoLibrary(init: LibraryImportInit): Promise<StoredModel> {
  const { dataDir, signal = new AbortController().signal, diskBytes, room, ...rest } = init
  const store = await openLibrary(dataDir)
  return putting(init.name, dataDir, async () => {
    const asked = room ?? (diskBytes === undefined ? undefined : await roomWithin(store, diskBytes, init.name))
    return importInto({ ...rest, signal, store, room: after(asked, await onDisk(store, init.name, dataDir)) })
  })
}

export interface LibraryGraphInit
  extends Omit<LibraryImportInit, 'weights' | 'edge' | 'whyNot' | 'compare' | 'onProgress' | 'onNote'> {
  /** As with `ImportGraphInit.tokenizer`. */
  readonly tokenizer?: string | undefined
  /** As with `ImportGraphInit.whyNot`. */
  readonly whyNot?: ((file: string) => Promise<string | undefined>) | undefined
}

/**
 * Imports an ONNX file into a data directory's store, within its budget.
 * @throws {ImportError} {InvalidOptionError} as `importGraph` of `import-graph.ts`. @throws the signal's reason.
 */
export async function importGraphIntoLibrary(init: LibraryGraphInit): Promise<StoredGraph> {
  const { dataDir, signal = new AbortController().signal, diskBytes, room, ...rest } = init
  const store = await openLibrary(dataDir)
  return putting(init.name, dataDir, async () => {
    const asked = room ?? (diskBytes === undefined ? undefined : await roomWithin(store, diskBytes, init.name))
    return importGraph({ ...rest, signal, store, room: after(asked, await onDisk(store, init.name, dataDir)) })
  })
}

/** Removes what a thread of this process that imported has left, however it ended. */
export async function sweepThread(dataDir: string, threadId: number): Promise<void> {
  await within(dataDir, () => new ModelStore({ own: join(dataDir, 'models') }).sweep(threadId))
}

/** Which model is fetched from a hub, and into which data directory. */
export interface FetchModelInit extends Omit<HubInit, 'dir' | 'signal'> {
  /** The directory of a peer, which may be running. Made if it does not exist. */
  readonly dataDir: string
  /** What the model will be called here, which is checked first. */
  readonly name: string
  /** As with {@link LibraryImportInit}. */
  readonly diskBytes?: number
  /** Ends the fetch: what has arrived is kept for another one. */
  readonly signal?: AbortSignal
  /** Told of the folder that keeps what has arrived, where the fetch failed: another one goes on from there. */
  readonly onKept?: (dir: string) => void
}

/** The folder of a data directory that holds what is fetched of a hub's repository until it has been imported. */
export function fetchFolder(dataDir: string, repo: string): string {
  return join(dataDir, 'pulls', repo.replaceAll('/', '--'))
}

/**
 * Fetches a model from a Hugging Face hub, to be imported from `source`; `dir` is to be removed then.
 *
 * @throws what {@link fetchFromHub} throws, and {InvalidOptionError} when the name is none
 * @throws the signal's reason
 */
export async function fetchModel(init: FetchModelInit): Promise<HubModel> {
  const { dataDir, name, diskBytes, room, signal = new AbortController().signal, onKept, ...rest } = init
  checkName(name)
  const dir = fetchFolder(dataDir, init.repo)
  const store = await openLibrary(dataDir)
  return within(dataDir, async () => {
    const asked = room ?? (diskBytes === undefined ? undefined : await roomWithin(store, diskBytes, name))
    try {
      return await fetchFromHub({ ...rest, dir, signal, ...(asked === undefined ? {} : { room: asked }) })
    } catch (err) {
      if (await dropEmptyFetch(dir)) onKept?.(dir)
      throw err
    }
  })
}

/** Makes room in a store that no peer uses: nothing in it is needed by anybody but its owner. */
async function roomWithin(
  store: ModelStore,
  limitBytes: number,
  name: string
): Promise<(bytes: number) => Promise<void>> {
  const budget = new DiskBudget({
    store,
    limitBytes,
    needs: () => ({ files: new Set(), models: new Set(), isRare: () => false }),
    keeping: new Keeping(() => {}),
    onRemoved: () => {}
  })
  await budget.start()
  return async bytes => void (await budget.reserve(name, [{ sha256: '', bytes }]))
}
