/** A local server that speaks a hub's protocol, over the files of a folder: what Hugging Face is to its clients. */
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'

export const commit = 'c'.repeat(40)

/** What a server was asked. */
export interface Asked {
  readonly host: 'hub' | 'storage'
  readonly method: string
  readonly url: string
  readonly range?: string
  readonly authorization?: string
}

/** Answers instead of the usual; true when it did. */
export type Intercept = (host: 'hub' | 'storage', request: IncomingMessage, response: ServerResponse) => boolean

/**
 * Its two halves: the hub answers small files itself, with git's blob digest as ETag, and lists of files; it redirects
 * large files to a storage host, giving size and SHA-256 on the redirect.
 */
export class HubServer {
  /** Where the hub is, or was. */
  address = ''
  /** In order. */
  asked: Asked[] = []
  intercept: Intercept = () => false
  readonly #source: string
  #hub!: Server
  #storage!: Server

  /** @param source folder of the files, whatever repository is asked for */
  static async start(source: string): Promise<HubServer> {
    const server = new HubServer(source)
    server.#storage = await server.#listen('storage')
    await server.startHub()
    return server
  }

  private constructor(source: string) {
    this.#source = source
  }

  /** Nobody listens any more at the hub's address. */
  async stopHub(): Promise<void> {
    await end(this.#hub)
  }

  async startHub(): Promise<void> {
    this.#hub = await this.#listen('hub')
    this.address = addressOf(this.#hub)
  }

  async close(): Promise<void> {
    for (const server of [this.#hub, this.#storage]) await end(server)
  }

  async #listen(host: 'hub' | 'storage'): Promise<Server> {
    const server = createServer((request, response) => {
      const { method = '', url = '', headers } = request
      const { range, authorization } = headers
      const more = {
        ...(range === undefined ? {} : { range }),
        ...(authorization === undefined ? {} : { authorization })
      }
      this.asked.push({ host, method, url, ...more })
      if (this.intercept(host, request, response)) return
      void this.#answer(host, url, request, response)
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    return server
  }

  async #answer(
    host: 'hub' | 'storage',
    url: string,
    request: IncomingMessage,
    response: ServerResponse
  ): Promise<void> {
    if (url.startsWith('/api/models/')) {
      const siblings: { rfilename: string; size: number }[] = []
      for (const entry of await readdir(this.#source, { recursive: true, withFileTypes: true })) {
        if (!entry.isFile()) continue
        const file = path.join(entry.parentPath, entry.name)
        siblings.push({ rfilename: path.relative(this.#source, file), size: (await readFile(file)).length })
      }
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ sha: commit, siblings }))
      return
    }
    const name = decodeURIComponent(url.replace(/^\/blob\//, '').replace(/^.*\/resolve\/[^/]+\//, ''))
    const body = await readFile(path.join(this.#source, name)).catch(() => undefined)
    if (body === undefined) {
      response.writeHead(404, { 'x-error-code': 'EntryNotFound' }).end()
      return
    }
    const large = /\.(safetensors|gguf)$/.test(name)
    const etag = large
      ? createHash('sha256').update(body).digest('hex')
      : createHash('sha1').update(`blob ${body.length}\0`).update(body).digest('hex')
    if (host === 'hub' && large) {
      response.writeHead(302, {
        location: `${addressOf(this.#storage)}/blob/${encodeURIComponent(name)}`,
        'x-repo-commit': commit,
        'x-linked-size': String(body.length),
        'x-linked-etag': `"${etag}"`
      })
      response.end()
      return
    }
    const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? []
    const from = Number(first ?? 0)
    const to = last === undefined || last === '' ? body.length : Math.min(Number(last) + 1, body.length)
    response.writeHead(first !== undefined ? 206 : 200, {
      'content-length': String(to - from),
      'content-type': large ? 'application/octet-stream' : 'text/plain; charset=utf-8',
      etag: `"${etag}"`,
      'x-repo-commit': commit,
      ...(first !== undefined ? { 'content-range': `bytes ${from}-${to - 1}/${body.length}` } : {})
    })
    response.end(request.method === 'HEAD' ? undefined : body.subarray(from, to))
  }
}

function addressOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function end(server: Server): Promise<void> {
  server.closeAllConnections()
  await new Promise(resolve => server.close(resolve))
}
