/** The file that makes a peer a member of a swarm: a name and 32 random bytes. */
import { randomBytes } from 'node:crypto'
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, concatBytes } from '@noble/hashes/utils.js'
import { z } from 'zod'
import { readStoredText } from '../disk/files.ts'
import { reasonOf } from '../base/reason.ts'
import { writeWhole } from '../disk/whole-file.ts'
import { InvalidSwarmError } from '../errors.ts'
import { swarmFileBytesMax } from './limits.ts'

/** The contents of a swarm file: a secret shared by friends, or the public part of a swarm with members. */
export type SwarmConfig = SecretSwarm | MembersSwarm

/** The public part of a swarm with members: whoever has it can join nothing by it. */
export interface MembersSwarm {
  readonly format: 2
  readonly name: string
  /** Ed25519 public keys of its first authority and of its recovery key, 32 bytes each in base64url. */
  readonly authority: string
  readonly recovery: string
}

export interface SecretSwarm {
  readonly format: 1
  readonly name: string
  /** 32 random bytes, base64url. Whoever has it can join: never log it. */
  readonly secret: string
}

const secretBytes = 32
/** Hex digits of the tag: enough that two swarms in radio range do not share one by chance. */
const tagDigits = 16

const name = z
  .string('must be a text')
  .regex(/^[\p{L}\p{N}][\p{L}\p{N} ._-]{0,63}$/u, 'must be 1-64 letters, digits, spaces, dots, dashes or underscores')
const publicKey = z
  .string('must be a text')
  .regex(/^[A-Za-z0-9_-]{43}$/, 'must be 32 bytes in base64url, which is 43 characters')
const membersSchema = z.strictObject({ format: z.literal(2), name, authority: publicKey, recovery: publicKey })
const schema = z.strictObject({
  format: z.literal(1, 'must be 1'),
  name,
  // The value itself never gets into a message.
  secret: z
    .string('must be a text')
    .regex(/^[A-Za-z0-9_-]{43}$/, 'must be 32 bytes in base64url, which is 43 characters')
})

/**
 * Checks the contents of a swarm file.
 *
 * @param from what it is, for the error message: a path.
 * @throws {InvalidSwarmError} with one sentence that never holds the secret.
 */
export function parseSwarm(json: unknown, from: string): SwarmConfig {
  const format = (json as { format?: unknown } | null)?.format
  if (typeof format === 'number' && format > 2) {
    throw new InvalidSwarmError(
      `${from} has swarm format ${format}, made by a newer Skein; this one reads formats 1 and 2`
    )
  }
  const parsed = format === 2 ? membersSchema.safeParse(json) : schema.safeParse(json)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]!
  const what = issue.code === 'unrecognized_keys' ? `has an unknown field ${issue.keys[0]}` : issue.message
  throw new InvalidSwarmError(`${from} is no valid swarm file: ${issue.path.join('.') || 'it'} ${what}`)
}

/** @throws {InvalidSwarmError} when the file is missing, unreadable, too large or malformed. */
export async function readSwarmFile(path: string): Promise<SwarmConfig> {
  let text: string
  try {
    text = await readStoredText(path, swarmFileBytesMax)
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT'
    throw new InvalidSwarmError(
      missing
        ? `there is no swarm file ${path}: make one with skein init`
        : `${path} cannot be read: ${reasonOf(error)}`
    )
  }
  if (text === '') {
    throw new InvalidSwarmError(`${path} is empty, as a full disk or a power cut leaves it: copy it again`)
  }
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    throw new InvalidSwarmError(`${path} is no swarm file: it is not JSON`)
  }
  return parseSwarm(json, path)
}

/** A new swarm with a random secret. @throws {InvalidSwarmError} when the name is none. */
export function newSwarm(name: string): SecretSwarm {
  const secret = randomBytes(secretBytes).toString('base64url')
  return parseSwarm({ format: 1, name, secret }, 'the new swarm') as SecretSwarm
}

/**
 * Writes a new swarm's file, readable by its owner only. A file that holds something is never overwritten: its secret
 * would be gone.
 *
 * @throws {InvalidSwarmError}
 */
export async function initSwarm(path: string, name = 'swarm'): Promise<SecretSwarm> {
  const config = newSwarm(name)
  await writeSwarmFile(path, config)
  return config
}

/** Writes a new swarm file, which is never put in the place of another one. @throws {InvalidSwarmError} */
export async function writeSwarmFile(path: string, config: SwarmConfig): Promise<void> {
  try {
    await writeWhole(path, `${JSON.stringify(config, null, 2)}\n`, { fresh: true })
  } catch (error) {
    const exists = (error as NodeJS.ErrnoException).code === 'EEXIST'
    throw new InvalidSwarmError(
      exists ? `${path} exists already and is not overwritten` : `${path} cannot be written: ${reasonOf(error)}`
    )
  }
}

/** The secret's bytes. */
export function swarmSecret(config: SecretSwarm): Uint8Array {
  return new Uint8Array(Buffer.from(config.secret, 'base64url'))
}

/** What peers of one swarm know it by in public: a digest that tells nothing about the secret. */
export function swarmTag(secret: Uint8Array): string {
  return bytesToHex(sha256(concatBytes(new TextEncoder().encode('skein swarm tag'), secret))).slice(0, tagDigits)
}
