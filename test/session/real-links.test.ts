/** The same deciders over real libp2p connections on loopback, and the toy oracle to judge them. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { PeerId } from '../../src/base/ids.ts'
import { stageStreamsPerPeerMax } from '../../src/stage/limits.ts'
import { stageProtocol } from '../../src/stage/frame.ts'
import type { Channel } from '../../src/swarm/links.ts'
import { Mesh } from './mesh.ts'
import { collect, prompt } from './world.ts'

let mesh: Mesh
beforeEach(() => {
  mesh = new Mesh()
})
afterEach(() => mesh.stop())

test("three peers over libp2p answer with the oracle's tokens, from any of them", async () => {
  const world = await mesh.world([
    [0, 2],
    [2, 4],
    [4, 6]
  ])
  for (const driver of world.peers.values()) {
    const ids = prompt(300)
    const generation = world.generate(driver, ids, { maxTokens: 40 })
    for await (const _ of generation);
    const answer = await generation.answer
    expect(answer.ids).toEqual(world.expected(ids, 40))
    expect(answer.hops.map(hop => hop.tokens)).toEqual([339, 339, 339])
    expect(world.cacheBytesUsed).toBe(0)
  }
  await world.stop()
})

test('a peer that stops in mid-answer is replaced; every other one goes on', async () => {
  const world = await mesh.world([
    [0, 2],
    [2, 4],
    [4, 6],
    [2, 4]
  ])
  const [driver, , , standIn] = [...world.peers.values()]
  const victim = mesh.hosts[1]!
  const ids = prompt(200)
  // As a peer does it: who has a connection is heard, which the loss of it may be a moment behind.
  const hears = (peer: PeerId): boolean => mesh.hosts[0]!.connectedPeers.has(peer)
  const generation = world.generate(driver!, ids, { maxTokens: 60, hears })
  const reading = collect(generation.events())
  // Stops a running peer without a word, at some token.
  const { engine } = world.peers.get(victim.self)!.probes[0]!
  const run = engine.run.bind(engine)
  engine.run = (step, options) => {
    if (step.position === 220) void victim.stop()
    return run(step, options)
  }
  const events = await reading
  expect(events.at(-1)).toMatchObject({ event: 'done', ids: world.expected(ids, 60) })
  expect(events.filter(e => e.event === 'lost')).toEqual([
    { event: 'lost', peer: victim.self, hop: 1, reason: 'closed', charged: true }
  ])
  expect(events.filter(e => e.event === 'recovered').length).toBe(1)
  expect(standIn!.probes[0]!.steps.length).toBeGreaterThan(0)
  await world.stop()
})

test('S28: a head that takes no more streams of its driver is waited for, and has done nothing wrong', async () => {
  const world = await mesh.world([
    [0, 0],
    [0, 6]
  ])
  const [driver, head] = [...world.peers.values()]
  const signal = AbortSignal.timeout(20_000)
  const streams: Channel[] = []
  while (streams.length < stageStreamsPerPeerMax) {
    streams.push(await driver!.links.open(head!.id, stageProtocol, { signal }))
  }
  const ids = prompt(10)
  const events = []
  for await (const event of world.generate(driver!, ids, { maxTokens: 5 }).events()) {
    events.push(event)
    if (event.event === 'waiting') await Promise.all(streams.splice(0).map(stream => stream.close()))
  }
  expect(events.at(-1)).toMatchObject({ event: 'done', ids: world.expected(ids, 5) })
  expect(events.filter(({ event }) => event === 'lost' || event === 'waiting')).toMatchObject([
    { event: 'lost', peer: head!.id, reason: 'no-room', charged: false },
    { event: 'waiting' }
  ])
  expect([...driver!.violations, ...head!.violations, ...mesh.violations]).toEqual([])
  await world.stop()
})
