/** Who is a neighbour: the decider by table, and channels over links in memory. */
import { afterEach, describe, expect, it } from 'vitest'
import { drawPeerId } from '../../sim/cast.ts'
import { Chance } from '../../sim/chance.ts'
import { MemoryWorld } from '../../sim/memory-links.ts'
import { systemClock } from '../../src/base/clock.ts'
import type { PeerId } from '../../src/base/ids.ts'
import { neighboursEnough, neighboursKept } from '../../src/swarm/limits.ts'
import { encodeLinkFrame, readLinkFrame, revisionsWithoutLinks } from '../../src/swarm/link-frame.ts'
import { Neighbourhood } from '../../src/swarm/neighbourhood.ts'
import { NeighboursService } from '../../src/swarm/neighbours-service.ts'
import { recordsProtocol } from '../../src/swarm/records-service.ts'
import { until } from './real-peers.ts'

const chance = new Chance(7)
const ids = Array.from({ length: 40 }, () => drawPeerId(chance)).sort()
const signal = (): AbortSignal => AbortSignal.timeout(10_000)

describe('the neighbourhood', () => {
  /** One of so many neighbours, the first of which have so many themselves. */
  function full(
    neighboursMax: number,
    counts: readonly number[] = [],
    inUse: ReadonlySet<PeerId> = new Set(),
    bridges: ReadonlySet<PeerId> = new Set()
  ) {
    const neighbourhood = new Neighbourhood({
      neighboursMax,
      neighboursOf: peer => counts[ids.indexOf(peer)],
      isReachedOtherwise: peer => !bridges.has(peer),
      isInUse: peer => inUse.has(peer)
    })
    for (const peer of ids.slice(0, neighboursMax)) neighbourhood.add(peer, { wantedHere: false, wantedThere: false })
    return neighbourhood
  }
  const newcomer = ids[39]!

  it('R19: takes in who asks until it has enough', () => {
    const neighbourhood = full(4)
    const suitor = { neighbours: neighboursEnough, wanted: false }
    expect(neighbourhood.placeFor(newcomer, suitor)).toBeUndefined()
    expect(neighbourhood.placeFor(ids[0]!, suitor)).toEqual({ victim: undefined })
    neighbourhood.delete(ids[0]!)
    expect(neighbourhood.placeFor(newcomer, suitor)).toEqual({ victim: undefined })
  })

  it('R20: takes in who has few in place of who has most, and only where that evens them out', () => {
    const neighbourhood = full(8, [3, 8, 5, 8, 2, 2, 2, 2])
    expect(neighbourhood.placeFor(newcomer, { neighbours: 0, wanted: false })).toEqual({ victim: ids[1] })
    expect(neighbourhood.placeFor(newcomer, { neighbours: 3, wanted: false })).toEqual({ victim: ids[1] })
    // Half of what is allowed is enough.
    expect(neighbourhood.placeFor(newcomer, { neighbours: 4, wanted: false })).toBeUndefined()
    const even = full(8, [3, 3, 3, 3, 3, 3, 3, 3])
    expect(even.placeFor(newcomer, { neighbours: 2, wanted: false })).toBeUndefined()
    expect(even.placeFor(newcomer, { neighbours: 1, wanted: false })?.victim).toBeDefined()
  })

  it('R20: does not let go of one that no other neighbour has, but for one that has nobody', () => {
    const counts = [8, 8, 3, 3]
    const neighbourhood = full(4, counts, new Set(), new Set([ids[0]!, ids[1]!]))
    expect(neighbourhood.placeFor(newcomer, { neighbours: 1, wanted: false })).toEqual({ victim: ids[2] })
    expect(neighbourhood.placeFor(newcomer, { neighbours: 3, wanted: true })).toEqual({ victim: ids[2] })
    const tree = full(4, counts, new Set(), new Set(ids))
    expect(tree.placeFor(newcomer, { neighbours: 1, wanted: false })).toBeUndefined()
    expect(tree.placeFor(newcomer, { neighbours: 0, wanted: false })).toEqual({ victim: ids[0] })
    expect(tree.placeFor(newcomer, { neighbours: 3, wanted: true })).toEqual({ victim: ids[0] })
  })

  it('R20: whom nobody needs gives way to one that is needed, but a few stay, and who is in use', () => {
    const wanted = { neighbours: 9, wanted: true }
    const neighbourhood = full(8, [], new Set([ids[0]!]))
    let taken = 0
    for (const peer of ids.slice(8)) {
      const place = neighbourhood.placeFor(peer, wanted)
      if (place === undefined) break
      expect(place.victim).not.toBe(ids[0])
      neighbourhood.delete(place.victim!)
      neighbourhood.add(peer, { wantedHere: taken % 2 === 0, wantedThere: taken % 2 === 1 })
      taken++
    }
    expect(taken).toBe(8 - 1 - neighboursKept)
    expect(neighbourhood.has(ids[0]!)).toBe(true)
    // One that is not needed any more gives way again.
    neighbourhood.want(ids[8]!, { wantedHere: false })
    expect(neighbourhood.placeFor(newcomer, wanted)).toBeDefined()
  })
})

