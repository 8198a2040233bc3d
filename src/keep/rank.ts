/** Who keeps a session: rendezvous hashing (Thaler and Ravishankar, 1998), so no one has to be asked and no list kept. */
import { hmac } from '@noble/hashes/hmac.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js'
import type { PeerId } from '../base/ids.ts'

/** Peers in the order in which they are to keep the session of this tag. Who leaves changes nobody else's place. */
export function rank(tag: Uint8Array, peers: readonly PeerId[]): PeerId[] {
  const scored = peers.map(peer => ({ peer, score: bytesToHex(hmac(sha256, tag, utf8ToBytes(peer))) }))
  return scored.sort((a, b) => (a.score < b.score ? -1 : 1)).map(({ peer }) => peer)
}
