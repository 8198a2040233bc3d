/**
 * Requests to a Hugging Face hub, or any server with its addresses: lists of files, and files, of which what is there
 * is not fetched again. A fetch that breaks off continues where it ended; files are checked by size and, where the hub's
 * ETag is a digest of the content, by that.
 */
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { mkdir, open, type OpenFile, readStoredText, rename, rm } from '../disk/files.ts'
import { reasonOf } from '../base/reason.ts'
import { syncPath, writeWhole } from '../disk/whole-file.ts'
import { DownloadError, InvalidOptionError } from '../errors.ts'
import { hasContent, size } from './import-hub-content.ts'
import { type HubFile, parseListing } from './hub-files.ts'
import {
  hubAttemptsMax,
  hubRedirectsMax,
  hubRetryDelayMs,
  hubStallTimeoutMs,
  hubTagBytesMax,
  importJsonBytesMax
} from './limits.ts'

export interface HubClientInit {
  /** `owner/name`. */
  readonly repo: string
  /** Branch, tag or commit; a branch is pinned to the commit that the first answer names. @default 'main' */
  readonly revision?: string
  /** @default the environment's HF_ENDPOINT, else https://huggingface.co */
  readonly endpoint?: string
  /** Folder that the files are written to. */
  readonly dir: string
  /** Sent to the endpoint only, never to where it redirects, and never part of a message. */
  readonly token?: string
  readonly signal: AbortSignal
  /** Until headers come, and between pieces of a body. @default hubStallTimeoutMs */
  readonly stallTimeoutMs?: number
  /** @default hubRetryDelayMs */
  readonly retryDelayMs?: number
}

/** What the hub says of a file before it is fetched. */
export interface Description {
  readonly bytes: number
  readonly etag: string
}

/** Folder beside the files that keeps what is needed to continue: parts, and the ETag that each is of. */
export const sidecars = '.hub'

/** What a first request meets where there is no network, or nobody at that address: trying again at once helps nothing. */
const unreachable = /^(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ENETUNREACH|ENETDOWN|EHOSTUNREACH|UND_ERR_CONNECT_TIMEOUT)$/

export class HubClient {
  revision: string
  readonly #init: HubClientInit
  readonly #endpoint: URL
  readonly #stallTimeoutMs: number
  /** The endpoint has answered once. */
  #hasAnswered = false

  /** @throws {InvalidOptionError} when repo, revision, endpoint or token are malformed */
  constructor(init: HubClientInit) {
    this.#init = init
    this.revision = init.revision ?? 'main'
    this.#stallTimeoutMs = init.stallTimeoutMs ?? hubStallTimeoutMs
    if (!/^[A-Za-z0-9_-][A-Za-z0-9._-]*\/[A-Za-z0-9_-][A-Za-z0-9._-]*$/.test(init.repo)) {
      throw new InvalidOptionError(`a hub's repository is owner/name, not '${init.repo}'`)
    }
    if (!/^[A-Za-z0-9_][A-Za-z0-9._/-]{0,255}$/.test(this.revision)) {
      throw new InvalidOptionError(`a hub's revision is a branch, a tag or a commit, not '${this.revision}'`)
    }
    const endpoint = init.endpoint ?? process.env.HF_ENDPOINT ?? 'https://huggingface.co'
    let url: URL
    try {
      url = new URL(endpoint.endsWith('/') ? endpoint : `${endpoint}/`)
    } catch {
      throw new InvalidOptionError(`the hub's endpoint must be a URL, not '${endpoint}'`)
    }
    // Checked here because a refusal by `fetch` would quote it.
    if (url.username !== '' || url.password !== '') {
      throw new InvalidOptionError(`the hub's endpoint ${url.origin} must not hold a user name or a password`)
    }
    if (!/^https?:$/.test(url.protocol)) {
      throw new InvalidOptionError(`the hub's endpoint must be http or https, not '${endpoint}'`)
    }
    this.#endpoint = url
    // For the same reason.
    if (init.token !== undefined && !/^[\x21-\x7e]+$/.test(init.token)) {
      throw new InvalidOptionError('the hub token holds characters that a header cannot carry')
    }
  }

  label(name: string): string {
    return `${name} of ${this.#init.repo}`
  }

