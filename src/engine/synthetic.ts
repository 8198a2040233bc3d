/** Weights without a model: for self-tests, the numeric class and timings. Pure and equal on every machine. */
import type { ModelConfig } from '../model/decoder.ts'
import { type MatrixEntry, type ModelShape, shardLayout, type VectorName } from '../model/layout.ts'
import { shardName, type ShardPlace } from '../model/manifest.ts'
import { type Blocks, heldNumber, packBlocks, packFloats } from '../model/pack.ts'
import { groupRecords, tileColumns } from '../model/tiles.ts'
import { type QuantisedType, quantisedTypes, type StoredAs } from '../model/weight-types.ts'
import type { SpanInit } from './thread-messages.ts'

/** Numerical Recipes' 32-bit linear congruential generator: integer arithmetic only, so equal everywhere. */
function after(state: number): number {
  return (Math.imul(state, 1664525) + 1013904223) >>> 0
}

/** Fills with values in [-scale, scale). */
export function fillNoise(values: Float32Array, seed: number, scale: number): void {
  for (let i = 0, state = after(seed); i < values.length; i++, state = after(state)) {
    values[i] = (state / 2 ** 31 - 1) * scale
  }
}

/** What norms multiply with is near 1, and biases are near 0. */
function middleOf(name: VectorName, { norm }: ModelConfig): number {
  return name.endsWith('Bias') || norm?.offset === 1 ? 0 : 1
}

/**
 * One shard of a random model: norms near 1, matrices scaled so that the hidden state keeps its size from layer to layer.
 */
export function syntheticShard(shape: ModelShape, place: ShardPlace, seed: number): Uint8Array<ArrayBuffer> {
  const { vectors, matrices, bytes } = shardLayout(shape, place)
  const out = new Uint8Array(bytes)
  let own = seed * 64
  for (const { name, length, offset } of vectors) {
    const values = new Float32Array(out.buffer, offset, length)
    const middle = middleOf(name, shape.config)
    fillNoise(values, own++, 0.2)
    for (let at = 0; at < length; at++) values[at]! += middle
  }
  for (const matrix of matrices)
    own = fillMatrix(matrix, out.subarray(matrix.offset, matrix.offset + matrix.bytes), own)
  return out
}

/** @returns the first seed that was not used. */
function fillMatrix({ type, name, inputs, parts, blocks }: MatrixEntry, tiles: Uint8Array, seed: number): number {
  const outputs = parts.reduce((sum, { rows }) => sum + rows, 0)
  const pack = (write: (part: { from: number; count: number }, at: number) => void): void => {
    let from = 0
    for (const { rows, at } of parts) {
      write({ from, count: rows }, at)
      from += rows
    }
  }
  if (type === 'f32') {
    const drawn = new Float32Array(inputs * outputs)
    fillNoise(drawn, seed, name === 'embedding' ? 1 : 1.7 / Math.sqrt(inputs))
    // Drawn column by column, as numeric classes were first made.
    const values =
      name === 'embedding' ? drawn : drawn.map((_, n) => drawn[(n % inputs) * outputs + Math.floor(n / inputs)]!)
    pack((rows, at) => packFloats(values, inputs, rows, blocks, tiles, at))
    return seed + 1
  }
  const unit = 1.7 / (levelsMax(type) * Math.sqrt(tileColumns * blocks))
  const drawn = syntheticBlocks(type, outputs, blocks, seed, unit)
  pack((rows, at) => packBlocks(type, drawn, rows, blocks, tiles, at))
  return seed + seedsOfBlocks
}

/** Seeds that {@link syntheticBlocks} uses. */
export const seedsOfBlocks = 3

/** The largest level of a type, about: half of how many there are. */
function levelsMax(type: QuantisedType): number {
  const { bits, zero }: StoredAs = quantisedTypes[type]
  return bits === 4 ? 8 : zero === 'signed' ? 128 : 64
}

/**
 * Random quantised rows: all levels, scales near `unit`, and minima that put zero in the middle.
 *
 * @param records of a row
 */
export function syntheticBlocks(
  type: QuantisedType,
  rows: number,
  records: number,
  seed: number,
  unit: number
): Blocks {
  const { bits, zero, block, scale, hasMinimum }: StoredAs = quantisedTypes[type]
  const q = new Uint8Array(rows * records * 4 * bits)
  // Levels of a byte that are not signed have 7 bits.
  const shift = bits === 8 && zero !== 'signed' ? 25 : 24
  for (let at = 0, state = after(seed); at < q.length; at++, state = after(state)) q[at] = state >>> shift
  const draw = (seed: number): Float32Array => {
    const values = new Float32Array((rows * records * tileColumns) / block)
    fillNoise(values, seed, 0.3)
    return values
  }
  const s = draw(seed + 1)
  const middle = -levelsMax(type)
  if (scale === 'f16i8') {
    // Bytes near 64 of a 64th of the unit.
    const factors = (each: number): Float32Array =>
      new Float32Array(rows * Math.ceil(records / groupRecords)).fill(heldNumber('f16', each))
    const bytes = (values: Float32Array): Float32Array => values.map(value => Math.floor((value + 1) * 64))
    const numbers = { q, s: bytes(s), sFactors: factors(unit / 64) }
    if (!hasMinimum) return numbers
    return { ...numbers, m: bytes(draw(seed + 2)), mFactors: factors((unit * middle) / 64) }
  }
  const held = (values: Float32Array, each: number): Float32Array =>
    values.map(value => heldNumber(scale, (value + 1) * each))
  return { q, s: held(s, unit), ...(hasMinimum ? { m: held(draw(seed + 2), unit * middle) } : {}) }
}

/** Random layers of a span, by their locations. They differ from one another in a byte of each matrix. */
export function syntheticLayers({
  config,
  weights,
  start,
  end,
  shardLocations
}: Pick<SpanInit, 'config' | 'weights' | 'start' | 'end' | 'shardLocations'>): Map<string, Uint8Array> {
  const shape = { config, weights }
  /** Layers of the same types and kind, by these. */
  const shards = new Map<string, Uint8Array>()
  const files = new Map<string, Uint8Array>()
  for (let layer = start; layer < end; layer++) {
    const place = { role: 'layer', layer } as const
    const types = typeof weights === 'string' ? weights : weights.layers[layer]
    const key = JSON.stringify([types, config.kinds?.layers[layer]])
    const shard = shards.get(key) ?? syntheticShard(shape, place, 1)
    shards.set(key, shard)
    // ONNX Runtime packs equal tensors once, and they would stay in the processor's cache.
    const own = shard.slice()
    for (const { offset } of shardLayout(shape, place).matrices) own[offset] = layer
    files.set(shardLocations.get(shardName(place))!, own)
  }
  return files
}
