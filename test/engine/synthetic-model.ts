/** Models for tests, in a folder of their own: random ones of any dimensions, and the real stories260K. */
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { ShardId } from '../../src/base/ids.ts'
import { syntheticShard } from '../../src/engine/synthetic.ts'
import { type MatrixEntry, shardLayout } from '../../src/model/layout.ts'
import { packFloats } from '../../src/model/pack.ts'
import type { ModelConfig } from '../../src/model/decoder.ts'
import { type EdgeType, type Manifest, type ShardRole, shardOrder } from '../../src/model/manifest.ts'
import type { Weights } from '../../src/model/weight-types.ts'

export interface TestModel {
  readonly manifest: Manifest
  readonly shardDirectory: string
  remove(): void
}

type MakeShard = (role: ShardRole, layer: number | null) => Uint8Array

export function writeModel(config: ModelConfig, weights: Weights, edge: EdgeType, make: MakeShard): TestModel {
  const shardDirectory = mkdtempSync(path.join(tmpdir(), 'skein-model-'))
  const shards = shardOrder(config).map(({ role, layer }) => {
    const bytes = make(role, layer)
    const sha256 = createHash('sha256').update(bytes).digest('hex') as ShardId
    writeFileSync(path.join(shardDirectory, sha256), bytes)
    // The engine reads neither digest.
    return { role, layer, bytes: bytes.length, sha256, chunks: '0'.repeat(64) }
  })
  const manifest: Manifest = {
    format: 2,
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
  weights: Weights,
  edge: EdgeType,
  seed: number,
  gain = 1
): TestModel {
  return writeModel(config, weights, edge, (role, layer) => {
    const shape = { config, weights }
    const shard = syntheticShard(shape, { role, layer }, seed * 1000 + (layer ?? (role === 'head' ? 998 : 999)))
    if (role === 'embedding' && gain !== 1) {
      for (const { type, offset, bytes } of shardLayout(shape, { role, layer }).matrices) {
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
  const tensors = (l: number): Record<string, Float32Array> => ({
    norm1: norm1[l]!,
    norm2: norm2[l]!,
    qkv: join(halves(wq[l]!), halves(wk[l]!), wv[l]!),
    o: wo[l]!,
    gateup: join(gate[l]!, up[l]!),
    down: down[l]!
  })
  return writeModel(config, 'f32', edge, (role, layer) => {
    const { vectors, matrices, bytes } = shardLayout({ config, weights: 'f32' }, { role, layer })
    const out = new Uint8Array(bytes)
    const of = role === 'layer' ? tensors(layer!) : { embedding, norm, output }
    for (const { name, offset } of vectors) new Float32Array(out.buffer, offset).set(of[name]!)
    for (const { name, offset, bytes, inputs, parts, blocks } of matrices) {
      let from = 0
      for (const { rows, at } of parts) {
        packFloats(of[name]!, inputs, { from, count: rows }, blocks, out.subarray(offset, offset + bytes), at)
        from += rows
      }
    }
    return out
  })
}

/** Overwrites the float32 embedding of one token. The file no longer has its digest, which the engine does not check. */
export function poisonEmbedding({ manifest, shardDirectory }: TestModel, id: number, value: number): void {
  const file = path.join(shardDirectory, manifest.shards[0]!.sha256)
  const bytes = new Uint8Array(readFileSync(file))
  const [{ inputs, blocks, offset, bytes: size }] = shardLayout(manifest, manifest.shards[0]!).matrices as [MatrixEntry]
  const row = new Float32Array(inputs).fill(value)
  packFloats(row, inputs, { from: 0, count: 1 }, blocks, bytes.subarray(offset, offset + size), id)
  writeFileSync(file, bytes)
}
