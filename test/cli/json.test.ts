/** `--json` everywhere, and progress where a person sees it. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { ProgressLine, progressBar } from '../../src/cli/progress.ts'
import { underway } from '../../src/cli/watch.ts'
import type { Status } from '../../src/index.ts'
import { skein } from './skein.ts'

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'skein-json-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

it('every command takes --json, but for the one that prints a script', async () => {
  const { stdout } = await skein(['completion', 'bash'])
  const words = stdout.slice(stdout.indexOf('_skein_words()'))
  const commands = [...words.matchAll(/^ {4}'([^']*)'\) echo '([^']*)' ;;$/gm)].map(([, path, list]) => [path, list])
  expect(commands.length).toBeGreaterThan(20)
  const without = commands.filter(([, list]) => !list!.split(' ').includes('--json')).map(([path]) => path)
  expect(without).toEqual(['', 'attest', 'audit', 'completion', 'model'])
})

it('what is made is told as an event', async () => {
  const swarm = join(folder, 'swarm.json')
  const made = await skein(['init', swarm, '--name', 'alpha', '--json'])
  expect(JSON.parse(made.stdout)).toEqual({ event: 'initialised', file: swarm, name: 'alpha', members: false })
  const key = join(folder, 'key')
  expect(JSON.parse((await skein(['key', key, '--json'])).stdout)).toEqual({ event: 'key', file: key })
})

it('a bar has as many cells full as are done', () => {
  expect(progressBar(0, 10)).toBe(`${'░'.repeat(24)}   0 %`)
  expect(progressBar(5, 10)).toBe(`${'█'.repeat(12)}${'░'.repeat(12)}  50 %`)
  expect(progressBar(11, 10)).toBe(`${'█'.repeat(24)} 100 %`)
  expect(progressBar(0, 0)).toBe(`${'█'.repeat(24)} 100 %`)
})

it('a line of progress is drawn anew on a terminal, cut where that ends, and nowhere else', () => {
  const written: string[] = []
  const stream = (isTTY: boolean): NodeJS.WriteStream =>
    ({ isTTY, columns: 10, write: (text: string) => written.push(text) }) as unknown as NodeJS.WriteStream
  const line = new ProgressLine(stream(true))
  for (const text of ['0123456789ab', '0123456789cd', 'a\nb', 'a\nb']) line.show(text)
  line.clear()
  line.clear()
  expect(written).toEqual(['\r\x1b[K012345678', '\r\x1b[Ka b', '\r\x1b[K'])
  new ProgressLine(stream(false)).show('x')
  expect(written).toHaveLength(3)
})

it('what is on its way is one line: what is fetched, else what is loaded', () => {
  const stage = { model: 'a', start: 0, end: 2, serving: false }
  const status = (fetches: object[]): Status =>
    ({
      self: 'me',
      peers: [{ id: 'me', stages: [stage, { ...stage, start: 2, end: 3, serving: true }] }],
      models: [{ id: 'a', name: 'stories' }],
      fetches
    }) as unknown as Status
  expect(underway(status([]))).toBe('loading layers 0-2 of stories …')
  const fetch = { model: 'a', state: 'layers 0-2 from 2 peers', bytes: 5e6, bytesTotal: 20e6 }
  expect(underway(status([fetch]))).toBe(
    `${'█'.repeat(6)}${'░'.repeat(18)}  25 % of 20.0 MB  layers 0-2 from 2 peers of stories`
  )
  expect(underway(status([{ ...fetch, model: null, bytesTotal: 0 }]))).toBe('loading layers 0-2 of stories …')
})
