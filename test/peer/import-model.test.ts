/** What an import has the engine say: whether it computes a model, and what edge type the model takes. */
import path from 'node:path'
import { beforeEach, expect, test } from 'vitest'
import { type EdgeChoice, type EngineFactory, importModel, listModels, wasmEngine } from '../../src/index.ts'
import { PlainDecoder } from '../model/plain-decoder.ts'
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

const inTime = (): AbortSignal => AbortSignal.timeout(50_000)

/** What a layer adds is so many times as large. */
const times =
  (factor: number, layer = 0) =>
  (tensors: Map<string, TinyTensor>): void => {
    const { values } = tensors.get(`model.layers.${layer}.mlp.down_proj.weight`)!
    for (const [i, value] of values.entries()) values[i] = value * factor
  }

async function choose(init: Parameters<typeof writeTiny>[1]): Promise<EdgeChoice & { readonly written: string }> {
  await writeTiny(source, init)
  const choices: EdgeChoice[] = []
  const model = await importModel({
    ...{ source, dataDir, name: 'tiny', weights: 'f32', signal: inTime() },
    onEdge: choice => void choices.push(choice)
  })
  expect(choices.length).toBe(1)
  return { ...choices[0]!, written: model.manifest.edge }
}

test('edges are of float16 where hidden states stay well within it', async () => {
  const { edge, reach, written } = await choose({ config: { num_hidden_layers: 3 } })
  expect([edge, written]).toEqual(['f16', 'f16'])
  expect(reach).toBeGreaterThan(1)
  expect(reach).toBeLessThan(1000)
})

test('edges are of bfloat16 where a hidden state reaches beyond half of float16', async () => {
  const { edge, reach, written } = await choose({ config: { num_hidden_layers: 3 }, edit: times(2 ** 14, 1) })
  expect([edge, written]).toEqual(['bf16', 'bf16'])
  expect(reach).toBeGreaterThan(65_504 / 2)
})

test('what the last layer gives is no edge: it is not rounded', async () => {
  expect((await choose({ edit: times(2 ** 14, 1) })).written).toBe('f16')
})

test('a model of one layer has no edges to measure', async () => {
  expect(await choose({ config: { num_hidden_layers: 1 } })).toEqual({ edge: 'f16', reach: 0, written: 'f16' })
})

test('what is measured is the same each time, and so is the id; a given edge is not measured', async () => {
  await writeTiny(source)
  const first = await importModel({ source, dataDir, name: 'tiny', signal: inTime() })
  const again = await importModel({ source, dataDir, name: 'tiny', signal: inTime() })
  expect(again.id).toBe(first.id)
  const given = await importModel({
    ...{ source, dataDir, name: 'other', edge: 'bf16', signal: inTime() },
    onEdge: () => expect.unreachable('nothing is measured')
  })
  expect(given.manifest.edge).toBe('bf16')
  expect(PlainDecoder.of(given).greedy([1, 5, 9], 3).ids).toEqual(PlainDecoder.of(first).greedy([1, 5, 9], 3).ids)
})

test('a model that no engine computes is refused before anything is written', async () => {
  await writeTiny(source)
  const none: EngineFactory = { ...wasmEngine, name: 'none', supports: () => 'it computes nothing' }
  const refused = importModel({ source, dataDir, name: 'tiny', engines: [none], signal: inTime() })
  await expect(refused).rejects.toMatchObject({
    name: 'ImportError',
    exitCode: 3,
    message: 'no engine of this peer computes tiny (none: it computes nothing)'
  })
  expect((await listModels(dataDir)).filter(model => !model.shipped)).toEqual([])
})

test('a layer that overflows ends the import, and leaves nothing', async () => {
  await writeTiny(source, { config: { num_hidden_layers: 3 }, edit: times(3e38, 0) })
  await expect(importModel({ source, dataDir, name: 'tiny', weights: 'f32', signal: inTime() })).rejects.toThrow(
    /cannot be imported: layers 0-1 overflow/
  )
  expect((await listModels(dataDir)).filter(model => !model.shipped)).toEqual([])
})
