/** What `skein model import` says of weights that become 4 bits. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { writeTiny } from '../model/hugging-face.ts'
import { Skein, skein } from './skein.ts'

let folder = ''
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'skein-check-'))
  await writeTiny(join(folder, 'tiny'), { config: { max_position_embeddings: 256 } })
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const args = (name: string, ...more: string[]): string[] => [
  ...['model', 'import', join(folder, 'tiny'), '--name', name, '--data', join(folder, 'data'), ...more]
]

it('warns where that costs much, unless it is not to look', { timeout: 120_000 }, async () => {
  const warned = await skein(args('a', '--dtype', 'q4,attention=q8'))
  expect(warned.code).toBe(0)
  expect(warned.stderr).toMatch(
    /^weights of mixed \(q4-f16, q8-f16\) cost this model \d+\.\d % in perplexity and .*\n$/
  )
  expect(await skein(args('b', '--dtype', 'q4', '--no-check'))).toMatchObject({ code: 0, stderr: '' })
  expect(await skein(args('c', '--dtype', 'q8'))).toMatchObject({ code: 0, stderr: '' })
  expect(await skein(args('d', '--dtype', 'q5'))).toMatchObject({ code: 2 })
})

it('tells programs how far it is, and what it found', { timeout: 120_000 }, async () => {
  const run = new Skein(args('e', '--dtype', 'q4-min', '--json'))
  expect((await run.ended).code).toBe(0)
  const events = run.events.filter(({ event }) => event === 'check' || event === 'cost')
  expect(events).toEqual([
    { event: 'check', done: 1, total: 2 },
    { event: 'check', done: 2, total: 2 },
    {
      event: 'cost',
      perplexityRise: expect.any(Number),
      divergence: expect.any(Number),
      sameShare: expect.any(Number),
      tokens: 381
    }
  ])
  expect(run.events.at(-1)).toMatchObject({ event: 'imported', name: 'e', dtype: 'q4-f16-min' })
})
