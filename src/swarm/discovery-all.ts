/** The ways in which a peer looks for others. */
import type { PeerStore } from '@libp2p/interface'
import type { PeerId } from '../base/ids.ts'
import type { Dialer } from './dialer.ts'
import type { Discovery } from './discovery.ts'
import { MdnsDiscovery, NoMdnsDiscovery } from './discovery-mdns.ts'
import { NeighboursDiscovery } from './discovery-neighbours.ts'
import { RememberedDiscovery } from './discovery-remembered.ts'
import { Voucher } from './vouch.ts'

export interface DiscoveriesInit {
  readonly self: PeerId
  readonly tag: string
  /** The swarm's 32 random bytes. */
  readonly secret: Uint8Array
  /** Where this peer listens, without its id. */
  readonly addresses: () => readonly string[]
  readonly dialer: Dialer
  readonly peerStore: PeerStore
  readonly mdns: boolean
  /** Through a folder on this machine: the usual one, another one, or none. */
  readonly neighbours: boolean | string
  /** Addresses from a person. */
  readonly staticWay: Discovery
}

export function discoveries(init: DiscoveriesInit): Discovery[] {
  const { self, tag, addresses, dialer, neighbours } = init
  const whoAmI = { self, tag, addresses, dialer, voucher: new Voucher(init.secret) }
  return [
    init.mdns ? new MdnsDiscovery(whoAmI) : new NoMdnsDiscovery(),
    ...(neighbours === false
      ? []
      : [new NeighboursDiscovery({ ...whoAmI, ...(typeof neighbours === 'string' ? { root: neighbours } : {}) })]),
    init.staticWay,
    new RememberedDiscovery(init.peerStore, dialer)
  ]
}

/** How each way of looking for others goes, a sentence each. @param twin what is known of another process with this identity */
export function statesOf(
  ways: readonly Discovery[],
  { twin, handshakes }: { readonly twin: string | undefined; readonly handshakes: readonly string[] }
): { readonly way: string; readonly state: string }[] {
  return [
    ...(twin === undefined ? [] : [{ way: 'identity', state: twin }]),
    ...ways.map(way => ({ way: way.way, state: way.state() })),
    ...handshakes.map(state => ({ way: 'handshake', state }))
  ]
}
