/**
 * What a machine that has joined a swarm with members keeps of it in its data directory: `member.json` has its certificate and the swarm's
 * secrets, `members.ledger` what it knows of the others.
 */
import { join } from 'node:path'
import { z } from 'zod'
import { reasonOf } from '../base/reason.ts'
import { readStored, readStoredText } from '../disk/files.ts'
import { writeWhole } from '../disk/whole-file.ts'
import { InvalidMembershipError } from '../errors.ts'
import type { EpochSecret } from '../trust/epochs.ts'
import { ledgerFileBytesMax, memberFileBytesMax } from './membership-limits.ts'

/** The public part of a swarm with members. */
export interface MembersConfig {
  readonly name: string
  /** Ed25519 public keys, 32 bytes each. */
  readonly authority: Uint8Array
  readonly recovery: Uint8Array
}

export interface MemberFile extends MembersConfig {
  readonly certificate: Uint8Array
  /** By it members find one another on a LAN. It stays: who is revoked can send false addresses, as any stranger can. */
  readonly discovery: Uint8Array
  readonly secrets: readonly EpochSecret[]
  /** The latest time that was known when it was written, in ms since 1970. */
  readonly timeMs: number
}

const bytes32 = z.string('must be a text').regex(/^[A-Za-z0-9_-]{43}$/, 'must be 32 bytes in base64url')
const schema = z.strictObject({
  format: z.literal(1, 'must be 1'),
  name: z.string().max(64),
  authority: bytes32,
  recovery: bytes32,
  certificate: z.string().max(8_192),
  discovery: bytes32,
  secrets: z.array(z.strictObject({ epoch: z.int().min(1), secret: bytes32 })).max(8),
  timeMs: z.int().min(0)
})

export const text64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64url')
export const bytes64 = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'base64url'))

const memberPath = (dataDir: string): string => join(dataDir, 'member.json')
export const ledgerPath = (dataDir: string): string => join(dataDir, 'members.ledger')

/** What a machine has of its swarm; undefined where it has joined none. @throws {InvalidMembershipError} when the file cannot be used */
export async function readMemberFile(dataDir: string): Promise<MemberFile | undefined> {
  const path = memberPath(dataDir)
  let text: string
  try {
    text = await readStoredText(path, memberFileBytesMax)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new InvalidMembershipError(`${path} cannot be read: ${reasonOf(error)}`)
  }
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    throw new InvalidMembershipError(`${path} is no membership: it is not JSON; join again with a new invitation`)
  }
  const format = (json as { format?: unknown } | null)?.format
  if (typeof format === 'number' && format > 1) {
    throw new InvalidMembershipError(`${path} has format ${format}, made by a newer Skein; this one reads format 1`)
  }
  const parsed = schema.safeParse(json)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!
    throw new InvalidMembershipError(`${path} is no membership: ${issue.path.join('.') || 'it'} ${issue.message}`)
  }
  const { name, authority, recovery, certificate, discovery, secrets, timeMs } = parsed.data
  return {
    name,
    authority: bytes64(authority),
    recovery: bytes64(recovery),
    certificate: bytes64(certificate),
    discovery: bytes64(discovery),
    secrets: secrets.map(({ epoch, secret }) => ({ epoch, secret: bytes64(secret) })),
    timeMs
  }
}

/** The text of `member.json`: it has secrets. */
function memberText(file: MemberFile): string {
  return `${JSON.stringify({
    format: 1,
    name: file.name,
    authority: text64(file.authority),
    recovery: text64(file.recovery),
    certificate: text64(file.certificate),
    discovery: text64(file.discovery),
    secrets: file.secrets.map(({ epoch, secret }) => ({ epoch, secret: text64(secret) })),
    timeMs: Math.floor(file.timeMs)
  })}\n`
}

export async function writeMemberFile(dataDir: string, file: MemberFile): Promise<void> {
  await writeWhole(memberPath(dataDir), memberText(file))
}

/** Items of the ledger that a machine keeps; none where there is no file. A file that was cut short gives those before the cut. */
export async function readLedgerFile(dataDir: string): Promise<Uint8Array[]> {
  let bytes: Uint8Array
  try {
    bytes = await readStored(ledgerPath(dataDir), ledgerFileBytesMax)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw new InvalidMembershipError(`${ledgerPath(dataDir)} cannot be read: ${reasonOf(error)}`)
  }
  const items: Uint8Array[] = []
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let at = 0; at + 4 <= bytes.byteLength; ) {
    const length = view.getUint32(at)
    at += 4
    if (length === 0 || at + length > bytes.byteLength) break
    items.push(bytes.slice(at, at + length))
    at += length
  }
  return items
}

/** The bytes of `members.ledger`: each item after its length in four bytes. */
export function ledgerFileBytes(items: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(items.reduce((sum, item) => sum + 4 + item.byteLength, 0))
  const view = new DataView(bytes.buffer)
  let at = 0
  for (const item of items) {
    view.setUint32(at, item.byteLength)
    bytes.set(item, at + 4)
    at += 4 + item.byteLength
  }
  return bytes
}
