/**
 * What a person's key says of a model: that this id, which is the digest of its manifest and so of every byte of it, is what its owner
 * means. A signature has a fixed form, so that one model's may lie one after another in a file:
 *
 * | bytes | what |
 * |---|---|
 * | 1 | the version of this form, 1 |
 * | 32 | the model's id |
 * | 32 | the signer's Ed25519 public key |
 * | 8 | when it was signed, in ms since 1970, big-endian |
 * | 64 | the signature of all before it, after the name of its domain (RFC 8032) |
 *
 * Pure.
 */
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import type { ModelId } from '../base/ids.ts'
import { inDomain } from '../base/signature.ts'
import { type KeyText, keyBytes, keyText, signatureBytes, type VerifyKey } from './keys.ts'
import { modelSignersMax } from './limits.ts'

/** Who signed a model. */
export interface ModelSigner {
  /** The public key: 64 lower-case hex digits. */
  readonly key: KeyText
  /** By the signer's own clock, in ms since 1970. */
  readonly signedMs: number
}

/** The signatures of one model. */
export interface ModelSigners {
  /** Those whose signature is right, each key once. */
  readonly good: readonly ModelSigner[]
  /** Keys that are named by a signature which is wrong: it was changed, or made of another model. */
  readonly bad: readonly KeyText[]
}

const domain = 'skein-model-signature:'
const version = 1
const idBytes = 32
const keyAt = 1 + idBytes
const timeAt = keyAt + keyBytes
const signedBytes = timeAt + 8
const oneBytes = signedBytes + signatureBytes

/** Bytes that the signatures of one model have at most. */
export const modelSignaturesBytesMax = modelSignersMax * oneBytes

/** One signature. @param nowMs since 1970 */
export function modelSignature(
  model: ModelId,
  { publicKey, sign }: { readonly publicKey: Uint8Array; readonly sign: (data: Uint8Array) => Uint8Array },
  nowMs: number
): Uint8Array {
  const bytes = new Uint8Array(oneBytes)
  bytes[0] = version
  bytes.set(hexToBytes(model), 1)
  bytes.set(publicKey, keyAt)
  new DataView(bytes.buffer).setBigUint64(timeAt, BigInt(Math.floor(nowMs)))
  bytes.set(sign(inDomain(domain, bytes.subarray(0, signedBytes))), signedBytes)
  return bytes
}

/**
 * Adds a signature to those of a model, in place of an earlier one by the same key, and of what is no whole signature.
 *
 * @returns undefined where there is room for no more
 */
export function withSignature(signatures: Uint8Array, added: Uint8Array): Uint8Array | undefined {
  const key = keyOf(added)
  const kept = split(signatures).filter(each => keyOf(each) !== key)
  if (kept.length >= modelSignersMax) return undefined
  const all = new Uint8Array((kept.length + 1) * oneBytes)
  for (const [i, each] of [...kept, added].entries()) all.set(each, i * oneBytes)
  return all
}

/** Who signed a model, by the signatures that lie beside it. Bytes at the end that are no whole signature name nobody. */
export function modelSigners(model: ModelId, signatures: Uint8Array, verify: VerifyKey): ModelSigners {
  const good = new Map<KeyText, ModelSigner>()
  const bad = new Set<KeyText>()
  for (const each of split(signatures)) {
    const key = keyOf(each)
    const isGood =
      each[0] === version &&
      bytesToHex(each.subarray(1, keyAt)) === model &&
      verify(each.subarray(keyAt, timeAt), inDomain(domain, each.subarray(0, signedBytes)), each.subarray(signedBytes))
    if (isGood) good.set(key, { key, signedMs: timeOf(each) })
    else bad.add(key)
  }
  return { good: [...good.values()], bad: [...bad].filter(key => !good.has(key)) }
}

/** Signatures that are here, and of those that somebody sent the ones that are right, by keys of which none is here, as far as there is room. */
export function rightSignatures(model: ModelId, here: Uint8Array, sent: Uint8Array, verify: VerifyKey): Uint8Array {
  const known = new Set(split(here).map(keyOf))
  const added = split(sent).filter(each => !known.has(keyOf(each)) && modelSigners(model, each, verify).good.length > 0)
  return added.reduce((all, each) => withSignature(all, each) ?? all, here)
}

/**
 * Looks for a signer that is trusted.
 *
 * @param whyNot a sentence of a key that was trusted once, or will be. @default of none
 * @returns that signer, or why there is none: what goes after the model's name in a sentence
 */
export function trustedSigner(
  { good, bad }: ModelSigners,
  trusted: readonly KeyText[],
  whyNot: (key: KeyText) => string | undefined = () => undefined
): ModelSigner | string {
  const found = good.find(({ key }) => trusted.includes(key))
  if (found !== undefined) return found
  const changed = bad.filter(key => trusted.includes(key))
  if (changed.length > 0) {
    return `has a signature that names the key ${listed(changed)} and is not its own: it was changed, or made of another model`
  }
  if (good.length > 0) {
    const reasons = good.flatMap(({ key }) => whyNot(key) ?? [])
    if (reasons.length > 0) return `is signed by nobody who is trusted now: ${reasons.join('; ')}`
    return `is signed by ${listed(good.map(({ key }) => key))}, and by none of the keys that are trusted: ${listed(trusted)}`
  }
  return bad.length > 0 ? `has no signature that is right: each was changed, or made of another model` : 'is not signed'
}

/** Keys by their first digits, which is what people compare. */
function listed(keys: readonly KeyText[]): string {
  return keys.map(key => `${key.slice(0, 12)}…`).join(', ')
}

function split(signatures: Uint8Array): Uint8Array[] {
  const count = Math.min(Math.floor(signatures.byteLength / oneBytes), modelSignersMax)
  return Array.from({ length: count }, (_, i) => signatures.subarray(i * oneBytes, (i + 1) * oneBytes))
}

function keyOf(signature: Uint8Array): KeyText {
  return keyText(signature.subarray(keyAt, timeAt))
}

/** A number that a Date takes: one beyond 285,616 years is the last that is safe. */
function timeOf(signature: Uint8Array): number {
  const ms = new DataView(signature.buffer, signature.byteOffset).getBigUint64(timeAt)
  return Number(ms < timeMax ? ms : timeMax)
}
const timeMax = 8_640_000_000_000_000n
