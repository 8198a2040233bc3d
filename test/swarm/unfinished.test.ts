/** Memory for frames that have not wholly arrived: by hand, and over real connections. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { afterEach, describe, expect, it } from 'vitest'
import type { PeerId } from '../../src/base/ids.ts'
import { stageFrameBytesMax } from '../../src/stage/limits.ts'
import {
  unfinishedFreeBytes,
  unfinishedHostBytesMax,
  unfinishedPeerBytesMax,
  unfinishedWaitingMax
} from '../../src/swarm/limits.ts'
import { encodeFrameLength, FrameDecoder } from '../../src/swarm/framing.ts'
import { Host } from '../../src/swarm/host.ts'
import { identityOf } from '../../src/swarm/identity.ts'
import type { Channel } from '../../src/swarm/links.ts'
import { type Reader, UnfinishedFrames } from '../../src/swarm/unfinished.ts'
import { until } from './real-peers.ts'

const large = 8 << 20

/** Bytes of buffers that something still holds: what is garbage already depends on the collector's mood. */
function heldBytes(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  return process.memoryUsage().arrayBuffers
}

function reader(remote: string, told: string[], name = remote): Reader {
  return {
    remote: remote as PeerId,
    resume: () => told.push(`${name} resumes`),
    evict: () => told.push(`${name} ends`)
  }
}

describe('memory for frames that have not wholly arrived', () => {
  it('is given to one peer up to its bound, and then to others still', () => {
    const [frames, told] = [new UnfinishedFrames(), [] as string[]]
    const readers = Array.from({ length: 5 }, (_, i) => reader('M', told, `M${i}`))
    expect(readers.map(each => frames.begin(each, large))).toEqual([true, true, true, true, false])
    expect(frames.bytes('M' as PeerId)).toBe(unfinishedPeerBytesMax)
    expect(frames.begin(reader('H', told), large)).toBe(true)
    expect(frames.begin(reader('M', told), unfinishedFreeBytes)).toBe(true)
    frames.end(readers[2]!)
    expect(told).toEqual(['M4 resumes'])
    expect(frames.bytes('M' as PeerId)).toBe(unfinishedPeerBytesMax)
    for (const each of readers) frames.end(each)
    expect(frames.bytes('M' as PeerId)).toBe(0)
  })

  it('is bounded for all together', () => {
    const [frames, told] = [new UnfinishedFrames(), [] as string[]]
    const readers = Array.from({ length: unfinishedHostBytesMax / large }, (_, i) => reader(`P${i}`, told))
    expect(readers.every(each => frames.begin(each, large))).toBe(true)
    const last = reader('Z', told)
    expect(frames.begin(last, large)).toBe(false)
    frames.end(readers[0]!)
    expect(told).toEqual(['Z resumes'])
    expect(frames.bytes()).toBe(unfinishedHostBytesMax)
  })

  it('ends what has stood unfinished longest where too many wait', () => {
    const [frames, told] = [new UnfinishedFrames(), [] as string[]]
    const first: Reader = { remote: 'M' as PeerId, resume: () => {}, evict: () => frames.end(first) }
    frames.begin(first, large)
    for (let i = 0; i < 3 + unfinishedWaitingMax; i++) frames.begin(reader('M', told, `M${i}`), large)
    expect(told).toEqual([])
    frames.begin(reader('M', told, 'last'), large)
    expect(told).toEqual(['M3 resumes'])
  })

  it('is always enough for one frame, whatever its size', () => {
    expect(new UnfinishedFrames().begin(reader('M', []), 2 * unfinishedHostBytesMax)).toBe(true)
  })
})

it('a frame that has to wait goes on where it stopped, and nothing is lost', () => {
  let mayBegin = false
  let finished = 0
  const decoder = new FrameDecoder({ frameBytesMax: 1000, begin: () => mayBegin, finish: () => finished++ })
  const frame = Uint8Array.from({ length: 600 }, (_, i) => i % 251)
  const bytes = Uint8Array.from([...encodeFrameLength(600), ...frame, ...encodeFrameLength(3), 1, 2, 3])
  for (let cut = 1; cut < bytes.length; cut += 37) {
    mayBegin = false
    finished = 0
    const early = [...decoder.push(bytes.subarray(0, cut))]
    const late = [...decoder.push(bytes.subarray(cut))]
    const isHeld = decoder.held
    mayBegin = true
    const all = [...early, ...late, ...decoder.resume()].map(each => [...each])
    expect(all).toEqual([[...frame], [1, 2, 3]])
    expect([isHeld, decoder.held, decoder.partial]).toEqual([finished === 1, false, false])
  }
})

describe('over real connections', () => {
  const hosts: Host[] = []
  afterEach(async () => {
    await Promise.all(hosts.splice(0).map(host => host.stop()))
  })

  async function startHost(to?: Host): Promise<Host> {
    const identity = identityOf(await generateKeyPair('Ed25519'))
    const secret = new Uint8Array(32).fill(7)
    const host = await Host.start({ identity, secret, listen: ['/ip4/127.0.0.1/tcp/0'], agent: 'test' })
    hosts.push(host)
    if (to === undefined) return host
    await host.dial([multiaddr(to.addresses[0]!)], { signal: AbortSignal.timeout(30_000) })
    await until(() => to.connectedPeers.has(host.self), 'the connection is open at both ends')
    return host
  }

  it('250 frames of 8 MiB that lack a byte take no more than their bound, and whole ones of others arrive', async () => {
    const protocol = { name: '/skein/test', revisions: ['1.0.0'] }
    const limits = { inboundMax: 256, frameBytesMax: stageFrameBytesMax }
    const victim = await startHost()
    const ends: PeerId[] = []
    const frames: number[] = []
    await victim.handle(protocol, limits, channel =>
      channel.receive({ onFrame: frame => frames.push(frame.length), onClose: () => ends.push(channel.remote) })
    )
    const attacker = await startHost(victim)
    const [connection] = attacker.node.getConnections(peerIdFromString(victim.self))
    const before = heldBytes()
    const prefix = encodeFrameLength(large)
    for (let i = 0; i < 250; i++) {
      const stream = await connection!.newStream('/skein/test/1.0.0', { maxOutboundStreams: 1024 })
      stream.send(Uint8Array.from([...prefix, ...new Uint8Array(64 << 10)]))
    }
    // Four have memory, and so many wait: all others have ended those that stood before them.
    await until(() => ends.length === 250 - 4 - unfinishedWaitingMax, 'the rest has ended', 20_000)
    // What was read of those that have ended goes as it is collected.
    const isBounded = (): boolean => heldBytes() - before < 2 * unfinishedPeerBytesMax
    await until(isBounded, 'what is held is within its bound', 20_000)
    expect(new Set(ends)).toEqual(new Set([attacker.self]))

    const honest = await startHost(victim)
    await honest.handle(protocol, limits, () => {})
    const signal = AbortSignal.timeout(20_000)
    const channels: Channel[] = []
    for (let i = 0; i < 6; i++) channels.push(await honest.open(victim.self, protocol, { signal }))
    for (const channel of channels) channel.send(new Uint8Array(large))
    await until(() => frames.length === 6, 'six large frames arrive', 20_000)
    expect(frames).toEqual(Array.from({ length: 6 }, () => large))
  }, 120_000)
})
