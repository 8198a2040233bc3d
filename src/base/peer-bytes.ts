/**
 * Peer ids as bytes and back. Base58 divides a long number by 58 again and again, a thousand steps for each id, and the same ids
 * come with every record and every frame of terms: the newest are remembered. Pure but for that.
 */
import { base58btc } from 'multiformats/bases/base58'
import type { PeerId } from './ids.ts'
import { sameBytes } from './same-bytes.ts'

/** Ids that are remembered, as many as a peer knows in a large swarm, some 100 bytes each; then it begins anew. */
const rememberedMax = 4_096

const bytesById = new Map<PeerId, Uint8Array<ArrayBuffer>>()
/** By the last four bytes, which are those of a key: who makes keys that share them has only its own ids computed again. */
const idsByEnd = new Map<number, { readonly bytes: Uint8Array; readonly peer: PeerId }>()

/** The binary form of a peer id. It is shared: nobody may change it. */
export function bytesOfPeer(peer: PeerId): Uint8Array<ArrayBuffer> {
  let bytes = bytesById.get(peer)
  if (bytes === undefined) {
    bytes = base58btc.baseDecode(peer) as Uint8Array<ArrayBuffer>
    if (bytesById.size >= rememberedMax) bytesById.clear()
    bytesById.set(peer, bytes)
  }
  return bytes
}

/** The text form of a peer id from its binary form, whatever that is. */
export function peerOfBytes(bytes: Uint8Array): PeerId {
  const n = bytes.length
  const end = n < 4 ? 0 : (bytes[n - 4]! << 24) | (bytes[n - 3]! << 16) | (bytes[n - 2]! << 8) | bytes[n - 1]!
  const known = idsByEnd.get(end)
  if (known !== undefined && sameBytes(known.bytes, bytes)) return known.peer
  const peer = base58btc.baseEncode(bytes) as PeerId
  if (idsByEnd.size >= rememberedMax) idsByEnd.clear()
  idsByEnd.set(end, { bytes: bytes.slice(), peer })
  return peer
}
