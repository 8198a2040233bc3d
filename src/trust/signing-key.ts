/**
 * Ed25519 keys outside of a peer: of an authority, a deputy, an invitation. Node's own, which checks a signature in 63 µs. And signatures on P-256, which are
 * a TPM's.
 */
import { createPrivateKey, createPublicKey, type KeyObject, randomBytes, sign, verify } from 'node:crypto'
import { type KeyText, keyText, type VerifyKey } from './keys.ts'
import type { VerifyP256 } from './tpm-quote.ts'

/** A key that signs. */
export interface SigningKey {
  readonly key: KeyText
  readonly publicKey: Uint8Array
  /** The seed that it is made of, 32 bytes: a secret. */
  readonly seed: Uint8Array
  sign(data: Uint8Array): Uint8Array
}

/** Of PKCS#8, before the 32 bytes of a seed (RFC 8410). */
const pkcs8 = Buffer.from('302e020100300506032b657004220420', 'hex')

/** @param seed 32 random bytes @default new ones */
export function signingKey(seed: Uint8Array = new Uint8Array(randomBytes(32))): SigningKey {
  const privateKey = createPrivateKey({ key: Buffer.concat([pkcs8, seed]), format: 'der', type: 'pkcs8' })
  const { x } = createPublicKey(privateKey).export({ format: 'jwk' })
  const publicKey = new Uint8Array(Buffer.from(x ?? '', 'base64url'))
  return { key: keyText(publicKey), publicKey, seed, sign: data => new Uint8Array(sign(null, data, privateKey)) }
}

/** Keys that were used last: making one takes as long as a check. */
const known = new Map<string, KeyObject>()
const knownMax = 256

export const verifyKey: VerifyKey = (key, data, signature) => {
  try {
    const text = keyText(key)
    const object = known.get(text) ?? publicKeyOf(key)
    if (known.size >= knownMax) known.clear()
    known.set(text, object)
    return verify(null, data, object, signature)
  } catch {
    return false
  }
}

/** @throws for bytes that are no point of the curve */
function publicKeyOf(key: Uint8Array): KeyObject {
  const x = Buffer.from(key).toString('base64url')
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' })
}

export const verifyP256: VerifyP256 = ({ x, y }, data, signature) => {
  try {
    const [xText, yText] = [x, y].map(each => Buffer.from(each).toString('base64url')) as [string, string]
    const key = createPublicKey({ key: { kty: 'EC', crv: 'P-256', x: xText, y: yText }, format: 'jwk' })
    return verify('sha256', data, { key, dsaEncoding: 'der' }, signature)
  } catch {
    // No point of the curve, or no signature.
    return false
  }
}
