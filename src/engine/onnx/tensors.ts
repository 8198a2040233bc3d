/**
 * Weights as ONNX Runtime takes them: each shard repacked, when a stage is loaded, into one file in memory.
 *
 * Float32 matrices are [in, out], ready for MatMul. Quantised ones are rows of blocks of 32 along the input dimension:
 * `.q` u8 [out, blocks, 32 (8 bit) or 16 (4 bit)] and `.s` f32 [out, blocks]; a weight is (q - 128)·s at 8 bits and (q - 8)·s
 * at 4, low nibble first (MatMulNBits, no zero points). The embedding is [vocab, hidden], one row per token, in float32 or in
 * blocks.
 */
import { assert } from '../../base/assert.ts'
import { type MatrixEntry, type ModelShape, shardLayout } from '../../model/layout.ts'
import type { ShardPlace } from '../../model/manifest.ts'
import { isPlain, unpackBlocks, unpackRow } from '../../model/pack.ts'
import { tileRows, tileStride } from '../../model/tiles.ts'
import { quantisedTypes, type WeightType } from '../../model/weight-types.ts'

export interface OnnxTensor {
  readonly name: string
  readonly type: 'f32' | 'u8'
  readonly shape: readonly number[]
  /** From the start of the repacked shard, in bytes: a multiple of 4. */
  readonly offset: number
  readonly bytes: number
}

/** Whether a graph can multiply with such weights. */
export function isTaken(type: WeightType): boolean {
  return type === 'f32' || isPlain(type)
}

/** Bits of a quantised matrix's levels. */
export function bitsOf({ type }: Pick<MatrixEntry, 'type'>): 8 | 4 | undefined {
  return type === 'f32' ? undefined : quantisedTypes[type].bits
}

/** Rows of the matrix as the model has it. */
export function outputsOf({ parts }: Pick<MatrixEntry, 'parts'>): number {
  return parts.reduce((sum, { rows }) => sum + rows, 0)
}

/** The tensors of one shard, in order. */
export function shardTensors(shape: ModelShape, place: ShardPlace): OnnxTensor[] {
  const tensors: OnnxTensor[] = []
  let offset = 0
  const add = (name: string, type: OnnxTensor['type'], ...shape: number[]): void => {
    const bytes = (type === 'f32' ? 4 : 1) * shape.reduce((a, b) => a * b, 1)
    tensors.push({ name, type, shape, offset, bytes })
    offset += bytes
  }
  const { vectors, matrices } = shardLayout(shape, place)
  for (const { name, length } of vectors) add(name, 'f32', length)
  for (const matrix of matrices) {
    const { name, inputs, blocks } = matrix
    const outputs = outputsOf(matrix)
    const bits = bitsOf(matrix)
    if (bits === undefined) add(name, 'f32', ...(name === 'embedding' ? [outputs, inputs] : [inputs, outputs]))
    else {
      add(`${name}.q`, 'u8', outputs, blocks, 4 * bits)
      add(`${name}.s`, 'f32', outputs, blocks)
    }
  }
  return tensors
}

/** A shard's bytes as those of its {@link shardTensors}. @param shard at a multiple of 4 of its buffer */
export function repack(shape: ModelShape, place: ShardPlace, shard: Uint8Array): Uint8Array<ArrayBuffer> {
  const tensors = shardTensors(shape, place)
  const last = tensors.at(-1)!
  const out = new Uint8Array(last.offset + last.bytes)
  const at = (name: string): OnnxTensor => tensors.find(tensor => tensor.name === name)!
  const { vectors, matrices } = shardLayout(shape, place)
  for (const { name, offset, length } of vectors) out.set(shard.subarray(offset, offset + 4 * length), at(name).offset)
  for (const matrix of matrices) {
    const { name, type, offset, bytes } = matrix
    const tiles = shard.subarray(offset, offset + bytes)
    if (type === 'f32') {
      const { offset, bytes } = at(name)
      const values = new Float32Array(out.buffer, offset, bytes / 4)
      if (name === 'embedding') repackRows(matrix, tiles, values)
      else repackColumns(matrix, tiles, values)
      continue
    }
    assert(isPlain(type), `ONNX Runtime takes no ${type}`)
    const [q, s] = [at(`${name}.q`), at(`${name}.s`)]
    const blocks = {
      q: out.subarray(q.offset, q.offset + q.bytes),
      s: new Float32Array(out.buffer, s.offset, s.bytes / 4)
    }
    eachRow(matrix, (row, to) => unpackBlocks({ ...matrix, type }, tiles, row, blocks, to))
  }
  return out
}

/** Every row: where it is in the tiles, and its number. */
function eachRow({ parts }: MatrixEntry, visit: (row: number, to: number) => void): void {
  let to = 0
  for (const { rows, at } of parts) for (let row = at; row < at + rows; row++) visit(row, to++)
}

function repackRows(matrix: MatrixEntry, tiles: Uint8Array, values: Float32Array): void {
  const { inputs } = matrix
  eachRow(matrix, (row, to) => unpackRow(matrix, tiles, row, values.subarray(to * inputs, (to + 1) * inputs)))
}

/** [in, out] of rows: a column of a tile is in one piece there, too. */
function repackColumns(matrix: MatrixEntry, tiles: Uint8Array, values: Float32Array): void {
  const { inputs } = matrix
  const outputs = outputsOf(matrix)
  const stride = tileStride(matrix) / 4
  const from = new Float32Array(tiles.buffer, tiles.byteOffset, tiles.length / 4)
  eachRow(matrix, (row, to) => {
    const start = Math.floor(row / tileRows) * stride + (row % tileRows)
    for (let k = 0; k < inputs; k++) values[k * outputs + to] = from[start + k * tileRows]!
  })
}
