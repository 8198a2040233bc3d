import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { needs } from '../needs.ts'
import { mutants } from './mutants.ts'

/** Some 40 s of a processor together; whoever has much else to do may take its time. */
const limitMs = 900_000

interface Caught {
  readonly name: string
  readonly from: number
  readonly seeds: number
  /** Undefined when it got through. */
  readonly seed?: number
  readonly broken?: string
}

test.each(mutants.map(mutant => [mutant.name, mutant] as const))('is planted where it says: %s', (_, mutant) => {
  for (const { file, original, mutated } of [mutant, mutant.beside ?? mutant]) {
    const text = readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8')
    // A decider that was rewritten needs its fault rewritten, too.
    expect(text.split(original).length - 1).toBe(1)
    expect(mutated).not.toBe(original)
  }
})

/** They take 43 s of a processor, of the 20 minutes of two that CI has. */
const whyNotSound =
  process.env.CI === undefined ? undefined : 'storms without a fault are lived through where there is time: see .ci/run'

test('worlds in which one thing goes wrong all the time keep their promises', {
  ...needs(whyNotSound),
  timeout: limitMs
}, () => {
  const script = fileURLToPath(new URL('./mutants.ts', import.meta.url))
  const { stdout, stderr } = spawnSync(process.execPath, [script, '--sound', '1'], { encoding: 'utf8' })
  expect(stderr).toBe('')
  const lines = stdout
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as { storm: string; broken?: string })
  expect(lines.length).toBe(new Set(mutants.flatMap(({ storm }) => storm ?? [])).size)
  expect(lines.filter(({ broken }) => broken !== undefined)).toEqual([])
})

test('every planted fault breaks a promise within the stated worlds', { timeout: limitMs }, () => {
  const script = fileURLToPath(new URL('./mutants.ts', import.meta.url))
  // On CI every second one: all of them take two and a half minutes of one of its two processors.
  const half = process.env.CI === undefined ? [] : ['--half']
  const { stdout, stderr } = spawnSync(process.execPath, [script, ...half], { encoding: 'utf8' })
  const seen = stdout
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line) as Caught)
  expect(stderr).toBe('')
  const hunted = mutants.filter((_, number) => half.length === 0 || number % 2 === 0)
  expect(seen.map(({ name }) => name)).toEqual(hunted.map(({ name }) => name))
  const missed = seen.filter(({ seed }) => seed === undefined)
  // What repeats it, for each that got through.
  expect(missed.map(({ name }) => `node test/sim/mutants.ts '${name}' 200`)).toEqual([])
})
