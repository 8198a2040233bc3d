import { generateKeyPair } from '@libp2p/crypto/keys'
import { KEEP_ALIVE } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { afterEach, expect, it } from 'vitest'
import { Host } from '../../src/swarm/host.ts'
import { identityOf } from '../../src/swarm/identity.ts'
import type { Channel } from '../../src/swarm/links.ts'
import { until } from './real-peers.ts'

const hosts: Host[] = []

afterEach(async () => {
  await Promise.all(hosts.splice(0).map(host => host.stop()))
})

async function startHost(): Promise<Host> {
  const identity = identityOf(await generateKeyPair('Ed25519'))
  const secret = new Uint8Array(32).fill(7)
  const host = await Host.start({ identity, secret, listen: ['/ip4/127.0.0.1/tcp/0'], agent: 'test' })
  hosts.push(host)
  return host
}

/** A channel from one host to another, the end at which it arrives, and what its receiver writes to the socket. */
async function connect(): Promise<{ near: Channel; far: Channel; bytesBack: () => number }> {
  const [a, b] = [await startHost(), await startHost()]
  await a.dial([multiaddr(b.addresses[0]!)], { signal: AbortSignal.timeout(30_000) })
  let far: Channel | undefined
  await b.handle({ name: '/skein/test', revisions: ['1.0.0'] }, { inboundMax: 1, frameBytesMax: 4 << 20 }, channel => {
    far = channel
  })
  const near = await a.open(
    b.self,
    { name: '/skein/test', revisions: ['1.0.0'] },
    { signal: AbortSignal.timeout(30_000) }
  )
  await until(() => far !== undefined, 'the channel arrives', 30_000)
  const traffic = [...b.traffic].find(({ peer }) => peer === a.self)!
  return { near, far: far!, bytesBack: () => traffic.bytesOut }
}

it('R22: Kademlia has nobody dialled again whose connection ended', { timeout: 120_000 }, async () => {
  const [a, b] = [await startHost(), await startHost()]
  await a.dial([multiaddr(b.addresses[0]!)], { signal: AbortSignal.timeout(30_000) })
  const id = peerIdFromString(b.self)
  let tags: string[] = []
  // It tags those closest to the own id, all at once: as such, and as ones to keep.
  await until(
    () => {
      void a.node.peerStore.get(id).then(
        peer => (tags = [...peer.tags.keys()]),
        () => {}
      )
      return tags.includes('kad-close')
    },
    'it is known to be close',
    30_000
  )
  expect(tags.filter(tag => tag.startsWith(KEEP_ALIVE))).toEqual([])
})

it('small frames are not answered with frames of the muxer', { timeout: 120_000 }, async () => {
  const { near, far, bytesBack } = await connect()
  let frames = 0
  far.receive({ onFrame: () => frames++, onClose: () => {} })
  // The first frame of a stream is answered: it opens it.
  near.send(new Uint8Array(600))
  await until(() => frames === 1, 'the first frame', 30_000)
  const before = bytesBack()
  const signal = AbortSignal.timeout(50_000)
  for (let i = 0; i < 1000; i++) if (!near.send(new Uint8Array(600))) await near.ready({ signal })
  await until(() => frames === 1001, 'all frames', 50_000)
  // An update for each would be 30,000 bytes, one for each half of a window 200. Others speak meanwhile, too.
  expect(bytesBack() - before).toBeLessThan(10_000)
})

it('a sender never waits for more window than its receiver will grant', { timeout: 120_000 }, async () => {
  const { near, far } = await connect()
  let [bytes, frames] = [0, 0]
  far.receive({
    onFrame: frame => {
      bytes += frame.length
      frames++
    },
    onClose: () => {}
  })
  // Sizes about the first window (256 KiB) and the largest, then many small ones: 20 MB one after another.
  const sizes = [
    1,
    131_000,
    262_000,
    262_144,
    300_000,
    2_100_000,
    4_000_000,
    ...Array.from({ length: 200 }, () => 65_000)
  ]
  const signal = AbortSignal.timeout(50_000)
  for (const size of sizes) if (!near.send(new Uint8Array(size))) await near.ready({ signal })
  await until(() => frames === sizes.length, 'all frames', 50_000)
  expect(bytes).toBe(sizes.reduce((sum, size) => sum + size))
})
