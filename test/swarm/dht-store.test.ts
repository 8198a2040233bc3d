/** What a peer keeps of the DHT for others stays exact and bounded, whatever a member puts into it. */
import { generateKeyPair } from '@libp2p/crypto/keys'
import { multiaddr } from '@multiformats/multiaddr'
import { base32 } from 'multiformats/bases/base32'
import { CID } from 'multiformats/cid'
import * as Digest from 'multiformats/hashes/digest'
import { afterEach, describe, expect, it } from 'vitest'
import type { PeerId } from '../../src/base/ids.ts'
import { recordsMax } from '../../src/limits.ts'
import { providersMax, providersPerPeerMax, providersPerShardMax, recordTtlMs } from '../../src/swarm/limits.ts'
import { DhtStore, dhtKey } from '../../src/swarm/dht-store.ts'
import { Host } from '../../src/swarm/host.ts'
import { identityOf } from '../../src/swarm/identity.ts'
import { encodeRecord, peerFromBytes } from '../../src/swarm/record.ts'
import { swarmSecret } from '../../src/swarm/swarm-file.ts'
import { until, World } from './real-peers.ts'

function peer(n: number): PeerId {
  const bytes = new Uint8Array(38)
  bytes.set([0x00, 0x24, 0x08, 0x01, 0x12, 0x20])
  new DataView(bytes.buffer).setUint32(34, n)
  return peerFromBytes(bytes)!
}

const self = peer(1)
const valueKey = (text: string): string => `/dht/record/${base32.baseEncode(new TextEncoder().encode(text))}`
const providerKey = (shard: number, provider: PeerId): string => `/dht/provider/shard${shard}/${provider}`
const bytes = Uint8Array.of(1)
const everybody = new DhtStore({ self, isHere: () => true })

async function keysUnder(store: DhtStore, prefix: string): Promise<string[]> {
  const found: string[] = []
  for await (const { key } of store.query({ prefix })) found.push(key.toString())
  return found
}

describe('the store of the DHT', () => {
  it.each(['', '/1', '/../x', ' '])(
    'R13: keeps a value under exactly /skein/<peer id>, not with %j after it',
    async more => {
      const store = new DhtStore({ self, isHere: () => true })
      const put = store.put(valueKey(`/skein/${peer(2)}${more}`), bytes)
      if (more === '') await expect(put).resolves.toBeDefined()
      else await expect(put).rejects.toThrow('/skein/<peer id>')
      expect(store.size.values).toBe(more === '' ? 1 : 0)
    }
  )

  it('R13: keeps no value under any other name, nor of anybody who is not here', async () => {
    const store = new DhtStore({ self, isHere: id => id === peer(2) })
    for (const key of ['/pk/x', `/other/${peer(2)}`, 'x', `/skein/${peer(2).slice(1)}`]) {
      await expect(store.put(valueKey(key), bytes)).rejects.toThrow('/skein/<peer id>')
    }
    await expect(store.put('/elsewhere', bytes)).rejects.toThrow('/skein/<peer id>')
    await expect(store.put(valueKey(`/skein/${peer(3)}`), bytes)).rejects.toThrow('not known here')
    await store.put(valueKey(`/skein/${self}`), bytes)
    expect(store.size.values).toBe(1)
    await expect(store.get(valueKey(`/skein/${peer(3)}`))).rejects.toMatchObject({ name: 'NotFoundError' })
  })

  it('P10: keeps one value per peer and so many in all; who is gone gives way', async () => {
    const here = new Set<PeerId>()
    const store = new DhtStore({ self, isHere: id => here.has(id) })
    for (let n = 0; n < recordsMax; n++) {
      here.add(peer(100 + n))
      await store.put(valueKey(`/skein/${peer(100 + n)}`), bytes)
      await store.put(valueKey(`/skein/${peer(100 + n)}`), Uint8Array.of(2))
    }
    here.add(peer(50))
    await expect(store.put(valueKey(`/skein/${peer(50)}`), bytes)).rejects.toThrow('no room')
    here.delete(peer(700))
    await store.put(valueKey(`/skein/${peer(50)}`), bytes)
    expect(store.size.values).toBe(recordsMax)
    expect(await store.has(valueKey(`/skein/${peer(700)}`))).toBe(false)
    expect(await store.get(valueKey(`/skein/${peer(699)}`))).toEqual(Uint8Array.of(2))
  })

  it('P10: bounds providers per peer, per shard and in all, and never forgets what this peer provides', async () => {
    const store = new DhtStore({ self, isHere: () => true })
    await store.put(providerKey(0, self), bytes)
    for (let n = 0; n < providersPerPeerMax + 50; n++) await store.put(providerKey(n, peer(2)), bytes)
    expect(store.size.providers).toBe(providersPerPeerMax + 1)
    expect(await keysUnder(store, '/dht/provider/shard3')).toEqual([])
    for (let n = 0; n < providersPerShardMax + 5; n++) await store.put(providerKey(0, peer(1000 + n)), bytes)
    const providers = await keysUnder(store, '/dht/provider/shard0')
    expect(providers.length).toBe(providersPerShardMax)
    expect(providers).toContain(providerKey(0, self))
    for (let n = 0; store.size.providers < providersMax; n++) await store.put(providerKey(n, peer(5 + (n % 7))), bytes)
    await store.put(providerKey(99_999, peer(3)), bytes)
    expect(store.size.providers).toBe(providersMax)
    expect(await keysUnder(store, '/dht/provider/shard99999')).toEqual([providerKey(99_999, peer(3))])
    expect(await keysUnder(store, '/dht/provider/shard0')).toContain(providerKey(0, self))
  })

  it('gives back and deletes what it was given', async () => {
    await everybody.put(providerKey(1, peer(2)), bytes)
    expect(await everybody.get(providerKey(1, peer(2)))).toEqual(bytes)
    expect((await keysUnder(everybody, '/dht/provider')).length).toBe(1)
    await everybody.delete(providerKey(1, peer(2)))
    expect(await everybody.has(providerKey(1, peer(2)))).toBe(false)
    expect(everybody.size).toEqual({ values: 0, providers: 0 })
  })
})

