/**
 * What this peer keeps of the DHT for others: in memory, since nothing of it is to survive a restart, and bounded, since
 * kad-dht itself stores all that passes its validators. One value per peer of the swarm, and provider records of which no
 * peer has more than it could hold shards.
 */
import { base32 } from 'multiformats/bases/base32'
import type { PeerId } from '../base/ids.ts'
import { recordsMax } from '../limits.ts'
import { providersMax, providersPerPeerMax, providersPerShardMax } from './limits.ts'

/** A key of libp2p's datastores, as far as it goes here. */
export interface DhtKey {
  toString(): string
}

interface Entry {
  readonly key: DhtKey
  readonly value: Uint8Array
}

interface Provided extends Entry {
  readonly shard: string
}

const valuePrefix = '/dht/record/'
const providerPrefix = '/dht/provider/'

export interface DhtStoreInit {
  readonly self: PeerId
  /** Whether a peer is here: its record lives, or it is connected. */
  readonly isHere: (peer: PeerId) => boolean
}

/** The part of a libp2p datastore that kad-dht uses. */
export class DhtStore {
  readonly #init: DhtStoreInit
  /** By peer, in the order of their last change. */
  readonly #values = new Map<string, Entry>()
  /** Per shard who provides it, and per provider what, the oldest first. */
  readonly #shards = new Map<string, Map<string, Provided>>()
  readonly #providers = new Map<string, Map<string, Provided>>()
  #count = 0

  constructor(init: DhtStoreInit) {
    this.#init = init
  }

  /** Values and provider records that are kept. */
  get size(): { readonly values: number; readonly providers: number } {
    return { values: this.#values.size, providers: this.#count }
  }

  /** @throws {Error} with a sentence when there is no place for it; kad-dht tells who sent it. */
  async put(key: DhtKey, value: Uint8Array): Promise<DhtKey> {
    const text = key.toString()
    if (text.startsWith(providerPrefix)) this.#provide(key, text, value)
    else this.#putValue(key, ownerOf(text), value)
    return key
  }

  async get(key: DhtKey): Promise<Uint8Array> {
    const found = this.#find(key.toString())
    if (found === undefined) throw Object.assign(new Error(`${key} is not here`), { name: 'NotFoundError' })
    return found.value
  }

  async has(key: DhtKey): Promise<boolean> {
    return this.#find(key.toString()) !== undefined
  }

  async delete(key: DhtKey): Promise<void> {
    const text = key.toString()
    if (!text.startsWith(providerPrefix)) {
      const owner = ownerOf(text)
      if (owner !== undefined) this.#values.delete(owner)
      return
    }
    const [shard = '', provider = ''] = text.slice(providerPrefix.length).split('/')
    this.#remove(shard, provider)
  }

  /** Everything whose key begins so: the providers of one shard, or all entries. */
  async *query({ prefix = '' }: { prefix?: string }): AsyncGenerator<{ key: DhtKey; value: Uint8Array }> {
    const shard = prefix.startsWith(providerPrefix) ? prefix.slice(providerPrefix.length) : ''
    const entries =
      shard !== ''
        ? (this.#shards.get(shard)?.values() ?? [])
        : [...this.#values.values(), ...[...this.#shards.values()].flatMap(each => [...each.values()])]
    for (const { key, value } of [...entries]) if (key.toString().startsWith(prefix)) yield { key, value }
  }

  #find(text: string): Entry | undefined {
    if (!text.startsWith(providerPrefix)) return this.#values.get(ownerOf(text) ?? '')
    const [shard = '', provider = ''] = text.slice(providerPrefix.length).split('/')
    return this.#shards.get(shard)?.get(provider)
  }

  #putValue(key: DhtKey, owner: PeerId | undefined, value: Uint8Array): void {
    const { self, isHere } = this.#init
    if (owner === undefined) throw new Error('a value of this DHT is under /skein/<peer id> and under nothing else')
    if (owner !== self && !isHere(owner)) throw new Error(`${owner} is not known here: its value is not kept`)
    this.#values.delete(owner)
    if (this.#values.size >= recordsMax) {
      for (const other of this.#values.keys()) {
        if (other === self || isHere(other as PeerId)) continue
        this.#values.delete(other)
        break
      }
    }
    if (this.#values.size >= recordsMax && owner !== self) throw new Error('there is no room for another value')
    this.#values.set(owner, { key, value })
  }

  #provide(key: DhtKey, text: string, value: Uint8Array): void {
    const [shard = '', provider = '', ...rest] = text.slice(providerPrefix.length).split('/')
    if (shard === '' || provider === '' || rest.length > 0) throw new Error(`${text} is no key of a provider`)
    this.#remove(shard, provider)
    const own = this.#providers.get(provider)
    const others = this.#shards.get(shard)
    // Its own oldest first, then the oldest of this shard, then of whoever has the most; never what this peer provides.
    if (own !== undefined && own.size >= providersPerPeerMax) this.#removeOldest(own, provider)
    if (others !== undefined && others.size >= providersPerShardMax) {
      const oldest = [...others.keys()].find(other => other !== this.#init.self)
      if (oldest !== undefined) this.#remove(shard, oldest)
    }
    if (this.#count >= providersMax) {
      let most: [string, Map<string, Provided>] | undefined
      for (const entry of this.#providers) {
        if (entry[0] !== this.#init.self && entry[1].size > (most?.[1].size ?? 0)) most = entry
      }
      if (most !== undefined) this.#removeOldest(most[1], most[0])
    }
    const entry: Provided = { key, value, shard }
    const ofShard = this.#shards.get(shard) ?? new Map<string, Provided>()
    const ofProvider = this.#providers.get(provider) ?? new Map<string, Provided>()
    this.#shards.set(shard, ofShard.set(provider, entry))
    this.#providers.set(provider, ofProvider.set(shard, entry))
    this.#count += 1
  }

  #removeOldest(provided: ReadonlyMap<string, Provided>, provider: string): void {
    const [oldest] = provided.keys()
    if (oldest !== undefined) this.#remove(oldest, provider)
  }

  #remove(shard: string, provider: string): void {
    const ofShard = this.#shards.get(shard)
    const ofProvider = this.#providers.get(provider)
    if (ofShard?.delete(provider) !== true) return
    ofProvider?.delete(shard)
    this.#count -= 1
    if (ofShard.size === 0) this.#shards.delete(shard)
    if (ofProvider?.size === 0) this.#providers.delete(provider)
  }
}

/** The peer whose value a key of the datastore is for; undefined when it is for nothing that this DHT keeps. */
function ownerOf(text: string): PeerId | undefined {
  if (!text.startsWith(valuePrefix)) return undefined
  try {
    const key = new TextDecoder('utf-8', { fatal: true }).decode(base32.baseDecode(text.slice(valuePrefix.length)))
    return peerOfDhtKey(key)
  } catch {
    return undefined
  }
}

/** Where a peer's record is in the DHT. */
export function dhtKey(peer: PeerId): Uint8Array {
  return new TextEncoder().encode(`/skein/${peer}`)
}

/** The peer whose record a key of the DHT is for; undefined unless it is exactly that. */
export function peerOfDhtKey(key: string): PeerId | undefined {
  return /^\/skein\/(12D3KooW[1-9A-HJ-NP-Za-km-z]{44})$/.exec(key)?.[1] as PeerId | undefined
}
