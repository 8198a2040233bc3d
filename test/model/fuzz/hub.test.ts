/** A hub that lies: nothing follows it to where it should not, and nothing that it sends is taken without end. */
import { readdir, readFile, stat } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { DiskBudgetError, DownloadError, ImportError } from '../../../src/errors.ts'
import { fetchFromHub, type HubInit, type HubModel } from '../../../src/model/import-hub.ts'
import { importJsonBytesMax } from '../../../src/model/limits.ts'
import { writeTiny } from '../hugging-face.ts'
import { commit, HubServer } from '../hub-server.ts'
import { faultOf } from './odd.ts'
import { scratchFolders } from '../../scratch.ts'

const token = 'hf_secret'
let server: HubServer
/** Another host: to a browser an origin is its port as well. */
let other: HubServer
let dir: string
let target: string

const folder = scratchFolders()
beforeEach(async () => {
  dir = await folder()
  target = path.join(dir, 'target')
  await writeTiny(path.join(dir, 'source'))
  server = await HubServer.start(path.join(dir, 'source'))
  other = await HubServer.start(path.join(dir, 'source'))
})
afterEach(async () => {
  await server.close()
  await other.close()
})

function fetchTiny(init: Partial<HubInit> = {}): Promise<HubModel> {
  return fetchFromHub({
    ...{ repo: 'someone/tiny', endpoint: server.address, dir: target, token },
    ...{ signal: AbortSignal.timeout(50_000), stallTimeoutMs: 2_000, retryDelayMs: 1 },
    ...init
  })
}

/** What a lie is answered with: a sentence of ours, without the token. */
async function refusal(init: Partial<HubInit> = {}): Promise<string> {
  const error = await fetchTiny(init).then(
    () => expect.fail('it was believed'),
    (err: unknown) => err
  )
  expect(faultOf(error, [DownloadError, DiskBudgetError, ImportError])).toBeUndefined()
  expect(String((error as Error).stack)).not.toContain(token)
  return (error as Error).message
}

/** Answers all that is asked about files whose names end so. */
function answer(end: string, by: (response: ServerResponse, method: string) => void): void {
  server.intercept = (_host, { url, method }, response) => {
    if (!url!.replace(/\?.*/, '').endsWith(end)) return false
    by(response, method!)
    return true
  }
}

/** Sends a body until nobody takes it. @returns bytes that were sent */
function endless(response: ServerResponse, headers: Record<string, string>): () => number {
  let sent = 0
  const piece = Buffer.alloc(1 << 16, 0x20)
  response.writeHead(200, headers)
  const more = (): void => {
    while (!response.destroyed) {
      sent += piece.length
      if (!response.write(piece)) return void response.once('drain', more)
    }
  }
  more()
  return () => sent
}

describe('redirects', () => {
  test.each([
    ['file:///etc/passwd', 'an address that is not safe'],
    ['ftp://127.0.0.1/x', 'an address that is not safe'],
    ['data:application/json,{}', 'an address that is not safe'],
    ['http://[', 'one that is no address'],
    ['http://user:word@127.0.0.1/x', 'an address that is not safe']
  ])('to %s are not followed', async (location, sentence) => {
    answer('config.json', response => response.writeHead(302, { location }).end())
    expect(await refusal()).toContain(`the hub redirects config.json of someone/tiny to ${sentence}`)
    expect(server.asked).toHaveLength(1)
  })

  test('to another host and back give it no token', async () => {
    // Small files, too, from the other host; which sends one of them back to the hub.
    server.intercept = (host, { url }, response) => {
      if (host !== 'hub' || !/tokenizer/.test(url!) || url!.endsWith('again')) return false
      response.writeHead(302, { location: `${other.address}${url!}`, 'x-repo-commit': commit }).end()
      return true
    }
    await fetchTiny()
    expect(other.asked.length).toBeGreaterThan(1)
    expect(other.asked.map(({ authorization }) => authorization).filter(each => each !== undefined)).toEqual([])
    const asked = server.asked.filter(({ host }) => host === 'hub')
    expect(asked.every(({ authorization }) => authorization === `Bearer ${token}`)).toBe(true)
  })
})

describe('sizes', () => {
  test.each(['-1', '1.5', 'x', '1e300', '99999999999999999999'])('of %s are none', async size => {
    answer('config.json', response => response.writeHead(200, { 'x-linked-size': size }).end())
    expect(await refusal()).toContain('the hub gives no size for config.json of someone/tiny')
  })

  test('that no disk has are refused before anything is fetched', async () => {
    answer('.safetensors', response => response.writeHead(200, { 'x-linked-size': String(2 ** 52) }).end())
    expect(await refusal()).toContain('of disk')
    expect(server.asked.filter(({ url, method }) => method === 'GET' && url.endsWith('.safetensors'))).toEqual([])
  })

  test('in a list are none either', async () => {
    for (const size of [1e308, -1, 1.5]) {
      answer('/revision/main', response => {
        response.writeHead(200, { 'content-type': 'application/json' })
        response.end(JSON.stringify({ siblings: [{ rfilename: 'a.gguf', size }] }))
      })
      expect(await refusal({ file: '*' })).toMatch(/siblings\.0\.size/)
    }
  })
})