describe('a link frame', () => {
  it('P10: is told from records, read as it was written, and bounded', () => {
    for (const frame of [
      { neighbours: 3, wanted: true },
      { neighbours: 0, wanted: false, verdict: 'full' },
      { neighbours: 0, wanted: false, verdict: 'accepted' }
    ] as const)
      expect(readLinkFrame(encodeLinkFrame(frame))).toEqual(frame)
    expect(readLinkFrame(new Uint8Array())).toBeUndefined()
    expect(readLinkFrame(Uint8Array.of(0x0a, 0))).toBeUndefined()
    // Fields that are not known, alone or around a link, say nothing.
    const unknown = [0x9a, 0x06, 1, 7]
    expect(readLinkFrame(Uint8Array.from(unknown))).toBeUndefined()
    const link = encodeLinkFrame({ neighbours: 1, wanted: true })
    expect(readLinkFrame(Uint8Array.from([...unknown, ...link, ...unknown]))).toEqual({ neighbours: 1, wanted: true })
    expect(readLinkFrame(encodeLinkFrame({ neighbours: 2 ** 31, wanted: false }))?.neighbours).toBeLessThan(100)
    expect(() => readLinkFrame(Uint8Array.of(0x12, 200))).toThrow('no link frame')
    // A verdict of a later version is no yes.
    expect(readLinkFrame(Uint8Array.of(0x12, 2, 0x18, 9))?.verdict).toBe('full')
  })
})

