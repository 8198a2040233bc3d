/** Models for tests, in a folder of their own: random ones of any dimensions, and the real stories260K. */
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { ShardId } from '../../src/base/ids.ts'
import { syntheticShard } from '../../src/engine/synthetic.ts'
import { layerMatrices, shardBytes, shardTensors } from '../../src/model/layout.ts'
import type { EdgeType, Manifest, ModelConfig, ShardRole, WeightType } from '../../src/model/manifest.ts'

export interface TestModel {
  readonly manifest: Manifest
  readonly shardDirectory: string
  remove(): void
}

type MakeShard = (role: ShardRole, layer: number | null) => Uint8Array

export function writeModel(config: ModelConfig, weights: WeightType, edge: EdgeType, make: MakeShard): TestModel {
  const shardDirectory = mkdtempSync(path.join(tmpdir(), 'skein-model-'))
  const order: [ShardRole, number | null][] = [
    ['embedding', null],
    ...Array.from({ length: config.layers }, (_, layer): [ShardRole, number] => ['layer', layer]),
    ['head', null]
  ]
  const shards = order.map(([role, layer]) => {
    const bytes = make(role, layer)
    const sha256 = createHash('sha256').update(bytes).digest('hex') as ShardId
    writeFileSync(path.join(shardDirectory, sha256), bytes)
    // The engine reads neither digest.
    return { role, layer, bytes: bytes.length, sha256, chunks: '0'.repeat(64) }
  })
  const manifest: Manifest = {
    format: 1,
    name: 'test',
    architecture: 'llama',
    config,
    weights,
    edge,
    bosId: null,
    eosIds: [],
    tokenizer: { bytes: 1, sha256: '0'.repeat(64), chunks: '0'.repeat(64) },
    chatTemplate: null,
    licence: '',
    source: '',
    shards
  }
  return { manifest, shardDirectory, remove: () => rmSync(shardDirectory, { recursive: true }) }
}

/** @param gain multiplies the embedding, to make large activations. */
export function syntheticModel(
  config: ModelConfig,
  weights: WeightType,
  edge: EdgeType,
  seed: number,
  gain = 1
): TestModel {
  return writeModel(config, weights, edge, (role, layer) => {
    const shard = syntheticShard(config, weights, role, seed * 1000 + (layer ?? (role === 'head' ? 998 : 999)))
    if (role === 'embedding' && gain !== 1) {
      for (const { type, offset, bytes } of shardTensors(config, weights, role)) {
        if (type !== 'f32') continue
        const values = new Float32Array(shard.buffer, offset, bytes / 4)
        for (let i = 0; i < values.length; i++) values[i]! *= gain
      }
    }
    return shard
  })
}

/** Where the files of stories260K are, outside the repository. */
export const stories260kDirectory = path.resolve(import.meta.dirname, '../../../shared/data/stories260k')

/**
 * A llama2.c checkpoint (version 0) as a float32 model. Its matrices are [out, in], and its rotary embedding
 * turns neighbouring pairs, so the rows of q and k are reordered to halves.
 */
export function llama2cModel(file: string, edge: EdgeType): TestModel {
  const raw = readFileSync(file)
  const header = new Int32Array(raw.buffer.slice(raw.byteOffset, raw.byteOffset + 28))
  const [hidden, intermediate, layers, heads, kvHeads, vocab, contextMax] = header as unknown as number[] as [
    number,
    number,
    number,
    number,
    number,
    number,
    number
  ]
  const headDim = hidden / heads
  const config: ModelConfig = {
    layers,
    hidden,
    intermediate,
    heads,
    kvHeads,
    headDim,
    vocab: Math.abs(vocab),
    contextMax,
    ropeTheta: 10_000,
    normEpsilon: 1e-5,
    tiedEmbeddings: vocab > 0
  }
  const floats = new Float32Array(raw.buffer.slice(raw.byteOffset + 28, raw.byteOffset + raw.length))
  let at = 0
  const take = (count: number): Float32Array => {
    at += count
    return floats.subarray(at - count, at)
  }
  const takeLayers = (count: number): Float32Array[] => Array.from({ length: layers }, () => take(count))
  const embedding = take(config.vocab * hidden)
  const norm1 = takeLayers(hidden)
  const wq = takeLayers(hidden * hidden)
  const wk = takeLayers(kvHeads * headDim * hidden)
  const wv = takeLayers(kvHeads * headDim * hidden)
  const wo = takeLayers(hidden * hidden)
  const norm2 = takeLayers(hidden)
  const gate = takeLayers(intermediate * hidden)
  const down = takeLayers(hidden * intermediate)
  const up = takeLayers(intermediate * hidden)
  const norm = take(hidden)
  take(contextMax * headDim)
  const output = config.tiedEmbeddings ? embedding : take(config.vocab * hidden)

  /** Row of each head: pair i's first element goes to i, its second to headDim / 2 + i. */
  const halves = (w: Float32Array): Float32Array => {
    const out = new Float32Array(w.length)
    for (let row = 0; row < w.length / hidden; row++) {
      const inHead = row % headDim
      const to = row - inHead + (inHead % 2) * (headDim / 2) + (inHead >> 1)
      out.set(w.subarray(row * hidden, (row + 1) * hidden), to * hidden)
    }
    return out
  }
  const join = (...parts: Float32Array[]): Float32Array => {
    const out = new Float32Array(parts.reduce((n, part) => n + part.length, 0))
    let offset = 0
    for (const part of parts) {
      out.set(part, offset)
      offset += part.length
    }
    return out
  }
  const transposed = (w: Float32Array, inputs: number): Float32Array => {
    const outputs = w.length / inputs
    return Float32Array.from({ length: w.length }, (_, i) => w[(i % outputs) * inputs + Math.floor(i / outputs)]!)
  }
  return writeModel(config, 'f32', edge, (role, layer) => {
    const out = new Uint8Array(shardBytes(config, 'f32', role))
    const l = layer ?? 0
    const matrices: Record<string, Float32Array> =
      role === 'layer'
        ? {
            qkv: join(halves(wq[l]!), halves(wk[l]!), wv[l]!),
            o: wo[l]!,
            gateUp: join(gate[l]!, up[l]!),
            down: down[l]!
          }
        : { output }
    const vectors: Record<string, Float32Array> =
      role === 'layer' ? { norm1: norm1[l]!, norm2: norm2[l]! } : { embedding, norm }
    for (const { name, offset, bytes } of shardTensors(config, 'f32', role)) {
      const inputs = layerMatrices(config).find(m => m.name === name)?.inputs ?? hidden
      const values = vectors[name] ?? transposed(matrices[name]!, inputs)
      new Float32Array(out.buffer, offset, bytes / 4).set(values)
    }
    return out
  })
}

/** Overwrites the float32 embedding of one token. The file no longer has its digest, which the engine does not check. */
export function poisonEmbedding({ manifest, shardDirectory }: TestModel, id: number, value: number): void {
  const file = path.join(shardDirectory, manifest.shards[0]!.sha256)
  const bytes = new Uint8Array(readFileSync(file))
  const { hidden } = manifest.config
  new Float32Array(bytes.buffer, 0, bytes.length / 4).fill(value, id * hidden, (id + 1) * hidden)
  writeFileSync(file, bytes)
}
