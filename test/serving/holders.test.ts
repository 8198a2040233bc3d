/**
 * A model and its shards from a peer that no record names: real peers on loopback. One has a single neighbour and no place for
 * another record; the holder is its neighbour's neighbour.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { ContentId } from '../../src/base/ids.ts'
import type { StoredModel } from '../../src/model/store.ts'
import { Holders } from '../../src/serving/holders.ts'
import { Seeker } from '../../src/serving/seeker.ts'
import type { SwarmInit } from '../../src/swarm/swarm.ts'
import { connectedCount, until } from '../swarm/real-peers.ts'
import { type Holder as Peer, ModelHolders, offer, signal } from './model-holders.ts'

let world: ModelHolders

const knows = (peer: Peer, of: Peer): boolean => peer.swarm.records().some(({ record }) => record.peer === of.swarm.id)

/** The asking peer, and the holder that it has not heard of although its neighbour has. */
async function farApart(init: Partial<SwarmInit>): Promise<{ asking: Peer; holder: Peer; model: StoredModel }> {
  const apart = { neighbours: false, ...init }
  const neighbour = await world.start('neighbour', apart)
  const near = { ...apart, bootstrap: [...neighbour.swarm.addresses] }
  // It cannot be dialled and dials no more than one, so that no walk through the DHT makes the holder its neighbour.
  const asking = await world.start('asking', { ...near, listen: [], recordsMax: 3, linksMax: 1 })
  const other = await world.start('other', { ...near, listen: [] })
  await until(
    () => asking.swarm.records().some(({ record, linked }) => linked && record.peer === other.swarm.id),
    'the last place for a record is taken, by one that its neighbour names'
  )
  const holder = await world.start('holder', near)
  const model = await world.give(holder, 1)
  const { id, manifest } = model
  offer(holder, model)
  await until(() => neighbour.swarm.recordOf(holder.swarm.id)?.models.length === 1, 'the neighbour hears the offer')
  // What is passed on is passed on in order: had the asking peer kept the holder's record, it would be there by now.
  neighbour.swarm.announce({ budgetBytes: 7 })
  await until(
    () => asking.swarm.recordOf(neighbour.swarm.id)?.budgetBytes === 7,
    'what the neighbour says afterwards is heard'
  )
  const contents = [id, ...manifest.shards.map(({ sha256 }) => sha256)]
  await holder.swarm.provide(contents)
  if (init.dht !== false) {
    await Promise.all(contents.map(content => isProvided(neighbour, content)))
    // To look it up brings nobody to life.
    while ((await asking.swarm.lookup(holder.swarm.id, { signal: signal() })) === undefined);
  }
  return { asking, holder, model }
}

/** Until the DHT names somebody for it at a peer: it takes its time to know who has connected. */
async function isProvided({ swarm }: Peer, content: ContentId): Promise<void> {
  for (;;) for await (const _ of swarm.findProviders(content, { signal: signal() })) return
}

beforeEach(async () => {
  world = await ModelHolders.create()
})
afterEach(() => world.close())

describe('what only a peer beyond the known ones has', () => {
  it('a model is learnt by its id, through the DHT', async () => {
    const { asking, holder, model } = await farApart({})
    expect(knows(asking, holder)).toBe(false)
    const learnt = await new Seeker(asking).find(model.id, { signal: signal() })
    expect(learnt.manifest).toEqual(model.manifest)
    expect(knows(asking, holder)).toBe(true)
  })

  it('shards are fetched while holders are asked for, through the DHT', async () => {
    const { asking, holder, model } = await farApart({})
    expect(knows(asking, holder)).toBe(false)
    await fetchShards(asking, model)
    // It may have one neighbour: the first gave way to the one that was needed.
    expect(connectedCount(asking.swarm)).toBe(1)
  })

  it('neither comes without the DHT', async () => {
    const { asking, holder, model } = await farApart({ dht: false })
    await expect(new Seeker(asking).find(model.id, { signal: signal() })).rejects.toThrow('no live peer offers it')
    await expect(fetchShards(asking, model)).rejects.toThrow('nobody has')
    expect(knows(asking, holder)).toBe(false)
  })
})

async function fetchShards({ swarm, supply }: Peer, { manifest }: StoredModel): Promise<void> {
  const left = new Set<ContentId>(manifest.shards.map(({ sha256 }) => sha256))
  const holders = new Holders({ swarm, wanted: () => [...left][0], onFound: () => supply.changed() })
  await holders.during(() => supply.fetch(manifest.shards, { peers: () => holders.found, signal: signal() }), {
    signal: signal()
  })
}
