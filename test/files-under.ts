/** What lies on a disk, for tests that say what may not lie there. */
import { readdir, readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'

export interface FileUnder {
  /** Path below the folder that was asked for; a folder's own entry has no bytes. */
  readonly path: string
  readonly bytes: Buffer
}

/**
 * Everything under a folder, by name and byte. A living peer writes a file beside the one it replaces and renames it: one that has gone
 * between the list and the reading makes the list be read anew, so that nothing is passed over.
 * @throws {Error} what the file system says, where it does not come to rest in 20 readings
 */
export async function filesUnder(folder: string): Promise<FileUnder[]> {
  for (let left = 20; ; left--) {
    try {
      const found: FileUnder[] = []
      for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
        const at = join(entry.parentPath, entry.name)
        found.push({ path: relative(folder, at), bytes: entry.isFile() ? await readFile(at) : Buffer.alloc(0) })
      }
      return found
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || left === 0) throw error
    }
  }
}

/** Names and bytes of a folder in one, for a search. */
export async function allUnder(folder: string): Promise<Buffer> {
  const files = await filesUnder(folder)
  return Buffer.concat(files.flatMap(({ path, bytes }) => [Buffer.from(`${path}\n`), bytes]))
}
