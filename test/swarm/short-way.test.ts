/** The short way of frames through libp2p: it is taken where nothing waits, and what goes either way arrives whole and in order. */
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Stream } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { afterEach, expect, test } from 'vitest'
import { seeded } from '../../src/base/rng.ts'
import { Host } from '../../src/swarm/host.ts'
import { identityOf } from '../../src/swarm/identity.ts'
import type { Channel } from '../../src/swarm/links.ts'
import { until } from './real-peers.ts'

const hosts: Host[] = []
afterEach(async () => {
  await Promise.all(hosts.splice(0).map(host => host.stop()))
})

const protocol = { name: '/skein/test', revisions: ['1.0.0'] }
const signal = AbortSignal.timeout(60_000)

async function startHost(): Promise<Host> {
  const identity = identityOf(await generateKeyPair('Ed25519'))
  const secret = new Uint8Array(32).fill(7)
  const host = await Host.start({ identity, secret, listen: ['/ip4/127.0.0.1/tcp/0'], agent: 'test' })
  hosts.push(host)
  return host
}

/** Both ends of a channel, and how many events libp2p has sent of its stream since. */
async function connect(): Promise<{ near: Channel; far: Channel; events: () => number }> {
  const [a, b] = [await startHost(), await startHost()]
  await a.dial([multiaddr(b.addresses[0]!)], { signal })
  let far: Channel | undefined
  await b.handle(protocol, { inboundMax: 1, frameBytesMax: 1 << 20 }, channel => {
    far = channel
  })
  const near = await a.open(b.self, protocol, { signal })
  await until(() => far !== undefined, 'the channel arrives')
  let events = 0
  const streams = [a, b].flatMap(host => host.node.getConnections().flatMap(({ streams }): Stream[] => streams))
  for (const stream of streams) {
    if (stream.protocol.startsWith(protocol.name)) stream.addEventListener('message', () => events++)
  }
  return { near, far: far!, events: () => events }
}

/** A frame that tells its number and its length. */
function numbered(number: number, bytes: number): Uint8Array {
  const frame = new Uint8Array(bytes).fill(number)
  new DataView(frame.buffer).setUint32(0, number)
  return frame
}

test('a frame on an idle stream takes it both ways: libp2p sends no event of it', async () => {
  const { near, far, events } = await connect()
  far.receive({ onFrame: frame => far.send(frame.slice()), onClose: () => {} })
  const back: Uint8Array[] = []
  near.receive({ onFrame: frame => back.push(frame), onClose: () => {} })
  const ask = async (number: number): Promise<void> => {
    near.send(numbered(number, 1200))
    await until(() => back.length === number + 1, `frame ${number} comes back`)
  }
  // The first ones carry what opens the stream.
  for (let i = 0; i < 3; i++) await ask(i)
  const before = events()
  for (let i = 3; i < 30; i++) await ask(i)
  expect(events() - before).toBe(0)
  expect(back.map(frame => new DataView(frame.buffer, frame.byteOffset).getUint32(0))).toEqual(back.map((_, i) => i))
})

test('frames of all lengths, sent at once and one by one, arrive whole and in order', async () => {
  const { near, far } = await connect()
  const random = seeded(1)
  const [there, back]: [Uint8Array[], Uint8Array[]] = [[], []]
  const echo = (frame: Uint8Array): void => {
    there.push(frame.slice())
    far.send(frame.slice())
  }
  far.receive({ onFrame: echo, onClose: () => {} })
  near.receive({ onFrame: frame => back.push(frame.slice()), onClose: () => {} })
  const sent: Uint8Array[] = []
  for (let i = 0; i < 400; i++) {
    // Around what one message of Noise, one chunk of a socket and a window of Yamux hold, and mostly short.
    const most = random() < 0.1 ? 400_000 : 3_000
    const frame = numbered(i, 4 + Math.floor(random() * most))
    sent.push(frame)
    near.send(frame)
    if (random() < 0.3) await new Promise(resolve => setTimeout(resolve, random() * 3))
  }
  await until(() => back.length === sent.length, 'all come back')
  for (const got of [there, back]) expect(got.every((frame, i) => Buffer.compare(frame, sent[i]!) === 0)).toBe(true)
  expect(near.bytesSent).toBe(far.bytesReceived)
})

test('a stream that closes with its last frame gives it, and a broken connection ends both ends', async () => {
  const { near, far } = await connect()
  const got: number[] = []
  const ends: (Error | undefined)[] = []
  far.receive({ onFrame: frame => got.push(frame.byteLength), onClose: error => ends.push(error) })
  for (let i = 1; i < 20; i++) near.send(new Uint8Array(i))
  await near.close()
  await until(() => ends.length === 1, 'it has closed')
  expect(ends).toEqual([undefined])
  expect(got).toEqual(Array.from({ length: 19 }, (_, i) => i + 1))
  const again = await connect()
  const lost: (Error | undefined)[] = []
  again.far.receive({ onFrame: () => {}, onClose: error => lost.push(error) })
  again.near.receive({ onFrame: () => {}, onClose: error => lost.push(error) })
  for (const connection of hosts.at(-1)!.node.getConnections()) connection.abort(new Error('cut'))
  await until(() => lost.length === 2, 'both ends know')
  expect(lost.every(error => error instanceof Error)).toBe(true)
  // Nobody is there any more: what is sent is dropped.
  expect(again.near.send(new Uint8Array(4))).toBe(false)
})
