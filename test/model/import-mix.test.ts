/** Weights that are converted to several types, by kind. */
import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { beforeEach, describe, expect, test } from 'vitest'
import type { DtypeChoice, WeightName } from '../../src/model/dtype-choice.ts'
import { importBytes, importModel } from '../../src/model/import.ts'
import { shardLayout } from '../../src/model/layout.ts'
import { type ModelStore, openStore, type StoredModel } from '../../src/model/store.ts'
import { partsOfLayer, typeOf, type WeightType } from '../../src/model/weight-types.ts'
import { writeGguf } from './formats/gguf-writer.ts'
import { writeTiny } from './hugging-face.ts'
import { quantised, wideConfig } from './quantised-gguf.ts'
import { readShard } from './reference.ts'
import { tinyMetadata } from './tiny-gguf.ts'
import { scratchFolders } from '../scratch.ts'

let dir: string
let source: string
let store: ModelStore
let count = 0
const folder = scratchFolders()
beforeEach(async () => {
  dir = await folder()
  source = path.join(dir, 'source')
  store = await openStore({ own: path.join(dir, 'store') })
})

function imported(weights?: DtypeChoice, from = source): Promise<StoredModel> {
  const signal = AbortSignal.timeout(60_000)
  return importModel({ source: from, store, name: `m${count++}`, weights, edge: 'f16', signal })
}

/** Type of a matrix, and digest of its weights, as they are stored. */
function stored(model: StoredModel, name: WeightName, layer: number | null): { type: WeightType; sha256: string } {
  const index = name === 'embedding' ? 0 : layer === null ? model.manifest.shards.length - 1 : layer + 1
  const shard = readShard(model, index)
  for (const entry of shardLayout(model.manifest, model.manifest.shards[index]!).matrices) {
    const part = entry.parts.find(each => each.name === name)
    if (part === undefined) continue
    const { values, inputs } = shard.matrices.get(entry.name)!
    const own = values.subarray(part.at * inputs, (part.at + part.rows) * inputs)
    const bytes = new Uint8Array(own.buffer, own.byteOffset, own.byteLength)
    return { type: entry.type, sha256: createHash('sha256').update(bytes).digest('hex') }
  }
  throw new Error(`there is no ${name}`)
}

const parts = partsOfLayer({}, 0)
const all: readonly [WeightName, number | null][] = [
  ['embedding', null],
  ...[0, 1].flatMap(layer => parts.map((name): [WeightName, number] => [name, layer])),
  ['output', null]
]

/** Expects every matrix to be as it is in the model that `like` names. */
function expectLike(model: StoredModel, like: (name: WeightName) => StoredModel): void {
  for (const [name, layer] of all) {
    expect({ name, layer, ...stored(model, name, layer) }).toEqual({ name, layer, ...stored(like(name), name, layer) })
  }
}

const isAttention = (name: WeightName): boolean => ['q', 'k', 'v', 'o'].includes(name)

