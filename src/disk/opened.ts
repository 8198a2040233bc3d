/**
 * Which sealed directories are open in this process. Whoever reads and writes files by `files.ts` and its neighbours finds in such a
 * directory what was put there, under the names that it was given; on the disk lie other names and sealed bytes. Threads that start
 * later have it open as well: what opens it is handed on to them by Node itself, in memory.
 */
import { realpathSync } from 'node:fs'
import { join, resolve, sep } from 'node:path'
import { getEnvironmentData, setEnvironmentData } from 'node:worker_threads'
import { FolderKeys } from './sealed-bytes.ts'

/** Of every data directory: whoever has no key yet must be able to read them, and they say nothing of what the peer keeps. */
const plainNames = new Set(['skein.json', 'lock', 'pid', 'control.sock'])

const dataName = 'skein: opened directories'

interface OpenedFolder {
  readonly root: string
  /** Undefined once it was closed: whatever still comes then is refused, not written as it is. */
  readonly key: Uint8Array | undefined
}

/** Where a path of ours lies. */
export interface Place {
  /** On the disk. */
  readonly real: string
  /** Undefined where files lie as they are. */
  readonly sealed: { readonly keys: FolderKeys; readonly within: string } | undefined
}

/** Derived keys, which take 20 µs. */
const keysOf = new WeakMap<Uint8Array, FolderKeys>()

/**
 * Opens a sealed directory for this process, until what it returns is called.
 *
 * @param key its data key, 32 bytes
 */
export function openFolder(root: string, key: Uint8Array): () => void {
  const own: OpenedFolder = { root: resolve(root), key }
  // Two names of one directory are one directory.
  const real: OpenedFolder = { root: realpathSync(own.root), key }
  const others = opened().filter(each => each.key !== undefined || (each.root !== own.root && each.root !== real.root))
  setEnvironmentData(dataName, [own, real, ...others])
  return () => {
    const others = opened().filter(each => each !== own && each !== real)
    const closed = [own.root, real.root].filter(root => !others.some(each => each.root === root))
    setEnvironmentData(dataName, [...others, ...closed.map(root => ({ root, key: undefined }))])
  }
}

/** A directory has no seal any more: what lies there is read as it is by whoever had it open before, too. */
export function forgetFolder(root: string): void {
  const roots = [resolve(root), realpathSync(root)]
  setEnvironmentData(
    dataName,
    opened().filter(each => each.key !== undefined || !roots.includes(each.root))
  )
}

export function isOpen(root: string): boolean {
  return opened().some(each => each.root === resolve(root) && each.key !== undefined)
}

/** @throws an error with code `EACCES` where the path is of a sealed directory that was closed */
export function placeOf(path: string): Place {
  const folders = opened()
  if (folders.length === 0) return { real: path, sealed: undefined }
  const full = resolve(path)
  const folder = folders.find(({ root }) => full.startsWith(root + sep))
  if (folder === undefined) return { real: path, sealed: undefined }
  const { root, key } = folder
  const names = full.slice(root.length + 1).split(sep)
  if (isPlainName(names[0]!)) return { real: path, sealed: undefined }
  if (key === undefined) {
    throw Object.assign(new Error(`${path} is in a sealed directory that was closed`), { code: 'EACCES' })
  }
  const keys = keysFor(key)
  return { real: join(root, ...names.map(name => keys.sealName(name))), sealed: { keys, within: names.join('/') } }
}

/** The keys of the directory that is, or holds, a folder; undefined where names in it lie as they are. */
export function keysWithin(folder: string): FolderKeys | undefined {
  return placeOf(join(folder, 'any')).sealed?.keys
}

/** Whether a name at the top of a data directory is plain in a sealed one, too. */
export function isPlainName(name: string): boolean {
  return plainNames.has(name.replace(/\.new(?:-[0-9a-f]{16})?$/, ''))
}

function keysFor(key: Uint8Array): FolderKeys {
  let keys = keysOf.get(key)
  if (keys === undefined) {
    keys = new FolderKeys(key)
    keysOf.set(key, keys)
  }
  return keys
}

function opened(): readonly OpenedFolder[] {
  return (getEnvironmentData(dataName) ?? []) as unknown as readonly OpenedFolder[]
}
