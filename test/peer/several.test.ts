/** Several models on one peer: real peers over libp2p, the model that ships and one of random weights, the real engine. */
import { expect, it } from 'vitest'
import { listModels, type Peer, type PeerInit, splitBudgets, type SwarmConfig } from '../../src/index.ts'
import { newSwarm } from '../../src/swarm/swarm-file.ts'
import { writeRandomModel } from '../supply/model.ts'
import { livePeers } from './live-peers.ts'

const { peers, folder, start: startPeer } = livePeers('several')
const prompt = 'Once upon a time'

/** `random`: the second model is in its store from the start. */
async function start(swarm: SwarmConfig, init: Partial<PeerInit>, random = true): Promise<Peer> {
  const dataDir = await folder()
  if (random) await writeRandomModel(dataDir)
  return startPeer({
    dataDir,
    swarm,
    ...init
  })
}

async function ids(peer: Peer, model?: string): Promise<readonly number[]> {
  const generation = peer.generate(prompt, { maxTokens: 20, ...(model === undefined ? {} : { model }) })
  for await (const _token of generation);
  return (await generation.answer).ids
}

/** Name → how often each layer is served, as a peer sees it. */
function coverage(peer: Peer): Record<string, readonly number[]> {
  return Object.fromEntries(peer.status().models.map(model => [model.name, model.coverage]))
}

const both = [{ model: 'stories15m' }, { model: 'random' }]

it('one budget holds stages of both, each answers as it does alone, and a peer without layers asks for either', {
  timeout: 120_000
}, async () => {
  const [stories] = await listModels('/nonexistent')
  const [whole] = splitBudgets(stories!, 1)
  const alone = await start(newSwarm('alone'), { model: 'random', memoryBytes: 256e6 })
  const expected = [await ids(await start(newSwarm('alone too'), { memoryBytes: 256e6 }, false)), await ids(alone)]
  await Promise.all(peers.splice(0).map(peer => peer.stop()))

  const swarm = newSwarm('several')
  // Each can hold one of the models whole, and neither both: each has a part of each.
  const memoryBytes = Math.ceil(whole! * 1.6)
  for (let i = 0; i < 2; i++) await start(swarm, { models: both, memoryBytes })
  await start(swarm, { memoryBytes: 0 }, false)
  await expect
    .poll(() => Object.values(coverage(peers[2]!)).map(counts => counts.every(count => count > 0)), { timeout: 60_000 })
    .toEqual([true, true])
  for (const peer of peers) {
    expect([await ids(peer, 'stories15m'), await ids(peer, 'random')]).toEqual(expected)
  }
  for (const [i, peer] of peers.entries()) {
    const own = peer.status().peers.find(({ self }) => self)!
    expect(own.usedBytes).toBeLessThanOrEqual(own.budgetBytes)
    expect(new Set(own.stages.map(({ model }) => model)).size).toBe(i < 2 ? 2 : 0)
  }
  // Without a name it is not clear which one is meant.
  await expect(ids(peers[2]!)).rejects.toMatchObject({ name: 'UnknownModelError' })
  expect(await ids(peers[0]!)).toEqual(expected[0])
})

it('models come and go while a peer runs, fetched from others where they are not here', {
  timeout: 120_000
}, async () => {
  const swarm = newSwarm('coming and going')
  await start(swarm, { models: both, memoryBytes: 256e6 })
  const late = await start(swarm, { memoryBytes: 256e6 }, false)
  const served = (): string[] => {
    const { peers: all, models } = late.status()
    const own = all.find(({ self }) => self)!
    const serving = own.stages.filter(stage => stage.serving).map(({ model }) => model)
    return models.filter(({ id }) => serving.includes(id)).map(({ name }) => name)
  }
  await expect.poll(served, { timeout: 30_000 }).toEqual(['stories15m'])
  expect(await late.serve('random')).toBe(false)
  await expect.poll(() => served().sort(), { timeout: 30_000 }).toEqual(['random', 'stories15m'])
  expect(late.status().fetches).toEqual([])
  // It serves what it serves already, and is not asked twice.
  expect(await late.serve('random')).toBe(true)
  const expected = await ids(peers[0]!, 'random')
  await peers[0]!.unserve('random')
  expect(await ids(late, 'random')).toEqual(expected)
  await late.unserve('stories15m')
  await expect.poll(served, { timeout: 10_000 }).toEqual(['random'])
  await expect(late.unserve('stories15m')).rejects.toMatchObject({ name: 'UnknownModelError' })
  // The room that it had is the other's.
  await expect.poll(() => late.status().peers.find(({ self }) => self)!.stages.length, { timeout: 10_000 }).toBe(1)
  expect(await late.serve('nobody has it')).toBe(false)
  expect(late.status().fetches).toMatchObject([{ model: null }])
  await late.unserve('nobody has it')
  expect(late.status().fetches).toEqual([])
})

it('refuses what contradicts itself', async () => {
  const swarm = newSwarm('refused')
  const refusals: [Partial<PeerInit>, string][] = [
    [{ model: 'stories15m', models: both }, 'not as both'],
    [{ models: [both[0]!, both[0]!] }, 'named twice'],
    [{ models: both, layers: { start: 0, end: 1 } }, 'given with the model'],
    [{ model: 'stories15m', memoryBytes: 0 }, 'serves no model'],
    [{ memoryBytes: 100 }, 'or 0 for no layers']
  ]
  for (const [init, words] of refusals) {
    await expect(start(swarm, init)).rejects.toMatchObject({
      name: 'InvalidOptionError',
      message: expect.stringContaining(words)
    })
  }
})
