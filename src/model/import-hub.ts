/**
 * Fetches a model's files from a Hugging Face hub, or any server with its `/resolve/` addresses, into a folder
 * that `importModel` reads. A fetch that breaks off continues where it ended; files are checked by size and,
 * where the hub's ETag is a digest of the content, by that.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open, rename, rm, stat } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { readPlainText } from '../base/plain-file.ts'
import { syncPath, writeWhole } from '../disk/whole-file.ts'
import { DownloadError, InvalidOptionError } from '../errors.ts'
import {
  hubAttemptsMax,
  hubRedirectsMax,
  hubRetryDelayMs,
  hubStallTimeoutMs,
  hubTagBytesMax,
  importJsonBytesMax,
  tokenizerBytesMax
} from './limits.ts'
import { parseIndex } from './safetensors.ts'

export interface HubInit {
  /** `owner/name`. */
  readonly repo: string
  /** Branch, tag or commit; a branch is pinned to the commit that the first answer names. @default 'main' */
  readonly revision?: string
  /** @default the environment's HF_ENDPOINT, else https://huggingface.co */
  readonly endpoint?: string
  /** Folder that the files are written to; made when it is not there. */
  readonly dir: string
  /** Sent to the endpoint only, never to where it redirects, and never part of a message. */
  readonly token?: string
  readonly signal: AbortSignal
  readonly onProgress?: (progress: HubProgress) => void
  /** Until headers come, and between pieces of a body. @default hubStallTimeoutMs */
  readonly stallTimeoutMs?: number
  /** @default hubRetryDelayMs */
  readonly retryDelayMs?: number
}

export interface HubProgress {
  readonly file: string
  readonly bytes: number
  readonly total: number
}

export interface HubModel {
  readonly dir: string
  /** The commit that the files are of, where the hub names it; else the revision that was asked for. */
  readonly revision: string
  /** `owner/name@revision`: what a manifest should give as the model's source. */
  readonly origin: string
  readonly files: readonly string[]
}

/**
 * Fetches `config.json`, the tokenizer's files, `generation_config.json`, the model card (it names the licence) and
 * the safetensors files.
 *
 * @throws {InvalidOptionError} when repo, endpoint or token are malformed
 * @throws {DownloadError} when the hub cannot be reached, refuses, lacks a needed file, or sends something else
 * @throws {ImportError} when the safetensors index is malformed
 * @throws the signal's reason when aborted
 */
export async function fetchFromHub(init: HubInit): Promise<HubModel> {
  const hub = new Hub(init)
  await mkdir(path.join(init.dir, sidecars), { recursive: true })
  const files: string[] = []
  const get = async (name: string, bytesMax: number, needed: boolean): Promise<boolean> => {
    const found = await hub.fetch(name, bytesMax, needed)
    if (found) files.push(name)
    return found
  }
  await get('config.json', importJsonBytesMax, true)
  await get('tokenizer.json', tokenizerBytesMax, true)
  for (const name of ['tokenizer_config.json', 'generation_config.json', 'chat_template.jinja', 'README.md']) {
    await get(name, importJsonBytesMax, false)
  }
  const index = 'model.safetensors.index.json'
  if (await get(index, importJsonBytesMax, false)) {
    const indexFile = path.join(init.dir, index)
    let json: unknown
    try {
      json = JSON.parse(await readPlainText(indexFile, importJsonBytesMax))
    } catch {
      throw new DownloadError(`${hub.label(index)} is not JSON`)
    }
    for (const name of new Set(parseIndex(json, indexFile).values())) await get(name, Number.MAX_SAFE_INTEGER, true)
  } else {
    await get('model.safetensors', Number.MAX_SAFE_INTEGER, true)
  }
  return { dir: init.dir, revision: hub.revision, origin: `${init.repo}@${hub.revision}`, files }
}

/** Folder beside the files that keeps what is needed to continue: parts, and the ETag that each is of. */
const sidecars = '.hub'

/** What the hub says of a file before it is fetched. */
interface Description {
  readonly bytes: number
  readonly etag: string
}

class Hub {
  revision: string
  readonly #init: HubInit
  readonly #endpoint: URL
  readonly #stallTimeoutMs: number