  /**
   * The repository's files at the revision, which is pinned by that.
   *
   * @throws {DownloadError} when the hub cannot be reached, refuses, or sends no list
   */
  async list(): Promise<HubFile[]> {
    const what = 'the list of files'
    const url = `api/models/${this.#init.repo}/revision/${encodeURIComponent(this.revision)}?blobs=true`
    const json = await this.#retrying(what, async () => {
      const stall = new AbortController()
      const { response } = await this.#request('GET', what, url, {}, stall)
      await this.#refuse(response, what)
      const timer = this.#stallTimer(stall)
      try {
        return await readJson(response, () => timer.refresh())
      } catch (err) {
        if (err instanceof SyntaxError)
          throw new DownloadError(`${this.#endpoint.origin} sent no JSON for ${this.label(what)}`)
        throw err
      } finally {
        clearTimeout(timer)
      }
    })
    const { sha } = json as { sha?: unknown }
    if (typeof sha === 'string' && isCommit(sha)) this.revision = sha
    try {
      return parseListing(json)
    } catch (err) {
      throw new DownloadError(
        `${this.#endpoint.origin} sent something else for ${this.label(what)}: ${(err as Error).message}`
      )
    }
  }

  /** What the hub says of one file; undefined when it is not there and not needed. @throws {DownloadError} */
  async describe(name: string, { needed }: { needed: boolean }): Promise<Description | undefined> {
    return this.#retrying(name, async () => {
      const { response, linked } = await this.#request('HEAD', name, this.#resolve(name), {})
      await response.body?.cancel()
      if (response.status === 404 && !needed && !/^Re(po|vision)NotFound$/.test(errorCode(response))) return undefined
      await this.#refuse(response, name)
      if (linked.commit !== undefined) this.revision = linked.commit
      const bytes = Number(linked.bytes ?? response.headers.get('content-length') ?? Number.NaN)
      if (!Number.isSafeInteger(bytes) || bytes < 0)
        throw new DownloadError(`the hub gives no size for ${this.label(name)}`)
      const etag = (linked.etag ?? response.headers.get('etag') ?? '').replace(/^W\//, '').replaceAll('"', '')
      if (etag.length > hubTagBytesMax)
        throw new DownloadError(`the hub gives an ETag of ${etag.length} characters for ${this.label(name)}`)
      return { bytes, etag }
    })
  }

  /** Bytes of a described file that need not be fetched again, by what lies there. */
  async have(name: string, { bytes, etag }: Description): Promise<number> {
    if (!(await this.#isOf(name, etag))) return 0
    const { final, part } = this.#places(name)
    if ((await size(final)) === bytes) return bytes
    return etag === '' ? 0 : Math.min(bytes, (await size(part)) ?? 0)
  }

  /** Brings one file that was described. @throws {DownloadError} and the signal's reason */
  async fetch(name: string, described: Description, onBytes: (bytes: number) => void): Promise<void> {
    const { signal } = this.#init
    const { bytes, etag } = described
    const { final, part, tag } = this.#places(name)
    const same = await this.#isOf(name, etag)
    if (same && (await size(final)) === bytes && (await hasContent(final, bytes, etag))) return
    for (const file of [final, part]) await mkdir(path.dirname(file), { recursive: true })
    if (!same) {
      // What is there is of another version: nothing of it can be continued.
      await rm(part, { force: true })
      await writeWhole(tag, etag)
    }
    await this.#retrying(name, () => this.#continue(name, part, described, onBytes))
    if (!(await hasContent(part, bytes, etag))) {
      await rm(part, { force: true })
      throw new DownloadError(`${this.label(name)} arrived damaged: its digest is not the one that the hub gives`)
    }
    signal.throwIfAborted()
    await rename(part, final)
    await syncPath(path.dirname(final))
    onBytes(bytes)
  }

  /** Fills `into` from an offset within a file. @throws {DownloadError} and the signal's reason */
  async read(name: string, offset: number, into: Uint8Array): Promise<void> {
    const range = { range: `bytes=${offset}-${offset + into.length - 1}` }
    await this.#retrying(name, async () => {
      const stall = new AbortController()
      const { response } = await this.#request('GET', name, this.#resolve(name), range, stall)
      await this.#refuse(response, name)
      if (response.status !== 206 || Number(response.headers.get('content-length')) !== into.length) {
        throw new DownloadError(`the hub does not give parts of ${this.label(name)}: it has to be fetched whole`)
      }
      const timer = this.#stallTimer(stall)
      into.set(new Uint8Array(await response.arrayBuffer().finally(() => clearTimeout(timer))))
    })
  }

  #places(name: string): { readonly final: string; readonly part: string; readonly tag: string } {
    const { dir } = this.#init
    return {
      final: path.join(dir, name),
      part: path.join(dir, sidecars, `${name}.part`),
      tag: path.join(dir, sidecars, `${name}.etag`)
    }
  }

  /** Whether what lies there of a file is of the version with that ETag. */
  async #isOf(name: string, etag: string): Promise<boolean> {
    return (await readStoredText(this.#places(name).tag, hubTagBytesMax).catch(() => '')) === etag
  }

  async #retrying<T>(name: string, attempt: () => Promise<T>): Promise<T> {
    const { signal, retryDelayMs = hubRetryDelayMs } = this.#init
    for (let n = 1; ; n++) {
      try {
        return await attempt()
      } catch (err) {
        signal.throwIfAborted()
        if (err instanceof DownloadError) throw err
        const isOffline = !this.#hasAnswered && unreachable.test(causeOf(err).code ?? '')
        if (isOffline || n >= hubAttemptsMax) throw this.#unreachable(name, err, isOffline)
        await delay(n * retryDelayMs, undefined, { signal })
      }
    }
  }

  /** Appends to the part file what it lacks. */
  async #continue(
    name: string,
    part: string,
    { bytes, etag }: Description,
    onBytes: (bytes: number) => void
  ): Promise<void> {
    const have = (await size(part)) ?? 0
    if (have > bytes) await rm(part)
    if (have === bytes && bytes > 0) return
    // A part without an ETag cannot be told from one of another version.
    let at = have < bytes && etag !== '' ? have : 0
    const stall = new AbortController()
    const range: Record<string, string> = at > 0 ? { range: `bytes=${at}-` } : {}
    const { response } = await this.#request('GET', name, this.#resolve(name), range, stall)
    await this.#refuse(response, name)
    if (at > 0 && response.status === 206) {
      const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get('content-range') ?? '')
      if (Number(range?.[1]) !== at || (range?.[2] !== '*' && Number(range?.[2]) !== bytes)) {
        throw new DownloadError(`the hub answered another range of ${this.label(name)} than was asked for`)
      }
    } else {
      at = 0
    }
    const handle = await open(part, at > 0 ? 'r+' : 'w').catch(err => this.#unwritable(name, err))
    const timer = this.#stallTimer(stall)
    try {
      for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
        timer.refresh()
        if (at + chunk.length > bytes) {
          throw new DownloadError(`${this.label(name)} is longer than the ${bytes} bytes that the hub announced`)
        }
        await writeAt(handle, chunk, at).catch(err => this.#unwritable(name, err))
        at += chunk.length
        onBytes(at)
      }
      if (at !== bytes) throw new Error(`it ended after ${at} of ${bytes} bytes`)
      await handle.sync().catch(err => this.#unwritable(name, err))
    } finally {
      clearTimeout(timer)
      await handle.close().catch(err => this.#unwritable(name, err))
    }
  }

  /** No further attempt helps a disk that is full. */
  #unwritable(name: string, err: unknown): never {
    throw new DownloadError(`${this.label(name)} cannot be written to ${this.#init.dir}: ${reasonOf(err)}`)
  }

  #stallTimer(stall: AbortController): NodeJS.Timeout {
    const error = new Error(`nothing came for ${this.#stallTimeoutMs} ms`)
    return setTimeout(() => stall.abort(error), this.#stallTimeoutMs)
  }

  #resolve(name: string): string {
    const file = name.split('/').map(encodeURIComponent).join('/')
    return `${this.#init.repo}/resolve/${encodeURIComponent(this.revision)}/${file}`
  }

  /**
   * One request, redirects included. These are followed by hand: what the hub says of a stored file stands on
   * its own redirect, and the token must not go with it.
   */
  async #request(
    method: 'GET' | 'HEAD',
    name: string,
    address: string,
    headers: Record<string, string>,
    stall: AbortController = new AbortController()
  ): Promise<{ response: Response; linked: Linked }> {
    const { token, signal } = this.#init
    let url = new URL(address, this.#endpoint)
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
      this.#hasAnswered = true
      linked = {
        bytes: linked.bytes ?? response.headers.get('x-linked-size') ?? undefined,
        etag: linked.etag ?? response.headers.get('x-linked-etag') ?? undefined,
        commit: linked.commit ?? commitOf(response)
      }
      const location = response.headers.get('location')
      if (![301, 302, 303, 307, 308].includes(response.status) || location === null) return { response, linked }
      await response.body?.cancel()
      url = this.#redirected(name, url, location)
    }
    throw new DownloadError(`the hub redirects ${this.label(name)} more than ${hubRedirectsMax} times`)
  }

  #redirected(name: string, from: URL, location: string): URL {
    const to = URL.parse(location, from.href)
    const isWeb = to !== null && /^https?:$/.test(to.protocol) && to.username === '' && to.password === ''
    if (isWeb && !(from.protocol === 'https:' && to.protocol === 'http:')) return to
    const where = to === null ? 'one that is no address' : `an address that is not safe: ${to.origin}`
    throw new DownloadError(`the hub redirects ${this.label(name)} to ${where}`)
  }

  /** @throws {DownloadError} for what is no answer to go on with, and another error where it may be one later */
  async #refuse(response: Response, name: string): Promise<void> {
    const { status } = response
    const isPage = /^text\/html\b/i.test(response.headers.get('content-type') ?? '')
    if ((status === 200 || status === 206) && !isPage) return
    await response.body?.cancel()
    // Busy or broken for now: not this error's kind, so it is tried again.
    if (status >= 500 || status === 429 || status === 416) throw new Error(`the hub answered ${status}`)
    throw new DownloadError(
      isPage && status < 400 ? this.#page(name) : this.#refusal(status, errorCode(response), name)
    )
  }

  #page(name: string): string {
    return `${this.#endpoint.origin} answered a web page in the place of ${this.label(name)}: it is no hub, or a network that wants a login stands before it`
  }

  #refusal(status: number, code: string, name: string): string {
    const { repo, token } = this.#init
    const { origin } = this.#endpoint
    const given = token === undefined ? 'a token' : 'another token'
    if (code === 'GatedRepo') {
      return `${repo} is gated (${status}): accept its terms on ${origin}/${repo}, and give ${given} of whoever accepted them in HF_TOKEN`
    }
    if (code === 'RevisionNotFound') return `${origin} has no revision ${this.revision} of ${repo}`
    if (status === 401 || status === 403) {
      return `the hub refuses ${this.label(name)} (${status}): the repository does not exist, or needs ${given} in HF_TOKEN`
    }
    if (code === 'RepoNotFound') return `${origin} has no repository ${repo}`
    return status === 404
      ? `${origin} has no ${name} in ${repo} at revision ${this.revision}`
      : `the hub answered ${status} for ${this.label(name)}`
  }

  #unreachable(name: string, err: unknown, isOffline: boolean): DownloadError {
    const { code, message } = causeOf(err)
    const what = `cannot fetch ${this.label(name)} from ${this.#endpoint.origin}: ${code ?? message ?? (err as Error).message}`
    return new DownloadError(
      isOffline
        ? `${what}; nobody answers there, or this machine is offline: what was fetched elsewhere can be imported as it is`
        : `${what}; what has arrived is kept, and a folder that was fetched elsewhere can be imported as it is`
    )
  }
}