describe('a member that fills the DHT', () => {
  let world: World | undefined
  const ends: (() => Promise<void>)[] = []
  afterEach(async () => {
    for (const end of ends.splice(0)) await end()
    await world?.close()
  })

  it('R13: one valid record fits one key, and providers of what nobody has are bounded', async () => {
    world = await World.create()
    const secret = swarmSecret(world.config)
    const make = async (init: { dhtStore?: DhtStore } = {}) => {
      const identity = identityOf(await generateKeyPair('Ed25519'))
      const listen = ['/ip4/127.0.0.1/tcp/0']
      const host = await Host.start({ identity, secret, listen, agent: 'test', ...init })
      ends.push(() => host.stop())
      return { host, identity }
    }
    const held: { store?: DhtStore; host?: Host } = {}
    held.store = new DhtStore({ self: peer(1), isHere: id => held.host?.connectedPeers.has(id) === true })
    const { host } = await make({ dhtStore: held.store })
    held.host = host
    const rogue = await make()
    const signal = AbortSignal.timeout(60_000)
    await rogue.host.dial([multiaddr(host.addresses[0]!)], { signal })
    await until(() => host.connectedPeers.has(rogue.identity.id), 'they are connected')
    const content = { addresses: [], agent: 'x', hardware: noHardware, budgetBytes: 0, models: [], stages: [] }
    const state = {
      load: { sessions: 0, queuedSteps: 0 },
      battery: null,
      leaving: false,
      neighbours: new Set<number>()
    }
    const record = { ...content, ...state, peer: rogue.identity.id, seq: 1, ttlMs: recordTtlMs }
    const value = encodeRecord(record, rogue.identity.sign)
    let refused = 0
    const put = async (key: string): Promise<void> => {
      for await (const event of rogue.host.dht.put(new TextEncoder().encode(key), value, { signal })) {
        if (event.name === 'QUERY_ERROR') refused++
      }
    }
    const exact = new TextDecoder().decode(dhtKey(rogue.identity.id))
    while (held.store.size.values === 0) {
      await put(exact)
      // Until its table knows the other end a put sends nothing, and lets nothing else run.
      await new Promise(resolve => setTimeout(resolve, 20))
    }
    for (let i = 0; i < 200; i++) await put(`${exact}/${i}`)
    expect(refused).toBe(200)
    expect(held.store.size.values).toBe(1)

    const shard = (n: number): CID => {
      const digest = new Uint8Array(32)
      new DataView(digest.buffer).setUint32(0, n)
      return CID.createV1(0x55, Digest.create(0x12, digest))
    }
    const provide = async (n: number): Promise<void> => {
      for await (const _ of rogue.host.dht.provide(shard(n), { signal }));
    }
    for (let n = 0; n < providersPerPeerMax + 200; n += 20) {
      await Promise.all(Array.from({ length: 20 }, (_, i) => provide(n + i)))
    }
    await until(() => held.store!.size.providers >= providersPerPeerMax, 'they have come')
    expect(held.store.size.providers).toBe(providersPerPeerMax)
  }, 120_000)
})

const noHardware = { cores: 1, memoryBytes: 1e9, architecture: 'x64', platform: 'linux', cpu: '' }
