/** Brings the shards of a stage into the engine's memory, in tiles. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { assert } from '../../base/assert.ts'
import { embeddingType, layerMatrices, shardTensors } from '../../model/layout.ts'
import { type ShardRole, shardName, type WeightType } from '../../model/manifest.ts'
import type { SpanInit, WeightSource } from '../thread-messages.ts'
import {
  packFloats,
  packQuantised,
  roundUp,
  type ShardRows,
  type TileShape,
  tileBytes,
  tileColumns,
  tileRows
} from './tiles.ts'

/** A matrix in memory. */
export interface Matrix extends TileShape {
  readonly at: number
}

export interface LayerWeights {
  readonly norm1: number
  readonly norm2: number
  readonly qkv: Matrix
  readonly o: Matrix
  /** Gate rows, filled up to a multiple of 32, then up rows likewise. */
  readonly gateUp: Matrix
  readonly down: Matrix
}

export interface StageWeights {
  readonly layers: readonly LayerWeights[]
  readonly embedding: Matrix | undefined
  readonly head: { readonly norm: number; readonly output: Matrix } | undefined
}

export interface WeightsInit extends Pick<SpanInit, 'config' | 'weights' | 'start' | 'end' | 'shardLocations'> {
  readonly source: WeightSource
}

/** Rows of one part of a matrix, and the multiple to which it is filled up. */
interface Part {
  readonly rows: number
  readonly fill: number
}

function partsOf(name: string, outputs: number): readonly Part[] {
  // The two halves of what is gated begin at whole blocks: the next product quantises them from there.
  if (name === 'gateUp') return [1, 2].map(() => ({ rows: outputs / 2, fill: tileColumns }))
  return [{ rows: outputs, fill: tileRows }]
}

function shapeOf(name: string, type: WeightType, inputs: number, outputs: number): TileShape {
  const rows = partsOf(name, outputs).reduce((sum, { rows, fill }) => sum + roundUp(rows, fill), 0)
  return { type, rows, blocks: Math.ceil(inputs / tileColumns) }
}

/** A row of float32 in memory, filled up with zeros: a whole number of blocks of activations. */
export function rowBytes(width: number): number {
  return 4 * roundUp(width, tileColumns)
}

/** Bytes that the weights of a stage take in memory. */
export function weightBytes({ config, weights, start, end }: Omit<WeightsInit, 'shardLocations' | 'source'>): number {
  const layer = layerMatrices(config).reduce(
    (sum, { name, inputs, outputs }) => sum + tileBytes(shapeOf(name, weights, inputs, outputs)),
    2 * rowBytes(config.hidden)
  )
  const table = tileBytes(shapeOf('embedding', embeddingType(weights), config.hidden, config.vocab))
  const [first, last] = [start === 0, end === config.layers]
  const tables = config.tiedEmbeddings ? Number(first || last) : Number(first) + Number(last)
  return (end - start) * layer + tables * table + (last ? rowBytes(config.hidden) : 0)
}

/**
 * Reads and packs, one shard at a time.
 *
 * @param memory is at least `at` + {@link weightBytes} long, and zero there
 */
export function loadWeights(init: WeightsInit, memory: ArrayBufferLike, at: number): StageWeights {
  const { config, weights, start, end } = init
  let top = at
  const take = (bytes: number): number => {
    const address = top
    top += bytes
    return address
  }
  const shard = (role: ShardRole, layer: number | null): ((name: string) => Uint8Array) => {
    const bytes = readShard(init, shardName({ role, layer }))
    const tensors = shardTensors(config, weights, role)
    return name => {
      const tensor = tensors.find(each => each.name === name)
      assert(tensor !== undefined, `a ${role} has no ${name}`)
      return bytes.subarray(tensor.offset, tensor.offset + tensor.bytes)
    }
  }
  const vector = (tensor: Uint8Array): number => {
    const address = take(rowBytes(config.hidden))
    new Float32Array(memory, address, config.hidden).set(floats(tensor))
    return address
  }
  /** `rowMajor`: float32 is [out, in] rather than [in, out]. */
  const matrix = (
    tensors: (name: string) => Uint8Array,
    { name, inputs, outputs }: { name: string; inputs: number; outputs: number },
    type: WeightType,
    rowMajor = false
  ): Matrix => {
    const shape = shapeOf(name, type, inputs, outputs)
    const address = take(tileBytes(shape))
    let from = 0
    let to = 0
    for (const { rows, fill } of partsOf(name, outputs)) {
      const part: ShardRows = { count: rows, from }
      if (type === 'f32') {
        const strides = rowMajor ? { rowStride: inputs, columnStride: 1 } : { rowStride: 1, columnStride: outputs }
        packFloats(floats(tensors(name)), { ...strides, columns: inputs }, part, shape.blocks, memory, address, to)
      } else {
        const [q, s] = [tensors(`${name}.q`), floats(tensors(`${name}.s`))]
        packQuantised(type, { q, s }, part, shape.blocks, memory, address, to)
      }
      from += rows
      to += roundUp(rows, fill)
    }
    return { ...shape, at: address }
  }

  const layers: LayerWeights[] = []
  for (let layer = start; layer < end; layer++) {
    const tensors = shard('layer', layer)
    const [norm1, norm2] = [vector(tensors('norm1')), vector(tensors('norm2'))]
    const [qkv, o, gateUp, down] = layerMatrices(config).map(each => matrix(tensors, each, weights)) as [
      Matrix,
      Matrix,
      Matrix,
      Matrix
    ]
    layers.push({ norm1, norm2, qkv, o, gateUp, down })
  }
  const [first, last] = [start === 0, end === config.layers]
  const table = { inputs: config.hidden, outputs: config.vocab }
  const embedding =
    first || (last && config.tiedEmbeddings)
      ? matrix(shard('embedding', null), { name: 'embedding', ...table }, embeddingType(weights), true)
      : undefined
  if (!last) return { layers, embedding, head: undefined }
  const tensors = shard('head', null)
  const norm = vector(tensors('norm'))
  const output = config.tiedEmbeddings
    ? embedding!
    : matrix(tensors, { name: 'output', ...table }, embeddingType(weights))
  return { layers, embedding, head: { norm, output } }
}

function readShard({ source, shardLocations }: WeightsInit, name: string): Uint8Array {
  const location = shardLocations.get(name)
  assert(location !== undefined, `the ${name} has a file`)
  if (source.kind === 'folder') return readFileSync(join(source.path, location))
  const bytes = source.files.get(location)
  assert(bytes !== undefined, `the ${name} is in memory`)
  return bytes
}

function floats(bytes: Uint8Array): Float32Array {
  const whole = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice()
  return new Float32Array(whole.buffer, whole.byteOffset, whole.byteLength / 4)
}
