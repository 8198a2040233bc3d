/** A whole peer that is to serve a model whose shards only a peer has that no record which it keeps names. */
import path from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { createPeer, onnxEngine, type Peer } from '../../src/index.ts'
import type { End } from '../../src/base/ends.ts'
import { Keeping } from '../../src/disk/keeping.ts'
import { openLibrary } from '../../src/model/library.ts'
import type { StoredModel } from '../../src/model/store.ts'
import { RunningPeer } from '../../src/peer/running-peer.ts'
import { writeRandomModel } from '../supply/model.ts'
import { until, World } from '../swarm/real-peers.ts'

let world: World
let peers: Peer[] = []
beforeEach(async () => {
  world = await World.create()
})
afterEach(async () => {
  await Promise.all(peers.map(peer => peer.stop()))
  peers = []
  await world.close()
})

/** One neighbour, no place for another record, and it cannot be dialled; of the model it has no more than the manifest. */
async function startAsking(neighbour: readonly string[], { manifest, id }: StoredModel): Promise<RunningPeer> {
  const only = { neighbours: false, bootstrap: neighbour, listen: [] }
  const swarm = await world.start('asking', { ...only, recordsMax: 3, linksMax: 1 })
  const other = await world.start('other', only)
  await until(() => swarm.records().some(({ record, linked }) => linked && record.peer === other.id), 'it has no place')
  const dataDir = path.join(world.root, 'asking')
  const store = await openLibrary(dataDir)
  const model = await store.putManifest(manifest, { partial: true })
  const keeping = new Keeping(() => {})
  const engines = [onnxEngine]
  const peer = new RunningPeer({ swarm, swarmName: 'test', store, engines, keeping, warn: () => {} })
  peers.push(peer)
  const ends: End[] = []
  const { signal } = new AbortController()
  const models = [{ model, pinned: { start: 0, end: manifest.config.layers } }]
  await peer.start({ dataDir, models, budgetBytes: 1 << 30, threads: 1, signal, ends })
  expect(swarm.records().some(({ record }) => record.models.some(offer => offer.model === id && offer.head))).toBe(
    false
  )
  return peer
}

it('shards that no record names come from whom the DHT finds, and the model answers', {
  timeout: 150_000
}, async () => {
  const neighbour = await world.start('neighbour', { neighbours: false })
  const bootstrap = [...neighbour.addresses]
  const model = await writeRandomModel(path.join(world.root, 'holder'))
  const asking = await startAsking(bootstrap, model)
  const holder = await createPeer({
    dataDir: path.join(world.root, 'holder'),
    swarm: world.config,
    model: 'random',
    listen: ['/ip4/127.0.0.1/tcp/0'],
    mdns: false,
    bootstrap
  })
  peers.push(holder)
  const own = () => asking.status().peers.find(({ self }) => self)!
  await until(() => own().stages.some(({ serving }) => serving), 'it serves the model', 120_000)
  // It may have one neighbour: the first gave way to the one that was needed.
  expect(asking.status().peers.filter(({ self, connected }) => connected && !self)).toHaveLength(1)
  const ids: number[] = []
  for await (const { id } of asking.generate('Once upon a time', { model: model.id, maxTokens: 4 })) ids.push(id)
  expect(ids.length).toBe(4)
})
