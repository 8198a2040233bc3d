/** Identities of simulated peers, and signatures that cost nothing and still tell right from wrong. */
import { sameBytes } from '../src/base/same-bytes.ts'
import type { ModelId, PeerId, SessionId } from '../src/base/ids.ts'
import type { Sign, Verify } from '../src/base/signature.ts'
import { bytesOfPeer } from '../src/base/peer-bytes.ts'
import { peerFromBytes } from '../src/swarm/record.ts'
import { type Chance, hashBytes } from './chance.ts'

const prefix = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20]

/** A peer id as Ed25519 keys have them; of a key that nobody has. */
export function drawPeerId(chance: Chance): PeerId {
  const bytes = Uint8Array.from([...prefix, ...Array.from({ length: 32 }, () => chance.whole(0, 255))])
  return peerFromBytes(bytes)!
}

export function drawSessionId(chance: Chance): SessionId {
  return hex(chance, 16) as SessionId
}

export function drawModelId(chance: Chance): ModelId {
  return hex(chance, 32) as ModelId
}

function hex(chance: Chance, bytes: number): string {
  return Array.from({ length: bytes }, () => chance.whole(0, 255).toString(16).padStart(2, '0')).join('')
}

/** By peer: what its signatures begin from. The same in every world. */
const keys = new Map<PeerId, number>()

function keyOf(peer: PeerId): number {
  let key = keys.get(peer)
  if (key === undefined) {
    if (keys.size > 20_000) keys.clear()
    key = hashBytes(bytesOfPeer(peer))
    keys.set(peer, key)
  }
  return key
}

function signature(peer: PeerId, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(64)
  new DataView(bytes.buffer).setUint32(0, hashBytes(data, keyOf(peer)))
  return bytes
}

export function signerOf(peer: PeerId): Sign {
  return data => signature(peer, data)
}

export const verify: Verify = (peer, data, bytes) => {
  return sameBytes(signature(peer, data), bytes)
}
