/** Prompts that begin alike among real peers, over libp2p, with the model that ships: each stage computes their beginning once. */
import { expect, it } from 'vitest'
import { listModels, type Peer, type Range } from '../../src/index.ts'
import { newSwarm } from '../../src/swarm/swarm-file.ts'
import { livePeers } from './live-peers.ts'

const { peers, start: startPeer } = livePeers('prefixes')

/** Longer than one block of 128 tokens, and than no two. */
const prompt = 'The cat sat on the mat. The dog sat on the log. '.repeat(12)

it('each stage computes once what one driver asks again, and what others ask anew', { timeout: 120_000 }, async () => {
  const swarm = newSwarm('prefixes')
  const [{ manifest }] = (await listModels('/nonexistent')) as [Awaited<ReturnType<typeof listModels>>[number]]
  const { layers } = manifest.config
  const cut = Math.floor(layers / 2)
  const start = (range: Range): Promise<Peer> => startPeer({ swarm, layers: range, memoryBytes: 128e6 })
  const covered = async (): Promise<void> => {
    for (const peer of peers) {
      await expect.poll(() => peer.status().models[0]?.coverage, { timeout: 30_000 }).toEqual(new Array(layers).fill(1))
    }
  }
  /** What each hop said that it knew, of the last answer. */
  let known: readonly number[] = []
  const ids = async (driver: Peer): Promise<readonly number[]> => {
    const generation = driver.generate(prompt, { maxTokens: 20, temperature: 0.8, seed: 3 })
    for await (const _ of generation);
    const answer = await generation.answer
    expect(answer.promptIds.length).toBeGreaterThan(128)
    known = answer.hops.map(({ reused }) => reused)
    return answer.ids
  }
  const reused = (): number[] => peers.map(peer => peer.status().prefixes.reused)

  const head = await start({ start: 0, end: cut })
  const tail = await start({ start: cut, end: layers })
  await covered()
  const first = await ids(head)
  expect(reused()).toEqual([0, 0])
  expect(known).toEqual([0, 0])
  expect(await ids(head)).toEqual(first)
  expect(reused()).toEqual([128, 128])
  expect(known).toEqual([128, 128])
  expect(head.status().prefixes.bytes).toBeGreaterThan(0)
  // Another driver learns nothing of it.
  expect(await ids(tail)).toEqual(first)
  expect(reused()).toEqual([128, 128])
  expect(await ids(tail)).toEqual(first)
  expect(reused()).toEqual([256, 256])

  // What a stand-in has not computed yet it computes once, and knows it from then on.
  await tail.stop()
  peers.pop()
  await start({ start: cut, end: layers })
  await covered()
  expect(await ids(head)).toEqual(first)
  expect(known).toEqual([128, 0])
  expect(reused()).toEqual([384, 0])
  expect(await ids(head)).toEqual(first)
  expect(reused()).toEqual([512, 128])
})
