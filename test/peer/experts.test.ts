/**
 * A mixture of experts through real peers, as a program embeds the library: layers with experts and without, cut anywhere, and one peer
 * lost in the middle of an answer.
 */
import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { seeded } from '../../src/base/rng.ts'
import { importModel, type Peer, type Range, type SwarmConfig } from '../../src/index.ts'
import { describeModel } from '../../src/model/architectures/registry.ts'
import { checkpointTensors } from '../../src/model/architectures/tensors.ts'
import { newSwarm } from '../../src/swarm/swarm-file.ts'
import { type TinyTensor, tinyConfig, writeModelDirectory } from '../model/hugging-face.ts'
import { livePeers } from './live-peers.ts'

const { peers, folder, start } = livePeers('experts')
const layers = 6

/** A data directory that has the model, quantised. */
async function imported(): Promise<string> {
  const config = {
    ...{ ...tinyConfig, architectures: ['Qwen3MoeForCausalLM'], model_type: 'qwen3_moe', num_hidden_layers: layers },
    ...{ hidden_size: 48, head_dim: 16, num_experts: 9, num_experts_per_tok: 3, moe_intermediate_size: 24 },
    ...{ norm_topk_prob: true, mlp_only_layers: [0, 3], max_position_embeddings: 256 }
  }
  const { config: decoder, names } = describeModel(config, 'config.json')
  const rng = seeded(5)
  const tensors = new Map(
    [...checkpointTensors(decoder, names)].map(([name, { shape }]): [string, TinyTensor] => {
      const values = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => rng() - 0.5)
      return [name, { shape: [...shape], values: shape.length === 1 ? values.map(value => 1 + value / 4) : values }]
    })
  )
  const dataDir = await folder()
  await writeModelDirectory(join(dataDir, 'source'), config, tensors)
  await importModel({ source: join(dataDir, 'source'), dataDir, name: 'mixture', weights: 'q8', edge: 'f16' })
  return dataDir
}

async function serve(from: string, swarm: SwarmConfig, range: Range): Promise<Peer> {
  const dataDir = await folder()
  await cp(join(from, 'models'), join(dataDir, 'models'), { recursive: true })
  return start({ dataDir, swarm, model: 'mixture', layers: range, memoryBytes: 256e6 })
}

async function covered(copies: readonly number[]): Promise<void> {
  for (const peer of peers) {
    const coverage = () => peer.status().models.find(({ name }) => name === 'mixture')?.coverage
    await expect.poll(coverage, { timeout: 60_000 }).toEqual(copies)
  }
}

/** Ids of an answer, and how often it recovered. @param onToken hears of each, and who serves layer 2 */
async function ask(peer: Peer, onToken: (tokens: number, middle: string) => void = () => {}) {
  const answer = peer.generate('ab a ab b', { maxTokens: 60, temperature: 0.8, seed: 3 })
  let [tokens, recovered, middle] = [0, 0, '']
  for await (const event of answer.events()) {
    if (event.event === 'route') middle = event.hops.find(({ start }) => start === 2)?.peer ?? ''
    if (event.event === 'token') onToken(++tokens, middle)
    if (event.event === 'recovered') recovered++
  }
  return { ids: (await answer.answer).ids, recovered }
}

it('answers the same from one peer, from three, and when one of these is lost', { timeout: 240_000 }, async () => {
  const from = await imported()
  const alone = await serve(from, newSwarm('alone'), { start: 0, end: layers })
  await covered(new Array<number>(layers).fill(1))
  const whole = await ask(alone)
  expect(whole.ids.length).toBeGreaterThan(20)
  await peers.splice(0)[0]!.stop()

  const swarm = newSwarm('three')
  const driver = await serve(from, swarm, { start: 0, end: 2 })
  await serve(from, swarm, { start: 2, end: 4 })
  await serve(from, swarm, { start: 2, end: 4 })
  await serve(from, swarm, { start: 4, end: layers })
  await covered([1, 1, 2, 2, 1, 1])
  let lost: Peer | undefined
  let stopped: Promise<void> | undefined
  const answered = await ask(driver, (tokens, middle) => {
    if (tokens !== 8) return
    lost = peers.find(({ id }) => id === middle)
    stopped = lost?.stop()
  })
  expect(lost).toBeDefined()
  await stopped
  peers.splice(peers.indexOf(lost!), 1)
  expect(answered).toEqual({ ids: whole.ids, recovered: 1 })
  expect((await ask(driver)).ids).toEqual(whole.ids)
})
