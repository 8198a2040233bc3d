/**
 * Files and texts with keys that make members: of the authority, its recovery key, a deputy, and invitations. Each says what it is. Their
 * secrets never get into a message.
 */
import { z } from 'zod'
import { readStoredText } from '../disk/files.ts'
import { reasonOf } from '../base/reason.ts'
import { writeWhole } from '../disk/whole-file.ts'
import { InvalidAuthorityError } from '../errors.ts'
import { type SigningKey, signingKey } from '../trust/signing-key.ts'
import { authorityFileBytesMax } from './membership-limits.ts'
import { bytes64, type MembersConfig, text64 } from './member-file.ts'

/** A key by which members are made or revoked. */
export interface AuthorityKey extends MembersConfig {
  readonly kind: 'authority' | 'recovery' | 'deputy'
  readonly key: SigningKey
  /** A deputy's own certificate. */
  readonly certificate: Uint8Array | undefined
  /** What new members get: the secret of discovery, and that of the first epoch. The recovery key has neither. */
  readonly secrets: NewMemberSecrets | undefined
  /** Items by which who knows only the first authority comes to know the one of today. */
  readonly items: readonly Uint8Array[]
}

export interface NewMemberSecrets {
  readonly discovery: Uint8Array
  readonly epoch: number
  readonly secret: Uint8Array
}

/** What a text for one machine holds: a key to make its certificate with, or the certificate itself. */
export interface Invitation extends MembersConfig {
  readonly kind: 'invitation' | 'certificate'
  /** The key that signs this machine's certificate; of an invitation. */
  readonly key: SigningKey | undefined
  readonly certificate: Uint8Array
  readonly secrets: NewMemberSecrets | undefined
  readonly items: readonly Uint8Array[]
}

const bytes32 = z.string().regex(/^[A-Za-z0-9_-]{43}$/, 'must be 32 bytes in base64url')
const secretsSchema = z.strictObject({ discovery: bytes32, epoch: z.int().min(1), secret: bytes32 })
const common = { format: z.literal(1, 'must be 1'), name: z.string().max(64), authority: bytes32, recovery: bytes32 }
const items = z.array(z.string().max(8_192)).max(16).optional()
const keySchema = z.strictObject({
  ...common,
  items,
  kind: z.enum(['authority', 'recovery', 'deputy']),
  key: bytes32,
  certificate: z.string().max(8_192).optional(),
  secrets: secretsSchema.optional()
})
const invitationSchema = z.strictObject({
  ...common,
  items,
  kind: z.enum(['invitation', 'certificate']),
  key: bytes32.optional(),
  certificate: z.string().max(8_192),
  secrets: secretsSchema.optional()
})

const invitationPrefix = 'skein-join-1:'

/** @throws {InvalidAuthorityError} with a sentence that never holds the key */
export async function readAuthorityFile(path: string): Promise<AuthorityKey> {
  let text: string
  try {
    text = await readStoredText(path, authorityFileBytesMax)
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT'
    throw new InvalidAuthorityError(
      missing ? `there is no key file ${path}` : `${path} cannot be read: ${reasonOf(error)}`
    )
  }
  const { kind, key, certificate, secrets, ...rest } = parse(
    keySchema,
    text,
    `${path} is no key of an authority or a deputy`
  )
  if (kind === 'deputy' && certificate === undefined) {
    throw new InvalidAuthorityError(`${path} is the key of a deputy without its certificate`)
  }
  return {
    ...configOf(rest),
    kind,
    key: signingKey(bytes64(key)),
    certificate: certificate === undefined ? undefined : bytes64(certificate),
    secrets: secrets === undefined ? undefined : secretsOf(secrets)
  }
}