describe('a checkpoint', () => {
  test('has each kind in its type, and the same weights as a model of that type', async () => {
    await writeTiny(source, { config: wideConfig })
    const [f32, q8, q4] = [await imported('f32'), await imported('q8'), await imported('q4')]
    expectLike(await imported({ rest: 'q4', attention: 'q8' }), name => (isAttention(name) ? q8 : q4))
    expectLike(await imported({ attention: 'q4', head: 'f32' }), name =>
      isAttention(name) ? q4 : name === 'output' ? f32 : q8
    )
    const mixed = await imported({ rest: 'q8', 'feed-forward': 'q4', down: 'f32', v: 'q4', embedding: 'q4' })
    const { weights } = mixed.manifest
    const types = parts.map(part => typeOf(weights, part, 1))
    expect(types).toEqual(['q8-f16', 'q8-f16', 'q4-f16', 'q8-f16', 'q4-f16', 'q4-f16', 'f32'])
    expect([typeOf(weights, 'embedding', null), typeOf(weights, 'output', null)]).toEqual(['q4-f16', 'q8-f16'])
    expect(await importBytes(source, { rest: 'q8', down: 'f32' })).toBeGreaterThan(await importBytes(source, 'q8'))
  })

  test('may have 4 bits with a minimum for each block, beside others', async () => {
    await writeTiny(source, { config: wideConfig })
    const [q8, least] = [await imported('q8'), await imported('q4-min')]
    expect(least.manifest.weights).toBe('q4-f16-min')
    expect(stored(least, 'embedding', null)).toEqual(stored(q8, 'embedding', null))
    expectLike(await imported({ 'feed-forward': 'q4-min' }), name =>
      ['gate', 'up', 'down'].includes(name) ? least : q8
    )
  })

  test('in which all kinds are said to be what one type says is that model', async () => {
    await writeTiny(source, { config: wideConfig })
    const shards = ({ manifest }: StoredModel): unknown => [manifest.weights, manifest.shards]
    const same = await imported({ attention: 'q4', 'feed-forward': 'q4', embedding: 'q8', head: 'q8' })
    expect(shards(same)).toEqual(shards(await imported('q4')))
    expect(shards(await imported({}))).toEqual(shards(await imported('q8')))
  })

  test('whose embedding is its output matrix has one type for it', async () => {
    await writeTiny(source, {
      config: { ...wideConfig, tie_word_embeddings: true },
      edit: all => all.delete('lm_head.weight')
    })
    for (const choice of [{ head: 'q4' }, { embedding: 'q4' }, { head: 'q4', embedding: 'q4' }] as const) {
      expect(typeOf((await imported(choice)).manifest.weights, 'output', null)).toBe('q4-f16')
    }
    source = path.join(dir, 'tied.gguf')
    const tensors = quantised(() => 'Q4_1')
    tensors.delete('output.weight')
    await writeFile(source, writeGguf({ metadata: tinyMetadata(wideConfig), tensors }))
    expect(typeOf((await imported({ head: 'q8' })).manifest.weights, 'embedding', null)).toBe('q8-f16')
    await expect(imported({ embedding: 'q8', head: 'f32' })).rejects.toMatchObject({
      name: 'ImportError',
      message: 'embedding and head are one matrix in this model: it cannot be q8 as one and f32 as the other'
    })
  })
})

describe('a GGUF file', () => {
  const write = async (typeOfTensor: (name: string) => string): Promise<void> => {
    source = path.join(dir, 'model.gguf')
    await writeFile(source, writeGguf({ metadata: tinyMetadata(wideConfig), tensors: quantised(typeOfTensor) }))
  }

  test('keeps what nothing is said of as it is', async () => {
    await write(name => (/attn_v|ffn_down/.test(name) ? 'Q6_K' : 'Q4_1'))
    const [kept, q8] = [await imported(), await imported('q8')]
    const mixed = await imported({ 'feed-forward': 'q8' })
    expectLike(mixed, name => (['gate', 'up', 'down'].includes(name) ? q8 : kept))
    expect(stored(mixed, 'q', 0).type).toBe('q4-f16-min')
    expect(stored(mixed, 'v', 0).type).toBe('q8-f16i8-16')
  })

  test('has kept and converted matrices side by side where they are of one type', async () => {
    await write(name => (/attn_k/.test(name) ? 'Q8_0' : 'Q4_0'))
    const [kept, q4] = [await imported(), await imported('q4')]
    const mixed = await imported({ k: 'q4' })
    expect(shardLayout(mixed.manifest, { role: 'layer', layer: 0 }).matrices[0]!.parts.map(({ name }) => name)).toEqual(
      ['q', 'k', 'v']
    )
    expectLike(mixed, name => (name === 'k' ? q4 : kept))
  })

  test('of a type that is not held needs only those converted that are of it', async () => {
    await write(name => (/ffn/.test(name) ? 'Q2_K' : 'Q8_0'))
    await expect(imported({ attention: 'q8' })).rejects.toThrow('has the type Q2_K, which is not held as it is')
    expect(stored(await imported({ 'feed-forward': 'q4' }), 'q', 0).type).toBe('q8-f16')
  })
})
