/** What an import tells of what its weight types cost. */
import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { beforeEach, expect, test } from 'vitest'
import { type EngineFactory, wasmEngine, type WeightCost } from '../../src/index.ts'
import type { DtypeChoice } from '../../src/model/dtype-choice.ts'
import { importModel, type ImportModelInit } from '../../src/peer/import-model.ts'
import { costly } from '../../src/peer/weight-cost.ts'
import { type TinyTensor, writeTiny } from '../model/hugging-face.ts'
import { scratchFolders } from '../scratch.ts'

let dir: string
let source: string
let dataDir: string
const folder = scratchFolders()
beforeEach(async () => {
  dir = await folder()
  source = path.join(dir, 'source')
  dataDir = path.join(dir, 'data')
})

const config = { hidden_size: 64, intermediate_size: 128, num_hidden_layers: 3, max_position_embeddings: 256 }

interface Told {
  readonly costs: WeightCost[]
  readonly notes: string[]
  readonly layers: number[]
}

async function imported(weights: DtypeChoice, init: Partial<ImportModelInit> = {}): Promise<Told> {
  const told: Told = { costs: [], notes: [], layers: [] }
  await importModel({
    ...{ source, dataDir, name: `m${Math.random()}`, edge: 'f32', weights, signal: AbortSignal.timeout(200_000) },
    onCost: cost => void told.costs.push(cost),
    onNote: note => void told.notes.push(note),
    onCheck: ({ done }) => void told.layers.push(done),
    ...init
  })
  expect((await readdir(path.join(dataDir, 'models', 'shards'))).filter(name => name.startsWith('.'))).toEqual([])
  return told
}

/** Matrices of layers as 4 bits hold them: in each 32 columns multiples of one number, from -8 to 7. */
function onLevels(tensors: Map<string, TinyTensor>): void {
  for (const [name, { shape, values }] of tensors) {
    if (!name.startsWith('model.layers.') || shape.length === 1) continue
    for (let block = 0; block < values.length; block += 32) {
      for (let i = 0; i < 32; i++) values[block + i] = (i === 0 ? -8 : ((i * 7 + block) % 16) - 8) * 2 ** -6
    }
  }
}

test('weights that 4 bits do not hold cost much, which is measured and told', { timeout: 240_000 }, async () => {
  await writeTiny(source, { config })
  const { costs, notes, layers } = await imported('q4')
  expect(layers).toEqual([1, 2, 3])
  const [cost] = costs
  // Three texts of 128 tokens, of which each but the first is predicted.
  expect(cost!.tokens).toBe(3 * 127)
  expect(cost!.divergence).toBeGreaterThan(0.1)
  expect(notes).toEqual([costly(cost!, 'q4-f16')])
  expect(notes[0]).toMatch(
    /^weights of q4-f16 cost this model \d+\.\d % in perplexity and change the likeliest token in \d+ of 100 places/
  )
})

test('weights that 4 bits hold cost little; a matrix of the tables counts as well', { timeout: 240_000 }, async () => {
  await writeTiny(source, { config, edit: onLevels })
  const kept = await imported('q4')
  expect(kept.notes).toEqual([])
  // Activations have 8 bits, all the same.
  expect(kept.costs[0]!.divergence).toBeGreaterThan(0)
  expect(kept.costs[0]!.divergence).toBeLessThan(0.02)
  const tables = await imported({ rest: 'q4', head: 'q4', embedding: 'q4' })
  expect(tables.costs[0]!.divergence).toBeGreaterThan(2 * kept.costs[0]!.divergence)
})

test('what has no 4 bits, or is not to be measured, is not', { timeout: 240_000 }, async () => {
  await writeTiny(source, { config })
  const none = { costs: [], notes: [], layers: [] }
  expect(await imported('q8')).toEqual(none)
  expect(await imported('q4', { check: false })).toEqual(none)
})

test('what hinders the measuring is told, and ends no import', { timeout: 240_000 }, async () => {
  await writeTiny(source, { config })
  const blind: EngineFactory = { ...wasmEngine }
  delete (blind as { compare?: unknown }).compare
  expect((await imported('q4', { engines: [blind] })).notes).toEqual([
    'what weights of q4-f16 cost this model was not measured: no engine of this peer compares weights'
  ])
  const failing: EngineFactory = {
    ...wasmEngine,
    compare: () => ({
      layer: () => Promise.reject(new Error('the thread ended')),
      close: async () => {}
    })
  }
  expect((await imported('q4', { engines: [failing] })).notes).toEqual([
    'what weights of q4-f16 cost this model was not measured: the thread ended'
  ])
})

test('an import that is aborted while it is measured leaves nothing', { timeout: 240_000 }, async () => {
  await writeTiny(source, { config })
  const given = new AbortController()
  const reason = new Error('given up')
  const importing = importModel({
    ...{ source, dataDir, name: 'tiny', weights: 'q4', edge: 'f32', signal: given.signal },
    onCheck: ({ done }) => {
      if (done === 1) given.abort(reason)
    }
  })
  expect(await importing.catch((error: unknown) => error)).toBe(reason)
  expect(await readdir(path.join(dataDir, 'models', 'shards'))).toEqual([])
  expect(await readdir(path.join(dataDir, 'models', 'manifests')).catch(() => [])).toEqual([])
})
