/**
 * Bounds for what libp2p keeps of peers, and no more writing than that takes. Left to itself it keeps every address that anybody
 * names for 30 days, and reads and writes a peer's whole entry for each stream that opens.
 */
import type { Peer, PeerData, PeerId, PeerStore } from '@libp2p/interface'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { storedCertifiedMax, storedHearsayMax, storedPeersMax } from './limits.ts'

/** When a dial went well or wrong, in libp2p's metadata. Nothing reads it. */
const dialMarks = ['last-dial-success', 'last-dial-failure']

interface Address {
  readonly multiaddr: Multiaddr
  readonly isCertified: boolean
}

/**
 * Puts the bounds before a peer store's own methods: all of libp2p writes through them.
 *
 * @param isNear a peer that is connected, or this one: it has a place, whoever else is named
 */
export async function boundPeerStore(store: PeerStore, isNear: (peer: PeerId) => boolean): Promise<void> {
  const { merge, patch, save } = store
  const inner = { merge: merge.bind(store), patch: patch.bind(store), save: save.bind(store) }
  const peers = new Bounded(store, isNear)
  await peers.load()

  store.merge = async (id, data, options) => {
    const cleaned = withoutDialMarks(data)
    const before = peers.last(id)
    if (before !== undefined && addsNothing(before, cleaned)) return before
    if (!(await peers.admit(id))) return nobody(id)
    const named = cleaned.multiaddrs !== undefined || cleaned.addresses !== undefined
    if (!named) return peers.keep(await inner.merge(id, cleaned, options))
    const known = before?.addresses ?? (await store.get(id, options).then(addressesOf, () => []))
    const { multiaddrs: _, ...rest } = cleaned
    const addresses = bounded([...given(cleaned), ...known])
    // `merge` can only add addresses, `patch` replaces them; what else is given is merged, as it was asked for.
    const patched = await inner.patch(id, { addresses }, options)
    const more: PeerData = { ...rest }
    delete more.addresses
    return peers.keep(Object.keys(more).length === 0 ? patched : await inner.merge(id, more, options))
  }
  const replacing =
    (method: typeof patch): typeof patch =>
    async (id, data, options) => {
      if (!(await peers.admit(id))) return nobody(id)
      const named = data.multiaddrs !== undefined || data.addresses !== undefined
      const { multiaddrs: _, ...rest } = data
      return peers.keep(await method(id, named ? { ...rest, addresses: bounded(given(data)) } : data, options))
    }
  store.patch = replacing(inner.patch)
  store.save = replacing(inner.save)
}

/** Who has a place in the store, and what was written of him last. */
class Bounded {
  readonly #store: PeerStore
  readonly #isNear: (peer: PeerId) => boolean
  /** Least recently written first. Undefined until something is written. */
  readonly #peers = new Map<string, { readonly id: PeerId; peer: Peer | undefined }>()

  constructor(store: PeerStore, isNear: (peer: PeerId) => boolean) {
    this.#store = store
    this.#isNear = isNear
  }

  /** What an earlier run left, down to the bound. */
  async load(): Promise<void> {
    for (const { id, addresses } of await this.#store.all()) {
      if (this.#peers.size >= storedPeersMax || addresses.length === 0) await this.#store.delete(id)
      else this.#peers.set(id.toString(), { id, peer: undefined })
    }
  }

  last(id: PeerId): Peer | undefined {
    return this.#peers.get(id.toString())?.peer
  }

  keep(peer: Peer): Peer {
    const key = peer.id.toString()
    this.#peers.delete(key)
    this.#peers.set(key, { id: peer.id, peer })
    return peer
  }

  /** Finds a place for a peer: another one that is only named by others has to go for one that is connected. */
  async admit(id: PeerId): Promise<boolean> {
    const key = id.toString()
    if (this.#peers.has(key)) return true
    if (this.#peers.size >= storedPeersMax) {
      if (!this.#isNear(id)) return false
      for (const [other, entry] of this.#peers) {
        if (this.#isNear(entry.id)) continue
        this.#peers.delete(other)
        await this.#store.delete(entry.id)
        break
      }
    }
    this.#peers.set(key, { id, peer: undefined })
    return true
  }
}

/** Certified addresses first, then the newest of those that others named; the given order is from new to old. */
function bounded(addresses: readonly Address[]): Address[] {
  const unique = new Map<string, Address>()
  for (const address of addresses) {
    const key = address.multiaddr.toString()
    if (unique.get(key)?.isCertified !== true) unique.set(key, address)
  }
  const all = [...unique.values()]
  return [
    ...all.filter(({ isCertified }) => isCertified).slice(0, storedCertifiedMax),
    ...all.filter(({ isCertified }) => !isCertified).slice(0, storedHearsayMax)
  ]
}

function given(data: PeerData): Address[] {
  return [
    ...(data.addresses ?? []).map(({ multiaddr: bytes, isCertified }) => ({
      multiaddr: multiaddr(bytes),
      isCertified: isCertified ?? false
    })),
    ...(data.multiaddrs ?? []).map(address => ({ multiaddr: address, isCertified: false }))
  ]
}

function addressesOf({ addresses }: Peer): Address[] {
  return addresses.map(({ multiaddr: address, isCertified }) => ({ multiaddr: address, isCertified }))
}

function withoutDialMarks(data: PeerData): PeerData {
  if (data.metadata === undefined) return data
  const entries = data.metadata instanceof Map ? [...data.metadata] : Object.entries(data.metadata)
  const left = entries.filter(([key]) => !dialMarks.includes(key))
  const { metadata: _, ...rest } = data
  return left.length === 0 ? rest : { ...rest, metadata: new Map(left) as Map<string, Uint8Array> }
}

/** True when every protocol and address is in the entry already, and nothing else is given. */
function addsNothing(peer: Peer, { protocols = [], multiaddrs = [], ...rest }: PeerData): boolean {
  if (Object.keys(rest).length > 0) return false
  const known = new Set(peer.addresses.map(({ multiaddr: address }) => address.toString()))
  return (
    protocols.every(protocol => peer.protocols.includes(protocol)) &&
    multiaddrs.every(address => known.has(address.toString()))
  )
}

/** Of whom nothing is kept. */
function nobody(id: PeerId): Peer {
  return { id, addresses: [], protocols: [], metadata: new Map(), tags: new Map() }
}
