/**
 * Every flag is checked here, at the door: a value that is wrong is named in one sentence before anything
 * is opened or started. All of these throw {@link InvalidOptionError}.
 */
import { isIPv4, isIPv6 } from 'node:net'
import { homedir } from 'node:os'
import { isAbsolute, join, resolve } from 'node:path'
import {
  type Dtype,
  type DtypeChoice,
  type DtypeMix,
  InvalidOptionError,
  parseBytes,
  type PeerId,
  type Range,
  registerList,
  registerSet,
  weightKinds
} from '../index.ts'

/** A whole number within [min, max]. */
export function wholeNumber(flag: string, min: number, max = Number.MAX_SAFE_INTEGER): (text: string) => number {
  const range = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`
  return text => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN
    if (Number.isSafeInteger(value) && value >= min && value <= max) return value
    throw new InvalidOptionError(`${flag} takes a whole number ${range}, not '${text}'`)
  }
}

/** A decimal number that `accepts` takes; `range` says in words which these are. */
export function decimalNumber(
  flag: string,
  range: string,
  accepts: (value: number) => boolean
): (text: string) => number {
  return text => {
    const value = /^-?(\d+(\.\d*)?|\.\d+)(e-?\d+)?$/i.test(text) ? Number(text) : Number.NaN
    if (Number.isFinite(value) && accepts(value)) return value
    throw new InvalidOptionError(`${flag} takes a number ${range}, not '${text}'`)
  }
}

/** A size as people write it, in bytes. `zero`: it may be none. */
export function size(flag: string, { zero = false } = {}): (text: string) => number {
  return text => {
    const bytes = zero && text.trim() === '0' ? 0 : parseBytes(text)
    if (bytes !== undefined) return bytes
    throw new InvalidOptionError(`${flag} takes a size such as 64MB or 1.5GiB, not '${text}'`)
  }
}

/** A time as people write it (`90s`, `30m`, `1h`), in ms, within [minMs, maxMs]. */
export function duration(flag: string, minMs: number, maxMs: number): (text: string) => number {
  const units: Record<string, number> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }
  return text => {
    const [, digits, unit] = /^(\d{1,9})([smhd])$/.exec(text) ?? []
    const ms = Number(digits) * (units[unit ?? ''] ?? Number.NaN)
    if (ms >= minMs && ms <= maxMs) return ms
    throw new InvalidOptionError(
      `${flag} takes a time from ${minMs / 1000}s to ${maxMs / 3_600_000}h such as 90s, 30m or 1h, not '${text}'`
    )
  }
}

/** A half-open range of layers: `0-2` is layers 0 and 1. */
export function layerRange(flag: string): (text: string) => Range {
  return text => {
    const [, start, end] = (/^(\d{1,6})-(\d{1,6})$/.exec(text) ?? []).map(Number)
    if (start !== undefined && end !== undefined && start < end) return { start, end }
    throw new InvalidOptionError(
      `${flag} takes a range such as 0-2, which is layers 0 and 1 (the end is not included), not '${text}'`
    )
  }
}

/** Layers of one model among several, `NAME:0-2`, or of the only one, `0-2`. */
export function modelLayers(flag: string): (text: string) => { readonly model?: string; readonly range: Range } {
  const parse = layerRange(flag)
  return text => {
    const at = text.lastIndexOf(':')
    if (at < 0) return { range: parse(text) }
    if (at === 0)
      throw new InvalidOptionError(
        `${flag} takes a range, or a model's name and a range such as NAME:0-2, not '${text}'`
      )
    return { model: text.slice(0, at), range: parse(text.slice(at + 1)) }
  }
}

/** One type for all weights, or types by kind: `q4`, `q4,attention=q8`. */
export function dtypes(flag: string): (text: string) => DtypeChoice {
  const types: readonly Dtype[] = ['f32', 'q8', 'q4', 'q4-min']
  const refuse = (what: string): never => {
    throw new InvalidOptionError(
      `${flag} is one of f32, q8, q4, q4-min, or types by kind such as q4,attention=q8: ${what}`
    )
  }
  return text => {
    const mix: Partial<Record<keyof DtypeMix, Dtype>> = {}
    for (const part of text.split(',')) {
      const [, kind = 'rest', word] = /^(?:([^=]*)=)?(.*)$/s.exec(part) as unknown as [string, string?, string?]
      const type = types.find(each => each === word)
      const named = kind === 'rest' ? kind : weightKinds.find(each => each === kind)
      if (named === undefined) return refuse(`'${kind}' is none of ${weightKinds.join(', ')}`)
      if (type === undefined) return refuse(`'${word}' is no type`)
      if (mix[named] !== undefined) return refuse(`${named === 'rest' ? 'all others' : named} has two types`)
      mix[named] = type
    }
    const { rest, ...others } = mix
    return rest !== undefined && Object.keys(others).length === 0 ? rest : mix
  }
}

/** One of a few words; whoever completes a command line finds them at it. */
export function oneOf<const T extends string>(
  flag: string,
  words: readonly T[]
): ((text: string) => T) & { readonly words: readonly T[] } {
  const parse = (text: string): T => {
    const word = words.find(candidate => candidate === text)
    if (word !== undefined) return word
    throw new InvalidOptionError(`${flag} is one of ${words.join(', ')}, not '${text}'`)
  }
  return Object.assign(parse, { words })
}

/**
 * The prompt, and what `--trace` was given: it takes a file or nothing, so that a prompt that follows it may look like its value.
 * A file of trace events ends in `.json`.
 */