  constructor(init: HubInit) {
    this.#init = init
    this.revision = init.revision ?? 'main'
    this.#stallTimeoutMs = init.stallTimeoutMs ?? hubStallTimeoutMs
    if (!/^[A-Za-z0-9_-][A-Za-z0-9._-]*\/[A-Za-z0-9_-][A-Za-z0-9._-]*$/.test(init.repo)) {
      throw new InvalidOptionError(`a hub's repository is owner/name, not '${init.repo}'`)
    }
    const endpoint = init.endpoint ?? process.env.HF_ENDPOINT ?? 'https://huggingface.co'
    try {
      this.#endpoint = new URL(endpoint.endsWith('/') ? endpoint : `${endpoint}/`)
    } catch {
      throw new InvalidOptionError(`the hub's endpoint must be a URL, not '${endpoint}'`)
    }
    if (!/^https?:$/.test(this.#endpoint.protocol)) {
      throw new InvalidOptionError(`the hub's endpoint must be http or https, not '${endpoint}'`)
    }
    // Checked here because a refusal by `fetch` would quote it.
    if (init.token !== undefined && !/^[\x21-\x7e]+$/.test(init.token)) {
      throw new InvalidOptionError('the hub token holds characters that a header cannot carry')
    }
  }

  label(name: string): string {
    return `${name} of ${this.#init.repo}`
  }

  /** Brings one file; false when it is not there and not needed. */
  async fetch(name: string, bytesMax: number, needed: boolean): Promise<boolean> {
    const { dir, signal, onProgress } = this.#init
    const described = await this.#retrying(name, () => this.#describe(name, needed))
    if (described === undefined) return false
    const { bytes, etag } = described
    if (bytes > bytesMax) throw new DownloadError(`${this.label(name)} has ${bytes} bytes, more than ${bytesMax}`)

    const final = path.join(dir, name)
    const part = path.join(dir, sidecars, `${name}.part`)
    const tag = path.join(dir, sidecars, `${name}.etag`)
    const same = (await readPlainText(tag, hubTagBytesMax).catch(() => '')) === etag
    if (same && (await size(final)) === bytes && (await hasContent(final, bytes, etag))) return true
    if (!same) {
      // What is there is of another version: nothing of it can be continued.
      await rm(part, { force: true })
      await writeWhole(tag, etag)
    }
    await this.#retrying(name, () => this.#continue(name, part, described))
    if (!(await hasContent(part, bytes, etag))) {
      await rm(part, { force: true })
      throw new DownloadError(`${this.label(name)} arrived damaged: its digest is not the one that the hub gives`)
    }
    signal.throwIfAborted()
    await rename(part, final)
    await syncPath(dir)
    onProgress?.({ file: name, bytes, total: bytes })
    return true
  }

  async #retrying<T>(name: string, attempt: () => Promise<T>): Promise<T> {
    const { signal, retryDelayMs = hubRetryDelayMs } = this.#init
    for (let n = 1; ; n++) {
      try {
        return await attempt()
      } catch (err) {
        signal.throwIfAborted()
        if (err instanceof DownloadError) throw err
        if (n >= hubAttemptsMax) throw this.#unreachable(name, err)
        await delay(n * retryDelayMs, undefined, { signal })
      }
    }
  }

  async #describe(name: string, needed: boolean): Promise<Description | undefined> {
    const { response, linked } = await this.#request('HEAD', name, {})
    await response.body?.cancel()
    if (response.status === 404 && !needed) return undefined
    this.#refuse(response, name)
    if (linked.commit !== undefined) this.revision = linked.commit
    const bytes = Number(linked.bytes ?? response.headers.get('content-length') ?? Number.NaN)
    if (!Number.isSafeInteger(bytes) || bytes < 0)
      throw new DownloadError(`the hub gives no size for ${this.label(name)}`)
    const etag = (linked.etag ?? response.headers.get('etag') ?? '').replace(/^W\//, '').replaceAll('"', '')
    return { bytes, etag }
  }

