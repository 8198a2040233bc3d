/**
 * The lines of an audit log, each of which has the digest of the one before it and its own number, and some of them a signature:
 * whoever changes, removes or moves one breaks the chain, and only this peer's key can mend it. Pure.
 */
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js'
import type { PeerId } from '../base/ids.ts'
import { inDomain, type Sign, type Verify } from '../base/signature.ts'
import type { AuditHeader, notes } from './entry.ts'
import { auditBeatMs, auditSignLines, auditSignMs } from './limits.ts'

const domain = 'skein-audit-line:1\n'
/** What a line of number 1 has in place of a digest. */
export const noDigest = '0'.repeat(64)

/** Where a log ends: the number of its last line, and its digest. */
export interface ChainEnd {
  readonly n: number
  readonly digest: string
}

export function digestOf(line: string | Uint8Array): string {
  return bytesToHex(sha256(typeof line === 'string' ? utf8ToBytes(line) : line))
}

/** A signature at the end of a line: what is signed is the line without it. */
const signature = /,"sig":"([A-Za-z0-9+/]{86}==)"\}$/

/** Whether a line has a signature, and whether that is its member's. */
export function signatureOf(line: string, member: PeerId, verify: Verify): 'none' | 'good' | 'bad' {
  const found = signature.exec(line)
  if (found === null) return 'none'
  const text = atob(found[1]!)
  // Four bits of the last letter say nothing: another letter with the same others would be a change that nobody sees.
  if (btoa(text) !== found[1]) return 'bad'
  const bytes = Uint8Array.from(text, each => each.charCodeAt(0))
  return verify(member, signedBytes(`${line.slice(0, found.index)}}`), bytes) ? 'good' : 'bad'
}

function signedBytes(line: string): Uint8Array {
  return inDomain(domain, utf8ToBytes(line))
}

export interface ChainInit {
  readonly member: PeerId
  readonly sign: Sign
  /** Where an older log ends, that this one goes on with. @default it is new */
  readonly end?: ChainEnd | undefined
}

export class Chain {
  readonly #init: ChainInit
  #end: ChainEnd
  #unsigned = 0
  /** When the first line without a signature was made, or the last signature. */
  #sinceMs = 0

  constructor(init: ChainInit) {
    this.#init = init
    this.#end = init.end ?? { n: 0, digest: noDigest }
  }

  get end(): ChainEnd {
    return this.#end
  }

  /** A line of a request, and what else has no signature of its own. @param nowMs monotonic @param wallMs since 1970 */
  line(
    { level, msg, ...says }: Pick<AuditHeader, 'level' | 'msg'> & Readonly<Record<string, unknown>>,
    { nowMs, wallMs }: { readonly nowMs: number; readonly wallMs: number }
  ): string {
    if (this.#unsigned === 0) this.#sinceMs = nowMs
    this.#unsigned += 1
    return this.#chained({ level, msg, says, wallMs }, text => text)
  }

  /** A line that is signed. */
  note(
    msg: (typeof notes)[keyof typeof notes],
    says: Readonly<Record<string, unknown>>,
    { nowMs, wallMs }: { readonly nowMs: number; readonly wallMs: number }
  ): string {
    this.#unsigned = 0
    this.#sinceMs = nowMs
    return this.#chained({ level: 'info', msg, says, wallMs }, text => {
      const sig = btoa(String.fromCharCode(...this.#init.sign(signedBytes(text))))
      return `${text.slice(0, -1)},"sig":"${sig}"}`
    })
  }

  /** Whether a signature is due. */
  isDue(nowMs: number): boolean {
    const waitedMs = nowMs - this.#sinceMs
    if (this.#unsigned === 0) return waitedMs >= auditBeatMs
    return this.#unsigned >= auditSignLines || waitedMs >= auditSignMs
  }

  #chained(
    {
      level,
      msg,
      says,
      wallMs
    }: {
      readonly level: AuditHeader['level']
      readonly msg: string
      readonly says: Readonly<Record<string, unknown>>
      readonly wallMs: number
    },
    finish: (text: string) => string
  ): string {
    const n = this.#end.n + 1
    const ts = new Date(wallMs).toISOString()
    const { member } = this.#init
    const line = finish(JSON.stringify({ ts, level, msg, n, prev: this.#end.digest, member, ...says }))
    this.#end = { n, digest: digestOf(line) }
    return line
  }
}
