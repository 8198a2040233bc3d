/** Who is let in: by key, and on loopback without keys by where a request says that it comes from. Decides and does nothing. */
import { isIP } from 'node:net'
import { ApiError } from './errors.ts'
import type { Keys } from './keys.ts'

/** What of a request decides whether it is let in. */
export interface Knock {
  readonly host: string | undefined
  readonly origin: string | undefined
  readonly authorization: string | undefined
  /** Address of the socket's other end. */
  readonly address: string
  /** What a browser says of what it asks for, and for whom: its headers `Sec-Fetch-*`. @default nothing */
  readonly fetch?: {
    readonly site?: string | undefined
    readonly mode?: string | undefined
    readonly dest?: string | undefined
  }
}

/** Whether a name or address is this machine's own and nobody else's. */
export function isLoopback(host: string): boolean {
  const name = host.toLowerCase().replace(/^\[(.*)\]$/, '$1')
  if (name === 'localhost' || name.endsWith('.localhost')) return true
  if (isIP(name) === 4) return name.startsWith('127.')
  return name === '::1' || name.startsWith('::ffff:127.')
}

/** The host in a `Host` header or an origin, without its port. */
function hostnameOf(host: string): string {
  return host.replace(/:\d*$/, '')
}

export class Doors {
  readonly #keys: Keys | undefined
  /** Whoever reaches it is on this machine: a page of a browser is, too, whoever wrote it. */
  readonly #guardsLocal: boolean

  /** @param listens the host that it listens on */
  constructor(listens: string, keys: Keys | undefined) {
    this.#keys = keys
    this.#guardsLocal = keys === undefined && isLoopback(listens)
  }

  /** Whether a page of this origin may ask and read the answer. Where keys are needed, whoever has one may be anywhere. */
  mayRead(origin: string): boolean {
    if (!this.#guardsLocal) return true
    const [, host] = /^https?:\/\/([^/]+)$/.exec(origin) ?? []
    return host !== undefined && isLoopback(hostnameOf(host))
  }

  /** @throws {ApiError} 403 when a page of a foreign name, origin or site asks on loopback without a key */
  checkPlace({ host, origin, fetch = {} }: Knock): void {
    if (!this.#guardsLocal) return
    if (host === undefined || !isLoopback(hostnameOf(host))) {
      throw new ApiError(
        403,
        'permission_error',
        "the Host header names another machine: without keys, this peer answers to its own machine's names alone",
        { code: 'foreign_host' }
      )
    }
    // A link to the window that somebody follows is no request of the page that it stands on.
    const isFollowed = fetch.mode === 'navigate' && fetch.dest === 'document'
    const isForeign = origin === undefined ? fetch.site === 'cross-site' && !isFollowed : !this.mayRead(origin)
    if (!isForeign) return
    throw new ApiError(
      403,
      'permission_error',
      'a page from elsewhere asks: without keys, this peer answers to pages of its own machine alone',
      { code: 'foreign_origin' }
    )
  }

  /** Who asks: the name of its key, or its address. @throws {ApiError} 401 when there are keys, and it has none of them */
  clientOf({ authorization, address }: Knock): string {
    if (this.#keys === undefined) return `address ${address}`
    const [, key] = /^Bearer +(\S+) *$/i.exec(authorization ?? '') ?? []
    const name = key === undefined ? undefined : this.#keys.nameOf(key)
    if (name !== undefined) return `key ${name}`
    const message =
      key === undefined
        ? "a key is needed: send it as 'Authorization: Bearer KEY'"
        : 'the key is wrong: nobody here has it'
    throw new ApiError(401, 'authentication_error', message, {
      code: 'invalid_api_key',
      headers: { 'www-authenticate': 'Bearer' }
    })
  }
}
