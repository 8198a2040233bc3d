/** Members that say that they serve everything, and never compute: real peers on loopback, the model that ships. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, it } from 'vitest'
import { createPeer, listModels, type Peer, splitBudgets, type SwarmConfig } from '../../src/index.ts'
import { probeFailuresMax, probeJitterMs, probeMs } from '../../src/route/limits.ts'
import { stageProtocol } from '../../src/stage/frame.ts'
import { probe } from '../../src/stage/probe-service.ts'
import { createSwarm } from '../../src/swarm/service.ts'
import type { Swarm } from '../../src/swarm/swarm.ts'
import { newSwarm } from '../../src/swarm/swarm-file.ts'

const ends: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

async function folder(): Promise<string> {
  const dataDir = await mkdtemp(join(tmpdir(), 'skein-liars-'))
  ends.push(() => rm(dataDir, { recursive: true, force: true }))
  return dataDir
}

const listen = ['/ip4/127.0.0.1/tcp/0']

/** Says that it serves all layers at no cost, takes every stream of a session, and answers nothing. */
async function liar(config: SwarmConfig, model: Awaited<ReturnType<typeof listModels>>[number], opened: () => void) {
  const swarm = await createSwarm({ dataDir: await folder(), config, listen, mdns: false, neighbours: false })
  ends.push(() => swarm.stop())
  const handlers = { onFrame: () => {}, onClose: () => {} }
  await swarm.links.handle(stageProtocol, { inboundMax: 99, frameBytesMax: 1 << 24 }, channel => {
    opened()
    channel.receive(handlers)
  })
  const { id, manifest } = model
  const { layers } = manifest.config
  const whole = { start: 0, end: layers }
  const speed = { visitMs: 0, layerMs: 0, numericClass: '' }
  swarm.announce({
    budgetBytes: 64e9,
    models: [
      { model: id, name: manifest.name, layers, held: [whole], embedding: true, head: true, ...speed, pinned: null }
    ],
    stages: [{ model: id, ...whole, serving: true, cacheBytesFree: 64e9 }]
  })
  return swarm
}

function own(peer: Peer): string {
  const row = peer.status().peers.find(({ self }) => self)
  return (row?.stages ?? []).map(({ start, end, serving }) => `${start}-${end} ${serving}`).join()
}

it('honest peers load what liars alone claim, answer without them, and doubt none of their own', async () => {
  const config = newSwarm('liars')
  const dataDir = await folder()
  const [model] = await listModels(dataDir)
  let opened = 0
  const liars: Swarm[] = []
  for (let i = 0; i < 3; i++) liars.push(await liar(config, model!, () => opened++))
  const bootstrap = liars.flatMap(({ addresses }) => [...addresses])
  const peers: Peer[] = []
  // Each holds a half, so that neither can copy what the liars say that they have.
  for (const memoryBytes of splitBudgets(model!, 2)) {
    const init = { swarm: config, memoryBytes, listen, mdns: false, bootstrap: [...bootstrap] }
    const peer = await createPeer({ dataDir: await folder(), ...init })
    bootstrap.push(...peer.addresses)
    peers.push(peer)
    ends.push(() => peer.stop())
  }
  const startedMs = performance.now()
  await expect.poll(() => peers.map(own).sort(), { timeout: 60_000, interval: 50 }).toEqual(['0-3 true', '3-6 true'])
  const tookMs = performance.now() - startedMs
  expect(opened).toBeGreaterThanOrEqual(2 * 3 * probeFailuresMax)
  // Nobody is believed for much longer than its probes take to fail; loading takes seconds on a busy machine.
  expect(tookMs).toBeLessThan(probeJitterMs + probeFailuresMax * (probeMs + 2_000) + 20_000)
  // Real engines compute the step that a probe brings, at the head and behind it.
  const { config: of, edge } = model!.manifest
  const probed = { id: model!.id, layers: of.layers, hidden: of.hidden, edge }
  const { links, sign } = liars[0]!
  for (const peer of peers) {
    const { start, end } = peer.status().peers.find(({ self }) => self)!.stages[0]!
    const asked = { links, sign, model: probed, peer: peer.id, range: { start, end } }
    expect(await probe(asked, { signal: AbortSignal.timeout(10_000) })).toBe(true)
  }
  const sessions = opened
  const answer = peers[0]!.generate('Once upon a time', { maxTokens: 20 })
  const events: string[] = []
  for await (const { event } of answer.events()) events.push(event)
  expect(events.filter(event => event === 'token').length).toBe(20)
  expect(events).not.toContain('lost')
  expect((await answer.answer).hops.map(({ peer }) => peer).sort()).toEqual(peers.map(({ id }) => id).sort())
  // Later probes apart, nobody asked them for anything.
  expect(opened - sessions).toBeLessThanOrEqual(2 * 3)
  expect(peers.map(peer => peer.status().violations)).toEqual([{}, {}])
}, 120_000)
