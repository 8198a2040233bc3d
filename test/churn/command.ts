/** What the commands of this folder share: what they print, how they are stopped, and what they leave behind. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { insideNamespaces } from '../lab/namespaces.ts'
import { whyNoNetwork } from './network.ts'

export interface Telling {
  /** A line for a person: to stderr where stdout is for a program. */
  say(line: string): void
  /** An object for a program, if one reads. */
  sayJson(object: object): void
}

export function telling(json: boolean): Telling {
  return {
    say: line => void (json ? process.stderr : process.stdout).write(`${line}\n`),
    sayJson: object => void (json && process.stdout.write(`${JSON.stringify(object)}\n`))
  }
}

/**
 * Sees to it that this command runs in namespaces of its own: it starts itself there and returns that process's exit code,
 * or 0 where it cannot be, saying why. Undefined when this is that process.
 */
export async function inNamespaces(
  { say, sayJson }: Telling,
  { links }: { links: boolean }
): Promise<number | undefined> {
  const why = whyNoNetwork({ links })
  if (why === undefined) return insideNamespaces()
  say(`skipped: ${why}`)
  sayJson({ event: 'skipped', reason: why })
  return 0
}

/**
 * Begins a run. The signal aborts on SIGINT and SIGTERM, a second one of the same ends the process at once; `scratch`
 * is where this process and those that it starts put their temporary files, and goes with it.
 */
export function beginRun(prefix: string): { readonly signal: AbortSignal; readonly scratch: string } {
  const stopping = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.once(name, () => {
      process.once(name, () => process.exit(130))
      stopping.abort(new Error(`ended by ${name}`))
    })
  }
  const scratch = mkdtempSync(join(tmpdir(), prefix))
  process.env.TMPDIR = scratch
  process.once('exit', () => rmSync(scratch, { recursive: true, force: true }))
  return { signal: stopping.signal, scratch }
}

/** Runs the whole command and ends with the exit code that it returns. */
export async function runCommand(main: () => Promise<number>): Promise<void> {
  process.env.ORT_DISABLE_TELEMETRY = '1'
  process.exitCode = await main()
  // Whatever still holds a handle has had its time.
  setTimeout(() => process.exit(), 2000).unref()
}