interface Linked {
  readonly bytes?: string | undefined
  readonly etag?: string | undefined
  readonly commit?: string | undefined
}

function causeOf(err: unknown): { readonly code?: string; readonly message?: string } {
  return (err as { cause?: { code?: string; message?: string } }).cause ?? {}
}

/** Why the hub refuses, in its own short word; empty where it does not say. */
function errorCode(response: Response): string {
  return response.headers.get('x-error-code') ?? ''
}

function commitOf(response: Response): string | undefined {
  const commit = response.headers.get('x-repo-commit')
  return commit !== null && isCommit(commit) ? commit : undefined
}

function isCommit(text: string): boolean {
  return /^[0-9a-f]{40}$/.test(text)
}

/** @throws {SyntaxError} when it is not JSON; {DownloadError} when it is too long */
async function readJson(response: Response, onChunk: () => void): Promise<unknown> {
  const decoder = new TextDecoder()
  let text = ''
  let bytes = 0
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    onChunk()
    bytes += chunk.length
    if (bytes > importJsonBytesMax) {
      throw new DownloadError(`the hub sends a list of files of more than ${importJsonBytesMax} bytes`)
    }
    text += decoder.decode(chunk, { stream: true })
  }
  return JSON.parse(text) as unknown
}

async function writeAt(handle: OpenFile, chunk: Uint8Array, at: number): Promise<void> {
  for (let done = 0; done < chunk.length; ) {
    done += (await handle.write(chunk, done, chunk.length - done, at + done)).bytesWritten
  }
}