describe('neighbours over links', () => {
  const started: NeighboursService[] = []
  afterEach(() => {
    for (const service of started.splice(0)) service.stop()
  })

  interface Peer {
    readonly self: PeerId
    readonly service: NeighboursService
    readonly letGo: PeerId[]
    readonly violations: string[]
    most: number
  }

  async function start(
    world: MemoryWorld,
    self: PeerId,
    neighboursMax: number,
    peers: Map<PeerId, Peer>,
    revisions?: string[]
  ) {
    const letGo: PeerId[] = []
    const violations: string[] = []
    const service = new NeighboursService({
      links: world.join(self),
      protocol: revisions === undefined ? recordsProtocol : { ...recordsProtocol, revisions },
      frameBytesMax: 1 << 16,
      neighboursMax,
      neighboursOf: peer => peers.get(peer)?.service.size,
      isReachedOtherwise: peer =>
        [...service.peers].some(other => other !== peer && peers.get(other)?.service.has(peer)),
      isInUse: () => false,
      isConnected: () => true,
      onOpen: () => {
        peer.most = Math.max(peer.most, service.size)
      },
      onFrame: () => {},
      onClose: (other, isLetGo) => {
        if (isLetGo) letGo.push(other)
      },
      onViolation: (_peer, _kind, message) => violations.push(message),
      clock: systemClock
    })
    started.push(service)
    const peer: Peer = { self, service, letGo, violations, most: 0 }
    peers.set(self, peer)
    await service.start()
    return peer
  }

  it('R19: both ask at once, and are neighbours over one channel', async () => {
    const world = new MemoryWorld({ schedule: (ms, task) => void setTimeout(task, ms), delayMs: () => 5 })
    const peers = new Map<PeerId, Peer>()
    const [a, b] = [await start(world, ids[0]!, 4, peers), await start(world, ids[1]!, 4, peers)]
    const ask = (of: Peer, to: Peer) => of.service.ask(to.self, { wanted: false, signal: signal() })
    expect(await Promise.all([ask(a, b), ask(b, a)])).toEqual([true, true])
    await new Promise(resolve => setTimeout(resolve, 100))
    expect([a.service.has(b.self), b.service.has(a.self)]).toEqual([true, true])
  })

  it('R19: who has enough says so, and nobody waits', async () => {
    const world = new MemoryWorld()
    const peers = new Map<PeerId, Peer>()
    const [a, b, c] = [
      await start(world, ids[0]!, 1, peers),
      await start(world, ids[1]!, 1, peers),
      await start(world, ids[2]!, 1, peers)
    ]
    expect(await a.service.ask(b.self, { wanted: false, signal: signal() })).toBe(true)
    expect(await c.service.ask(b.self, { wanted: false, signal: signal() })).toBe(false)
    // One that is needed takes the place: its neighbour is told.
    expect(await c.service.ask(b.self, { wanted: true, signal: signal() })).toBe(true)
    await until(() => a.letGo.includes(b.self), 'the other one is let go')
    expect([...b.service.peers]).toEqual([c.self])
    expect(a.service.size).toBe(0)
  })

  it('R21: one of an older version is a neighbour as it always was, and not beyond the bound', async () => {
    for (const [old, young] of [
      [0, 1],
      [1, 0]
    ] as const) {
      const world = new MemoryWorld()
      const peers = new Map<PeerId, Peer>()
      const b = await start(world, ids[young]!, 1, peers)
      // As it was: the smaller id opens, and what is opened is open.
      const channels: string[] = []
      const links = world.join(ids[old]!)
      const protocol = { ...recordsProtocol, revisions: [...revisionsWithoutLinks] }
      const take = (channel: Awaited<ReturnType<typeof links.open>>): void => {
        channels.push('opened')
        channel.receive({ onFrame: () => {}, onClose: () => channels.push('closed') })
      }
      await links.handle(protocol, { inboundMax: 2, frameBytesMax: 100 }, take)
      if (old < young) take(await links.open(b.self, protocol, { signal: signal() }))
      else b.service.identified(links.self, ['/skein/records/1.1.0', '/skein/records/1.0.0'])
      await until(() => b.service.has(links.self), 'they are neighbours')
      expect(channels).toEqual(['opened'])
      const third = world.join(ids[2]!)
      const refused = await third.open(b.self, protocol, { signal: signal() })
      let ended = false
      refused.receive({ onFrame: () => {}, onClose: () => (ended = true) })
      await until(() => ended, 'a second one is refused')
      expect([...b.service.peers]).toEqual([links.self])
    }
  })

  it('R20: forty that ask one another at will never pass their bound, and are in one piece', async () => {
    const world = new MemoryWorld()
    const peers = new Map<PeerId, Peer>()
    for (const self of ids) await start(world, self, 8, peers)
    const draw = new Chance(3)
    for (let round = 0; round < 30; round++) {
      await Promise.all(
        [...peers.values()].map(async ({ self, service }) => {
          if (service.size >= 6) return
          const other = draw.pick(ids.filter(id => id !== self))
          await service.ask(other, { wanted: false, signal: signal() }).catch(() => {})
        })
      )
    }
    const all = [...peers.values()]
    expect(Math.max(...all.map(({ most }) => most))).toBeLessThanOrEqual(8)
    expect(Math.min(...all.map(({ service }) => service.size))).toBeGreaterThanOrEqual(4)
    for (const { self, service } of all)
      for (const other of service.peers) expect(peers.get(other)!.service.has(self)).toBe(true)
    const reached = new Set([ids[0]!])
    for (const peer of reached) for (const other of peers.get(peer)!.service.peers) reached.add(other)
    expect(reached.size).toBe(ids.length)
    expect(all.flatMap(({ violations }) => violations)).toEqual([])
    // Who comes to a swarm that is full finds its way in.
    for (const { service, self } of all)
      for (const other of ids)
        if (service.size < 8) await service.ask(other, { wanted: false, signal: signal() }).catch(() => self)
    const late = await start(world, drawPeerId(new Chance(99)), 8, peers)
    for (const other of ids) await late.service.ask(other, { wanted: false, signal: signal() })
    expect(late.service.size).toBeGreaterThanOrEqual(4)
    expect(Math.max(...all.map(({ most }) => most))).toBeLessThanOrEqual(8)
  })
})
