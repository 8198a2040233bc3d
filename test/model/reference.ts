/**
 * A model read back and run the plain way: tensors decoded by a dequantiser of its own and a forward pass of
 * loops in float64. Slow, and independent of the engine and of the code that wrote the shards.
 */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { shardLayout } from '../../src/model/layout.ts'
import type { StoredModel } from '../../src/model/store.ts'
import { readMatrix } from './tile-reader.ts'

/** A matrix [outputs, inputs] as the model means it, whatever its storage. */
export interface ReferenceMatrix {
  readonly outputs: number
  readonly inputs: number
  readonly values: Float32Array
}

export interface ReferenceShard {
  readonly matrices: Map<string, ReferenceMatrix>
  readonly vectors: Map<string, Float32Array>
}

/** Decodes every tensor of the `index`-th shard of the manifest. */
export function readShard(model: StoredModel, index: number): ReferenceShard {
  const shard = model.manifest.shards[index]!
  const bytes = readFileSync(path.join(model.folder, 'shards', shard.sha256))
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const layout = shardLayout(model.manifest, shard)
  const vectors = layout.vectors.map(({ name, length, offset }): [string, Float32Array] => [
    name,
    Float32Array.from({ length }, (_, i) => view.getFloat32(offset + 4 * i, true))
  ])
  const matrices = layout.matrices.map((entry): [string, ReferenceMatrix] => {
    const { inputs, outputs, level, scale, minimum } = readMatrix(entry, bytes)
    const values = new Float32Array(outputs * inputs)
    for (let o = 0; o < outputs; o++) {
      for (let i = 0; i < inputs; i++) values[o * inputs + i] = level(o, i) * scale(o, i) + minimum(o, i)
    }
    return [entry.name, { outputs, inputs, values }]
  })
  return { matrices: new Map(matrices), vectors: new Map(vectors) }
}

/** Continues `prompt` by the most likely token `count` times; the ids that were added. */
export function generateGreedy(model: StoredModel, prompt: readonly number[], count: number): number[] {
  const { config } = model.manifest
  const shards = model.manifest.shards.map((_, i) => readShard(model, i))
  const embedding = shards[0]!.matrices.get('embedding')!
  const head = shards.at(-1)!
  const output = config.tiedEmbeddings ? embedding : head.matrices.get('output')!
  const layers = shards.slice(1, -1)
  const { heads, kvHeads, headDim, hidden } = config
  const keys: Float64Array[][] = layers.map(() => [])
  const values: Float64Array[][] = layers.map(() => [])

  const step = (id: number, position: number): Float64Array => {
    let x: Float64Array = Float64Array.from(embedding.values.subarray(id * hidden, (id + 1) * hidden))
    for (const [l, { matrices, vectors }] of layers.entries()) {
      const qkv = multiply(matrices.get('qkv')!, norm(x, vectors.get('norm1')!, config.normEpsilon))
      const q = qkv.subarray(0, heads * headDim)
      const k = qkv.slice(heads * headDim, (heads + kvHeads) * headDim)
      rotate(q, headDim, position, config.ropeTheta)
      rotate(k, headDim, position, config.ropeTheta)
      keys[l]!.push(k)
      values[l]!.push(qkv.slice((heads + kvHeads) * headDim))
      const attended = new Float64Array(heads * headDim)
      for (let h = 0; h < heads; h++) {
        const g = Math.floor(h / (heads / kvHeads)) * headDim
        const scores = keys[l]!.map(key => {
          let sum = 0
          for (let i = 0; i < headDim; i++) sum += q[h * headDim + i]! * key[g + i]!
          return sum / Math.sqrt(headDim)
        })
        const largest = Math.max(...scores)
        const weights = scores.map(score => Math.exp(score - largest))
        const total = weights.reduce((a, b) => a + b, 0)
        for (const [t, weight] of weights.entries()) {
          for (let i = 0; i < headDim; i++) attended[h * headDim + i]! += (weight / total) * values[l]![t]![g + i]!
        }
      }
      x = add(x, multiply(matrices.get('o')!, attended))
      const normed = norm(x, vectors.get('norm2')!, config.normEpsilon)
      const both = multiply(matrices.get('gateup')!, normed)
      const gate = both.subarray(0, config.intermediate)
      const up = both.subarray(config.intermediate)
      x = add(
        x,
        multiply(
          matrices.get('down')!,
          gate.map((g, i) => (g / (1 + Math.exp(-g))) * up[i]!)
        )
      )
    }
    return multiply(output, norm(x, head.vectors.get('norm')!, config.normEpsilon))
  }

  const ids: number[] = []
  let logits: Float64Array = new Float64Array()
  for (const [position, id] of prompt.entries()) logits = step(id, position)
  for (let n = 0; n < count; n++) {
    const id = logits.indexOf(logits.reduce((a, b) => Math.max(a, b)))
    ids.push(id)
    if (n + 1 < count) logits = step(id, prompt.length + n)
  }
  return ids
}

function multiply({ outputs, inputs, values }: ReferenceMatrix, x: Float64Array): Float64Array {
  const y = new Float64Array(outputs)
  for (let o = 0; o < outputs; o++) {
    let sum = 0
    for (let i = 0; i < inputs; i++) sum += values[o * inputs + i]! * x[i]!
    y[o] = sum
  }
  return y
}

function norm(x: Float64Array, weight: Float32Array, epsilon: number): Float64Array {
  let squares = 0
  for (const value of x) squares += value * value
  const scale = 1 / Math.sqrt(squares / x.length + epsilon)
  return x.map((value, i) => value * scale * weight[i]!)
}

function add(a: Float64Array, b: Float64Array): Float64Array {
  return Float64Array.from(a, (value, i) => value + b[i]!)
}

/** Rotates the halves of every head, as Hugging Face does. */
function rotate(x: Float64Array, headDim: number, position: number, theta: number): void {
  const half = headDim / 2
  for (let head = 0; head < x.length; head += headDim) {
    for (let i = 0; i < half; i++) {
      const angle = position / theta ** ((2 * i) / headDim)
      const [a, b] = [x[head + i]!, x[head + half + i]!]
      x[head + i] = a * Math.cos(angle) - b * Math.sin(angle)
      x[head + half + i] = a * Math.sin(angle) + b * Math.cos(angle)
    }
  }
}
