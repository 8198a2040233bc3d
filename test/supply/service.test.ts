/** Weights between real peers on loopback. */
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { PeerId } from '../../src/base/ids.ts'
import { openLibrary } from '../../src/model/library.ts'
import { type ModelStore, openStore, type StoredModel } from '../../src/model/store.ts'
import { createSupply, type Supply } from '../../src/supply/service.ts'
import type { Swarm } from '../../src/swarm/service.ts'
import { connectedCount, until, World } from '../swarm/real-peers.ts'
import { writeRandomModel } from './model.ts'

const signal = AbortSignal.timeout(60_000)

interface Member {
  readonly swarm: Swarm
  readonly store: ModelStore
  readonly supply: Supply
  readonly violations: string[]
}

let world: World
let model: StoredModel
let members: Member[] = []

beforeEach(async () => {
  world = await World.create()
  model = await writeRandomModel(path.join(world.root, 'holder'))
})
afterEach(async () => {
  await Promise.all(members.map(({ supply }) => supply.stop()))
  members = []
  await world.close()
})

async function join(name: string): Promise<Member> {
  const store =
    name === 'holder'
      ? await openLibrary(path.join(world.root, name))
      : await openStore({ own: path.join(world.root, name, 'models') })
  const swarm = await world.start(name)
  const violations: string[] = []
  const supply = await createSupply({
    links: swarm.links,
    store,
    live: () => false,
    onViolation: (_peer, kind, message) => violations.push(`${kind}: ${message}`)
  })
  const member = { swarm, store, supply, violations }
  members.push(member)
  return member
}

async function expectWhole({ store }: Member): Promise<void> {
  const { manifest } = model
  for (const { sha256 } of [...manifest.shards, manifest.tokenizer]) {
    const [ours, theirs] = await Promise.all([
      readFile(path.join(store.own, 'shards', sha256)),
      readFile(path.join(model.folder, 'shards', sha256))
    ])
    expect(ours.equals(theirs)).toBe(true)
  }
  await store.verify(await store.resolve(model.id), { signal })
}

describe('a model that one peer has', () => {
  it('reaches a second one, whole', async () => {
    const [holder, other] = [await join('holder'), await join('a')]
    await until(() => connectedCount(other.swarm) === 1, 'a connection')
    const peers = (): PeerId[] => [holder.swarm.id]
    const learnt = await other.supply.learn(model.id, { peers, signal })
    expect(learnt.manifest).toEqual(model.manifest)
    expect(await other.store.held(learnt)).toEqual([])
    const t0 = performance.now()
    await other.supply.fetch(learnt.manifest.shards, { peers, signal })
    console.log('fetched in', performance.now() - t0)
    await expectWhole(other)
    expect([...holder.violations, ...other.violations]).toEqual([])
  })
})
