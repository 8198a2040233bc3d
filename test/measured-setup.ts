/** Gives a run of tests a folder for what `measured.ts` keeps, and removes it; what Node compiled stays for the next run. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Node knows by a file's bytes whether what it compiled is of that file; `npm ci` empties the folder. */
const compiled = fileURLToPath(new URL('../node_modules/.cache/compiled', import.meta.url))

export function setup(): () => void {
  const folder = mkdtempSync(join(tmpdir(), 'skein-measured-'))
  process.env.SKEIN_TEST_MEASURED = folder
  // Processes and threads of tests strip the types of the same files again and again: a third of what short ones take.
  process.env.NODE_COMPILE_CACHE ??= compiled
  return () => rmSync(folder, { recursive: true, force: true })
}
