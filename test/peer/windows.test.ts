/**
 * A model with sliding windows among real peers, killed when its caches have long given back what the windows left behind: a stand-in
 * begins at 0, and no token changes.
 */
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { rollbackTokens } from '../../src/engine/limits.ts'
import { floorOf } from '../../src/engine/windows.ts'
import { initSwarm } from '../../src/index.ts'
import { newSwarm } from '../../src/swarm/swarm-file.ts'
import { answered, covered, tinyFlock } from './tiny-flock.ts'

const window = 40
const [local, global] = ['sliding_attention', 'full_attention']
const config = {
  architectures: ['Gemma3ForCausalLM'],
  model_type: 'gemma3_text',
  num_hidden_layers: 6,
  layer_types: [local, local, global, local, local, global],
  sliding_window: window,
  hidden_size: 64,
  intermediate_size: 96,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 16,
  query_pre_attn_scalar: 16,
  hidden_activation: 'gelu_pytorch_tanh',
  rms_norm_eps: 1e-6,
  rope_theta: 1_000_000,
  rope_local_base_freq: 10_000,
  max_position_embeddings: 1024,
  vocab_size: 300,
  bos_token_id: 1
}
const { num_hidden_layers: layers } = config
const prompt = 'ab a ba b '.repeat(60)
const maxTokens = 80
const flock = tinyFlock('windows', { config, seed: 5, norms: 0 })

it('one that is killed past the floor of its windows, and then its stand-in, change no token', {
  timeout: 240_000
}, async () => {
  const alone = await flock.serve(newSwarm('alone'), { start: 0, end: layers })
  await covered(alone, new Array<number>(layers).fill(1))
  let promptTokens = 0
  const want = await answered(alone, prompt, { maxTokens }, event => {
    if (event.event === 'done') promptTokens = event.promptIds.length
  })
  const bytes = await answered(alone, prompt, { maxTokens, cache: 'i8' })
  expect(want).toHaveLength(maxTokens)
  // By then a cache can be cut to no less than that, other than to nothing: windows have left the rest behind.
  expect(promptTokens).toBeGreaterThan(rollbackTokens + window)
  expect(floorOf([window, undefined], promptTokens)).toBeGreaterThan(window)
  await flock.peers.splice(0)[0]!.stop()

  const file = join(await flock.folder(), 'swarm.json')
  const swarm = await initSwarm(file, 'cut')
  const first = await flock.serve(swarm, { start: 0, end: 1 })
  await flock.serve(swarm, { start: 5, end: 6 })
  const middles = await Promise.all([1, 2, 3].map(() => flock.child(file, { start: 1, end: 5 })))
  await covered(first, [1, 3, 3, 3, 3, 1])

  let hops: readonly { readonly peer: string }[] = []
  let tokens = 0
  const replayed: number[] = []
  const killed = new Set<string>()
  const got = await answered(first, prompt, { maxTokens }, event => {
    if (event.event === 'route') ({ hops } = event)
    if (event.event === 'recovered') {
      hops = event.route
      replayed.push(event.replayedTokens)
    }
    if (event.event !== 'token') return
    tokens++
    if (tokens !== 20 && tokens !== 50) return
    const at = middles.find(({ id }) => hops.some(({ peer }) => peer === id))!
    killed.add(at.id)
    at.kill()
  })
  expect(got).toEqual(want)
  expect(killed.size).toBe(2)
  // Each stand-in has read the whole text.
  expect(replayed).toHaveLength(2)
  for (const count of replayed) expect(count).toBeGreaterThanOrEqual(promptTokens)
  // Over bytes, through the one that is left, which knows the prompt by now.
  expect(await answered(first, prompt, { maxTokens, cache: 'i8' })).toEqual(bytes)
})
