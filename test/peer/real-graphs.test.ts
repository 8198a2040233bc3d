/** Two real graphs, one that embeds texts and one that judges images, against onnxruntime and tokenizers in Python (`scripts/reference-graphs.py`). */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { whyNotInstalled } from '../../src/engine/onnx/installed.ts'
import { importGraph, type Peer, wasmEngine } from '../../src/index.ts'
import { newSwarm } from '../../src/swarm/swarm-file.ts'
import { needs } from '../needs.ts'
import { realModel } from '../real-models.ts'
import { livePeers } from './live-peers.ts'

const live = livePeers('real-graphs')
const folder = dirname(realModel('smol'))
const minilm = join(folder, 'minilm', 'model_quantized.onnx')
const nsfw = join(folder, 'open_nsfw.onnx')
const reference = JSON.parse(readFileSync(join(import.meta.dirname, 'real-graphs.json'), 'utf8')) as {
  readonly texts: readonly {
    readonly text: string
    readonly ids: readonly number[]
    readonly vector: readonly number[]
  }[]
  readonly input: string
  readonly scores: readonly (readonly number[])[]
}

const whyNot = (file: string): string | undefined =>
  whyNotInstalled() ?? (existsSync(file) ? undefined : 'real graphs are not here: scripts/get-model.ts fetches them')

/** One peer serves it, another one has neither it nor a runtime. */
async function asked(source: string, name: string): Promise<Peer> {
  const swarm = newSwarm(name)
  const dataDir = await live.folder()
  await importGraph({ source, dataDir, name })
  await live.start({ swarm, dataDir, model: name, memoryBytes: 600e6 })
  const asking = await live.start({ swarm, memoryBytes: 0, engines: [wasmEngine] })
  await expect.poll(() => asking.status().models[0]?.coverage[0], { timeout: 60_000 }).toBe(1)
  return asking
}

describe('all-MiniLM-L6-v2', needs(whyNot(minilm)), () => {
  it('gives the vectors of the reference, by its own tokenizer, whatever is asked with it', {
    timeout: 120_000
  }, async () => {
    const peer = await asked(minilm, 'minilm')
    const { vectors, tokens, cut } = await peer.embed(
      'minilm',
      reference.texts.map(({ text }) => text)
    )
    for (const [i, { ids, vector }] of reference.texts.entries()) {
      expect(tokens[i]! - cut[i]!).toBe(ids.length)
      // The same runtime, on another processor perhaps: products of 8 bits are rounded alike.
      const largest = Math.max(...vector.map((value, at) => Math.abs(value - vectors[i]![at]!)))
      expect(largest).toBeLessThan(2e-3)
    }
    expect(cut).toEqual([0, 0, 0, 0, 174])
    const cosine = (a: Float32Array, b: Float32Array): number => a.reduce((sum, value, i) => sum + value * b[i]!, 0)
    expect(cosine(vectors[0]!, vectors[1]!)).toBeGreaterThan(cosine(vectors[0]!, vectors[2]!) + 0.2)
    const [again] = (await peer.embed('minilm', [reference.texts[1]!.text])).vectors
    expect([...again!]).toEqual([...vectors[1]!])
    await expect(peer.generate('Hello').answer).rejects.toThrow()
  })
})

describe('open_nsfw', needs(whyNot(nsfw)), () => {
  it('gives the scores of the reference, for three images at once', { timeout: 120_000 }, async () => {
    const peer = await asked(nsfw, 'open-nsfw')
    const dims = [3, 224, 224, 3]
    const data = Float32Array.from({ length: 3 * 224 * 224 * 3 }, (_, i) => ((i * 7919) % 255) - 117)
    const { outputs } = await peer.infer('open-nsfw', { [reference.input]: { type: 'float32', dims, data } })
    const [scores] = Object.values(outputs)
    expect(scores!.dims).toEqual([3, 2])
    for (const [i, value] of reference.scores.flat().entries()) expect(scores!.data[i]).toBeCloseTo(value, 5)
  })
})
