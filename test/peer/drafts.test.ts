/** Drafts among real peers, over libp2p, with the model that ships: announced, sent, verified, and told at the end. */
import { expect, it } from 'vitest'
import { listModels } from '../../src/index.ts'
import { newSwarm } from '../../src/swarm/swarm-file.ts'
import { livePeers } from './live-peers.ts'

const { peers, start } = livePeers('drafts')

it('an answer that repeats itself has the same tokens in fewer laps', { timeout: 120_000 }, async () => {
  const swarm = newSwarm('drafts')
  const [{ manifest }] = (await listModels('/nonexistent')) as [Awaited<ReturnType<typeof listModels>>[number]]
  const { layers } = manifest.config
  const cut = Math.floor(layers / 2)
  for (const range of [
    { start: 0, end: cut },
    { start: cut, end: layers }
  ]) {
    await start({ swarm, layers: range, memoryBytes: 128e6 })
  }
  for (const peer of peers) {
    await expect.poll(() => peer.status().models[0]?.coverage, { timeout: 30_000 }).toEqual(new Array(layers).fill(1))
  }
  const prompt = 'The cat sat on the mat. The dog sat on the log. '.repeat(8)
  const answer = async (speculate: boolean) => {
    const generation = peers[0]!.generate(prompt, { maxTokens: 60, speculate })
    for await (const _ of generation);
    return generation.answer
  }
  const plain = await answer(false)
  expect(plain.drafts).toEqual({ proposed: 0, taken: 0 })
  const { ids, drafts, hops } = await answer(true)
  expect(ids).toEqual(plain.ids)
  expect(drafts.taken).toBeGreaterThan(10)
  for (const [i, { steps }] of hops.entries()) expect(steps).toBe(plain.hops[i]!.steps - drafts.taken)
})
