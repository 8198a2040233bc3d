/** Who this peer is: an Ed25519 key in its data directory, made once and kept. */
import { createPrivateKey, createPublicKey, hkdfSync, type KeyObject, sign, verify } from 'node:crypto'
import { join } from 'node:path'
import { generateKeyPair, privateKeyFromProtobuf, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import type { Ed25519PrivateKey } from '@libp2p/interface'
import { peerIdFromPrivateKey, peerIdFromString } from '@libp2p/peer-id'
import type { PeerId } from '../base/ids.ts'
import { readStored } from '../disk/files.ts'
import { reasonOf } from '../base/reason.ts'
import { writeWhole } from '../disk/whole-file.ts'
import { DataDirectoryError } from '../errors.ts'
import { recordsMax } from '../limits.ts'
import { ownFileBytesMax } from './limits.ts'

export interface Identity {
  readonly id: PeerId
  readonly privateKey: Ed25519PrivateKey
  /** Ed25519 over the bytes as they are. The caller separates domains. */
  sign(data: Uint8Array): Uint8Array
  /** 32 bytes for one purpose, by HKDF-SHA256 of the private key: they tell nothing about it or about one another. */
  derive(purpose: string): Uint8Array
}

/**
 * Reads `identity.key` of a data directory, or makes it (mode 0600). A file of 0 bytes never held a key: a full disk or
 * a power cut left it, and it is replaced.
 *
 * @param onWarning told of a file that was replaced.
 * @throws {DataDirectoryError} when the file is unreadable or holds no Ed25519 key.
 */
export async function loadIdentity(dataDir: string, onWarning?: (message: string) => void): Promise<Identity> {
  const path = join(dataDir, 'identity.key')
  const bytes = await readKeyFile(path)
  if (bytes !== undefined && bytes.byteLength > 0) return identityIn(path, bytes)
  const key = await generateKeyPair('Ed25519')
  await writeKey(path, privateKeyToProtobuf(key))
  if (bytes !== undefined) {
    onWarning?.(`${path} was empty, as a full disk or a power cut leaves it: it holds a new key now`)
  }
  return identityOf(key)
}

/**
 * The same of a key that is there; undefined where none is.
 * @throws {DataDirectoryError} when the file is unreadable or holds no Ed25519 key.
 */
export async function readIdentity(dataDir: string): Promise<Identity | undefined> {
  const path = join(dataDir, 'identity.key')
  const bytes = await readKeyFile(path)
  return bytes === undefined || bytes.byteLength === 0 ? undefined : identityIn(path, bytes)
}

async function readKeyFile(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readStored(path, ownFileBytesMax)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new DataDirectoryError(`${path} cannot be read: ${reasonOf(error)}`)
  }
}

function identityIn(path: string, bytes: Uint8Array): Identity {
  try {
    const key = privateKeyFromProtobuf(bytes)
    if (key.type === 'Ed25519') return identityOf(key)
  } catch {
    // Told below, together with keys of other kinds.
  }
  throw new DataDirectoryError(
    `${path} holds no Ed25519 key: restore it from a copy, or delete it and this peer will have a new identity`
  )
}

/** Fails when a key is there (two starts at once); reaches the disk before the key is used. */
async function writeKey(path: string, bytes: Uint8Array): Promise<void> {
  try {
    await writeWhole(path, bytes, { fresh: true })
  } catch (error) {
    throw new DataDirectoryError(`${path} cannot be written: ${reasonOf(error)}`)
  }
}

/** An identity from a key: what {@link loadIdentity} returns. */
export function identityOf(privateKey: Ed25519PrivateKey): Identity {
  // Node's own Ed25519 is synchronous, as deciders need it. A raw key is the 32-byte seed and the public key.
  const key = createPrivateKey({
    key: {
      kty: 'OKP',
      crv: 'Ed25519',
      d: Buffer.from(privateKey.raw.subarray(0, 32)).toString('base64url'),
      x: Buffer.from(privateKey.publicKey.raw).toString('base64url')
    },
    format: 'jwk'
  })
  return {
    id: peerIdFromPrivateKey(privateKey).toString() as PeerId,
    privateKey,
    sign: data => new Uint8Array(sign(null, data, key)),
    derive: purpose => new Uint8Array(hkdfSync('sha256', privateKey.raw.subarray(0, 32), '', purpose, 32))
  }
}

/** Keys of those whose signatures were checked last, the longest ago first: making one takes as long as a check. */
const keys = new Map<PeerId, KeyObject>()

/** Checks an Ed25519 signature against the key that the peer's id itself is. False for any other kind of id. */
export function verifySignature(peer: PeerId, data: Uint8Array, signature: Uint8Array): boolean {
  try {
    const key = keys.get(peer) ?? keyOf(peer)
    keys.delete(peer)
    keys.set(peer, key)
    if (keys.size > recordsMax) keys.delete(keys.keys().next().value!)
    return verify(null, data, key, signature)
  } catch {
    return false
  }
}

/** @throws for an id that is no Ed25519 key. */
function keyOf(peer: PeerId): KeyObject {
  const id = peerIdFromString(peer)
  if (id.type !== 'Ed25519') throw new Error(`${peer} is no Ed25519 key`)
  const x = Buffer.from(id.publicKey.raw).toString('base64url')
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' })
}
