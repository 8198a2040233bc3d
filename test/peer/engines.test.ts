/**
 * A peer does not know what computes: here it is the toy engine, whose answers tell a step that was lost, doubled or stale.
 * Everything else is real: two peers over libp2p, the model that ships, its tokenizer.
 */
import { expect, it } from 'vitest'
import { toyEngine, type ToyModel } from '../../sim/toy-engine.ts'
import { toyTokens } from '../../sim/toy-text.ts'
import { type EngineFactory, listModels, type Manifest, onnxEngine, splitBudgets } from '../../src/index.ts'
import { newSwarm } from '../../src/swarm/swarm-file.ts'
import { livePeers } from './live-peers.ts'

const { peers, start } = livePeers('engines')

function toyOf({ config: { layers, vocab, hidden, contextMax }, edge }: Manifest): ToyModel {
  return { layers, vocab, hidden, contextMax, edge }
}

/** The toy engine; it holds no weights, and says how often it was asked for a stage. */
function toyFactory(change: Partial<EngineFactory> = {}): EngineFactory & { readonly made: string[] } {
  const made: string[] = []
  return {
    name: 'toy',
    exactness: 'class',
    supports: () => undefined,
    footprint: () => ({ weightBytes: () => 1000, cacheBytesPerLayer: tokens => 10 * tokens }),
    measure: async () => ({ visitMs: 1, layerMs: 1, numericClass: 'toy' }),
    create: async ({ manifest, start, end, cacheBytesMax }) => {
      made.push(`${start}-${end}`)
      return toyEngine({ model: toyOf(manifest), start, end, cacheBytesMax: Math.max(cacheBytesMax, 1 << 26) })
    },
    ...change,
    made
  }
}

async function shipped() {
  const [model] = await listModels('/nonexistent')
  return model!
}

it('two peers answer with an engine that the caller brings', { timeout: 120_000 }, async () => {
  const swarm = newSwarm('engines')
  const toy = toyFactory()
  const { manifest } = await shipped()
  const { layers } = manifest.config
  // The first one named does not support the model: it is never asked to compute.
  const picky = toyFactory({ name: 'picky', supports: ({ name }) => `it does not know ${name}` })
  const cut = Math.floor(layers / 2)
  await start({ swarm, engines: [picky, toy], layers: { start: 0, end: cut }, memoryBytes: 64e6 })
  await start({ swarm, engines: [picky, toy], layers: { start: cut, end: layers }, memoryBytes: 64e6 })
  for (const peer of peers) {
    await expect.poll(() => peer.status().models[0]?.coverage, { timeout: 30_000 }).toEqual(new Array(layers).fill(1))
  }
  const generation = peers[0]!.generate('Once upon a time', { maxTokens: 30 })
  for await (const _token of generation);
  const { ids, promptIds, exact, hops } = await generation.answer
  const greedy = { temperature: 0, topP: 1, topK: 0, seed: 0 }
  expect(ids).toEqual(toyTokens(toyOf(manifest), promptIds, greedy, 30))
  expect(exact).toBe(true)
  expect(hops.map(hop => [hop.start, hop.end])).toEqual([
    [0, cut],
    [cut, layers]
  ])
  expect(toy.made.sort()).toEqual([`0-${cut}`, `${cut}-${layers}`])
  expect(picky.made).toEqual([])
  const timings = peers[0]!.status().peers.flatMap(each => each.timings)
  expect(timings.map(({ numericClass }) => numericClass)).toEqual(['toy', 'toy'])
})

it('an engine whose bits nobody shares makes each peer a class of its own', { timeout: 120_000 }, async () => {
  const swarm = newSwarm('classes')
  const loose = toyFactory({ name: 'loose', exactness: 'none' })
  for (let i = 0; i < 2; i++) await start({ swarm, engines: [loose], layers: { start: 0, end: 1 }, memoryBytes: 64e6 })
  const classes = (): string[] =>
    peers[0]!.status().peers.flatMap(({ timings }) => timings.map(({ numericClass }) => numericClass))
  await expect.poll(() => new Set(classes()).size, { timeout: 30_000 }).toBe(2)
  for (const text of classes()) expect(text).toMatch(/^loose-/)
})

it('says which engines refuse a model, and why', async () => {
  const picky = toyFactory({ name: 'picky', supports: () => 'it is too wide' })
  const { manifest } = await shipped()
  const refusal = `no engine of this peer computes ${manifest.name} (picky: it is too wide)`
  await expect(start({ swarm: newSwarm('none'), engines: [picky] })).rejects.toMatchObject({
    name: 'EngineError',
    message: refusal
  })
  expect(() => splitBudgets({ manifest }, 2, [picky])).toThrow(refusal)
  await expect(start({ swarm: newSwarm('none'), engines: [] })).rejects.toMatchObject({ name: 'InvalidOptionError' })
})

it('budgets are those of the engine', async () => {
  const { manifest } = await shipped()
  const [small] = splitBudgets({ manifest }, 1, [toyFactory()])
  const [large] = splitBudgets({ manifest }, 1, [onnxEngine])
  expect(small).toBeLessThan(large! / 2)
})

it('a peer of another engine is planned with what that takes', { timeout: 120_000 }, async () => {
  const swarm = newSwarm('two engines')
  const { manifest } = await shipped()
  const { layers } = manifest.config
  const [toyWhole] = splitBudgets({ manifest }, 1, [toyFactory()])
  // By the measure of ONNX Runtime it could not hold half of the model; its own engine holds all of it.
  expect(splitBudgets({ manifest }, 2, [onnxEngine])[0]).toBeGreaterThan(toyWhole! + 1e6)
  const small = splitBudgets({ manifest }, layers, [onnxEngine])
  const planning = await start({ swarm, engines: [onnxEngine], memoryBytes: Math.max(...small) })
  await start({ swarm, engines: [toyFactory()], memoryBytes: toyWhole! })
  await expect
    .poll(() => planning.status().models[0]?.coverage.every(count => count > 0), { timeout: 30_000 })
    .toBe(true)
  expect(planning.status().models[0]?.missing).toBeNull()
  const [own] = planning.status().peers.filter(({ self }) => self)
  expect(own!.usedBytes).toBeLessThanOrEqual(own!.budgetBytes)
})
