/** Weights that Node's threads read while kernels are compiled are those that the engine's thread would have read. */
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { syntheticShard } from '../../../src/engine/synthetic.ts'
import { loadWeights, readAhead, weightBytes, type WeightsInit } from '../../../src/engine/wasm/weights.ts'
import { shardName, stagePlaces } from '../../../src/model/manifest.ts'

const config = {
  ...{ layers: 3, hidden: 64, intermediate: 96, heads: 4, kvHeads: 2, headDim: 16, vocab: 100, contextMax: 64 },
  ...{ ropeTheta: 10_000, normEpsilon: 1e-5, tiedEmbeddings: false }
}
const places = stagePlaces(config, 0, 3)
let folder: string
let init: WeightsInit

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'skein-ahead-'))
  for (const [i, place] of places.entries()) {
    await writeFile(join(folder, String(i)), syntheticShard({ config, weights: 'q8' }, place, i + 1))
  }
  const shardLocations = new Map(places.map((place, i) => [shardName(place), String(i)]))
  init = { config, weights: 'q8', shardLocations, source: { kind: 'folder', path: folder } }
})
afterAll(() => rm(folder, { recursive: true }))

it.each([ArrayBuffer, SharedArrayBuffer])('has the same bytes in a %s, however many were read ahead', async Kind => {
  const bytes = weightBytes(init, places)
  const want = new Kind(bytes)
  const weights = loadWeights(init, places, want)
  const names = places.map(shardName)
  const counts = new Set<number>()
  for (const bytesMax of [0, bytes / 2, bytes]) {
    const memory = new Kind(bytes)
    const ahead = await readAhead(init, places, memory, bytesMax)
    expect([...ahead]).toEqual(names.slice(0, ahead.size))
    counts.add(ahead.size)
    expect(loadWeights(init, places, memory, ahead)).toEqual(weights)
    expect(Buffer.compare(new Uint8Array(memory), new Uint8Array(want))).toBe(0)
  }
  expect(counts.size).toBe(3)
  expect(Math.max(...counts)).toBe(names.length)
})

it('says which file is wrong', async () => {
  const memory = new ArrayBuffer(weightBytes(init, places))
  const missing = { ...init, shardLocations: new Map(init.shardLocations).set('layer 1', 'nowhere') }
  await expect(readAhead(missing, places, memory)).rejects.toThrow(/ENOENT.*nowhere/)
  await truncate(join(folder, '2'), 100)
  await expect(readAhead(init, places, memory)).rejects.toThrow(
    /^the file of the layer 1 has 100 bytes, its dimensions need \d+$/
  )
})
