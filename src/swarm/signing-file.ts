/**
 * A key that signs models, and its public part, in files: PEM, as openssl makes and reads it (RFC 8410). An authority's key file is taken
 * for one, too.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { reasonOf } from '../base/reason.ts'
import { readStoredText, rm } from '../disk/files.ts'
import { writeWhole } from '../disk/whole-file.ts'
import { InvalidKeyError } from '../errors.ts'
import { type KeyText, keyText } from '../trust/keys.ts'
import { type SigningKey, signingKey } from '../trust/signing-key.ts'
import { readAuthorityFile } from './authority-file.ts'
import { authorityFileBytesMax } from './membership-limits.ts'

/** What a signing key was made into. */
export interface SigningKeyFiles {
  /** Its public part: 64 hex digits. */
  readonly key: KeyText
  /** The file of the public part. */
  readonly publicFile: string
}

/**
 * Makes an Ed25519 key in a file that only its owner can read, and its public part in `path.pub`. Neither is overwritten.
 *
 * @throws {InvalidKeyError}
 */
export async function makeSigningKeyFile(path: string): Promise<SigningKeyFiles> {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const publicFile = `${path}.pub`
  await writeFresh(path, privateKey.export({ type: 'pkcs8', format: 'pem' }).toString())
  try {
    await writeFresh(publicFile, publicKey.export({ type: 'spki', format: 'pem' }).toString(), 0o644)
  } catch (error) {
    // Nobody has seen a key whose public part is nowhere.
    await rm(path, { force: true })
    throw error
  }
  return { key: publicText(publicKey), publicFile }
}

async function writeFresh(path: string, text: string, mode?: number): Promise<void> {
  try {
    await writeWhole(path, text, { fresh: true, ...(mode === undefined ? {} : { mode }) })
  } catch (error) {
    const exists = (error as NodeJS.ErrnoException).code === 'EEXIST'
    throw new InvalidKeyError(
      exists
        ? `${path} exists already and is not overwritten: models may be signed with that key`
        : `${path} cannot be written: ${reasonOf(error)}`
    )
  }
}

/**
 * Reads a key that signs models: one of {@link makeSigningKeyFile}, any Ed25519 key in PEM, or that of an authority.
 *
 * @throws {InvalidKeyError} {InvalidAuthorityError} with a sentence that never holds the key
 */
export async function readSigningKeyFile(path: string): Promise<SigningKey> {
  const text = await read(path, 'skein key FILE --signing makes one')
  if (text.trimStart().startsWith('{')) {
    const { kind, key } = await readAuthorityFile(path)
    if (kind === 'authority') return key
    throw new InvalidKeyError(`${path} is the key of a ${kind}, which signs no models: an authority's does`)
  }
  let key: KeyObject
  try {
    key = createPrivateKey(text)
  } catch {
    const isPublic = text.includes('PUBLIC KEY')
    throw new InvalidKeyError(
      isPublic
        ? `${path} is a public key, which signs nothing: give the key that it is of`
        : `${path} is no key that signs models: it is an Ed25519 key in PEM without a passphrase, made by skein key FILE --signing`
    )
  }
  const { d } = edwards(key, path).export({ format: 'jwk' })
  return signingKey(new Uint8Array(Buffer.from(d ?? '', 'base64url')))
}

/**
 * A public key as people give it: 64 hex digits, 43 letters of base64url, or the file of one.
 *
 * @throws {InvalidKeyError}
 */
export async function readSignerKey(given: string): Promise<KeyText> {
  if (/^[0-9a-f]{64}$/i.test(given)) return given.toLowerCase() as KeyText
  if (/^[A-Za-z0-9_-]{43}$/.test(given)) return keyText(new Uint8Array(Buffer.from(given, 'base64url')))
  const text = await read(given, 'a signer is 64 hex digits, 43 letters of base64url, or a .pub file')
  // Node would make a public key of it, and nobody would learn that a secret lies where others are meant to have it.
  if (text.includes('PRIVATE KEY')) {
    throw new InvalidKeyError(`${given} is a secret key: a signer is known by its public part, ${given}.pub`)
  }
  let key: KeyObject
  try {
    key = createPublicKey(text)
  } catch {
    throw new InvalidKeyError(
      `${given} is no public key: it is an Ed25519 key in PEM, as skein key FILE --signing writes`
    )
  }
  return publicText(edwards(key, given))
}

function publicText(key: KeyObject): KeyText {
  const { x } = key.export({ format: 'jwk' })
  return keyText(new Uint8Array(Buffer.from(x ?? '', 'base64url')))
}

async function read(path: string, way: string): Promise<string> {
  try {
    return await readStoredText(path, authorityFileBytesMax)
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT'
    throw new InvalidKeyError(
      missing ? `there is no key file ${path}: ${way}` : `${path} cannot be read: ${reasonOf(error)}`
    )
  }
}

function edwards(key: KeyObject, path: string): KeyObject {
  const { asymmetricKeyType: type } = key
  if (type === 'ed25519') return key
  throw new InvalidKeyError(`${path} is a key of type ${type}: models are signed with Ed25519`)
}
