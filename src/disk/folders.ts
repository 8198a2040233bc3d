/** Makes folders. */
import { mkdir, stat } from 'node:fs/promises'
import { dirname } from 'node:path'

/**
 * Makes a folder (mode 0700) and those above it. Node's own recursive `mkdir` tries for ever, at full speed, where the folder above
 * is there and still says ENOENT: under /proc, or where an automounter finds no disk.
 */
export async function makeFolder(path: string): Promise<void> {
  const make = (): Promise<unknown> => mkdir(path, { mode: 0o700 })
  try {
    await make().catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT' || dirname(path) === path) throw error
      await makeFolder(dirname(path))
      await make()
    })
  } catch (error) {
    // It may have been there, or have come meanwhile.
    if (!(await isFolder(path))) throw error
  }
}

export async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() === true
}
