/** What libp2p's own peer store keeps once it is bounded, and how often it writes. */
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { PeerId } from '@libp2p/interface'
import { peerIdFromPrivateKey, peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { MemoryDatastore } from 'datastore-core'
import { afterEach, expect, it } from 'vitest'
import { storedCertifiedMax, storedHearsayMax, storedPeersMax } from '../../src/swarm/limits.ts'
import { Host } from '../../src/swarm/host.ts'
import { identityOf } from '../../src/swarm/identity.ts'

const testProtocol = { name: '/skein/test', revisions: ['1.0.0'] }
const hosts: Host[] = []
afterEach(async () => {
  await Promise.all(hosts.splice(0).map(host => host.stop()))
})

/** Counts what is written of other peers. */
class Counting extends MemoryDatastore {
  puts = 0
  override put(...args: Parameters<MemoryDatastore['put']>): ReturnType<MemoryDatastore['put']> {
    if (String(args[0]).startsWith('/peers/')) this.puts++
    return super.put(...args)
  }
}

async function startHost(datastore = new Counting()): Promise<{ host: Host; datastore: Counting }> {
  const identity = identityOf(await generateKeyPair('Ed25519'))
  const init = { identity, secret: new Uint8Array(32).fill(7), listen: ['/ip4/127.0.0.1/tcp/0'], agent: 'test' }
  const host = await Host.start({ ...init, datastore })
  hosts.push(host)
  return { host, datastore }
}

const somebody = async (): Promise<PeerId> => peerIdFromPrivateKey(await generateKeyPair('Ed25519'))
const address = (i: number) => multiaddr(`/ip4/10.${i >> 8}.${i & 255}.1/tcp/4001`)

it('of one peer keeps what it certified, and the newest few that others named', async () => {
  const { host } = await startHost()
  const { peerStore } = host.node
  const id = await somebody()
  const certified = Array.from({ length: 30 }, (_, i) => ({ multiaddr: address(1000 + i), isCertified: true }))
  await peerStore.patch(id, { addresses: certified })
  for (let i = 0; i < 200; i++) await peerStore.merge(id, { multiaddrs: [address(i), address(300 + i)] })
  const { addresses } = await peerStore.get(id)
  expect(addresses.filter(({ isCertified }) => isCertified).length).toBe(storedCertifiedMax)
  const others = addresses.filter(({ isCertified }) => !isCertified).map(({ multiaddr: each }) => each.toString())
  expect(others.length).toBe(storedHearsayMax)
  expect(others).toContain(address(199).toString())
})

it('keeps no more peers than its bound, and a place for who connects', { timeout: 120_000 }, async () => {
  const { host } = await startHost()
  const { host: guest } = await startHost()
  const { peerStore } = host.node
  for (let i = 0; i < storedPeersMax + 50; i++) await peerStore.merge(await somebody(), { multiaddrs: [address(i)] })
  expect((await peerStore.all()).length).toBeLessThanOrEqual(storedPeersMax)
  await guest.dial([multiaddr(host.addresses[0]!)], { signal: AbortSignal.timeout(10_000) })
  await host.handle(testProtocol, { inboundMax: 9, frameBytesMax: 9 }, () => {})
  await guest.open(host.self, testProtocol, { signal: AbortSignal.timeout(10_000) })
  await expect.poll(() => peerStore.has(peerIdFromString(guest.self))).toBe(true)
  expect((await peerStore.all()).length).toBeLessThanOrEqual(storedPeersMax)
})

it('is not written for a stream of a protocol that it knows the peer to speak', async () => {
  const { host: a, datastore } = await startHost()
  const { host: b, datastore: theirs } = await startHost()
  await b.handle(testProtocol, { inboundMax: 99, frameBytesMax: 9 }, () => {})
  await a.dial([multiaddr(b.addresses[0]!)], { signal: AbortSignal.timeout(10_000) })
  const open = () => a.open(b.self, testProtocol, { signal: AbortSignal.timeout(10_000) })
  await open()
  // Identify and the DHT have their say after a connection.
  await expect
    .poll(
      async () => {
        const before = datastore.puts + theirs.puts
        await new Promise(resolve => setTimeout(resolve, 700))
        return datastore.puts + theirs.puts - before
      },
      { timeout: 15_000 }
    )
    .toBe(0)
  const before = datastore.puts + theirs.puts
  for (let i = 0; i < 50; i++) await open()
  expect(datastore.puts + theirs.puts - before).toBeLessThan(10)
})
