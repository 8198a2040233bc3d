/** What every hop must know of, among real peers, over libp2p, with the model that ships: asked for, announced, kept, and resumed. */
import { expect, it } from 'vitest'
import {
  type GenerateOptions,
  listModels,
  type Peer,
  type PromptToken,
  type Token,
  type TokenLogprob
} from '../../src/index.ts'
import { newSwarm } from '../../src/swarm/swarm-file.ts'
import { livePeers } from './live-peers.ts'

const { start: startPeer } = livePeers('caches')

const [{ manifest }] = (await listModels('/nonexistent')) as [Awaited<ReturnType<typeof listModels>>[number]]
const { layers } = manifest.config

/** Peers of a swarm of their own that serve layers up to each of these. */
async function start(name: string, cuts: readonly number[]): Promise<Peer[]> {
  const swarm = newSwarm(name)
  const started: Peer[] = []
  for (const [i, end] of cuts.entries()) {
    const bootstrap = started.flatMap(({ addresses }) => [...addresses])
    const range = { start: cuts[i - 1] ?? 0, end }
    started.push(await startPeer({ swarm, layers: range, memoryBytes: 128e6, bootstrap }))
  }
  for (const peer of started) {
    await expect.poll(() => peer.status().models[0]?.coverage, { timeout: 30_000 }).toEqual(new Array(layers).fill(1))
  }
  return started
}

it('S33: an answer with caches of int8 is one and the same however it is cut, and goes on as it began', {
  timeout: 120_000
}, async () => {
  const [alone] = (await start('alone', [layers])) as [Peer]
  const [first, second] = (await start('two', [Math.floor(layers / 2), layers])) as [Peer, Peer]
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

it('S36, S37: an answer with penalties and filters is one and the same however it is cut, and goes on as it began', {
  timeout: 120_000
}, async () => {
  const [alone] = (await start('alone', [layers])) as [Peer]
  const third = Math.floor(layers / 3)
  const [first, , last] = (await start('three', [third, 2 * third, layers])) as [Peer, Peer, Peer]
  const prompt = 'One day, a dog and a cat and a dog and a cat went to the park. The dog and'
  const penalties = { maxTokens: 40, presencePenalty: 0.6, frequencyPenalty: 0.4, repetitionPenalty: 1.2 }
  const filters = { temperature: 0.7, seed: 4, minP: 0.05, logitBias: { 263: -100, 29889: 1.5 } }
  const answer = async (peer: Peer, options: GenerateOptions): Promise<readonly number[]> => {
    const generation = peer.generate(prompt, options)
    for await (const _ of generation);
    return (await generation.answer).ids
  }
  const want = await answer(alone, penalties)
  for (const speculate of [true, false]) expect(await answer(first, { ...penalties, speculate })).toEqual(want)
  const filtered = await answer(alone, { ...penalties, ...filters })
  expect(await answer(first, { ...penalties, ...filters })).toEqual(filtered)
  expect(filtered).not.toContain(263)
  const usual = await answer(alone, { maxTokens: 40 })
  expect(new Set(want).size).toBeGreaterThan(new Set(usual).size)
  expect(await answer(first, { maxTokens: 40 })).toEqual(usual)
  const session = { name: 'tale', key: new Uint8Array(32).fill(7) }
  let seen = 0
  for await (const _ of first.generate(prompt, { ...penalties, ...filters, session })) if (++seen === 15) break
  const resumed = last.resume('tale', { key: session.key })
  for await (const _ of resumed);
  expect((await resumed.answer).ids).toEqual(filtered)
})

it('S38: log-probabilities are the same bits however an answer is cut, with drafts and without', {
  timeout: 120_000
}, async () => {
  const [alone] = (await start('one', [layers])) as [Peer]
  const [first] = (await start('both', [Math.floor(layers / 2), layers])) as [Peer]
  const prompt =
    'Once upon a time, there was a little girl named Lily. She loved to play outside. Once upon a time, there was'
  const told = async (peer: Peer, options: GenerateOptions) => {
    const all: object[] = []
    for await (const { id, logprob, bytes, top } of peer.generate(prompt, { maxTokens: 24, logprobs: 5, ...options })) {
      all.push({ id, logprob, bytes, top })
    }
    return all
  }
  const want = await told(alone, { speculate: false })
  expect(await told(alone, {})).toEqual(want)
  for (const speculate of [true, false]) expect(await told(first, { speculate })).toEqual(want)
  // Greedy: what is drawn is the likeliest, whatever is added to others' logits.
  for (const { id, logprob, top } of want as { id: number; logprob: number; top: TokenLogprob[] }[]) {
    expect(top[0]).toMatchObject({ id, logprob })
  }
  // Of the model's own distribution: a temperature changes which token comes, and not how likely it was.
  const [{ top }] = (await told(first, { temperature: 3, seed: 9, minP: 0.5 })) as [{ top: TokenLogprob[] }]
  expect(top).toEqual((want[0] as { top: TokenLogprob[] }).top)
})

it('S39: a prompt is told of in full, whatever of it is known, and the same however it is cut', {
  timeout: 120_000
}, async () => {
  const [alone] = (await start('lone', [layers])) as [Peer]
  const [first] = (await start('pair', [Math.floor(layers / 2), layers])) as [Peer]
  const text =
    'Once upon a time, there was a little girl named Lily. She loved to play outside in the park with her friends. '.repeat(
      8
    )
  const told = async (peer: Peer, options: GenerateOptions) => {
    const all: PromptToken[] = []
    for await (const event of peer.generate(text, { promptLogprobs: 3, ...options }).events()) {
      if (event.event === 'prompt') all.push(...event.tokens)
    }
    return all
  }
  const want = await told(alone, { maxTokens: 0 })
  expect(want.length).toBeGreaterThan(200)
  expect(Buffer.concat(want.slice(1).map(({ bytes }) => bytes)).toString()).toBe(` ${text}`)
  // Asked for again, and after an answer that leaves its beginning known.
  expect(await told(alone, { maxTokens: 3 })).toEqual(want)
  for await (const _ of first.generate(text, { maxTokens: 2 }));
  for (const maxTokens of [0, 2]) expect(await told(first, { maxTokens })).toEqual(want)
  // As an answer is told of that goes on in the same way.
  const half = 'Once upon a time, there was a little girl named'
  const answer: Token[] = []
  for await (const token of alone.generate(half, { maxTokens: 12, logprobs: 3, speculate: false })) answer.push(token)
  const whole: PromptToken[] = []
  const continued = half + answer.map(token => token.text).join('')
  for await (const event of first.generate(continued, { maxTokens: 0, promptLogprobs: 3 }).events())
    if (event.event === 'prompt') whole.push(...event.tokens)
  const strip = ({ id, position, logprob, top }: PromptToken | Token) => ({ id, position, logprob, top })
  expect(whole.slice(-12).map(strip)).toEqual(answer.map(strip))
})
