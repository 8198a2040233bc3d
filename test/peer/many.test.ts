/** Many sessions at once: three drivers, three peers with a third of the model each, 64 answers. Real peers, one process. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createPeer } from '../../src/index.ts'
import { newSwarm } from '../../src/swarm/swarm-file.ts'
import { ManyScene, sessions } from './many-scene.ts'

const scene = await ManyScene.create({ createPeer, newSwarm })
const maxTokens = (i: number): number => 12 + (i % 3)

beforeAll(() => scene.start(), 120_000)
afterAll(() => scene.stop())

it('all are identical to what one peer answers alone, none fails, and nothing is left', {
  timeout: 240_000
}, async () => {
  const { peers, drivers } = scene
  const expected = await scene.alone(maxTokens)
  const answers = await Promise.all(
    Array.from({ length: sessions }, (_, i) => scene.ask(drivers[i % 3]!, i, maxTokens(i)))
  )
  for (const [i, { ids }] of answers.entries()) expect(ids, `answer ${i}`).toEqual(expected[i]!.ids)
  await expect
    .poll(() => peers.map(peer => peer.status().peers.find(({ self }) => self)!.sessions), { timeout: 30_000 })
    .toEqual(peers.map(() => 0))
  // Two that dial each other at once give one of their handshakes up.
  const kinds = peers.flatMap(peer => Object.keys(peer.status().violations).filter(kind => !kind.endsWith('handshake')))
  expect(kinds).toEqual([])
})
