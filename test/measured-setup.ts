/** Gives a run of tests a folder for what `measured.ts` keeps, and removes it. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export function setup(): () => void {
  const folder = mkdtempSync(join(tmpdir(), 'skein-measured-'))
  process.env.SKEIN_TEST_MEASURED = folder
  return () => rmSync(folder, { recursive: true, force: true })
}
