/** Removing a model from a data directory, whether or not a peer runs on it. */
import type { ModelId } from '../base/ids.ts'
import { ModelInUseError } from '../errors.ts'
import { openLibrary } from '../model/library.ts'
import type { FormerModel } from '../model/older.ts'
import type { RemovedModel } from '../model/removal.ts'
import type { ModelStore } from '../model/store.ts'
import { openDataDir } from '../swarm/data-dir.ts'

/**
 * Removes a model from a data directory on which no peer runs; where one does, `Peer.removeModel` does it.
 *
 * @throws {UnknownModelError} {AmbiguousModelError} when no model, or more than one, has that name or begins with that id
 * @throws {InvalidOptionError} when the model ships with Skein
 * @throws {DataDirectoryError} when a peer runs on the directory, or it cannot be written
 */
export async function removeModel(dataDir: string, nameOrId: string): Promise<RemovedModel> {
  const store = await openLibrary(dataDir)
  // What is not here or cannot be removed makes no directory.
  const older = await olderOf(store, nameOrId)
  if (older === undefined && (await store.resolve(nameOrId)).shipped) return removeFrom(store, nameOrId, new Set())
  const lock = await openDataDir(dataDir)
  try {
    return await removeFrom(store, nameOrId, new Set())
  } finally {
    await lock.close()
  }
}

/** The same for the peer that runs on the directory. @throws {ModelInUseError} when it is the one that it serves */
export async function removeFrom(
  store: ModelStore,
  nameOrId: string,
  served: ReadonlySet<ModelId>
): Promise<RemovedModel> {
  const older = await olderOf(store, nameOrId)
  if (older !== undefined) return store.removeOlder(older)
  const model = await store.resolve(nameOrId)
  if (served.has(model.id)) {
    throw new ModelInUseError(
      `${model.manifest.name} (${model.id.slice(0, 12)}) is served by the peer that runs here: skein unserve ${model.id.slice(0, 12)}, or stop that peer, first`
    )
  }
  return store.remove(model)
}

/** A model that an older Skein imported, where none that can be used has that name or id. */
async function olderOf(store: ModelStore, nameOrId: string): Promise<FormerModel | undefined> {
  return (await store.find(nameOrId)).length > 0 ? undefined : store.findOlder(nameOrId)
}
