/** A disk budget: real peers over libp2p, models of random weights, the real engine. */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { type DiskFreed, importModel, type Peer, type PeerInit, type SwarmConfig } from '../../src/index.ts'
import type { StoredModel } from '../../src/model/store.ts'
import { newSwarm } from '../../src/swarm/swarm-file.ts'
import { writeTiny } from '../model/hugging-face.ts'
import { writeRandomModel } from '../supply/model.ts'
import { livePeers } from './live-peers.ts'

const { folder, start: startPeer } = livePeers('disk')

async function start(swarm: SwarmConfig, init: Partial<PeerInit>): Promise<Peer> {
  return startPeer({
    swarm,
    memoryBytes: 256e6,
    ...init
  })
}

const bytesOf = ({ manifest }: StoredModel): number =>
  manifest.shards.reduce((sum, { bytes }) => sum + bytes, manifest.tokenizer.bytes)

async function ids(peer: Peer, model: string): Promise<readonly number[]> {
  const generation = peer.generate('Once upon a time', { maxTokens: 8, model })
  for await (const _token of generation);
  return (await generation.answer).ids
}

/** Bytes of the files that are there, as the file system has them. */
async function onDisk(dataDir: string): Promise<number> {
  let bytes = 0
  for (const part of ['shards', 'manifests']) {
    for (const name of await readdir(join(dataDir, 'models', part)).catch(() => [])) {
      bytes += (await stat(join(dataDir, 'models', part, name))).size
    }
  }
  return bytes
}

function serves(peer: Peer, model: StoredModel): boolean {
  const own = peer.status().peers.find(({ self }) => self)!
  return own.stages.some(stage => stage.model === model.id && stage.serving)
}

it('holds: what was fetched and is not served any more gives way, what was imported stays', {
  timeout: 120_000
}, async () => {
  const swarm = newSwarm('disk')
  const holding = await folder()
  const [one, two] = [
    await writeRandomModel(holding, { name: 'one', layers: 2 }),
    await writeRandomModel(holding, { name: 'two', layers: 2, seed: 6 })
  ]
  const holder = await start(swarm, { dataDir: holding, models: [{ model: 'one' }, { model: 'two' }] })
  const expected = [await ids(holder, 'one'), await ids(holder, 'two')]

  const dataDir = await folder()
  const source = await folder()
  await writeTiny(source)
  const mine = await importModel({ source, dataDir, name: 'mine' })
  // Room for what was imported, one of the others, and no more than a layer of the second.
  const diskBytes = bytesOf(mine) + bytesOf(one) + 1_000_000
  const warnings: string[] = []
  const peer = await start(swarm, { dataDir, diskBytes, model: 'one', onWarning: message => warnings.push(message) })
  const freed: DiskFreed[] = []
  peer.addEventListener('disk:freed', ({ detail }) => freed.push(detail))
  await expect.poll(() => serves(peer, one), { timeout: 30_000 }).toBe(true)
  expect(await onDisk(dataDir)).toBeLessThanOrEqual(diskBytes)

  // Both at once do not fit, and what is served does not go: the second is looked for, and its load says what is lacking.
  await peer.serve('two')
  const lacking =
    /^the model 'two' is not served here: the disk budget|layers 0-2 could not be loaded: the disk budget of/
  await expect
    .poll(() => warnings.find(message => lacking.test(message)), { timeout: 30_000 })
    .toContain('raise --disk')
  expect(freed).toEqual([])
  expect(serves(peer, one)).toBe(true)

  await peer.unserve('one')
  await expect.poll(() => serves(peer, two), { timeout: 60_000 }).toBe(true)
  expect(freed.flatMap(({ files }) => files).every(file => file.endsWith(' of one'))).toBe(true)
  expect(freed.length).toBeGreaterThan(0)
  await expect.poll(() => peer.status().disk.usedBytes, { timeout: 10_000 }).toBe(await onDisk(dataDir))
  const { disk } = peer.status()
  expect(disk.limitBytes).toBe(diskBytes)
  expect(disk.usedBytes).toBeLessThanOrEqual(diskBytes)
  expect(disk.keptBytes).toBeGreaterThan(0)
  await holder.unserve('two')
  expect(await ids(peer, 'two')).toEqual(expected[1])
  expect(await ids(peer, 'one')).toEqual(expected[0])

  // An import asks for room first, and another process would ask the peer.
  await expect(peer.makeRoom(diskBytes, { what: 'big' })).rejects.toMatchObject({
    name: 'DiskBudgetError',
    message: expect.stringContaining('which is kept (mine); raise --disk, or remove a model: skein model rm mine')
  })
  await peer.unserve('two')
  await peer.makeRoom(bytesOf(two))
  expect(await onDisk(dataDir)).toBeLessThanOrEqual(diskBytes - bytesOf(two))
  expect((await readdir(join(dataDir, 'models', 'shards'))).length).toBeGreaterThanOrEqual(
    mine.manifest.shards.length + 1
  )
})
