/** A model whose layers are short convolutions among real peers: cut anywhere, killed in mid-answer, kept and taken up again. */
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { type GenerationEvent, initSwarm } from '../../src/index.ts'
import { newSwarm } from '../../src/swarm/swarm-file.ts'
import { answered, covered, tinyFlock } from './tiny-flock.ts'

const config = {
  architectures: ['Lfm2ForCausalLM'],
  model_type: 'lfm2',
  num_hidden_layers: 6,
  layer_types: ['conv', 'conv', 'full_attention', 'conv', 'full_attention', 'conv'],
  hidden_size: 96,
  intermediate_size: 128,
  block_auto_adjust_ff_dim: false,
  max_position_embeddings: 1024,
  rope_theta: 1_000_000,
  norm_eps: 1e-5,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 300,
  bos_token_id: 1
}
const { num_hidden_layers: layers } = config
const prompt = 'ab a ba b '.repeat(20)
const maxTokens = 60
const flock = tinyFlock('convolutions', { config, seed: 11 })

it('one that is killed in mid-answer changes no token, and what was begun is taken up by another peer', {
  timeout: 240_000
}, async () => {
  const alone = await flock.serve(newSwarm('alone'), { start: 0, end: layers })
  const once = new Array<number>(layers).fill(1)
  await covered(alone, once)
  const want = await answered(alone, prompt, { maxTokens })
  const bytes = await answered(alone, prompt, { maxTokens, cache: 'i8' })
  expect(want).toHaveLength(maxTokens)
  expect(bytes).not.toEqual(want)
  await flock.peers.splice(0)[0]!.stop()

  const file = join(await flock.folder(), 'swarm.json')
  const swarm = await initSwarm(file, 'cut')
  const first = await flock.serve(swarm, { start: 0, end: 1 })
  const last = await flock.serve(swarm, { start: 4, end: 6 })
  // A convolution, attention and a convolution.
  const middles = await Promise.all([1, 2].map(() => flock.child(file, { start: 1, end: 4 })))
  await covered(first, [1, 2, 2, 2, 1, 1])

  const events: GenerationEvent[] = []
  const got = await answered(first, prompt, { maxTokens }, event => {
    events.push(event)
    if (events.filter(each => each.event === 'token').length !== 25) return
    const hops = events.flatMap(each => (each.event === 'route' ? each.hops : []))
    middles.find(({ id }) => hops.some(({ peer }) => peer === id))?.kill()
  })
  expect(got).toEqual(want)
  expect(events.filter(each => each.event === 'lost').length).toBeGreaterThan(0)

  // Over bytes, and with what both peers know of the prompt by now: rows of convolutions stay float32.
  await covered(first, once)
  for (const peer of [first, last]) expect(await answered(peer, prompt, { maxTokens, cache: 'i8' })).toEqual(bytes)
  const session = { name: 'tale', key: new Uint8Array(32).fill(7) }
  let seen = 0
  for await (const _ of first.generate(prompt, { maxTokens, temperature: 1, seed: 3, session })) {
    if (++seen === 20) break
  }
  const resumed = last.resume('tale', { key: session.key })
  for await (const _ of resumed);
  expect((await resumed.answer).ids).toEqual(want)
})
