/**
 * Keys as this room sees them: the 32 bytes of an Ed25519 public key as hex digits, which tell members, deputies and the authority apart. A
 * peer's key is in its peer id.
 */
import { bytesToHex } from '@noble/hashes/utils.js'
import type { PeerId } from '../base/ids.ts'
import { bytesOfPeer, peerOfBytes } from '../base/peer-bytes.ts'

declare const brand: unique symbol
/** An Ed25519 public key: 64 lower-case hex digits. */
export type KeyText = string & { readonly [brand]: 'KeyText' }
/** Checks an Ed25519 signature by a public key of 32 bytes. */
export type VerifyKey = (key: Uint8Array, data: Uint8Array, signature: Uint8Array) => boolean

/** The binary form of an Ed25519 peer id before its key: an identity multihash of a protobuf (libp2p peer-ids). */
const idPrefix = new Uint8Array([0x00, 0x24, 0x08, 0x01, 0x12, 0x20])

export const keyBytes = 32
export const signatureBytes = 64

export function keyText(key: Uint8Array): KeyText {
  return bytesToHex(key) as KeyText
}

/** The key that a peer id is. */
export function keyOfPeer(peer: PeerId): Uint8Array {
  return bytesOfPeer(peer).subarray(idPrefix.byteLength)
}

/** The peer id that a key is. */
export function peerOfKey(key: Uint8Array): PeerId {
  const bytes = new Uint8Array(idPrefix.byteLength + keyBytes)
  bytes.set(idPrefix)
  bytes.set(key, idPrefix.byteLength)
  return peerOfBytes(bytes)
}
