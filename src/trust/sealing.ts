/**
 * Secrets for those who hold a key, sealed to what their peer ids are: Ed25519 keys, turned into X25519 keys by the map between the two curves
 * (RFC 7748, 4.1), HKDF-SHA256 and AES-256-GCM. One key is made for each epoch and forgotten, so that no two boxes of different epochs share one.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'
import { ed25519, x25519 } from '@noble/curves/ed25519.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex } from '@noble/hashes/utils.js'
import { hexBytes } from './grant.ts'
import { type KeyText, keyText } from './keys.ts'
import type { Epoch } from './statement.ts'

const secretBytes = 32
const tagBytes = 16
/** One key seals one secret: a nonce is never used twice. */
const nonce = new Uint8Array(12)

/**
 * A new secret for an epoch, and the epoch with that secret sealed to each of these keys.
 * @param random gives so many random bytes @default the machine's
 */
export function drawEpoch(
  number: number,
  recipients: readonly KeyText[],
  random: (bytes: number) => Uint8Array = randomBytes
): { secret: Uint8Array; epoch: Epoch } {
  const secret = new Uint8Array(random(secretBytes))
  const own = new Uint8Array(random(secretBytes))
  const sender = x25519.getPublicKey(own)
  const sealed = new Map<KeyText, Uint8Array>()
  for (const recipient of recipients) {
    const key = boxKey(x25519.getSharedSecret(own, ed25519.utils.toMontgomery(hexBytes(recipient))), sender, recipient)
    const cipher = createCipheriv('aes-256-gcm', key, nonce)
    sealed.set(recipient, new Uint8Array(Buffer.concat([cipher.update(secret), cipher.final(), cipher.getAuthTag()])))
  }
  return { secret, epoch: { number, digest: bytesToHex(sha256(secret)), sender: bytesToHex(sender), sealed } }
}

/** Opens what an epoch has for the holder of a key; undefined where it has nothing, or nothing that opens. @param seed of the Ed25519 key, 32 bytes */
export function openEpoch({ digest, sender, sealed }: Epoch, seed: Uint8Array): Uint8Array | undefined {
  const recipient = keyText(ed25519.getPublicKey(seed))
  const box = sealed.get(recipient)
  if (box === undefined) return undefined
  try {
    const from = hexBytes(sender)
    const key = boxKey(x25519.getSharedSecret(ed25519.utils.toMontgomerySecret(seed), from), from, recipient)
    const decipher = createDecipheriv('aes-256-gcm', key, nonce)
    decipher.setAuthTag(box.subarray(box.byteLength - tagBytes))
    const cut = box.subarray(0, box.byteLength - tagBytes)
    const secret = new Uint8Array(Buffer.concat([decipher.update(cut), decipher.final()]))
    return bytesToHex(sha256(secret)) === digest ? secret : undefined
  } catch {
    return undefined
  }
}

function boxKey(shared: Uint8Array, sender: Uint8Array, recipient: KeyText): Uint8Array {
  const salt = new Uint8Array([...sender, ...hexBytes(recipient)])
  return new Uint8Array(hkdfSync('sha256', shared, salt, 'skein epoch', 32))
}
