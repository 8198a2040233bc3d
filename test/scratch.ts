/** Folders of the tests of one file, which are gone after them. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach } from 'vitest'

/**
 * To be called once in a file, or in a `describe`, before other hooks: what these have in a folder they let go of before it is removed.
 *
 * @param hook `afterAll` where a folder is for all tests @default afterEach
 * @returns what makes a new one
 */
export function scratchFolders(hook: (remove: () => Promise<void>) => void = afterEach): () => Promise<string> {
  const folders: string[] = []
  hook(async () => {
    for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true })
  })
  return async () => {
    folders.push(await mkdtemp(path.join(tmpdir(), 'skein-test-')))
    return folders.at(-1)!
  }
}
