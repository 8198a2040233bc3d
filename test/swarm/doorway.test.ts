import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { afterEach, describe, expect, it } from 'vitest'
import {
  connectionsPerPeerMax,
  handshakesMax,
  handshakesPerAddressMax,
  inboundBurstMax,
  inboundBusyBurstMax,
  inboundBusyPerSecondMax,
  inboundPerSecondMax
} from '../../src/swarm/limits.ts'
import { Doorway, type Knock } from '../../src/swarm/doorway.ts'
import { Host } from '../../src/swarm/host.ts'
import { identityOf } from '../../src/swarm/identity.ts'
import { until } from './real-peers.ts'

const admitted = (knock: Knock): { admitted: number; givesWay: number | undefined } => {
  if (knock === 'refused') throw new Error('refused')
  return knock
}

describe('the doorway', () => {
  it('lets the oldest of one address give way to its newest', () => {
    const doorway = new Doorway()
    const first = admitted(doorway.knock('10.0.0.1', 0))
    for (let i = 1; i < handshakesPerAddressMax; i++) {
      expect(admitted(doorway.knock('10.0.0.1', 0)).givesWay).toBeUndefined()
    }
    expect(admitted(doorway.knock('10.0.0.2', 0)).givesWay).toBeUndefined()
    expect(admitted(doorway.knock('10.0.0.1', 0)).givesWay).toBe(first.admitted)
    expect(doorway.pending).toBe(handshakesPerAddressMax + 1)
  })

  it('where it is full, lets the oldest of the address with most give way', () => {
    const doorway = new Doorway()
    const honest = admitted(doorway.knock('10.9.9.9', 0)).admitted
    const gone = new Set<number | undefined>()
    for (let i = 0; i < 2 * handshakesMax; i++) {
      gone.add(admitted(doorway.knock(`10.0.0.${i % 8}`, 0)).givesWay)
    }
    expect(doorway.pending).toBe(handshakesMax)
    expect(gone.has(honest)).toBe(false)
  })

  it('refuses what one address hurries, and nobody else', () => {
    const doorway = new Doorway()
    let refused = 0
    for (let ms = 0; ms < 10_000; ms++) {
      const knock = doorway.knock('10.0.0.1', ms)
      if (knock === 'refused') refused++
      else doorway.done(knock.admitted)
      if (ms % 10 === 0) doorway.done(admitted(doorway.knock('10.0.0.2', ms)).admitted)
    }
    expect(10_000 - refused).toBeLessThanOrEqual(inboundBurstMax + 10 * inboundPerSecondMax + 1)
    expect(doorway.pending).toBe(0)
  })

  it('refuses most of what one address hurries while sessions run here, and nobody else', () => {
    const doorway = new Doorway()
    let refused = 0
    for (let ms = 0; ms < 10_000; ms += 10) {
      const knock = doorway.knock('10.0.0.1', ms, { isBusy: true })
      if (knock === 'refused') refused++
      else doorway.done(knock.admitted)
      if (ms % 100 === 0) doorway.done(admitted(doorway.knock('10.0.0.2', ms, { isBusy: true })).admitted)
    }
    expect(1_000 - refused).toBeLessThanOrEqual(inboundBusyBurstMax + 10 * inboundBusyPerSecondMax + 1)
    expect(1_000 - refused).toBeGreaterThanOrEqual(10 * inboundBusyPerSecondMax)
  })

  it('counts one IPv6 link as one address, and forgets addresses that come by once', () => {
    const doorway = new Doorway()
    const gone: (number | undefined)[] = []
    for (let i = 0; i <= handshakesPerAddressMax; i++) {
      gone.push(admitted(doorway.knock(`fd00:0:0:1::${i.toString(16)}`, 0)).givesWay)
    }
    expect(gone.at(-1)).toBe(0)
    for (let i = 0; i < 10_000; i++) {
      const { admitted: id } = admitted(doorway.knock(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, 0))
      doorway.done(id)
    }
    expect(doorway.pending).toBe(handshakesPerAddressMax)
  })

  it('has room for 32 peers of one host that all start at once, and both dial', () => {
    const doorway = new Doorway()
    for (let i = 0; i < 62; i++) expect(admitted(doorway.knock('127.0.0.1', i)).givesWay).toBeUndefined()
  })
})

const hosts: Host[] = []
const sockets: Socket[] = []
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy()
  await Promise.all(hosts.splice(0).map(host => host.stop()))
})

async function startHost(): Promise<Host> {
  const identity = identityOf(await generateKeyPair('Ed25519'))
  const secret = new Uint8Array(32).fill(7)
  const host = await Host.start({ identity, secret, listen: ['/ip4/127.0.0.1/tcp/0'], agent: 'test' })
  hosts.push(host)
  return host
}

/** Opens a connection that says nothing, from an address of this machine's loopback. */
function idle(port: number, localAddress: string): Socket {
  const socket = connect({ host: '127.0.0.1', port, localAddress })
  socket.on('error', () => {})
  sockets.push(socket)
  return socket
}

async function getsIn(host: Host): Promise<boolean> {
  const guest = await startHost()
  const signal = AbortSignal.timeout(10_000)
  return guest.dial([multiaddr(host.addresses[0]!)], { signal }).then(
    () => true,
    () => false
  )
}

describe('a stranger who says nothing', { timeout: 60_000 }, () => {
  for (const [who, from] of [
    ['of an address of its own', '127.0.0.2'],
    ['of the same address as members', '127.0.0.1']
  ] as const) {
    it(`${who}, with 300 connections, keeps nobody out`, async () => {
      const host = await startHost()
      const port = Number(host.addresses[0]!.split('/')[4])
      const strangers = Array.from({ length: 200 }, () => idle(port, from))
      await until(() => strangers.every(({ connecting }) => !connecting), 'they are connected', 20_000)
      expect(await getsIn(host)).toBe(true)
      // And goes on: 16 a second and more.
      const more = setInterval(() => idle(port, from), 20)
      for (let i = 0; i < 5; i++) expect(await getsIn(host)).toBe(true)
      clearInterval(more)
    })
  }

  it('has two seconds', async () => {
    const host = await startHost()
    const socket = idle(Number(host.addresses[0]!.split('/')[4]), '127.0.0.2')
    await once(socket, 'connect')
    const startMs = performance.now()
    await new Promise(resolve => socket.resume().on('close', resolve))
    expect(performance.now() - startMs).toBeLessThan(9_000)
  })
})

it('one member has a few connections, not all of them', { timeout: 30_000 }, async () => {
  const [host, guest] = [await startHost(), await startHost()]
  const id = peerIdFromString(guest.self)
  for (let i = 0; i < 12; i++) {
    await guest.node.dial(multiaddr(host.addresses[0]!), { force: true }).catch(() => {})
    expect(host.node.getConnections(id).length).toBeLessThanOrEqual(connectionsPerPeerMax)
  }
  expect(host.connectedPeers.has(guest.self)).toBe(true)
})
