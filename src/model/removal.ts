/** How a model is removed from a store: first its manifest, then the files that no other own model lists. */
import path from 'node:path'
import { rm } from '../disk/files.ts'
import { appendLines } from '../disk/lines.ts'
import type { ModelId } from '../base/ids.ts'
import { journalPrefix, removeUnlisted } from './leftovers.ts'
import { setGivesWay } from './marks.ts'
import type { FormerModel } from './older.ts'
import type { ModelStore } from './store.ts'
import { removeSignatures } from './signatures.ts'
import { processFile } from './store-files.ts'

/** What became of a model that was removed. */
export interface RemovedModel {
  readonly id: ModelId
  readonly name: string
  /** Bytes of the disk that are free now; what another model shares stays. */
  readonly bytesFreed: number
  /** Why no file was removed yet: manifests here that cannot be read, and might list any of them. */
  readonly unreadable: readonly string[]
}

/** Forgets a model of the store's own folder. */
export async function forget(store: ModelStore, { id, name, digests }: FormerModel): Promise<RemovedModel> {
  const journal = processFile(path.join(store.own, 'shards'), journalPrefix)
  // Whoever opens the store after a removal was cut short, or found something unreadable, goes on with it. Where the disk is full there is no journal:
  // then a file may stay behind, but room can be made.
  await appendLines(journal, digests).catch(() => {})
  // Before the manifest: one that is cut short here leaves nothing of which nobody knows.
  await removeSignatures(store.own, id)
  await rm(path.join(store.own, 'manifests', `${id}.json`), { force: true })
  await setGivesWay(store.own, id, false)
  const removed = await removeUnlisted(store, digests)
  if (removed.unreadable.length === 0) await rm(journal, { force: true })
  return { id, name, ...removed }
}
