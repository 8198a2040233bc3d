import { createHash } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { importModel } from '../../src/model/import.ts'
import { fetchFromHub, type HubInit, type HubModel } from '../../src/model/import-hub.ts'
import { openStore } from '../../src/model/store.ts'
import { writeTiny } from './hugging-face.ts'

const commit = 'c'.repeat(40)
const token = 'hf_secret'

/** What the servers were asked, in order. */
let asked: { host: 'hub' | 'storage'; method: string; url: string; range?: string; authorization?: string }[]
/** Answers instead of the usual ones; true when it did. */
let intercept: (host: 'hub' | 'storage', request: IncomingMessage, response: ServerResponse) => boolean
let dir: string
let source: string
let target: string
let hub: Server
let storage: Server

beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'skein-test-'))
  source = path.join(dir, 'source')
  target = path.join(dir, 'target')
  await writeTiny(source, { files: 2 })
  asked = []
  intercept = () => false
  storage = await listen('storage')
  hub = await listen('hub')
})
afterEach(async () => {
  for (const server of [hub, storage]) {
    server.closeAllConnections()
    await new Promise(resolve => server.close(resolve))
  }
  await rm(dir, { recursive: true, force: true })
})

const address = (server: Server): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`

/**
 * The two halves of Hugging Face as its clients meet them: the hub answers small files itself, with git's blob
 * digest as ETag, and redirects large ones to a storage host, giving size and SHA-256 on the redirect.
 */
async function listen(host: 'hub' | 'storage'): Promise<Server> {
  const server = createServer((request, response) => {
    const { method = '', url = '', headers } = request
    asked.push({
      host,
      method,
      url,
      ...(headers.range === undefined ? {} : { range: headers.range }),
      ...(headers.authorization === undefined ? {} : { authorization: headers.authorization })
    })
    if (intercept(host, request, response)) return
    void answer(host, url, request, response)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return server
}

async function answer(
  host: 'hub' | 'storage',
  url: string,
  request: IncomingMessage,
  response: ServerResponse
): Promise<void> {
  const name = path.basename(url)
  const body = await readFile(path.join(source, name)).catch(() => undefined)
  if (body === undefined) {
    response.writeHead(404).end()
    return
  }
  const large = name.endsWith('.safetensors')
  const etag = large
    ? createHash('sha256').update(body).digest('hex')
    : createHash('sha1').update(`blob ${body.length}\0`).update(body).digest('hex')
  if (host === 'hub' && large) {
    response.writeHead(302, {
      location: `${address(storage)}/blob/${name}`,
      'x-repo-commit': commit,
      'x-linked-size': String(body.length),
      'x-linked-etag': `"${etag}"`
    })
    response.end()
    return
  }
  const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0)
  response.writeHead(from > 0 ? 206 : 200, {
    'content-length': String(body.length - from),
    etag: `"${etag}"`,
    'x-repo-commit': commit,
    ...(from > 0 ? { 'content-range': `bytes ${from}-${body.length - 1}/${body.length}` } : {})
  })
  response.end(request.method === 'HEAD' ? undefined : body.subarray(from))
}

function fetchTiny(init: Partial<HubInit> = {}): Promise<HubModel> {
  return fetchFromHub({
    repo: 'someone/tiny',
    endpoint: init.endpoint ?? address(hub),
    dir: target,
    signal: AbortSignal.timeout(20_000),
    stallTimeoutMs: 300,
    retryDelayMs: 1,
    ...init
  })
}

/** Breaks the first answer to a GET of `name` off after `bytes` bytes of its body. */
function breakOff(name: string, bytes: number): void {
  let broken = false
  intercept = (_host, request, response) => {
    if (broken || request.method !== 'GET' || !request.url!.endsWith(name) || response.req.headers.host === undefined) {
      return false
    }
    if (request.headers.host === address(hub).slice(7) && name.endsWith('.safetensors')) return false
    broken = true
    void readFile(path.join(source, name)).then(body => {
      response.writeHead(200, { 'content-length': String(body.length) })
      response.write(body.subarray(0, bytes), () => setTimeout(() => response.destroy(), 20))
    })
    return true
  }
}

const first = 'model-00001-of-00002.safetensors'

test('brings a model that can be imported, and pins the branch to its commit', async () => {
  const { revision, files } = await fetchTiny({ token })
  expect(revision).toBe(commit)
  expect(files).toEqual([
    'config.json',
    'tokenizer.json',
    'tokenizer_config.json',
    'generation_config.json',
    'model.safetensors.index.json',
    first,
    'model-00002-of-00002.safetensors'
  ])
  expect(asked[0]!.url).toBe('/someone/tiny/resolve/main/config.json')
  expect(asked.slice(1).every(({ host, url }) => host === 'storage' || url.includes(`/resolve/${commit}/`))).toBe(true)
  const store = await openStore({ own: path.join(dir, 'store') })
  const signal = AbortSignal.timeout(20_000)
  const fetched = await importModel({ source: target, store, name: 'tiny', weights: 'q8', origin: 'x', signal })
  const direct = await importModel({ source, store, name: 'tiny', weights: 'q8', origin: 'x', signal })
  expect(fetched.id).toBe(direct.id)
})

test('sends the token to the hub only', async () => {
  await fetchTiny({ token })
  expect(asked.filter(({ host }) => host === 'storage').length).toBeGreaterThan(0)
  for (const { host, authorization } of asked) {
    expect(authorization).toBe(host === 'hub' ? `Bearer ${token}` : undefined)
  }
})

test('continues where it broke off, within one call', async () => {
  breakOff(first, 1000)
  await fetchTiny()
  expect(asked.filter(({ host, url }) => host === 'storage' && url.endsWith(first)).map(({ range }) => range)).toEqual([
    undefined,
    undefined,
    'bytes=1000-'
  ])
  expect(await readFile(path.join(target, first))).toEqual(await readFile(path.join(source, first)))
})

test('continues after it was aborted, and fetches nothing twice', async () => {
  const abort = new AbortController()
  intercept = (host, request, response) => {
    if (host !== 'storage' || request.method !== 'GET') return false
    void readFile(path.join(source, first)).then(body => {
      response.writeHead(200, { 'content-length': String(body.length) })
      response.write(body.subarray(0, 500), () => setTimeout(() => abort.abort(new Error('enough')), 50))
    })
    return true
  }
  await expect(fetchTiny({ signal: abort.signal, stallTimeoutMs: 5000 })).rejects.toThrow('enough')
  expect(await readdir(target)).not.toContain(first)
  intercept = () => false
  asked = []
  await fetchTiny()
  const got = asked.filter(
    ({ method, host, url }) => method === 'GET' && (host === 'storage' || !url.endsWith('.safetensors'))
  )
  expect(got.map(({ url, range }) => [path.basename(url), range])).toEqual([
    [first, 'bytes=500-'],
    ['model-00002-of-00002.safetensors', undefined]
  ])
})

test('starts anew when the file has changed meanwhile', async () => {
  await fetchTiny()
  await writeTiny(source, { files: 2, seed: 9 })
  await fetchTiny()
  expect(await readFile(path.join(target, first))).toEqual(await readFile(path.join(source, first)))
})

describe('says', () => {
  test('that the hub cannot be reached', async () => {
    const endpoint = address(hub)
    hub.closeAllConnections()
    await new Promise(resolve => hub.close(resolve))
    await expect(fetchTiny({ endpoint })).rejects.toMatchObject({ name: 'DownloadError', exitCode: 4 })
    await expect(fetchTiny({ endpoint })).rejects.toThrow(
      `cannot fetch config.json of someone/tiny from ${endpoint}: ECONNREFUSED`
    )
    hub = await listen('hub')
  })

  test('that nothing comes, after the deadline', async () => {
    intercept = () => true
    await expect(fetchTiny({ stallTimeoutMs: 30 })).rejects.toThrow('no answer within 30 ms')
    intercept = (host, request, response) => {
      if (host !== 'storage' || request.method !== 'GET') return false
      response.writeHead(200, { 'content-length': '100000' }).write('x')
      return true
    }
    await expect(fetchTiny({ stallTimeoutMs: 30 })).rejects.toThrow('nothing came for 30 ms')
  })

  test('what is missing, refused or too long', async () => {
    intercept = (_host, { url }, response) => {
      if (!url!.endsWith('tokenizer.json')) return false
      response.writeHead(404).end()
      return true
    }
    await expect(fetchTiny()).rejects.toThrow(
      `${address(hub)} has no tokenizer.json in someone/tiny at revision ${commit}`
    )
    intercept = (_host, _request, response) => {
      response.writeHead(401).end()
      return true
    }
    await expect(fetchTiny()).rejects.toThrow('the hub refuses config.json of someone/tiny (401)')
    await expect(fetchTiny({ token })).rejects.toThrow('needs another token')
    intercept = (_host, _request, response) => {
      response.writeHead(200, { 'content-length': String(1 << 30) }).end()
      return true
    }
    await expect(fetchTiny()).rejects.toThrow('config.json of someone/tiny has 1073741824 bytes, more than 16777216')
    intercept = (_host, { url }, response) => {
      response.writeHead(302, { location: url! }).end()
      return true
    }
    await expect(fetchTiny()).rejects.toThrow('redirects config.json of someone/tiny more than 5 times')
  })

  test('that what arrived is damaged, and forgets it', async () => {
    intercept = (host, request, response) => {
      if (host !== 'storage' || request.method !== 'GET') return false
      void readFile(path.join(source, first)).then(body => {
        body[body.length - 1]! ^= 1
        response.writeHead(200, { 'content-length': String(body.length) }).end(body)
      })
      return true
    }
    await expect(fetchTiny()).rejects.toThrow(`${first} of someone/tiny arrived damaged`)
    intercept = () => false
    await fetchTiny()
  })

  test('which option is wrong, and never the token', async () => {
    await expect(fetchTiny({ repo: '../../etc' })).rejects.toThrow("a hub's repository is owner/name")
    await expect(fetchTiny({ endpoint: 'ftp://x' })).rejects.toThrow('must be http or https')
    const error = await fetchTiny({ token: `${token}\n` }).catch((err: unknown) => err)
    expect(error).toMatchObject({ name: 'InvalidOptionError' })
    expect(String((error as Error).stack)).not.toContain(token)
  })

  test('that an index names a file elsewhere', async () => {
    const weight_map = { a: '../../x.safetensors' }
    await writeFile(path.join(source, 'model.safetensors.index.json'), JSON.stringify({ weight_map }))
    await expect(fetchTiny()).rejects.toThrow('which is no safetensors file in its folder')
  })
})
