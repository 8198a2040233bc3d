/** What an import, a removal or a fetch that was cut short has left in a store, and how it is cleared up. */
import path from 'node:path'
import { journalBytesMax } from './limits.ts'
import { rm, stat } from '../disk/files.ts'
import { readLines } from '../disk/lines.ts'
import { files } from './named-files.ts'
import { type FormerModel, olderModel } from './older.ts'
import type { RemovedModel } from './removal.ts'
import type { ModelStore } from './store.ts'
import { sweepMarks } from './marks.ts'
import { isLeft, names } from './store-files.ts'

export const temporaryPrefix = '.writing-'
/** A list of the files that a running import has added, or that a removal takes, one digest a line. */
export const journalPrefix = '.importing-'
export const partialPrefix = '.partial-'

/**
 * Removes what processes that no longer run have left: half-written files, all files of a half-done import or removal,
 * and what had come of files that no model here lists any more.
 *
 * @param endedThread one of this process that no longer runs, either
 */
export async function sweep(store: ModelStore, endedThread?: number): Promise<void> {
  const folder = path.join(store.own, 'shards')
  for (const name of await names(folder)) {
    const prefix = [temporaryPrefix, journalPrefix].find(prefix => name.startsWith(prefix))
    if (prefix === undefined || !isLeft(name.slice(prefix.length), endedThread)) continue
    const file = path.join(folder, name)
    if (prefix === journalPrefix) {
      if ((await removeUnlisted(store, await digestsIn(file))).unreadable.length > 0) continue
    }
    await rm(file, { force: true })
  }
  await sweepMarks(store.own)
  const partial = (await names(folder)).filter(name => name.startsWith(partialPrefix))
  await removeUnlisted(
    store,
    partial.map(name => name.slice(partialPrefix.length))
  )
}

/** Digests that an import or a removal which still runs lists: files of a model that has no manifest yet, or none any more. */
export async function journalled(store: ModelStore): Promise<ReadonlySet<string>> {
  const folder = path.join(store.own, 'shards')
  const digests = new Set<string>()
  for (const name of await names(folder)) {
    if (!name.startsWith(journalPrefix)) continue
    for (const digest of await digestsIn(path.join(folder, name))) digests.add(digest)
  }
  return digests
}

async function digestsIn(journal: string): Promise<string[]> {
  const lines = await readLines(journal, journalBytesMax).catch(() => [])
  return lines.filter(line => /^[0-9a-f]{64}$/.test(line))
}

/**
 * Removes those of the given files that no own model lists. Nothing while there is a manifest that cannot be
 * read: it may be a newer Skein's, and list any of them.
 */
export async function removeUnlisted(
  store: ModelStore,
  digests: readonly string[]
): Promise<Pick<RemovedModel, 'bytesFreed' | 'unreadable'>> {
  const broken = new Map<string, string>()
  const models = await store.list({ onBroken: ({ message }, file) => broken.set(file, message) })
  const unreadable: string[] = []
  const older: FormerModel[] = []
  for (const [file, message] of broken) {
    const model = await olderModel(file)
    if (model === undefined) unreadable.push(message)
    else older.push(model)
  }
  let bytesFreed = 0
  if (unreadable.length > 0) return { bytesFreed, unreadable }
  const own = models.filter(({ shipped }) => !shipped).flatMap(files)
  const kept = new Set([...own.map(file => file.sha256), ...older.flatMap(({ digests }) => digests)])
  for (const sha256 of digests) {
    if (kept.has(sha256)) continue
    for (const name of [sha256, `${partialPrefix}${sha256}`]) {
      const file = path.join(store.own, 'shards', name)
      const found = await stat(file).catch(() => undefined)
      if (found === undefined) continue
      await rm(file, { force: true })
      // A link to a file of another folder frees nothing; of a file that is still coming, only what has come.
      if (found.nlink === 1) bytesFreed += Math.min(found.size, 512 * found.blocks)
    }
  }
  return { bytesFreed, unreadable }
}
