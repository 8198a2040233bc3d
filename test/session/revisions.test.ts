/**
 * A swarm whose peers do not all speak the same revisions: real services over links in memory, some of which offer one
 * revision more than there is, and say in it what nobody else knows.
 */
import { expect, test, vi } from 'vitest'
import type { Protocol } from '../../src/base/protocol.ts'
import { decodeFrame } from '../../src/stage/codec.ts'
import { stageProtocol } from '../../src/stage/frame.ts'
import { StageFrame } from '../../protocols/stage.ts'
import type { Channel, Links } from '../../src/swarm/links.ts'
import { isWithout } from '../../src/route/view.ts'
import { peerId, prompt, type TestPeer, TestWorld } from './world.ts'

const later = '9.0.0'
/** Field 99 of a protobuf message, 4 bytes long: a kind of frame, or a field of one, that no revision of today has. */
const unknown = Uint8Array.of(0x9a, 0x06, 4, 1, 2, 3, 4)

/** What was said in the later revision, and how often a channel had to do without it. */
interface Heard {
  later: number
  earlier: number
}

/** Sends a frame of an unknown kind before each one, and each one with an unknown field. */
function laterChannel(channel: Channel): Channel {
  return new Proxy(channel, {
    get(target, key) {
      if (key === 'send') {
        return (frame: Uint8Array): boolean => {
          target.send(unknown)
          return target.send(Uint8Array.from([...frame, ...unknown]))
        }
      }
      const value = Reflect.get(target, key, target)
      return typeof value === 'function' ? value.bind(target) : value
    }
  })
}

/** Links of a peer that speaks one revision more. `rude`: it says what is new in it to those, too, that do not speak it. */
function laterLinks(links: Links, heard: Heard, { rude = false } = {}): Links {
  const offered = ({ name, revisions }: Protocol): Protocol => ({ name, revisions: [later, ...revisions] })
  const dress = (channel: Channel): Channel => {
    heard[channel.revision === later ? 'later' : 'earlier'] += 1
    return channel.revision === later || rude ? laterChannel(channel) : channel
  }
  return {
    self: links.self,
    open: async (peer, protocol, options) => dress(await links.open(peer, offered(protocol), options)),
    handle: (protocol, options, handler) =>
      links.handle(offered(protocol), options, channel => handler(dress(channel))),
    unhandle: protocol => links.unhandle(offered(protocol))
  }
}

const ranges = [
  { start: 0, end: 2 },
  { start: 2, end: 4 },
  { start: 4, end: 6 }
]

async function answer(world: TestWorld, driver: TestPeer, ids: readonly number[], maxTokens: number) {
  const events = []
  for await (const event of world.generate(driver, ids, { maxTokens }).events()) events.push(event)
  return {
    tokens: events.flatMap(event => (event.event === 'token' ? [event.id] : [])),
    lost: events.flatMap(event => (event.event === 'lost' ? [event] : []))
  }
}

test.each([false, true])(
  'S18: what a later revision adds is ignored by those who do not know it (to all: %s)',
  async rude => {
    const world = new TestWorld()
    const heard = { later: 0, earlier: 0 }
    for (const [i, range] of ranges.entries()) {
      const links = world.links.join(peerId(`a${i}`))
      // The first two speak it, the tail does not; the driver does.
      await world.add(`a${i}`, [range], { links: i < 2 ? laterLinks(links, heard, { rude }) : links })
    }
    const driver = await world.add('D', [], { links: laterLinks(world.links.join(peerId('D')), heard, { rude }) })
    const ids = prompt(150)
    expect(await answer(world, driver, ids, 20)).toEqual({ tokens: world.expected(ids, 20), lost: [] })
    expect(heard.later).toBeGreaterThan(0)
    expect(heard.earlier).toBeGreaterThan(0)
    expect([...world.peers.values()].flatMap(({ violations }) => violations)).toEqual([])
    await world.stop()
  }
)

test('S18: a reason that is not known is no fault of the hop: the session goes around it', async () => {
  const world = new TestWorld()
  const links = world.links.join(peerId('a0'))
  let refused = 0
  // It refuses every Open for reason 77.
  await links.handle(stageProtocol, { inboundMax: 8, frameBytesMax: 1 << 20 }, channel =>
    channel.receive({
      onFrame: bytes => {
        if (decodeFrame(bytes)?.kind !== 'open') return
        refused += 1
        const refuse = { epoch: 0, hop: 0, reason: 77, length: 0, message: 'of a later revision' }
        channel.send(StageFrame.encode({ refuse }))
      },
      onClose: () => {}
    })
  )
  for (const [i, range] of ranges.entries()) await world.add(`b${i}`, [range])
  const driver = await world.add('D', [])
  const ids = prompt(20)
  const first = { peer: peerId('a0'), start: 0, end: 2 }
  const events = []
  const generation = world.generate(driver, ids, {
    maxTokens: 10,
    routeOf: excluded =>
      isWithout(excluded, first) ? world.route(excluded) : [first, ...world.route(excluded).slice(1)],
    hears: () => true
  })
  for await (const event of generation.events()) events.push(event)
  expect(events.flatMap(event => (event.event === 'token' ? [event.id] : []))).toEqual(world.expected(ids, 10))
  expect(refused).toBe(1)
  expect(events.filter(event => event.event === 'lost')).toMatchObject([{ peer: first.peer, reason: 'unsupported' }])
  expect(driver.violations).toEqual([])
  await world.stop()
})

test('an upgrade one by one, with answers under way: identical tokens, nobody charged', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'] })
  try {
    const world = new TestWorld({ schedule: (delayMs, task) => void setTimeout(task, delayMs), delayMs: () => 1 })
    const heard = { later: 0, earlier: 0 }
    const names = ['a0', 'a1', 'a2', 'b0', 'b1', 'b2']
    for (const name of names) await world.add(name, [ranges[Number(name[1])]!])
    const driver = await world.add('D', [])
    const violations: unknown[] = []
    let answers = 0
    let upgrading = true
    const lost: { reason: string }[] = []
    const ask = async (seed: number): Promise<void> => {
      for (let i = 0; upgrading || i < 2; i++) {
        const ids = prompt(20 + seed * 31 + i)
        const got = await answer(world, driver, ids, 40)
        expect(got.tokens).toEqual(world.expected(ids, 40))
        lost.push(...got.lost)
        answers += 1
      }
    }
    const upgrade = async (): Promise<void> => {
      for (const name of names) {
        const peer = world.peers.get(peerId(name))!
        await world.depart(peer.id)
        violations.push(...peer.violations)
        await world.add(name, [ranges[Number(name[1])]!], { links: laterLinks(world.links.join(peer.id), heard) })
        world.leaving.delete(peer.id)
        await new Promise(resolve => setTimeout(resolve, 500))
      }
      upgrading = false
    }
    let done = false
    const all = Promise.all([ask(1), ask(2), ask(3), upgrade()]).finally(() => (done = true))
    for (let ms = 0; !done; ms += 50) {
      if (ms > 600_000) throw new Error('ten minutes of virtual time passed')
      await vi.advanceTimersByTimeAsync(50)
    }
    await all
    expect(answers).toBeGreaterThan(names.length)
    // Both were spoken: old with new while it went on, new with new in the end.
    expect(heard.later).toBeGreaterThan(0)
    expect(heard.earlier).toBeGreaterThan(0)
    expect(lost.filter(({ reason }) => reason !== 'left')).toEqual([])
    for (const peer of world.peers.values()) violations.push(...peer.violations)
    expect(violations).toEqual([])
    await world.stop()
  } finally {
    vi.useRealTimers()
  }
})
