/**
 * Each architecture against transformers: small models whose weights a formula gives, imported from a directory as theirs are, give its
 * logits within rounding, and its ids. `scripts/reference-architectures.py` made the numbers.
 */
import { globSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { formsHere } from '../../src/engine/wasm/forms.ts'
import { wasmEngine } from '../../src/engine/wasm/factory.ts'
import { WasmSpan } from '../../src/engine/wasm/span.ts'
import { spanOf } from '../../src/engine/span-of.ts'
import { describeModel } from '../../src/model/architectures/registry.ts'
import { importModel } from '../../src/model/import.ts'
import { openStore, type StoredModel } from '../../src/model/store.ts'
import { type TinyTensor, writeModelDirectory } from './hugging-face.ts'
import { PlainDecoder } from './plain-decoder.ts'
import { scratchFolders } from '../scratch.ts'

interface Reference {
  readonly config: Readonly<Record<string, unknown>>
  readonly tensors: Readonly<Record<string, number[]>>
  readonly inv_freq?: readonly number[]
  readonly attention_factor?: number
  readonly cases: readonly {
    readonly prompt: readonly number[]
    readonly logits: readonly number[]
    readonly ids: readonly number[]
    /** Smallest difference of the best two logits on the way. */
    readonly gap: number
  }[]
}

const folder = path.join(import.meta.dirname, 'architectures')
const references = globSync('*.json', { cwd: folder })
  .sort()
  .map((file): [string, Reference] => [
    path.basename(file, '.json'),
    JSON.parse(readFileSync(path.join(folder, file), 'utf8')) as Reference
  ])

/** The numbers that `weights` of the script gives. */
function referenceWeights(name: string, shape: readonly number[], plusOne: boolean): Float32Array {
  let seed = 2166136261
  for (const byte of new TextEncoder().encode(name)) seed = Math.imul(seed ^ byte, 16777619) >>> 0
  const isNorm = shape.length === 1 && name.includes('norm')
  const scale = name.includes('embed_tokens') ? 1 : shape.length === 1 || name.includes('lm_head') ? 0.5 : 0.25
  return Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => {
    let h = (Math.imul(i, 2654435761) + seed) >>> 0
    h = Math.imul(h ^ (h >>> 15), 2246822519)
    h = Math.imul(h ^ (h >>> 13), 3266489917)
    h = (h ^ (h >>> 16)) >>> 0
    const unit = (h >>> 8) * 2 ** -23 - 1
    return isNorm ? Math.fround(unit * 0.25) + (plusOne ? 1 : 0) : unit * scale
  })
}

async function imported(dir: string, { config, tensors }: Reference): Promise<StoredModel> {
  const plusOne = !String(config.model_type).startsWith('gemma')
  const made = new Map(
    Object.entries(tensors).map(([name, shape]): [string, TinyTensor] => [
      name,
      { shape, values: referenceWeights(name, shape, plusOne) }
    ])
  )
  const source = path.join(dir, 'source')
  await writeModelDirectory(source, config, made)
  const store = await openStore({ own: path.join(dir, 'store') })
  return importModel({
    ...{ source, store, name: 'tiny', weights: 'f32', edge: 'f32' },
    signal: AbortSignal.timeout(60_000)
  })
}

/** The largest difference, in units of the largest logit. */
function difference(actual: ArrayLike<number>, wanted: readonly number[]): number {
  const largest = Math.max(...wanted.map(Math.abs))
  return Math.max(...wanted.map((value, i) => Math.abs(value - actual[i]!))) / largest
}

/** Of float32 sums: the engine was seen off by up to 1.4e-6, transformers in float32 by up to 1.8e-6. */
const rounding = 4e-6

describe.each(references)('%s', (_, reference) => {
  let dir: string
  let model: StoredModel
  const folder = scratchFolders(afterAll)
  beforeAll(async () => {
    dir = await folder()
    model = await imported(dir, reference)
  })

  test('is described and written so that a plain decoder agrees', () => {
    const decoder = PlainDecoder.of(model)
    for (const { prompt, logits, ids } of reference.cases) {
      const answer = decoder.greedy(prompt, ids.length)
      // transformers has cosines and sines in float32.
      expect(difference(answer.logits, logits)).toBeLessThan(1e-6)
      expect(answer.ids).toEqual(ids)
    }
  })

  test('is computed by the engine', () => {
    expect(wasmEngine.supports(model.manifest)).toBeUndefined()
    const { layers, hidden } = model.manifest.config
    const shardDirectory = path.join(model.folder, 'shards')
    const span = WasmSpan.create({
      ...spanOf({ manifest: model.manifest, start: 0, end: layers, shardDirectory }),
      source: { kind: 'folder', path: shardDirectory },
      forms: formsHere()
    })
    for (const { prompt, logits, ids, gap } of reference.cases) {
      const cache = span.open()
      const last = (input: readonly number[]): Float32Array => {
        const out = span.run(cache, Int32Array.from(input), input.length)
        return span.logits(out.subarray(out.length - hidden)).slice()
      }
      let own = last(prompt)
      expect(difference(own, logits)).toBeLessThan(rounding)
      for (const [n, id] of ids.entries()) {
        // Where the best two are as near as rounding, either may be first.
        if (gap > 1e-3) expect([n, own.indexOf(Math.max(...own))]).toEqual([n, id])
        own = last([id])
      }
    }
    span.release()
  })

  test('is rotated as there', () => {
    const { config, inv_freq, attention_factor } = reference
    if (inv_freq === undefined) return
    const { ropeTheta, headDim, rotation } = describeModel(config, 'config.json').config
    const dims = rotation?.dims ?? headDim
    const frequencies = inv_freq.map((_, i) => 1 / (ropeTheta ** ((2 * i) / dims) * (rotation?.divisors?.[i] ?? 1)))
    expect(frequencies.length).toBe(dims / 2)
    for (const [i, frequency] of frequencies.entries()) expect(frequency / inv_freq[i]!).toBeCloseTo(1, 5)
    expect(rotation?.gain ?? 1).toBeCloseTo(attention_factor!, 6)
  })
})
