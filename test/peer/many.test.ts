/** Many sessions at once: three drivers, three peers with a third of the model each, 64 answers. Real peers, one process. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createPeer, type GenerationEvent, type Peer } from '../../src/index.ts'
import { newSwarm } from '../../src/swarm/swarm-file.ts'

const folder = await mkdtemp(join(tmpdir(), 'skein-many-'))
const peers: Peer[] = []
let drivers: Peer[] = []
const swarm = newSwarm('many')

async function start(name: string, layers: { start: number; end: number } | null, memoryBytes: number): Promise<Peer> {
  const peer = await createPeer({
    dataDir: join(folder, name),
    swarm: name === 'alone' ? newSwarm('alone') : swarm,
    mdns: false,
    listen: ['/ip4/127.0.0.1/tcp/0'],
    bootstrap: peers.flatMap(({ addresses }) => [...addresses]),
    memoryBytes,
    ...(layers === null ? {} : { layers })
  })
  if (name !== 'alone') peers.push(peer)
  return peer
}

const sentences = ['Once upon a time', 'The dog', 'Tom and Lily went to', 'One day, a small boat']
const ask = (i: number) => ({
  prompt: sentences[i % sentences.length]!,
  options: { maxTokens: 12 + (i % 3), temperature: i % 2, seed: i }
})

async function ids(peer: Peer, i: number): Promise<{ ids: readonly number[]; waited: boolean }> {
  const { prompt, options } = ask(i)
  const events: GenerationEvent[] = []
  const generation = peer.generate(prompt, { ...options, client: `client ${i % 7}` })
  for await (const event of generation.events()) events.push(event)
  return { ids: (await generation.answer).ids, waited: events.some(({ event }) => event === 'waiting') }
}

beforeAll(async () => {
  // Budgets for some ten sessions each: most of the 64 wait for room.
  for (const [i, start_] of [0, 2, 4].entries()) await start(`stage ${i}`, { start: start_, end: start_ + 2 }, 34e6)
  drivers = await Promise.all([0, 1, 2].map(i => start(`driver ${i}`, null, 0)))
}, 120_000)

afterAll(async () => {
  await Promise.all(peers.map(peer => peer.stop()))
  await rm(folder, { recursive: true, force: true })
})

it('all are identical to what one peer answers alone, none fails, and nothing is left', {
  timeout: 240_000
}, async () => {
  const alone = await start('alone', null, 256e6)
  const expected: (readonly number[])[] = []
  for (let i = 0; i < 64; i++) expected.push((await ids(alone, i)).ids)
  await alone.stop()
  const answers = await Promise.all(Array.from({ length: 64 }, (_, i) => ids(drivers[i % 3]!, i)))
  for (const [i, { ids: got }] of answers.entries()) expect(got, `answer ${i}`).toEqual(expected[i])
  await expect
    .poll(() => peers.map(peer => peer.status().peers.find(({ self }) => self)!.sessions), { timeout: 30_000 })
    .toEqual(peers.map(() => 0))
  // Two that dial each other at once give one of their handshakes up.
  const kinds = peers.flatMap(peer => Object.keys(peer.status().violations).filter(kind => !kind.endsWith('handshake')))
  expect(kinds).toEqual([])
})
