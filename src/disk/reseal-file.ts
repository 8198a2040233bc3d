/**
 * One file of a sealed directory under another key, or under none: read chunk by chunk and written beside, so that it lies there in one of
 * both ways whatever happens meanwhile.
 */
import { type FileHandle, open, readFile, rename, unlink, utimes } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { openPlainFile } from '../base/plain-file.ts'
import { sameBytes } from '../base/same-bytes.ts'
import { DamagedFileError, DataDirectoryError } from '../errors.ts'
import { sealedChunkBytes } from './limits.ts'
import {
  boundOf,
  type FolderKeys,
  headerBytes,
  isSealedHeader,
  sealBytes,
  sizeWithin,
  slotAt,
  slotBytes
} from './sealed-bytes.ts'
import { syncReal } from './whole-file.ts'

export interface ResealedFile {
  /** Where it lies now, and where it is to lie, on the disk. */
  readonly from: string
  readonly to: string
  /** Where it lies in its directory as its peer sees it, parts joined by `/`. */
  readonly place: string
  /** Lines, each sealed by itself. */
  readonly isLines: boolean
  readonly oldKeys: FolderKeys
  /** Undefined where its seal is taken off. */
  readonly newKeys: FolderKeys | undefined
  /** Told before each change of the disk: whoever kills a process there finds out what that leaves. */
  readonly onStep?: ((step: string) => void) | undefined
}

/**
 * Writes a file anew beside the old one, gives it its name when it is on the disk, and removes the old one then.
 *
 * @returns bytes that it holds
 * @throws {DamagedFileError} when its seal is broken; it stays as it is. {DataDirectoryError} when something else has the plain name
 * @throws what the file system says
 */
export async function resealFile(file: ResealedFile): Promise<number> {
  const { from, to, onStep = () => {} } = file
  // Under a sealed name: whoever goes on, or seals what lies plain, knows it for what was cut short.
  const beside = join(dirname(to), `${basename(from)}.new`)
  const { handle: reading, size } = await openPlainFile(from)
  let held: number
  try {
    const { mode, atime, mtime } = await reading.stat()
    await unlink(beside).catch(() => {})
    onStep('begin')
    const writing = await open(beside, 'wx', mode & 0o777)
    try {
      held = file.isLines ? await lines(file, writing) : await chunks(file, { reading, size }, writing)
      onStep('sync')
      await writing.sync()
    } finally {
      await writing.close()
    }
    // When it was used last decides what gives way.
    await utimes(beside, atime, mtime)
  } catch (error) {
    await unlink(beside).catch(() => {})
    throw error
  } finally {
    await reading.close()
  }
  if (file.newKeys === undefined && !(await isFree(to, beside))) {
    await unlink(beside).catch(() => {})
    throw new DataDirectoryError(
      `${to} lies there as it is besides, and holds something else: move it elsewhere, another run goes on`
    )
  }
  onStep('rename')
  await rename(beside, to)
  await syncReal(dirname(to))
  onStep('remove')
  await unlink(from)
  return held
}

/** Whether nothing lies under a name, or the very bytes: what a run left that was cut short. */
async function isFree(path: string, beside: string): Promise<boolean> {
  const there = await openPlainFile(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (there === undefined) return true
  const { handle: own, size } = await openPlainFile(beside)
  try {
    if (there.size !== size) return false
    for (let at = 0; at < size; at += sealedChunkBytes) {
      const [one, other] = [await readAt(there.handle, at, sealedChunkBytes), await readAt(own, at, sealedChunkBytes)]
      if (!sameBytes(one, other)) return false
    }
    return true
  } finally {
    await there.handle.close()
    await own.close()
  }
}

async function chunks(
  { place, oldKeys, newKeys }: ResealedFile,
  { reading, size }: { readonly reading: FileHandle; readonly size: number },
  writing: FileHandle
): Promise<number> {
  // One of no bytes was begun and never written.
  if (size === 0) return 0
  const header = await readAt(reading, 0, Math.min(size, headerBytes))
  if (!isSealedHeader(header)) throw new DamagedFileError('it is not sealed, though its name is')
  const key = oldKeys.file(header)
  const begun = newKeys?.begin(key.kind)
  if (begun !== undefined) await writing.write(begun.header, 0, begun.header.length, 0)
  const count = Math.ceil((size - headerBytes) / slotBytes)
  if (count === 0 && key.kind === 'whole') throw new DamagedFileError('it was cut')
  for (let index = 0; index < count; index++) {
    const slot = await readAt(reading, slotAt(index), Math.min(slotBytes, size - slotAt(index)))
    if (slot.length < sealBytes) throw new DamagedFileError('it was cut within a seal')
    // A hole stays one: what was never written of a download takes no room.
    if (key.kind === 'pieces' && slot.every(byte => byte === 0)) continue
    const chunk = new Uint8Array(slot.length - sealBytes)
    const bound = boundOf(key.kind, index === count - 1, place)
    key.open(index, slot, chunk, bound)
    const written = begun?.key.seal(index, chunk, bound) ?? chunk
    await writeAt(writing, written, begun === undefined ? index * sealedChunkBytes : slotAt(index))
  }
  await writing.truncate(newKeys === undefined ? sizeWithin(size) : size)
  return sizeWithin(size)
}

/** A line whose seal is broken stays as it is: it is none of those that were written, and who reads it sees that. */
async function lines({ from, place, oldKeys, newKeys }: ResealedFile, writing: FileHandle): Promise<number> {
  const bound = { last: true, place }
  const [oldKey, newKey] = [oldKeys.lines(place), newKeys?.lines(place)]
  const again = (line: string): string => {
    const slot = Buffer.from(line, 'base64')
    if (slot.length < sealBytes) return line
    const bytes = new Uint8Array(slot.length - sealBytes)
    try {
      oldKey.open(0, slot, bytes, bound)
    } catch (error) {
      if (error instanceof DamagedFileError) return line
      throw error
    }
    if (newKey === undefined) return Buffer.from(bytes).toString()
    return Buffer.from(newKey.seal(0, bytes, bound)).toString('base64')
  }
  const text = await readFile(from, 'utf8')
  const bytes = Buffer.from(
    text
      .split('\n')
      .map(line => (line === '' ? '' : again(line)))
      .join('\n')
  )
  await writeAt(writing, bytes, 0)
  return bytes.length
}

async function readAt(handle: FileHandle, at: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length)
  for (let done = 0; done < length; ) {
    const { bytesRead } = await handle.read(bytes, done, length - done, at + done)
    if (bytesRead === 0) return bytes.subarray(0, done)
    done += bytesRead
  }
  return bytes
}

async function writeAt(handle: FileHandle, bytes: Uint8Array, at: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += (await handle.write(bytes, done, bytes.length - done, at + done)).bytesWritten
  }
}
