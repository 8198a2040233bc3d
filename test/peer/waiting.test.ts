/** A peer without layers that is asked before it knows anybody: real peers on loopback. */
import { expect, it } from 'vitest'
import { newSwarm } from '../../src/swarm/swarm-file.ts'
import { livePeers } from './live-peers.ts'

const { start } = livePeers('waiting')

it('an answer whose model nobody names or offers yet waits for one, says so, and ends with its reader', {
  timeout: 90_000
}, async () => {
  const swarm = newSwarm('waiting')
  const early = await start({ swarm, memoryBytes: 0 })
  const said: string[] = []
  const told = Promise.withResolvers<void>()
  const asked = (async () => {
    for await (const event of early.generate('Once upon a time', { maxTokens: 4, waitMs: 60_000 }).events()) {
      said.push(event.event === 'waiting' ? event.message : event.event)
      told.resolve()
    }
  })()
  await told.promise
  for await (const event of early.generate('Once', { waitMs: 60_000 }).events()) {
    expect(event.event).toBe('waiting')
    break
  }
  const refused = [early.generate('Once', { waitMs: 0 }).answer, early.infer('graph', {}, { waitMs: 0 })]
  for (const each of refused) await expect(each).rejects.toMatchObject({ name: 'UnknownModelError' })
  await expect(early.generate('Once', { waitMs: -1 }).answer).rejects.toMatchObject({ name: 'InvalidOptionError' })
  await expect(early.infer('graph', {}, { waitMs: -1 })).rejects.toMatchObject({ name: 'InvalidOptionError' })
  const graph = early.infer('stories15m', {}, { waitMs: 60_000 })
  graph.catch(() => {})

  const { text } = await (await start({ swarm, memoryBytes: 256e6 })).generate('Once upon a time', { maxTokens: 4 })
    .answer
  await asked
  expect(said[0]).toMatch(/^there is no model to answer with: this peer serves none, and no live peer offers one/)
  expect(said.slice(-3)).toEqual(['token', 'stopped', 'done'])
  expect((await early.generate('Once upon a time', { maxTokens: 4 }).answer).text).toBe(text)
  await expect(graph).rejects.toMatchObject({ name: 'WrongModelKindError' })
})
