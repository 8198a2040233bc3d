/**
 * What this processor was measured to be, for peers of later tests of the same run: a peer in a new folder computes for 1.5 s before
 * it serves, and tests start hundreds of them. What is measured, and that it is, has tests of its own.
 */
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { measuredMax } from '../src/engine/limits.ts'

/** Set by `measured-setup.ts`: a folder that the run has for itself. */
const folder = process.env.SKEIN_TEST_MEASURED

/** Puts what is known into a peer's data directory, unless it has measured already. */
export function putMeasured(dataDir: string): void {
  const own = join(dataDir, 'measured.json')
  if (folder === undefined || existsSync(own) || !existsSync(known(folder))) return
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  copyFileSync(known(folder), own)
}

/** Adds what a peer has measured to what is known. */
export function takeMeasured(dataDir: string): void {
  if (folder === undefined) return
  const [before, own] = [entriesOf(known(folder)), entriesOf(join(dataDir, 'measured.json'))]
  const all = Object.entries({ ...own, ...before })
  if (all.length === Object.keys(before).length || all.length > measuredMax) return
  // Another test may do the same at this moment.
  const part = join(folder, `${process.pid}`)
  writeFileSync(part, JSON.stringify(Object.fromEntries(all)), { mode: 0o600 })
  renameSync(part, known(folder))
}

function entriesOf(file: string): Record<string, unknown> {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return {}
  }
}

function known(of: string): string {
  return join(of, 'measured.json')
}
