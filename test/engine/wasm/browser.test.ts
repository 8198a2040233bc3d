/** A browser computes the same bits: on a page that has shared memory, and on one that has none. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Plugin, rolldown } from 'rolldown'
import { beforeAll, describe, expect, it } from 'vitest'
import { classesOfRevision } from './classes.ts'
import { needs } from '../../needs.ts'

const chromium = (process.env.PATH ?? '')
  .split(delimiter)
  .map(folder => join(folder, 'chromium'))
  .find(existsSync)
const whyNot = chromium === undefined ? 'there is no Chromium: see .ci/run' : undefined

/** What only Node has is there for threads and files, of which a page that computes alone uses nothing. */
const withoutNode: Plugin = {
  name: 'without-node',
  resolveId: id => (id.startsWith('node:') ? `\0${id}` : undefined),
  load: id => (id.startsWith('\0node:') ? 'export default undefined' : undefined)
}

async function bundled(): Promise<string> {
  const input = fileURLToPath(new URL('class-page.ts', import.meta.url))
  const bundle = await rolldown({
    input,
    platform: 'browser',
    plugins: [withoutNode],
    shimMissingExports: true,
    onLog: () => {}
  })
  const { output } = await bundle.generate({ format: 'esm', codeSplitting: false })
  return output[0].code
}

/** Opens the page in a browser of its own, and returns what it says. */
async function opened(script: string, isolates: boolean): Promise<unknown> {
  const told = Promise.withResolvers<string>()
  const server = createServer((request, response) => {
    if (isolates) {
      response.setHeader('Cross-Origin-Opener-Policy', 'same-origin')
      response.setHeader('Cross-Origin-Embedder-Policy', 'require-corp')
    }
    if (request.url === '/script.js') response.setHeader('Content-Type', 'text/javascript').end(script)
    else if (request.url === '/told') {
      let body = ''
      request.on('data', part => (body += part)).on('end', () => told.resolve(body))
      response.end()
    } else response.setHeader('Content-Type', 'text/html').end('<script type="module" src="/script.js"></script>')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const profile = await mkdtemp(join(tmpdir(), 'skein-browser-'))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  const flags = ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run']
  const browser = spawn(chromium!, [...flags, `--user-data-dir=${profile}`, url], { stdio: 'ignore' })
  const ended = once(browser, 'exit')
  try {
    const early = ended.then(([code]) => Promise.reject(new Error(`the browser ended with ${code}`)))
    early.catch(() => {})
    const late = AbortSignal.timeout(110_000)
    const deadline = once(late, 'abort').then(() => Promise.reject(new Error('the page said nothing in 110 s')))
    deadline.catch(() => {})
    return JSON.parse(await Promise.race([told.promise, early, deadline]))
  } finally {
    browser.kill()
    await ended
    server.closeAllConnections()
    server.close()
    await rm(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
  }
}

describe('Chromium', needs(whyNot), () => {
  let script = ''
  beforeAll(async () => {
    script = await bundled()
  })

  it.each([true, false])(
    'computes the classes of the revision (isolated: %s)',
    { timeout: 120_000 },
    async isolated => {
      expect(await opened(script, isolated)).toEqual({ isolated, classes: classesOfRevision })
    }
  )
})
