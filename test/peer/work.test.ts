/** A member that computes something else than it should, among real peers on loopback with the model that ships: it is found out, and gone around. */
import { expect, it } from 'vitest'
import { type EngineFactory, type GenerationEvent, type Peer, wasmEngine } from '../../src/index.ts'
import { newSwarm } from '../../src/swarm/swarm-file.ts'
import { livePeers } from './live-peers.ts'

const live = livePeers('work')

/** Says that it is slower than it is: who claims to be faster is asked first. */
const slowEngine: EngineFactory = {
  ...wasmEngine,
  measure: async init => ({ ...(await wasmEngine.measure(init)), visitMs: 50, layerMs: 10 })
}

/** Says that it is faster than it is, and turns the sign of every number that it gives. */
const lyingEngine: EngineFactory = {
  ...wasmEngine,
  measure: async init => ({ ...(await wasmEngine.measure(init)), visitMs: 0.01, layerMs: 0.01 }),
  create: async init => {
    const engine = await wasmEngine.create(init)
    const honest = engine.run.bind(engine)
    engine.run = async (step, options) => {
      const output = await honest(step, options)
      if (output.kind !== 'hidden') return output
      const bytes = output.bytes.slice()
      const size = bytes.length / (step.tokens * engine.hidden)
      for (let at = size - 1; at < bytes.length; at += size) bytes[at]! ^= 0x80
      return { ...output, bytes }
    }
    return engine
  }
}

function workOf(peer: Peer, of: Peer): string | undefined {
  return peer.status().peers.find(({ id }) => id === of.id)?.work?.state
}

async function serves(peer: Peer): Promise<void> {
  await expect
    .poll(
      () =>
        peer
          .status()
          .peers.find(({ self }) => self)
          ?.stages.some(({ serving }) => serving),
      { timeout: 60_000 }
    )
    .toBe(true)
}

it('who gives wrong states is found out by others of its class; the answer is right in the end, and later ones go around it', async () => {
  const swarm = newSwarm('work')
  const [head, tail] = [
    { start: 0, end: 3 },
    { start: 3, end: 6 }
  ]
  const memoryBytes = 256e6
  const liar = await live.start({ swarm, memoryBytes, layers: head, engines: [lyingEngine] })
  const honest = []
  for (const layers of [head, head])
    honest.push(await live.start({ swarm, memoryBytes, layers, engines: [slowEngine] }))
  honest.push(await live.start({ swarm, memoryBytes, layers: tail }))
  const warnings: string[] = []
  const dataDir = await live.folder()
  const driver = await live.start({ swarm, dataDir, memoryBytes: 0, onWarning: message => warnings.push(message) })
  for (const peer of [liar, ...honest]) await serves(peer)
  await expect
    .poll(() => driver.status().peers.filter(({ stages }) => stages.some(({ serving }) => serving)).length, {
      timeout: 60_000
    })
    .toBe(4)

  const wrong: (readonly number[])[] = []
  let found: { ids: readonly number[]; events: readonly GenerationEvent[] } | undefined
  // A newcomer is checked in one of ten sessions: 200 without any are one case in a billion.
  for (let i = 0; i < 200 && found === undefined; i++) {
    const answer = driver.generate('Once upon a time', { maxTokens: 6 })
    const events: GenerationEvent[] = []
    for await (const event of answer.events()) events.push(event)
    const { ids, hops } = await answer.answer
    if (events.some(({ event }) => event === 'refuted')) found = { ids, events }
    else if (hops.some(({ peer }) => peer === liar.id)) wrong.push(ids)
  }
  const seen = driver.status().peers.map(({ id, work }) => ({ id, work }))
  expect(found, `${wrong.length} sessions through the liar: ${JSON.stringify(seen)}`).toBeDefined()
  expect(found?.events.find(({ event }) => event === 'refuted')).toMatchObject({ peer: liar.id, tokens: 6 })
  expect(workOf(driver, liar)).toBe('refuted')
  expect(warnings.filter(message => message.includes('work that it did not do'))).toHaveLength(1)
  const after = await driver.generate('Once upon a time', { maxTokens: 6 }).answer
  expect(after.hops.map(({ peer }) => peer)).not.toContain(liar.id)
  expect(found!.ids).toEqual(after.ids)
  for (const ids of wrong) expect(ids).not.toEqual(after.ids)
  // Those who have computed it know for themselves; nobody else is charged.
  for (const peer of honest.slice(0, 2))
    await expect.poll(() => workOf(peer, liar), { timeout: 20_000 }).toBe('refuted')
  for (const peer of honest) expect(workOf(driver, peer)).not.toBe('refuted')
  expect(driver.status().violations).toEqual({})
  // It is not forgotten by who starts anew.
  await driver.stop()
  live.peers.splice(live.peers.indexOf(driver), 1)
  const again = await live.start({ swarm, dataDir, memoryBytes: 0 })
  await expect.poll(() => workOf(again, liar), { timeout: 20_000 }).toBe('refuted')
  const later = await again.generate('Once upon a time', { maxTokens: 6, waitMs: 20_000 }).answer
  expect(later.hops.map(({ peer }) => peer)).not.toContain(liar.id)
  expect(later.ids).toEqual(after.ids)
}, 180_000)
