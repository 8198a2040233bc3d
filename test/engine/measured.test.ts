import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Keeping } from '../../src/disk/keeping.ts'
import { measureOnce } from '../../src/engine/onnx/measured.ts'
import { measuredMaxAgeMs } from '../../src/engine/limits.ts'
import { classConfig } from '../../src/engine/onnx/numeric-class.ts'

let folder = ''
let file = ''
let warnings: string[] = []
const keeping = new Keeping(message => warnings.push(message))
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'skein-measured-'))
  file = join(folder, 'measured.json')
  warnings = []
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const init = { config: classConfig, weights: 'q8', edge: 'f16' } as const
const kept = (): Record<string, { atMs: number; visitMs: number; layerMs: number; numericClass: string }> =>
  JSON.parse(readFileSync(file, 'utf8'))

test('what was measured is taken from the file, until it is old or of something else', async () => {
  const first = await measureOnce(file, init, keeping)
  expect(first.numericClass).toMatch(/^[0-9a-f]{16}$/)
  const [key, entry] = Object.entries(kept())[0]!
  expect({ ...first, atMs: entry.atMs }).toEqual(entry)

  // Only what is read from the file can be this.
  const marked = (atMs: number): void =>
    writeFileSync(file, JSON.stringify({ [key]: { ...entry, atMs, visitMs: 12_345 } }))
  marked(Date.now())
  expect(await measureOnce(file, init, keeping)).toEqual({ ...first, visitMs: 12_345 })
  const other = await measureOnce(file, { ...init, threads: 2 }, keeping)
  expect(other.visitMs).toBeLessThan(12_345)
  expect(Object.keys(kept())).toHaveLength(2)
  for (const atMs of [Date.now() - measuredMaxAgeMs - 1, Date.now() + 60_000]) {
    marked(atMs)
    expect((await measureOnce(file, init, keeping)).visitMs).toBeLessThan(12_345)
  }
})

test.each(['', 'no JSON', '[]', '{"a":{"atMs":1}}', '{"a":{"atMs":1,"visitMs":-1,"layerMs":1,"numericClass":"0"}}'])(
  'a file that says %j is measured anew and replaced',
  async text => {
    await measureOnce(file, init, keeping)
    const [key] = Object.keys(kept())
    writeFileSync(file, text)
    await measureOnce(file, init, keeping)
    expect(Object.keys(kept())).toEqual([key])
  }
)

test('a FIFO in the place of the file, or one without end, costs a measurement', async () => {
  await measureOnce(file, init, keeping)
  const [key] = Object.keys(kept())
  for (const make of [() => execFileSync('mkfifo', [file]), () => symlinkSync('/dev/zero', file)]) {
    rmSync(file)
    make()
    await measureOnce(file, init, keeping)
    expect(Object.keys(kept())).toEqual([key])
  }
})

test('without a place to keep it nothing is lost but time', async () => {
  writeFileSync(join(folder, 'blocked'), '')
  expect((await measureOnce(join(folder, 'blocked', 'x.json'), init, keeping)).layerMs).toBeGreaterThan(0)
  expect(warnings).toEqual([expect.stringContaining("this processor's timings cannot be kept on disk")])
})
