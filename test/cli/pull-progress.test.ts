/** How far `skein model pull` is, for a person at a terminal and for a log. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { plainProgress } from '../../src/cli/model-pull.ts'
import { plainProgressMs } from '../../src/cli/limits.ts'
import { writeTiny } from '../model/hugging-face.ts'
import { HubServer } from '../model/hub-server.ts'
import { needs } from '../needs.ts'
import { keys, Terminal, whyNoTerminal } from './pty.ts'

let folder = ''
let hub: HubServer
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'skein-progress-'))
  await writeTiny(join(folder, 'tiny'), { files: 2 })
  hub = await HubServer.start(join(folder, 'tiny'))
})
afterAll(async () => {
  await hub.close()
  rmSync(folder, { recursive: true, force: true })
})

const deadline = { timeout: 120_000 }
const within = { timeout: 60_000 }
const pull = (data: string): Terminal =>
  new Terminal(['model', 'pull', 'someone/tiny', '--name', 'tiny', '--data', join(folder, data)], {
    ...{ HF_ENDPOINT: hub.address, HF_TOKEN: 'hf_secret' }
  })

it('a terminal has a bar, which goes when it is done', { ...deadline, ...needs(whyNoTerminal()) }, async () => {
  const terminal = pull('a')
  expect(await terminal.ended).toBe(0)
  expect(terminal.shown).toMatch(/\d+ % of \d.*B \| model-0000\d-of-00002\.safetensors/)
  expect(terminal.raw).not.toContain('hf_secret')
  const last = terminal.shown.split('\n').filter(line => line.trim() !== '')
  expect(last.at(-2)).toMatch(/fetched someone\/tiny@c{40}: \d files$/)
  expect(last.at(-1)).toMatch(/imported tiny: 2 layers, q8-f16 with f16 edges/)
})

it('Ctrl-C at a terminal says where what has arrived is kept', { ...deadline, ...needs(whyNoTerminal()) }, async () => {
  hub.intercept = (host, request, response) => {
    if (host !== 'storage' || request.method !== 'GET') return false
    response.writeHead(200, { 'content-length': '1000000' })
    response.write('x'.repeat(100))
    return true
  }
  const terminal = pull('b')
  await expect.poll(() => terminal.shown, within).toContain('model-00001-of-00002.safetensors')
  terminal.type(keys.ctrlC)
  expect(await terminal.ended).toBe(130)
  expect(terminal.shown).toContain('what has arrived is kept in')
  hub.intercept = () => false
})

it('a log has a line now and then, and none of what is soon done', () => {
  const lines: string[] = []
  let nowMs = 1_000
  const { onProgress } = plainProgress(
    line => lines.push(line),
    () => nowMs
  )
  const at = (bytes: number): void => onProgress({ file: 'a.gguf', bytes, total: 4e6, weights: { bytes, total: 4e6 } })
  at(1e6)
  nowMs += plainProgressMs - 1
  at(2e6)
  expect(lines).toEqual([])
  nowMs += 1
  onProgress({ file: 'config.json', bytes: 1, total: 1 })
  at(2.5e6)
  at(3e6)
  expect(lines).toEqual(['skein: 2.5 MB of 4.0 MB are here (62 %), now a.gguf'])
})
