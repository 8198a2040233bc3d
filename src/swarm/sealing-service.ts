/**
 * Seals a directory where it lies. Each file is sealed beside itself, reaches the disk, and then the plain one goes: a power cut leaves
 * every file in one of both ways, and the next run goes on. Until all is done nobody opens the directory.
 */
import type { Dirent } from 'node:fs'
import * as fs from 'node:fs/promises'
import { join } from 'node:path'
import { reasonOf } from '../base/reason.ts'
import { copyFile } from '../disk/files.ts'
import { isFolder } from '../disk/folders.ts'
import { appendLines } from '../disk/lines.ts'
import { isPlainName, keysWithin, openFolder, placeOf } from '../disk/opened.ts'
import { beginConversion, checkConvertible, isRekeying } from '../disk/vault.ts'
import { syncPath, writeWhole } from '../disk/whole-file.ts'
import { DataDirectoryError } from '../errors.ts'
import { lockFolder } from './data-dir.ts'
import { inLines, resealDirectory, type ResealOptions, type SealedDirectory, unwritten } from './resealing-service.ts'

/** Folders of a data directory whose files are read in pieces, and have digests. */
const inPieces = /^(models\/shards|pulls)\//

/**
 * Seals what lies plain in a data directory; of one that is sealed, what was put there since by others. Where a change of its key was cut
 * short it goes on with that.
 *
 * @param seal as with `openSealed`
 * @throws {DataDirectoryError} when it is not there, a peer runs on it, or it cannot be written; {SealError} when it is sealed with
 *   another key
 * @throws the signal's reason; another run goes on then
 */
export async function sealDirectory(
  dataDir: string,
  seal: string,
  options: Pick<ResealOptions, 'signal' | 'onProgress'> = {}
): Promise<SealedDirectory> {
  const { signal = new AbortController().signal, onProgress } = options
  if (!(await isFolder(dataDir))) throw new DataDirectoryError(`there is no directory ${dataDir} to seal`)
  if (await isRekeying(dataDir)) return resealDirectory(dataDir, seal, seal, options)
  await checkConvertible(dataDir, seal)
  const unlock = await lockFolder(dataDir)
  try {
    const { key, done } = await beginConversion(dataDir, seal)
    const close = openFolder(dataDir, key)
    try {
      const sealing = new Sealing(dataDir, signal, onProgress)
      await sealing.folder('')
      await done()
      const { files, bytes, left } = sealing
      return { files, bytes, left }
    } finally {
      close()
    }
  } catch (error) {
    if (typeof (error as NodeJS.ErrnoException | null)?.syscall !== 'string') throw error
    throw new DataDirectoryError(`${dataDir} cannot be sealed: ${reasonOf(error)}; another run goes on`)
  } finally {
    await unlock()
  }
}

class Sealing {
  readonly #root: string
  readonly #signal: AbortSignal
  readonly #onProgress: ((progress: { readonly files: number; readonly bytes: number }) => void) | undefined
  readonly left: string[] = []
  files = 0
  bytes = 0

  constructor(
    root: string,
    signal: AbortSignal,
    onProgress: ((progress: { readonly files: number; readonly bytes: number }) => void) | undefined
  ) {
    this.#root = root
    this.#signal = signal
    this.#onProgress = onProgress
  }

  /** All that lies plain in a folder. @param within its path below the root, parts joined by `/` */
  async folder(within: string): Promise<void> {
    const folder = join(this.#root, within)
    for (const entry of await fs.readdir(folder, { withFileTypes: true })) {
      this.#signal.throwIfAborted()
      if (within === '' && isPlainName(entry.name)) continue
      // What is sealed lies in folders with sealed names.
      const stem = entry.name.replace(unwritten, '')
      if (keysWithin(this.#root)?.openName(stem) !== undefined) {
        // A write that a crash has cut off, or a file that was about to lie there in plain.
        if (stem !== entry.name) await fs.rm(join(folder, entry.name), { force: true })
        continue
      }
      await this.#entry(within === '' ? entry.name : `${within}/${entry.name}`, entry)
    }
    if (within !== '') await fs.rmdir(folder).catch(() => {})
  }

  async #entry(within: string, entry: Dirent): Promise<void> {
    const path = join(this.#root, within)
    if (entry.isDirectory()) {
      await fs.mkdir(placeOf(path).real, { recursive: true, mode: 0o700 })
      await this.folder(within)
    } else if (entry.isFile()) {
      await this.#file(within, path)
    } else this.left.push(path)
  }

  async #file(within: string, path: string): Promise<void> {
    const { size } = await fs.stat(path)
    if (inPieces.test(within) && !inLines.test(within)) await copyFile(path, path, { plain: true })
    else if (inLines.test(within)) await this.#lines(path)
    else await writeWhole(path, await fs.readFile(path))
    await syncPath(path)
    await fs.unlink(path)
    this.files++
    this.bytes += size
    this.#onProgress?.({ files: this.files, bytes: this.bytes })
  }

  async #lines(path: string): Promise<void> {
    // What a run that was cut short has begun.
    await fs.rm(placeOf(path).real, { force: true })
    const text = await fs.readFile(path, 'utf8')
    await appendLines(path, text.split('\n').slice(0, text.endsWith('\n') ? -1 : undefined))
  }
}
