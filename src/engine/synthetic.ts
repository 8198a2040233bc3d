/** Weights without a model: for self-tests, the numeric class and timings. Pure and equal on every machine. */
import { assert } from '../base/assert.ts'
import { type MatrixEntry, type ModelShape, shardLayout } from '../model/layout.ts'
import { shardName, type ShardPlace } from '../model/manifest.ts'
import { isPlain, packBlocks, packFloats } from '../model/pack.ts'
import { heldScale } from '../model/quantise.ts'
import { quantisedTypes } from '../model/weight-types.ts'
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

/**
 * One shard of a random model: norms near 1, matrices scaled so that the hidden state keeps its size from layer to layer.
 */
export function syntheticShard(shape: ModelShape, place: ShardPlace, seed: number): Uint8Array<ArrayBuffer> {
  const { vectors, matrices, bytes } = shardLayout(shape, place)
  const out = new Uint8Array(bytes)
  let own = seed * 64
  for (const { length, offset } of vectors) {
    const values = new Float32Array(out.buffer, offset, length)
    fillNoise(values, own++, 0.2)
    for (let at = 0; at < length; at++) values[at]! += 1
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
  assert(isPlain(type), `there is no random matrix of ${type}`)
  const { bits } = quantisedTypes[type]
  const q = new Uint8Array(outputs * blocks * 4 * bits)
  const s = new Float32Array(outputs * blocks)
  for (let at = 0, state = after(seed); at < q.length; at++, state = after(state)) q[at] = state >>> 24
  const largest = bits === 8 ? 128 : 8
  fillNoise(s, seed + 1, 0.3)
  for (const [at, value] of s.entries()) {
    s[at] = heldScale(type, ((value + 1) * 1.7) / (largest * Math.sqrt(32 * blocks)))
  }
  pack((rows, at) => packBlocks(type, { q, s }, rows, blocks, tiles, at))
  return seed + 2
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
  const first = { role: 'layer', layer: start } as const
  const shard = syntheticShard(shape, first, 1)
  const files = new Map<string, Uint8Array>()
  for (let layer = start; layer < end; layer++) {
    // ONNX Runtime packs equal tensors once, and they would stay in the processor's cache.
    const own = shard.slice()
    for (const { offset } of shardLayout(shape, first).matrices) own[offset] = layer
    files.set(shardLocations.get(shardName({ role: 'layer', layer }))!, own)
  }
  return files
}
