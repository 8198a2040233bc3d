/** Records over links in memory: what is done around the decider. */
import { afterEach, describe, expect, it } from 'vitest'
import { drawPeerId, signerOf, verify } from '../../sim/cast.ts'
import { Chance } from '../../sim/chance.ts'
import { MemoryWorld } from '../../sim/memory-links.ts'
import type { PeerId } from '../../src/base/ids.ts'
import type { Links } from '../../src/swarm/links.ts'
import type { RecordContent } from '../../src/swarm/record.ts'
import { Records } from '../../src/swarm/records.ts'
import { RecordsService } from '../../src/swarm/records-service.ts'
import { until } from './real-peers.ts'

const chance = new Chance(1)
/** In the order of their ids as text: the first opens channels. */
const [first, second, third] = [drawPeerId(chance), drawPeerId(chance), drawPeerId(chance)].sort() as [
  PeerId,
  PeerId,
  PeerId
]

const content: RecordContent = {
  addresses: [],
  agent: 'test',
  hardware: { cores: 1, memoryBytes: 1, architecture: 'arm64', platform: 'linux', cpu: '' },
  budgetBytes: 1,
  models: [],
  stages: [],
  load: { sessions: 0, queuedSteps: 0 },
  battery: null,
  leaving: false
}

const started: RecordsService[] = []
afterEach(() => {
  for (const service of started.splice(0)) service.stop()
})

/** A peer that exchanges records with those in `neighbours`. */
async function peerOn(links: Links, neighbours: ReadonlySet<PeerId>) {
  const { self } = links
  const records = new Records({ self, sign: signerOf(self), verify, seq: 0 })
  const violations: string[] = []
  const service = new RecordsService({
    records,
    links,
    isConnected: peer => neighbours.has(peer),
    publish: () => {},
    persist: () => {},
    onChange: () => {},
    onLinked: () => {},
    onTwin: () => {},
    onViolation: (_peer, _kind, message) => violations.push(message)
  })
  started.push(service)
  await service.start()
  return { self, records, service, violations, links: [...neighbours] }
}

const knows = (peer: { records: Records }, of: PeerId): number | undefined => peer.records.get(of)?.budgetBytes

describe('records over links', () => {
  it('R6, R7: pass from neighbour to neighbour, changes and goodbyes too', async () => {
    const world = new MemoryWorld()
    const a = await peerOn(world.join(first), new Set([second]))
    const b = await peerOn(world.join(second), new Set([first, third]))
    const c = await peerOn(world.join(third), new Set([second]))
    for (const each of [a, b, c]) each.service.announce(content)
    for (const each of [a, b, c]) for (const other of each.links) each.service.connected(other)
    await until(() => knows(a, third) === 1 && knows(c, first) === 1, 'both ends know one another')
    a.service.announce({ ...content, budgetBytes: 2 })
    await until(() => knows(c, first) === 2, 'a change passes')
    await a.service.leave()
    await until(() => knows(c, first) === undefined, 'a goodbye passes')
    expect([...a.violations, ...b.violations, ...c.violations]).toEqual([])
  })

  it('R6: what comes on a channel before this end has taken it counts', async () => {
    const world = new MemoryWorld()
    const links = world.join(first)
    // The other end answers at once, this one hears of its own channel a turn later.
    const slow: Links = {
      self: first,
      open: async (...args) => {
        const channel = await links.open(...args)
        await new Promise(resolve => setTimeout(resolve, 20))
        return channel
      },
      handle: (...args) => links.handle(...args),
      unhandle: protocol => links.unhandle(protocol)
    }
    const a = await peerOn(slow, new Set([second]))
    const b = await peerOn(world.join(second), new Set([first, third]))
    const c = await peerOn(world.join(third), new Set([second]))
    for (const each of [a, b, c]) each.service.announce(content)
    b.service.connected(third)
    await until(() => knows(b, third) === 1, 'the other end knows somebody')
    // Its own record says whom it is connected with, and comes anew for that reason.
    await new Promise(resolve => setTimeout(resolve, 600))
    a.service.connected(second)
    // What it knows is told once, at the beginning; a record is made anew every 10 s.
    await until(() => knows(a, third) === 1, 'this end is told of everybody', 2_000)
  })

  it('a channel that breaks is opened again by the smaller id, as long as they are connected', async () => {
    const world = new MemoryWorld()
    const neighbours = new Set([second])
    const a = await peerOn(world.join(first), neighbours)
    const b = await peerOn(world.join(second), new Set([first]))
    for (const each of [a, b]) each.service.announce(content)
    a.service.connected(second)
    await until(() => knows(a, second) === 1, 'they know one another')
    world.cut(first, second)
    await until(() => [...a.service.neighbours].length === 0, 'the channel is gone')
    b.service.announce({ ...content, budgetBytes: 3 })
    world.heal(first, second)
    await until(() => knows(a, second) === 3, 'it is there again')
    neighbours.delete(second)
    world.cut(first, second)
    world.heal(first, second)
    await new Promise(resolve => setTimeout(resolve, 1_500))
    expect([...a.service.neighbours]).toEqual([])
  })
})
