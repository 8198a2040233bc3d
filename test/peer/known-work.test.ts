/** What is known of the work of others, on disk. */
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { systemClock } from '../../src/base/clock.ts'
import type { PeerId } from '../../src/base/ids.ts'
import type { KnownEntry } from '../../src/check/known.ts'
import { Keeping } from '../../src/disk/keeping.ts'
import { KnownWorkFile } from '../../src/peer/known-work.ts'

const liar = `12D3KooW${'a'.repeat(44)}` as PeerId
const entry: KnownEntry = {
  ...{ peer: liar, sessions: 40, checkable: 38, passed: 3, inRow: 0, doubt: undefined },
  ...{ refuted: 'its hidden states are others', unchecked: '' }
}
let dataDir: string
let warnings: string[]

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'skein-known-'))
  warnings = []
})
afterEach(() => rm(dataDir, { recursive: true, force: true }))

const open = (): Promise<KnownWorkFile> =>
  KnownWorkFile.open({ dataDir, keeping: new Keeping(message => warnings.push(message)), clock: systemClock })

it('is what was known before, once it was written', async () => {
  const file = await open()
  expect(file.entries).toEqual([])
  file.follow(() => [entry])
  file.changed({ isUrgent: false })
  expect(await readdir(dataDir)).toEqual([])
  await file.stop()
  expect((await open()).entries).toEqual([entry])
  expect(warnings).toEqual([])
})

it('is on disk at once where somebody was found out', async () => {
  const file = await open()
  file.follow(() => [entry])
  file.changed({ isUrgent: true })
  await expect.poll(async () => readdir(dataDir)).toEqual(['work.json'])
  expect((await open()).entries).toEqual([entry])
  await file.stop()
})

it.each([
  ['half a file', '{"format":1,"peers":[{"peer"'],
  ['of another form', '{"format":2}'],
  ['with a peer that is none', JSON.stringify({ format: 1, peers: [{ ...entry, peer: '../x' }] })],
  ['with a number that is none', JSON.stringify({ format: 1, peers: [{ ...entry, passed: -1 }] })]
])('begins anew, and says so, where it is %s', async (_, text) => {
  await writeFile(join(dataDir, 'work.json'), text)
  expect((await open()).entries).toEqual([])
  expect(warnings).toHaveLength(1)
  expect(warnings[0]).toMatch(
    /^what is known of the work of others, work\.json in .*, cannot be read \(.*\): who was found out counts as new$/
  )
})

it('stays in memory where it cannot be written, which is told of', async () => {
  const file = await KnownWorkFile.open({
    dataDir: join(dataDir, 'gone'),
    keeping: new Keeping(message => warnings.push(message)),
    clock: systemClock
  })
  file.follow(() => [entry])
  file.changed({ isUrgent: true })
  await file.stop()
  expect(warnings).toEqual([expect.stringMatching(/^what is known of the work of others cannot be kept on disk/)])
})
