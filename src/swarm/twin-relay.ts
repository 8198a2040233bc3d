/**
 * Carries records between two processes of one identity, which cannot connect with each other: under an identity of a moment,
 * which is a neighbour of both. So each hears what the other one announces, as it would through any third peer.
 */
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { PeerId } from '../base/ids.ts'
import { AliveService } from './alive-service.ts'
import { memoryChannels } from './channel.ts'
import { Host } from './host.ts'
import { type Identity, identityOf } from './identity.ts'
import { dialTimeoutMs, twinRelayMs } from './limits.ts'
import { revisionsWithoutLinks } from './link-frame.ts'
import type { Channel } from './links.ts'
import { pause } from './pause.ts'
import { recordsChannelFrameBytesMax } from './records-frame.ts'
import { recordsProtocol } from './records-service.ts'

export interface TwinRelayInit {
  readonly self: PeerId
  readonly secret: Uint8Array
  /** Where the other process was seen. */
  readonly address: Multiaddr
  /** Takes this end of a records channel with a neighbour. */
  readonly take: (channel: Channel) => void
  readonly signal: AbortSignal
}

/** Relays for long enough for both to find out which of them is the younger, and for the younger to say that it stops. It never throws. */
export async function relayBetweenTwins({ self, secret, address, take, signal }: TwinRelayInit): Promise<void> {
  const identity = await momentary()
  let host: Host | undefined
  let alive: AliveService | undefined
  const ends: Channel[] = []
  try {
    host = await Host.start({ identity, secret, listen: [], agent: 'skein', dht: false })
    const own = host
    alive = new AliveService({
      links: host,
      traffic: () => own.traffic,
      isWanted: peer => own.connectedPeers.has(peer),
      onSilent: (peer, message, reason) => own.disconnect(peer, message, reason),
      onViolation: () => {}
    })
    const limit = AbortSignal.any([signal, AbortSignal.timeout(dialTimeoutMs)])
    const answered = await host.dial([address], { signal: limit })
    if (answered !== self) return
    // In revisions in which nothing is asked: the other end takes it where it has a place, and this one keeps no neighbours.
    const far = await host.open(self, { ...recordsProtocol, revisions: [...revisionsWithoutLinks] }, { signal: limit })
    const [near, nearEnd] = memoryChannels(identity.id, {
      revision: far.revision,
      frameBytesMax: recordsChannelFrameBytesMax
    })
    ends.push(far, near)
    join(far, near)
    join(near, far)
    take(nearEnd)
    await alive.start()
    alive.connected(self)
    await pause(twinRelayMs, signal)
  } catch {
    // The other process is gone, or begins just now: who is told of it again looks again.
  } finally {
    alive?.stop()
    for (const end of ends) await end.close()
    await host?.stop().catch(() => {})
  }
}

/** What comes from one end goes to the other one, until one of them ends. */
function join(from: Channel, to: Channel): void {
  from.receive({ onFrame: frame => void to.send(frame), onClose: () => void to.close() })
}

async function momentary(): Promise<Identity> {
  return identityOf(await generateKeyPair('Ed25519'))
}
