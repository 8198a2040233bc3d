/** Peers of this swarm that were known before the last stop, from libp2p's peer store. */
import type { PeerStore } from '@libp2p/interface'
import type { PeerId } from '../base/ids.ts'
import { candidatesMax } from './limits.ts'
import type { Dialer } from './dialer.ts'
import type { Discovery } from './discovery.ts'

export class RememberedDiscovery implements Discovery {
  readonly way = 'remembered'
  readonly #peerStore: PeerStore
  readonly #dialer: Dialer
  #found = 0

  constructor(peerStore: PeerStore, dialer: Dialer) {
    this.#peerStore = peerStore
    this.#dialer = dialer
  }

  state(): string {
    if (this.#found === 0) return 'no peers remembered'
    const { connected } = this.#dialer.stateOf(this.way)
    return `${this.#found} remembered, ${connected} connected`
  }

  async start(): Promise<void> {
    const peers = await this.#peerStore.all({ limit: candidatesMax })
    for (const { id, addresses } of peers) {
      if (addresses.length === 0) continue
      this.#found++
      // A peer certifies its addresses when it connects; others were told by members.
      const certified = addresses.filter(({ isCertified }) => isCertified)
      this.#dialer.offer(
        id.toString() as PeerId,
        (certified.length > 0 ? certified : addresses).map(({ multiaddr }) => multiaddr.toString()),
        this.way,
        certified.length > 0 ? 'signed' : 'vouched'
      )
    }
  }

  async stop(): Promise<void> {}
}
