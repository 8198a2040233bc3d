/** Caches of int8 among real peers, over libp2p, with the model that ships: asked for, announced, kept, and resumed. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, it } from 'vitest'
import { createPeer, listModels, type Peer } from '../../src/index.ts'
import { newSwarm } from '../../src/swarm/swarm-file.ts'

const peers: Peer[] = []
const folders: string[] = []

afterEach(async () => {
  await Promise.all(peers.splice(0).map(peer => peer.stop()))
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true })
})

it('S33: an answer with caches of int8 is one and the same however it is cut, and goes on as it began', {
  timeout: 120_000
}, async () => {
  const [{ manifest }] = (await listModels('/nonexistent')) as [Awaited<ReturnType<typeof listModels>>[number]]
  const { layers } = manifest.config
  const start = async (swarm: ReturnType<typeof newSwarm>, cuts: readonly number[]): Promise<Peer[]> => {
    const started: Peer[] = []
    for (const [i, end] of cuts.entries()) {
      const dataDir = await mkdtemp(join(tmpdir(), 'skein-caches-'))
      folders.push(dataDir)
      const bootstrap = started.flatMap(({ addresses }) => [...addresses])
      const range = { start: cuts[i - 1] ?? 0, end }
      const init = { dataDir, swarm, layers: range, memoryBytes: 128e6, mdns: false, bootstrap }
      started.push(await createPeer({ ...init, listen: ['/ip4/127.0.0.1/tcp/0'] }))
      peers.push(started.at(-1)!)
    }
    for (const peer of started) {
      await expect.poll(() => peer.status().models[0]?.coverage, { timeout: 30_000 }).toEqual(new Array(layers).fill(1))
    }
    return started
  }
  const [alone] = (await start(newSwarm('alone'), [layers])) as [Peer]
  const [first, second] = (await start(newSwarm('two'), [Math.floor(layers / 2), layers])) as [Peer, Peer]
  const prompt = 'Once upon a time, in a land far away, there lived a small dragon who '
  const answer = async (peer: Peer, cache: 'f32' | 'i8'): Promise<readonly number[]> => {
    const generation = peer.generate(prompt, { maxTokens: 60, cache, temperature: 1 })
    for await (const _ of generation);
    return (await generation.answer).ids
  }
  const want = await answer(alone, 'i8')
  expect(await answer(first, 'i8')).toEqual(want)
  expect(await answer(second, 'i8')).toEqual(want)
  const usual = await answer(alone, 'f32')
  expect(usual).not.toEqual(want)
  expect(await answer(first, 'f32')).toEqual(usual)
  // Broken off by one, taken up by the other.
  const session = { name: 'tale', key: new Uint8Array(32).fill(7) }
  let seen = 0
  for await (const _ of first.generate(prompt, { maxTokens: 60, cache: 'i8', temperature: 1, session })) {
    if (++seen === 20) break
  }
  const resumed = second.resume('tale', { key: session.key })
  for await (const _ of resumed);
  expect((await resumed.answer).ids).toEqual(want)
})
