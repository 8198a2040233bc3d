/** S40: answers of real peers that must fit a JSON Schema, with the model that ships, which knows no JSON at all. */
import { Ajv2020 } from 'ajv/dist/2020.js'
import { expect, it } from 'vitest'
import { type GrammarSpec, type Peer, listModels } from '../../src/index.ts'
import { newSwarm } from '../../src/swarm/swarm-file.ts'
import { livePeers } from './live-peers.ts'

const { start: startPeer } = livePeers('grammar')

const [{ manifest }] = (await listModels('/nonexistent')) as [Awaited<ReturnType<typeof listModels>>[number]]
const { layers } = manifest.config

/** Peers of a swarm of their own that serve layers up to each of these. */
async function start(name: string, cuts: readonly number[]): Promise<Peer[]> {
  const swarm = newSwarm(name)
  const started: Peer[] = []
  for (const [i, end] of cuts.entries()) {
    const bootstrap = started.flatMap(({ addresses }) => [...addresses])
    started.push(await startPeer({ swarm, layers: { start: cuts[i - 1] ?? 0, end }, memoryBytes: 128e6, bootstrap }))
  }
  for (const peer of started) {
    await expect.poll(() => peer.status().models[0]?.coverage, { timeout: 30_000 }).toEqual(new Array(layers).fill(1))
  }
  return started
}

const schema = {
  type: 'object',
  properties: {
    name: { type: 'string', maxLength: 30 },
    age: { type: 'integer', minimum: 1, maximum: 99 },
    likes: { type: 'array', items: { enum: ['cake', 'rain', 'dogs'] }, maxItems: 3 }
  },
  required: ['name', 'age', 'likes'],
  additionalProperties: false
}
const grammar: GrammarSpec = { kind: 'json-schema', schema }
const prompt = 'Once upon a time there was a girl. She said:'

it('an answer fits its schema, ends where it is whole, and is the same with drafts and without; what fits no answer is refused', {
  timeout: 120_000
}, async () => {
  const validate = new Ajv2020().compile(schema)
  const [head, second] = (await start('two', [Math.floor(layers / 2), layers])) as [Peer, Peer]
  const answer = async (
    peer: Peer,
    seed: number,
    speculate = true
  ): Promise<{ text: string; ids: readonly number[] }> => {
    const generation = peer.generate(prompt, { maxTokens: 150, temperature: 1, seed, grammar, speculate })
    for await (const _ of generation);
    const { text, ids, stop } = await generation.answer
    expect(stop).toBe('eos')
    return { text, ids }
  }
  for (const [seed, peer] of [head, second, second].entries()) {
    const { text, ids } = await answer(peer, seed)
    expect(validate(JSON.parse(text)), text).toBe(true)
    if (seed < 2) expect((await answer(second, seed, false)).ids).toEqual(ids)
  }
  const first = (spec: GrammarSpec, options: object = {}): Promise<unknown> =>
    head
      .generate(prompt, { grammar: spec, ...options })
      [Symbol.asyncIterator]()
      .next()
  await expect(first({ kind: 'json-schema', schema: { properties: { a: { not: {} } } } })).rejects.toMatchObject({
    name: 'InvalidOptionError',
    message: expect.stringContaining('schema.properties.a.not is not supported')
  })
})
