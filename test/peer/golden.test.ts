/**
 * The whole library, as a program embeds it: real peers over real libp2p answer what llama2.c answers, on one
 * peer, on two and on three.
 */
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Peer, Range, SwarmConfig } from '../../src/index.ts'
import { newSwarm } from '../../src/swarm/swarm-file.ts'
import { goldenCases, makeStories260k, whyNoStories260k } from '../model/stories260k.ts'
import { needs } from '../needs.ts'
import { livePeers } from './live-peers.ts'

const { peers, folder, start: startPeer } = livePeers('golden')

/** A peer that serves these layers of stories260K in float32, beside whichever are running already. */
async function start(swarm: SwarmConfig, layers: Range): Promise<Peer> {
  const dataDir = await folder()
  await makeStories260k(join(dataDir, 'models'), { weights: 'f32', edge: 'f32' })
  return startPeer({
    dataDir,
    swarm,
    layers,
    memoryBytes: 64e6
  })
}

describe('peers that share stories260K in float32', { timeout: 120_000, ...needs(whyNoStories260k) }, () => {
  it.each([[[0, 5]], [[0, 2, 5]], [[0, 1, 3, 5]]])("give llama2.c's tokens when cut at %j", async cuts => {
    const swarm = newSwarm('golden')
    for (const [i, end] of cuts.slice(1).entries()) await start(swarm, { start: cuts[i]!, end })
    for (const peer of peers) {
      // An answer waits for peers that are still to be found, but not for long: here they may take their time.
      await expect.poll(() => peer.status().models[0]?.coverage, { timeout: 30_000 }).toEqual([1, 1, 1, 1, 1])
    }
    for (const [i, { prompt, prompt_ids, generated_ids, generated_text }] of goldenCases().entries()) {
      // Each prompt through another peer: it does not matter who is asked.
      const answer = peers[i % peers.length]!.generate(prompt, { maxTokens: generated_ids.length })
      let text = ''
      for await (const token of answer) text += token.text
      const { ids, promptIds, stop, hops } = await answer.answer
      expect(promptIds).toEqual(prompt_ids)
      expect(ids).toEqual(generated_ids)
      expect(text).toBe(generated_text)
      expect(stop).toBe('length')
      expect(hops.map(({ start, end }) => [start, end])).toEqual(cuts.slice(1).map((end, j) => [cuts[j], end]))
    }
  })
})