/** Writes a new key file, readable by its owner only; one that is there is never overwritten. @throws {InvalidAuthorityError} */
export async function writeAuthorityFile(path: string, authority: AuthorityKey): Promise<void> {
  try {
    await writeWhole(path, authorityText(authority), { fresh: true })
  } catch (error) {
    const exists = (error as NodeJS.ErrnoException).code === 'EEXIST'
    throw new InvalidAuthorityError(
      exists ? `${path} exists already and is not overwritten` : `${path} cannot be written: ${reasonOf(error)}`
    )
  }
}

/** What a key file holds: secrets. */
export function authorityText({ kind, key, certificate, secrets, ...config }: AuthorityKey): string {
  const json = {
    ...configJson(config),
    kind,
    key: text64(key.seed),
    ...(certificate === undefined ? {} : { certificate: text64(certificate) }),
    ...(secrets === undefined ? {} : { secrets: secretsJson(secrets) })
  }
  return `${JSON.stringify(json, null, 2)}\n`
}

/** One line to carry to a machine: a secret until that machine has joined. */
export function invitationText({ kind, key, certificate, secrets, ...config }: Invitation): string {
  const json = {
    ...configJson(config),
    kind,
    ...(key === undefined ? {} : { key: text64(key.seed) }),
    certificate: text64(certificate),
    ...(secrets === undefined ? {} : { secrets: secretsJson(secrets) })
  }
  return `${invitationPrefix}${Buffer.from(JSON.stringify(json)).toString('base64url')}\n`
}

/** @param from what it is, for the message: a path. @throws {InvalidAuthorityError} with a sentence that never holds the key */
export function readInvitation(text: string, from: string): Invitation {
  const line = text.trim()
  if (!line.startsWith(invitationPrefix) || !/^[A-Za-z0-9_-]+$/.test(line.slice(invitationPrefix.length))) {
    throw new InvalidAuthorityError(`${from} is no invitation: it is one line that begins with ${invitationPrefix}`)
  }
  const json = Buffer.from(line.slice(invitationPrefix.length), 'base64url').toString('utf8')
  const { kind, key, certificate, secrets, ...rest } = parse(invitationSchema, json, `${from} is no whole invitation`)
  if (kind === 'invitation' && (key === undefined || secrets === undefined)) {
    throw new InvalidAuthorityError(`${from} is no whole invitation: its key is missing`)
  }
  return {
    ...configOf(rest),
    kind,
    key: key === undefined ? undefined : signingKey(bytes64(key)),
    certificate: bytes64(certificate),
    secrets: secrets === undefined ? undefined : secretsOf(secrets)
  }
}

function parse<T>(schema: z.ZodType<T>, text: string, what: string): T {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    throw new InvalidAuthorityError(`${what}: it is not JSON`)
  }
  const parsed = schema.safeParse(json)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]!
  throw new InvalidAuthorityError(
    `${what}: ${issue.path.join('.') || 'it'} ${issue.code === 'invalid_format' ? issue.message : 'is missing or wrong'}`
  )
}

interface ConfigText {
  readonly name: string
  readonly authority: string
  readonly recovery: string
  readonly items?: readonly string[] | undefined
}

function configOf({ name, authority, recovery, items = [] }: ConfigText): MembersConfig & { items: Uint8Array[] } {
  return { name, authority: bytes64(authority), recovery: bytes64(recovery), items: items.map(bytes64) }
}

function configJson({
  name,
  authority,
  recovery,
  items
}: MembersConfig & { items: readonly Uint8Array[] }): Record<string, unknown> {
  return {
    format: 1,
    name,
    authority: text64(authority),
    recovery: text64(recovery),
    ...(items.length === 0 ? {} : { items: items.map(text64) })
  }
}

function secretsOf({ discovery, epoch, secret }: z.infer<typeof secretsSchema>): NewMemberSecrets {
  return { discovery: bytes64(discovery), epoch, secret: bytes64(secret) }
}

function secretsJson({ discovery, epoch, secret }: NewMemberSecrets): z.infer<typeof secretsSchema> {
  return { discovery: text64(discovery), epoch, secret: text64(secret) }
}