describe('bodies', () => {
  test('that do not end are left', async () => {
    let sent = (): number => 0
    answer('config.json', (response, method) => {
      if (method === 'HEAD') response.writeHead(200, { 'content-length': '1000', etag: '"a"' }).end()
      else sent = endless(response, { etag: '"a"' })
    })
    expect(await refusal()).toContain(
      'config.json of someone/tiny is longer than the 1000 bytes that the hub announced'
    )
    expect(sent()).toBeLessThan(64 << 20)
    answer('/revision/main', response => {
      sent = endless(response, { 'content-type': 'application/json' })
    })
    expect(await refusal({ file: '*' })).toContain(`a list of files of more than ${importJsonBytesMax} bytes`)
    expect(sent()).toBeLessThan(4 * importJsonBytesMax)
  })

  test('that are small and become large are taken no further than is said', async () => {
    const bomb = gzipSync(Buffer.alloc(64 << 20, 0x20))
    const zipped = { 'content-encoding': 'gzip', 'content-type': 'application/json' }
    answer('/revision/main', response => response.writeHead(200, zipped).end(bomb))
    expect(await refusal({ file: '*' })).toContain(`a list of files of more than ${importJsonBytesMax} bytes`)
    answer('config.json', (response, method) => {
      response.writeHead(200, { ...zipped, 'x-linked-size': '1000', etag: '"a"' })
      response.end(method === 'HEAD' ? undefined : bomb)
    })
    expect(await refusal()).toContain('is longer than the 1000 bytes that the hub announced')
    expect((await stat(path.join(target, '.hub', 'config.json.part'))).size).toBeLessThanOrEqual(1_000)
  })

  test('that are nothing but brackets, or a list of everything, are no list', async () => {
    const lists: [string, RegExp][] = [
      ['['.repeat(4 << 20), /sent no JSON/],
      [`{"siblings":${'['.repeat(1 << 20)}${']'.repeat(1 << 20)}}`, /sent something else/],
      [
        JSON.stringify({ siblings: Array.from({ length: 20_000 }, (_, i) => ({ rfilename: `${i}.gguf` })) }),
        /10000 files/
      ],
      [
        JSON.stringify({ sha: 'x', siblings: [{ rfilename: '\u001b[31m.gguf' }, { rfilename: '../x.gguf' }] }),
        /no GGUF file/
      ]
    ]
    for (const [body, sentence] of lists) {
      answer('/revision/main', response => response.writeHead(200, { 'content-type': 'application/json' }).end(body))
      expect(await refusal({ file: '*' })).toMatch(sentence)
    }
  })
})

describe('what goes on where it ended', () => {
  const weights = 'model.safetensors'

  /** Leaves a part of the weights. */
  async function breakOff(): Promise<void> {
    server.intercept = (host, { method }, response) => {
      if (host !== 'storage' || method !== 'GET') return false
      void readFile(path.join(dir, 'source', weights)).then(body => {
        response.writeHead(200, { 'content-length': String(body.length) })
        response.write(body.subarray(0, 1_000), () => setTimeout(() => response.destroy(), 20))
      })
      return true
    }
    await refusal()
    expect((await stat(path.join(target, '.hub', `${weights}.part`))).size).toBe(1_000)
  }

  test('takes no other range than was asked for', async () => {
    await breakOff()
    for (const range of ['bytes 0-9/10', 'bytes 999-2000/*', 'bytes 1000-1001/1002', 'x', '']) {
      server.intercept = (host, { method }, response) => {
        if (host !== 'storage' || method !== 'GET') return false
        response.writeHead(206, { 'content-range': range }).end('x')
        return true
      }
      expect(await refusal()).toContain(`the hub answered another range of ${weights} of someone/tiny`)
    }
    server.intercept = () => false
    await fetchTiny()
    expect(await readFile(path.join(target, weights))).toEqual(await readFile(path.join(dir, 'source', weights)))
  })

  test('begins anew where the digest has changed, and believes none that the bytes do not have', async () => {
    await breakOff()
    server.intercept = (host, { url, method }, response) => {
      if (host !== 'hub' || !url!.endsWith(weights) || method !== 'HEAD') return false
      response.writeHead(200, { 'x-linked-size': '5000', 'x-linked-etag': `"${'0'.repeat(64)}"` }).end()
      return true
    }
    expect(await refusal()).toMatch(/longer than the 5000 bytes|arrived damaged|ended after/)
    server.intercept = (host, { url, method }, response) => {
      if (host !== 'hub' || !url!.endsWith(weights) || method !== 'HEAD') return false
      void stat(path.join(dir, 'source', weights)).then(({ size }) =>
        response.writeHead(200, { 'x-linked-size': String(size), 'x-linked-etag': `"${'0'.repeat(64)}"` }).end()
      )
      return true
    }
    expect(await refusal()).toContain(`${weights} of someone/tiny arrived damaged`)
    expect(await readdir(target)).not.toContain(weights)
  })

  test('remembers no ETag that is a book', async () => {
    server.intercept = (host, { url, method }, response) => {
      if (host !== 'hub' || !url!.endsWith('config.json') || method !== 'HEAD') return false
      response.writeHead(200, { 'content-length': '9', etag: `"${'a'.repeat(12_000)}"` }).end()
      return true
    }
    await refusal()
    expect((await readdir(path.join(target, '.hub'))).filter(name => name.endsWith('.etag'))).toEqual([])
  })
})
