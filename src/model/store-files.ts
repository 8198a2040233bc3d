/** What the store does with files and folders of its own. */
import { randomBytes } from 'node:crypto'
import type { Stats } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { threadId } from 'node:worker_threads'
import { mkdir, type OpenFile, readdir, readStored, readStoredText, rm, stat, writeFile } from '../disk/files.ts'
import { CorruptShardError, ImportError, InvalidManifestError } from '../errors.ts'
import { claimBytesMax, claimTriesMax, claimWaitMs, manifestBytesMax } from './limits.ts'

/** What changes when a file does. */
export function stateOf(file: string, { size, mtimeMs, ctimeMs, ino }: Stats): string {
  return [file, size, mtimeMs, ctimeMs, ino].join(' ')
}

/** Reads exactly so many bytes. @throws when the file ends before. */
export async function readFully(
  handle: OpenFile,
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
export async function makeFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
}

/** Names in a folder; none when the folder is not there. */
export async function names(folder: string): Promise<string[]> {
  return readdir(folder).catch((err: NodeJS.ErrnoException) => {
    if (err.code === 'ENOENT') return []
    throw err
  })
}

export async function hasSize(file: string, { bytes }: { readonly bytes: number }): Promise<boolean> {
  const found = await stat(file).catch(() => undefined)
  return found?.isFile() === true && found.size === bytes
}

/** @throws {InvalidManifestError} when it cannot be one; the file system's error when it cannot be read */
export async function manifestBytes(file: string): Promise<Uint8Array> {
  try {
    return await readStored(file, manifestBytesMax)
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code !== undefined) throw err
    throw new InvalidManifestError(`${file} is no manifest: ${(err as Error).message}`)
  }
}

/** A name that nobody else gives, and that says which process and thread are at it: what they left is known when they are gone. */
export function processFile(folder: string, prefix: string): string {
  return path.join(folder, `${prefix}${process.pid}-${threadId}-${randomBytes(8).toString('hex')}`)
}

/**
 * Whether whoever gave a file its name is at it no more.
 *
 * @param name that {@link processFile} gave, without the prefix
 * @param endedThread one of this process that has ended
 */
export function isLeft(name: string, endedThread: number | undefined): boolean {
  const [pid, thread] = name.split('-').map(Number) as [number, number | undefined]
  if (pid === process.pid && endedThread !== undefined) return thread === endedThread
  return !isRunning(pid)
}

/** Whether a process of that number runs. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (err) {
    return (err as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/**
 * Does something while nobody else does it with that file, in this process or another. What a process that was killed has left
 * there holds nobody up.
 *
 * @param options.triesMax how often it is looked whether it is free, some ms apart
 * @throws {ImportError} when another process holds it for too long, or what `options.busy` makes of that
 */
export async function alone<T>(
  file: string,
  work: () => Promise<T>,
  { triesMax = claimTriesMax, busy }: { readonly triesMax?: number; readonly busy?: (holder: number) => Error } = {}
): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      await writeFile(file, String(process.pid), { flag: 'wx' })
      break
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code !== 'EEXIST') throw err
      const holder = Number(await readStoredText(file, claimBytesMax).catch(() => ''))
      // A file without a number was made at this moment, or its process was killed as it made it.
      if (holder > 0 ? !isRunning(holder) : tries > claimTriesMax / 2) await rm(file, { force: true })
      else if (tries >= (holder > 0 ? triesMax : claimTriesMax))
        throw (
          busy?.(holder) ?? new ImportError(`process ${holder} holds ${file}: remove it if that one imports nothing`)
        )
      await sleep(claimWaitMs)
    }
  }
  try {
    return await work()
  } finally {
    await rm(file, { force: true })
  }
}
