/**
 * Files of a peer, as they are or sealed: the one place that knows which. Everything here has the name and the ways of its namesake
 * in `node:fs/promises`; in a directory that `opened.ts` has open, names and bytes are sealed on their way to the disk and opened on
 * their way to memory, and nothing that is not sealed is written.
 */
import { constants, type StatsFs, type Stats } from 'node:fs'
import * as fs from 'node:fs/promises'
import { openPlainFile, readPlainFile } from '../base/plain-file.ts'
import { DamagedFileError } from '../errors.ts'
import { keysWithin, type Place, placeOf } from './opened.ts'
import { openWhole, sealWhole, sizeOnDisk, sizeWithin, slotBytes } from './sealed-bytes.ts'
import { type OpenFile, SealedFile } from './sealed-file.ts'

export type { OpenFile } from './sealed-file.ts'

/** `a` is for making a file that may be there. @throws {DamagedFileError} beside what the file system throws */
export async function open(
  path: string,
  flags: 'r' | 'r+' | 'w' | 'wx' | 'wx+' | 'a',
  mode?: number
): Promise<OpenFile> {
  const { real, sealed } = placeOf(path)
  if (sealed === undefined) return fs.open(real, flags, mode)
  // A chunk that is written in part is read first.
  const own = { r: 'r', 'r+': 'r+', w: 'w+', wx: 'wx+', 'wx+': 'wx+', a: constants.O_RDWR | constants.O_CREAT }[flags]
  const handle = await fs.open(real, own, mode ?? 0o600)
  return sealedFile(handle, sealed, flags !== 'r')
}

/** Opens a regular file for reading, as {@link openPlainFile}. */
export async function openRegular(path: string): Promise<{ handle: OpenFile; size: number }> {
  const { real, sealed } = placeOf(path)
  const { handle, size } = await openPlainFile(real).catch(error => notSealed(error, path, real))
  if (sealed === undefined) return { handle, size }
  const file = await sealedFile(handle, sealed, false)
  return { handle: file, size: file.size }
}

async function sealedFile(
  handle: fs.FileHandle,
  { keys, within: place }: NonNullable<Place['sealed']>,
  writes: boolean
): Promise<SealedFile> {
  try {
    return await SealedFile.open(handle, { keys, place, writes })
  } catch (error) {
    await handle.close()
    throw error
  }
}

/**
 * A regular file of at most so many bytes, whole.
 *
 * @throws what {@link readPlainFile} throws, and {DamagedFileError}
 */
export async function readStored(path: string, bytesMax: number): Promise<Uint8Array> {
  const { real, sealed } = placeOf(path)
  if (sealed === undefined) return readPlainFile(real, bytesMax)
  const stored = await readPlainFile(real, sizeOnDisk(bytesMax) + slotBytes).catch(error =>
    notSealed(error, path, real)
  )
  const bytes = openWhole(sealed.keys, stored, sealed.within)
  if (bytes.length > bytesMax) throw new Error(`it has ${bytes.length} bytes, and at most ${bytesMax} are taken`)
  return bytes
}

/** Says of a file that is not there when it only lies there as it is, where somebody has put it. */
async function notSealed(error: unknown, path: string, real: string): Promise<never> {
  const isThere = path !== real && (await fs.stat(path).catch(() => undefined)) !== undefined
  if (!isThere) throw error
  throw new DamagedFileError(
    'it is not sealed, in a directory whose files are: skein seal, with the same --seal, seals it'
  )
}

/** The same as text; what is no UTF-8 in it becomes the replacement character. */
export async function readStoredText(path: string, bytesMax: number): Promise<string> {
  return new TextDecoder().decode(await readStored(path, bytesMax))
}

/** A small file in one go, which `wx` has fail where there is one. */
export async function writeFile(path: string, text: string, { flag = 'w' }: { flag?: 'w' | 'wx' } = {}): Promise<void> {
  const { real, sealed } = placeOf(path)
  if (sealed === undefined) return fs.writeFile(real, text, { flag })
  await fs.writeFile(real, sealWhole(sealed.keys, Buffer.from(text), sealed.within), { flag, mode: 0o600 })
}

/** The size is that of what the file holds. */
export async function stat(path: string): Promise<Stats> {
  const { real, sealed } = placeOf(path)
  const found = await fs.stat(real)
  if (sealed !== undefined && found.isFile()) found.size = sizeWithin(found.size)
  return found
}

/** Of the disk that a folder lies on. */
export async function statfs(folder: string): Promise<StatsFs> {
  return fs.statfs(placeOf(folder).real)
}

/** Names in a folder, of a sealed one those that its key has sealed. */
export async function readdir(folder: string): Promise<string[]> {
  const names = await fs.readdir(placeOf(folder).real)
  const keys = keysWithin(folder)
  return keys === undefined ? names : names.map(name => keys.openName(name)).filter(name => name !== undefined)
}

/** Paths of all files below a folder; none where it is not there. */
export async function filesBelow(folder: string): Promise<string[]> {
  const found: string[] = []
  for (const name of await readdir(folder).catch(() => [])) {
    const path = `${folder}/${name}`
    const about = await stat(path).catch(() => undefined)
    if (about?.isDirectory() === true) found.push(...(await filesBelow(path)))
    else if (about?.isFile() === true) found.push(path)
  }
  return found
}

export async function mkdir(folder: string, options: { recursive: true; mode?: number }): Promise<void> {
  await fs.mkdir(placeOf(folder).real, options)
}

export async function rm(path: string, options?: { force?: boolean; recursive?: boolean }): Promise<void> {
  await fs.rm(placeOf(path).real, options)
}

/** Of a file in pieces: one that is written whole gets its name by `writeWhole`. */
export async function rename(from: string, to: string): Promise<void> {
  await fs.rename(placeOf(from).real, placeOf(to).real)
}

/** A second name for a file in pieces. @throws an error with code `EXDEV` where the two are not sealed by one key */
export async function link(from: string, to: string): Promise<void> {
  const [source, target] = [placeOf(from), placeOf(to)]
  if (source.sealed?.keys !== target.sealed?.keys) {
    throw Object.assign(new Error(`${to} is sealed by another key than ${from}`), { code: 'EXDEV' })
  }
  await fs.link(source.real, target.real)
}

/**
 * Copies a file; where the two are not sealed by one key, what it holds is sealed, or opened, on the way.
 *
 * @param options.plain `from` lies as it is, though its directory is sealed. @default false
 */
export async function copyFile(
  from: string,
  to: string,
  { plain = false }: { readonly plain?: boolean } = {}
): Promise<void> {
  const [source, target] = [plain ? { real: from, sealed: undefined } : placeOf(from), placeOf(to)]
  if (source.sealed?.keys === target.sealed?.keys) return fs.copyFile(source.real, target.real)
  const { handle: reading, size } = plain ? await openPlainFile(from) : await openRegular(from)
  try {
    const writing = await open(to, 'w')
    try {
      const buffer = new Uint8Array(Math.min(size, copyBytes))
      for (let at = 0; at < size; ) {
        const { bytesRead } = await reading.read(buffer, 0, buffer.length, at)
        if (bytesRead === 0) throw new Error(`${from} ended at ${at} while it was copied`)
        for (let done = 0; done < bytesRead; ) {
          done += (await writing.write(buffer, done, bytesRead - done, at + done)).bytesWritten
        }
        at += bytesRead
      }
    } finally {
      await writing.close()
    }
  } finally {
    await reading.close()
  }
}

/** What is copied at once. */
const copyBytes = 4 << 20