  /** Appends to the part file what it lacks. */
  async #continue(name: string, part: string, { bytes, etag }: Description): Promise<void> {
    const { onProgress } = this.#init
    const have = (await size(part)) ?? 0
    if (have > bytes) await rm(part)
    if (have === bytes && bytes > 0) return
    // A part without an ETag cannot be told from one of another version.
    let at = have < bytes && etag !== '' ? have : 0
    const stall = new AbortController()
    const { response } = await this.#request('GET', name, at > 0 ? { range: `bytes=${at}-` } : {}, stall)
    this.#refuse(response, name)
    if (at > 0 && response.status === 206) {
      const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get('content-range') ?? '')
      if (Number(range?.[1]) !== at || (range?.[2] !== '*' && Number(range?.[2]) !== bytes)) {
        throw new DownloadError(`the hub answered another range of ${this.label(name)} than was asked for`)
      }
    } else {
      at = 0
    }
    const handle = await open(part, at > 0 ? 'r+' : 'w')
    const timer = setTimeout(
      () => stall.abort(new Error(`nothing came for ${this.#stallTimeoutMs} ms`)),
      this.#stallTimeoutMs
    )
    try {
      for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
        timer.refresh()
        if (at + chunk.length > bytes) {
          throw new DownloadError(`${this.label(name)} is longer than the ${bytes} bytes that the hub announced`)
        }
        for (let done = 0; done < chunk.length; ) {
          done += (await handle.write(chunk, done, chunk.length - done, at + done)).bytesWritten
        }
        at += chunk.length
        onProgress?.({ file: name, bytes: at, total: bytes })
      }
      if (at !== bytes) throw new Error(`it ended after ${at} of ${bytes} bytes`)
      await handle.sync()
    } finally {
      clearTimeout(timer)
      await handle.close()
    }
  }

  /**
   * One request, redirects included. These are followed by hand: what the hub says of a stored file stands on
   * its own redirect, and the token must not go with it.
   */
  async #request(
    method: 'GET' | 'HEAD',
    name: string,
    headers: Record<string, string>,
    stall: AbortController = new AbortController()
  ): Promise<{ response: Response; linked: Linked }> {
    const { repo, token, signal } = this.#init
    let url = new URL(`${repo}/resolve/${encodeURIComponent(this.revision)}/${name}`, this.#endpoint)
    let linked: Linked = {}
    for (let redirects = 0; redirects <= hubRedirectsMax; redirects++) {
      const timer = setTimeout(
        () => stall.abort(new Error(`no answer within ${this.#stallTimeoutMs} ms`)),
        this.#stallTimeoutMs
      )
      let response: Response
      try {
        response = await fetch(url, {
          method,
          redirect: 'manual',
          signal: AbortSignal.any([signal, stall.signal]),
          headers: {
            ...headers,
            // A compressed body has another length than the file.
            'accept-encoding': 'identity',
            'user-agent': 'skein',
            ...(token !== undefined && url.origin === this.#endpoint.origin ? { authorization: `Bearer ${token}` } : {})
          }
        })
      } finally {
        clearTimeout(timer)
      }
      linked = {
        bytes: linked.bytes ?? response.headers.get('x-linked-size') ?? undefined,
        etag: linked.etag ?? response.headers.get('x-linked-etag') ?? undefined,
        commit: linked.commit ?? commitOf(response)
      }
      const location = response.headers.get('location')
      if (![301, 302, 303, 307, 308].includes(response.status) || location === null) return { response, linked }
      await response.body?.cancel()
      const next = new URL(location, url)
      if (!/^https?:$/.test(next.protocol) || (url.protocol === 'https:' && next.protocol === 'http:')) {
        throw new DownloadError(`the hub redirects ${this.label(name)} to an address that is not safe: ${next.origin}`)
      }
      url = next
    }
    throw new DownloadError(`the hub redirects ${this.label(name)} more than ${hubRedirectsMax} times`)
  }

  #refuse(response: Response, name: string): void {
    const { status } = response
    if (status === 200 || status === 206) return
    // Busy or broken for now: not this error's kind, so it is tried again.
    if (status >= 500 || status === 429 || status === 416) throw new Error(`the hub answered ${status}`)
    const { repo, token } = this.#init
    if (status === 401 || status === 403) {
      throw new DownloadError(
        `the hub refuses ${this.label(name)} (${status}): the repository does not exist, or needs ${token === undefined ? 'a token' : 'another token'}`
      )
    }
    throw new DownloadError(
      status === 404
        ? `${this.#endpoint.origin} has no ${name} in ${repo} at revision ${this.revision}`
        : `the hub answered ${status} for ${this.label(name)}`
    )
  }

  #unreachable(name: string, err: unknown): DownloadError {
    const cause = (err as { cause?: { code?: string; message?: string } }).cause
    const reason = cause?.code ?? cause?.message ?? (err as Error).message
    return new DownloadError(
      `cannot fetch ${this.label(name)} from ${this.#endpoint.origin}: ${reason}; what has arrived is kept, and a folder that was fetched elsewhere can be imported as it is`
    )
  }
}

interface Linked {
  readonly bytes?: string | undefined
  readonly etag?: string | undefined
  readonly commit?: string | undefined
}

function commitOf(response: Response): string | undefined {
  const commit = response.headers.get('x-repo-commit')
  return commit !== null && /^[0-9a-f]{40}$/.test(commit) ? commit : undefined
}

async function size(file: string): Promise<number | undefined> {
  const found = await stat(file).catch(() => undefined)
  return found?.isFile() === true ? found.size : undefined
}

/**
 * Whether a file is what its ETag says. The hub's is the SHA-256 of a large file and git's blob digest of a small
 * one; other servers' say nothing of the content, and the size has to do.
 */
async function hasContent(file: string, bytes: number, etag: string): Promise<boolean> {
  if ((await size(file)) !== bytes) return false
  if (!/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(etag)) return true
  const hash = etag.length === 64 ? createHash('sha256') : createHash('sha1').update(`blob ${bytes}\0`)
  for await (const chunk of createReadStream(file)) hash.update(chunk as Uint8Array)
  return hash.digest('hex') === etag
}
