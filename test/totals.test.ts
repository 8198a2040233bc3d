/** Totals of a run end with one plain line, and tell before it why tests were skipped. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))
const vitest = fileURLToPath(new URL('../node_modules/vitest/vitest.mjs', import.meta.url))

/** Runs the tests of `skipping/`, and returns the exit code and the last lines. */
async function totals(skipsAllowed?: string): Promise<{ code: number; lines: string[] }> {
  const { SKEIN_SKIPS_ALLOWED: _inherited, ...env } = process.env
  const options = {
    cwd: root,
    env: { ...env, ...(skipsAllowed === undefined ? {} : { SKEIN_SKIPS_ALLOWED: skipsAllowed }) }
  }
  const args = [vitest, 'run', '--config', 'test/skipping/vitest.config.ts']
  const run = promisify(execFile)(process.execPath, args, options)
  const { stdout, code = 0 } = (await run.catch((error: { stdout: string; code: number }) => error)) as {
    stdout: string
    code?: number
  }
  const lines = stdout.trim().split('\n')
  return { code, lines: lines.slice(lines.findIndex(line => /^\d+ skipped: /.test(line))) }
}

const skips = [
  "1 skipped: no reason is given by 'says nothing'",
  '1 skipped: the moon is not full',
  '3 skipped: this needs two moons'
]
const last = '1 passed, 0 failed, 5 skipped'

describe('totals', () => {
  it('tell why tests were skipped, and end with one plain line', async () => {
    expect(await totals()).toEqual({ code: 0, lines: [...skips, last] })
  })

  it('fail a run that skips for another reason than may be', async () => {
    const { code, lines } = await totals('this needs two moons\n  the moon is not full')
    const strange = "this machine may not skip tests for that reason: no reason is given by 'says nothing'"
    expect({ code, lines }).toEqual({ code: 1, lines: [...skips, strange, last] })
  })
})
