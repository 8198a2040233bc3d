import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { mutants } from './mutants.ts'

interface Caught {
  readonly name: string
  readonly from: number
  readonly seeds: number
  /** Undefined when it got through. */
  readonly seed?: number
  readonly broken?: string
}

test('every planted fault breaks a promise within the stated worlds', () => {
  const script = fileURLToPath(new URL('./mutants.ts', import.meta.url))
  const { stdout, stderr } = spawnSync(process.execPath, [script], { encoding: 'utf8' })
  const seen = stdout
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line) as Caught)
  expect(stderr).toBe('')
  expect(seen.map(({ name }) => name)).toEqual(mutants.map(({ name }) => name))
  const missed = seen.filter(({ seed }) => seed === undefined)
  // What repeats it, for each that got through.
  expect(missed.map(({ name }) => `node test/sim/mutants.ts '${name}' 200`)).toEqual([])
})
