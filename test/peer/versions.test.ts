/** Peers of different versions in one swarm: who speaks no common revision is known by its record, and left out. Real hosts. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, it } from 'vitest'
import { describeStatus } from '../../src/cli/status.ts'
import { createPeer, type GenerationEvent, type Peer, type PeerInit } from '../../src/index.ts'
import { createSwarm } from '../../src/swarm/service.ts'
import { newSwarm } from '../../src/swarm/swarm-file.ts'

const ends: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

const swarm = newSwarm('versions')

async function folder(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'skein-versions-'))
  ends.push(() => rm(dir, { recursive: true, force: true }))
  return dir
}

async function start(init: Partial<PeerInit>): Promise<Peer> {
  const common = { swarm, mdns: false, listen: ['/ip4/127.0.0.1/tcp/0'] }
  const peer = await createPeer({ dataDir: await folder(), ...common, ...init })
  ends.push(() => peer.stop())
  return peer
}

it('no session is sent to a peer of a later revision, however fast it says to be', { timeout: 120_000 }, async () => {
  const honest = await start({ memoryBytes: 256e6 })
  const driver = await start({ memoryBytes: 0, bootstrap: [...honest.addresses] })
  await expect.poll(() => driver.status().models[0]?.coverage.every(count => count > 0), { timeout: 30_000 }).toBe(true)
  const [{ id: model, name, layers } = { id: '', name: '', layers: 0 }] = driver.status().models

  const later = await createSwarm({
    dataDir: await folder(),
    config: swarm,
    mdns: false,
    listen: ['/ip4/127.0.0.1/tcp/0'],
    bootstrap: [...honest.addresses, ...driver.addresses]
  })
  ends.push(() => later.stop())
  const opened: string[] = []
  const options = { inboundMax: 8, frameBytesMax: 1 << 20 }
  await later.links.handle({ name: '/skein/stage', revisions: ['9.1.0', '9.0.0'] }, options, channel =>
    opened.push(channel.remote)
  )
  const all = { start: 0, end: layers }
  const numericClass = driver.status().peers.find(({ id }) => id === honest.id)!.timings[0]!.numericClass
  const offer = { model: model as never, name, layers, held: [all], embedding: true, head: true, pinned: null }
  later.announce({
    budgetBytes: 1e9,
    models: [{ ...offer, visitMs: 0, layerMs: 0.001, numericClass }],
    stages: [{ model: model as never, ...all, serving: true, cacheBytesFree: 1e9 }]
  })
  const seen = () => driver.status().peers.find(({ id }) => id === later.id)
  await expect.poll(() => seen()?.connected === true && seen()!.stages.length > 0, { timeout: 30_000 }).toBe(true)
  await expect.poll(() => seen()?.speaks, { timeout: 30_000 }).toBe(false)
  expect(driver.status().peers.filter(({ speaks }) => speaks)).toHaveLength(2)
  expect(describeStatus(driver.status()).join('\n')).toMatch(
    /of another version: it speaks no revision that this peer speaks/
  )
  const events: GenerationEvent[] = []
  for await (const event of driver.generate('Once upon a time', { maxTokens: 5 }).events()) events.push(event)
  expect(events.filter(({ event }) => event === 'token')).toHaveLength(5)
  expect(events.find(({ event }) => event === 'route')).toMatchObject({ hops: [{ peer: honest.id }] })
  expect(events.filter(({ event }) => event === 'lost')).toEqual([])
  expect(opened).toEqual([])
})