export function promptAndTrace(
  prompt: string | undefined,
  trace: true | string | undefined
): { readonly prompt: string | undefined; readonly trace: true | string | undefined } {
  if (typeof trace !== 'string' || /\.json$/i.test(trace)) return { prompt, trace }
  if (prompt === undefined) return { prompt: trace, trace: true }
  throw new InvalidOptionError(`--trace takes a file whose name ends in .json, or none, not '${trace}'`)
}

/** Text that is not empty. */
export function words(flag: string): (text: string) => string {
  return text => {
    if (text.trim() !== '') return text
    throw new InvalidOptionError(`${flag} must not be empty`)
  }
}

/** A peer's id in its text form. */
export function peerId(flag: string): (text: string) => PeerId {
  return text => {
    if (/^[1-9A-HJ-NP-Za-km-z]{46,64}$/.test(text)) return text as PeerId
    throw new InvalidOptionError(`${flag} takes the id of a peer such as 12D3KooW…, not '${text}'`)
  }
}

/** Collects a flag that may be given several times. */
export function repeated<T>(parse: (text: string) => T): (text: string, before: T[] | undefined) => T[] {
  return (text, before = []) => [...before, parse(text)]
}

/** A TCP multiaddr. One to dial may name its host and peer, and has a port other than 0. */
export function tcpAddress(flag: string, use: 'listen' | 'dial'): (text: string) => string {
  return text => {
    const [, kind, host, port] =
      /^\/([a-z0-9]+)\/([^/]+)\/tcp\/(\d{1,5})(\/p2p\/[1-9A-HJ-NP-Za-km-z]+)?$/.exec(text) ?? []
    const isHost = use === 'dial' && /^dns[46]?$/.test(kind ?? '') && /^[A-Za-z0-9.-]{1,253}$/.test(host ?? '')
    const isIp = (kind === 'ip4' && isIPv4(host ?? '')) || (kind === 'ip6' && isIPv6(host ?? ''))
    const isPort = Number(port) <= 65535 && (use === 'listen' || port !== '0')
    if ((isIp || isHost) && isPort && !(use === 'listen' && text.includes('/p2p/'))) return text
    const example = use === 'listen' ? '/ip4/0.0.0.0/tcp/4001' : '/ip4/192.168.1.7/tcp/4001'
    throw new InvalidOptionError(`${flag} takes a TCP multiaddr such as ${example}, not '${text}'`)
  }
}

/** A place to listen on with HTTP: `127.0.0.1:8420`, `[::1]:8420`, `gateway.local:8420`, or a port of loopback alone. */
export function httpPlace(flag: string): (text: string) => { readonly host: string; readonly port: number } {
  return text => {
    const [, host = '127.0.0.1', digits] = /^(?:(\[[0-9a-fA-F:.]+\]|[^:[\]\s/]+):)?(\d{1,5})$/.exec(text) ?? []
    const isHost = host.startsWith('[') ? isIPv6(host.slice(1, -1)) : /^[A-Za-z0-9.-]{1,253}$/.test(host)
    if (digits !== undefined && Number(digits) <= 65535 && isHost) return { host, port: Number(digits) }
    throw new InvalidOptionError(`${flag} takes a host and a port such as 127.0.0.1:8420 or [::1]:8420, not '${text}'`)
  }
}

/**
 * The directory of one peer: `--data`, else `SKEIN_DATA`, else `skein` in the place for a user's data by the
 * XDG Base Directory Specification (which says that a relative `XDG_DATA_HOME` is to be ignored).
 */
export function dataDirectory(flag: string | undefined, env: NodeJS.ProcessEnv): string {
  if (flag !== undefined) return resolve(words('--data')(flag))
  if (env.SKEIN_DATA) return resolve(env.SKEIN_DATA)
  const { XDG_DATA_HOME: home } = env
  return join(home && isAbsolute(home) ? home : join(homedir(), '.local', 'share'), 'skein')
}

/** Words from a list, with commas between them, each once. */
export function listOf<T extends string>(flag: string, known: readonly T[]): (text: string) => T[] {
  return text => {
    const given = text.split(',').map(word => word.trim())
    const strange = given.find(word => !known.includes(word as T))
    if (strange === undefined) return known.filter(word => given.includes(word))
    throw new InvalidOptionError(`${flag} takes ${known.join(', ')} with commas between them, not '${strange}'`)
  }
}

/** A peer's id, or a key that the authority has named. @throws {InvalidOptionError} */
export function peerOrKey(text: string): string {
  return /^[0-9a-f]{64}$/.test(text) ? text : peerName(text)
}

/** A peer's id. @throws {InvalidOptionError} */
export function peerName(text: string): string {
  if (/^12D3KooW[1-9A-HJ-NP-Za-km-z]{44}$/.test(text)) return text
  throw new InvalidOptionError(
    `'${text}' is no peer id: it is 52 letters that begin with 12D3KooW, as skein members shows them`
  )
}

/** Registers of a TPM, such as 0,7. */
export function registers(flag: string): (text: string) => number[] {
  return text => {
    const list = registerList(text)
    if (list !== undefined) return list
    throw new InvalidOptionError(`${flag} takes numbers from 0 to 23 in order, such as 0,7, not '${text}'`)
  }
}

/** What registers of a TPM may hold, as it was printed: checked here, passed on as it is. */
export function registerValues(flag: string): (text: string) => string {
  return text => {
    try {
      registerSet(text)
      return text
    } catch (error) {
      throw new InvalidOptionError(`${flag}: ${(error as Error).message}`)
    }
  }
}
