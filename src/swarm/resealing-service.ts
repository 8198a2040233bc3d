/**
 * Seals a directory under another key, or takes its seal off, where it lies and while no peer runs on it. Each file is written anew beside
 * itself, reaches the disk, and then the old one goes. Until all is done nobody opens the directory, and the key that goes on with it opens all
 * of it: under which key a file lies shows by its name.
 */
import type { Dirent } from 'node:fs'
import * as fs from 'node:fs/promises'
import { join } from 'node:path'
import { reasonOf } from '../base/reason.ts'
import { isFolder } from '../disk/folders.ts'
import { isPlainName } from '../disk/opened.ts'
import { resealFile } from '../disk/reseal-file.ts'
import { FolderKeys } from '../disk/sealed-bytes.ts'
import { beginOpening, beginRekeying, checkSealed, type Rekeying } from '../disk/vault.ts'
import { DamagedFileError, DataDirectoryError } from '../errors.ts'
import { lockFolder } from './data-dir.ts'

/** What became of a directory that was sealed, sealed by another key, or whose seal was taken off. */
export interface SealedDirectory {
  /** Files that were written anew, and their bytes. */
  readonly files: number
  readonly bytes: number
  /** Paths of what is neither a file nor a folder, and stays as it is. */
  readonly left: readonly string[]
}

/** What the name of a file that is not written yet has behind it. */
export const unwritten = /\.new(-[0-9a-f]{16})?$/
/** Files of a data directory that grow by lines. */
export const inLines = /^(audit\/|models\/shards\/\.importing-)/

/** How a directory is sealed anew, or its seal taken off. */
export interface ResealOptions {
  /** Ends it between two files; what is left is gone on with by the same call. @default never */
  readonly signal?: AbortSignal
  /** Told after each file: how many there were so far, and their bytes. @default nobody is told */
  readonly onProgress?: (progress: { readonly files: number; readonly bytes: number }) => void
  /** Told before each change of the disk. @internal */
  readonly onStep?: (step: string) => void
}

/**
 * Seals a directory under another key: every file, with a new key of the directory's own, so that the old one opens nothing that is
 * written from then on.
 *
 * @param seal what is to open it, as with `openSealed`
 * @param from what opens it now; not needed to go on with one that was cut short
 * @throws {SealError} when it is not sealed, or by another key; {DataDirectoryError} when it is not there, a peer runs on it, a file of it is
 *   damaged, or it cannot be written
 * @throws the signal's reason; another run goes on then
 */
export function resealDirectory(
  dataDir: string,
  seal: string,
  from: string,
  options: ResealOptions = {}
): Promise<SealedDirectory> {
  return convert(dataDir, () => beginRekeying(dataDir, seal, from), options)
}

/**
 * Takes the seal off a directory: its files lie there as they are, for everybody who has the disk.
 *
 * @param seal what opens it
 * @throws as {@link resealDirectory}
 */
export function unsealDirectory(dataDir: string, seal: string, options: ResealOptions = {}): Promise<SealedDirectory> {
  return convert(dataDir, () => beginOpening(dataDir, seal), options)
}

async function convert(
  dataDir: string,
  begin: () => Promise<Rekeying>,
  options: ResealOptions
): Promise<SealedDirectory> {
  if (!(await isFolder(dataDir))) throw new DataDirectoryError(`there is no directory ${dataDir}`)
  await checkSealed(dataDir)
  const unlock = await lockFolder(dataDir)
  try {
    const { oldKey, newKey, done } = await begin()
    const resealing = new Resealing(dataDir, new FolderKeys(oldKey), newKey && new FolderKeys(newKey), options)
    await resealing.folder(dataDir, dataDir, '')
    options.onStep?.('done')
    await done()
    const { files, bytes, left } = resealing
    return { files, bytes, left }
  } catch (error) {
    if (typeof (error as NodeJS.ErrnoException | null)?.syscall !== 'string') throw error
    throw new DataDirectoryError(`${dataDir} cannot be written anew: ${reasonOf(error)}; another run goes on`)
  } finally {
    await unlock()
  }
}

class Resealing {
  readonly #root: string
  readonly #oldKeys: FolderKeys
  readonly #newKeys: FolderKeys | undefined
  readonly #options: ResealOptions
  readonly left: string[] = []
  files = 0
  bytes = 0

  constructor(root: string, oldKeys: FolderKeys, newKeys: FolderKeys | undefined, options: ResealOptions) {
    this.#root = root
    this.#oldKeys = oldKeys
    this.#newKeys = newKeys
    this.#options = options
  }

  /**
   * All that lies in a folder under the old key.
   *
   * @param from where it lies, and `to` where what is in it is to lie, on the disk
   * @param within its path below the root as its peer sees it, parts joined by `/`
   */
  async folder(from: string, to: string, within: string): Promise<void> {
    for (const entry of await fs.readdir(from, { withFileTypes: true })) {
      this.#options.signal?.throwIfAborted()
      if (within === '' && isPlainName(entry.name)) continue
      const stem = entry.name.replace(unwritten, '')
      const name = this.#oldKeys.openName(stem)
      // What lies under the new key is done, and what others have put there as it is stays so.
      if (name === undefined) continue
      // A write that a crash has cut off never was one.
      if (stem !== entry.name) await fs.rm(join(from, entry.name), { force: true })
      else await this.#entry(entry, { from, to }, { name, place: within === '' ? name : `${within}/${name}` })
    }
  }

  async #entry(
    entry: Dirent,
    { from, to }: { readonly from: string; readonly to: string },
    { name, place }: { readonly name: string; readonly place: string }
  ): Promise<void> {
    const [oldPath, newPath] = [join(from, entry.name), join(to, this.#newKeys?.sealName(name) ?? name)]
    if (entry.isDirectory()) {
      await fs.mkdir(newPath, { recursive: true, mode: 0o700 })
      await this.folder(oldPath, newPath, place)
      this.#options.onStep?.('rmdir')
      await fs.rmdir(oldPath).catch(() => {})
    } else if (entry.isFile()) await this.#file(oldPath, newPath, place)
    else this.left.push(oldPath)
  }

  async #file(from: string, to: string, place: string): Promise<void> {
    const { onStep, onProgress } = this.#options
    const [oldKeys, newKeys] = [this.#oldKeys, this.#newKeys]
    try {
      this.bytes += await resealFile({ from, to, place, isLines: inLines.test(place), oldKeys, newKeys, onStep })
    } catch (error) {
      if (!(error instanceof DamagedFileError)) throw error
      throw new DataDirectoryError(
        `${place} in ${this.#root} is damaged: ${error.message}; remove it (${from}) or put a good copy there, another run goes on`
      )
    }
    this.files++
    onProgress?.({ files: this.files, bytes: this.bytes })
  }
}
