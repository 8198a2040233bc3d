/**
 * Writes files so that a name never stands for half of one: the bytes are written beside it, reach the disk, and then
 * get the name. Whoever reads it, after whatever power cut, finds what was there before, or all of what is new.
 */
import { randomBytes } from 'node:crypto'
import { link, open, rename, stat, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { placeOf } from './opened.ts'
import { sealWhole, sizeWithin } from './sealed-bytes.ts'

export interface WholeFileOptions {
  /** @default 0o600 */
  readonly mode?: number
  /**
   * Fail with EEXIST where there is a file of that name that holds something. One of 0 bytes never did: a full disk or a
   * power cut left it.
   * @default false: what is there is replaced
   */
  readonly fresh?: boolean
  /**
   * Wait until the bytes are on the disk. False only for what says nothing after a power cut.
   * @default true
   */
  readonly durable?: boolean
  /**
   * The name that it has until it is whole. One name may have one writer at a time.
   * @default `.new` after the path, where one process at a time writes; a random one for a fresh file
   */
  readonly beside?: string
}

/** @throws what the file system says; nothing of the new file is left then. */
export async function writeWhole(
  path: string,
  bytes: string | Uint8Array,
  { mode = 0o600, fresh = false, durable = true, beside }: WholeFileOptions = {}
): Promise<void> {
  const { real, sealed } = placeOf(path)
  const content = sealed === undefined ? bytes : sealWhole(sealed.keys, Buffer.from(bytes), sealed.within)
  const temporary =
    beside === undefined ? `${real}.new${fresh ? `-${randomBytes(8).toString('hex')}` : ''}` : placeOf(beside).real
  // What a crash left, or a link that somebody else laid there.
  await unlink(temporary).catch(() => {})
  const file = await open(temporary, 'wx', mode)
  try {
    try {
      await file.writeFile(content)
      if (durable) await file.sync()
    } finally {
      await file.close()
    }
    if (fresh) await nameFresh(temporary, real, sealed === undefined ? size => size : sizeWithin)
    else await rename(temporary, real)
  } catch (error) {
    await unlink(temporary).catch(() => {})
    throw error
  }
  if (durable) await syncReal(dirname(real))
}

/** Gives a file a name that nothing of worth has: a link fails where there is something, however close two writers are. */
async function nameFresh(temporary: string, path: string, sizeIn: (bytes: number) => number): Promise<void> {
  try {
    await link(temporary, path)
    await unlink(temporary)
    return
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') {
      const there = await stat(path).catch(() => undefined)
      if (there?.isFile() !== true || sizeIn(there.size) > 0) throw error
    } else {
      // A file system without links (FAT, Android's shared storage): the name is taken first.
      await (await open(path, 'wx')).close()
    }
  }
  await rename(temporary, path)
}

/** Waits until a file is on the disk; of a folder the names in it: a new name is there once its folder is. */
export async function syncPath(path: string): Promise<void> {
  await syncReal(placeOf(path).real)
}

/** The same of a path on the disk. */
export async function syncReal(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } catch (error) {
    // Some file systems cannot sync folders, and say that they were asked for nonsense.
    if ((error as NodeJS.ErrnoException).code !== 'EINVAL') throw error
  } finally {
    await handle.close()
  }
}
