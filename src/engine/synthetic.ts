/** Weights without a model: for self-tests, the numeric class and timings. Pure and equal on every machine. */
import { shardBytes, shardTensors } from '../model/layout.ts'
import { type ModelConfig, type ShardRole, shardName, type WeightType } from '../model/manifest.ts'

/** Numerical Recipes' 32-bit linear congruential generator: integer arithmetic only, so equal everywhere. */
function* noise(seed: number): Generator<number> {
  let state = seed >>> 0
  for (;;) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    yield state
  }
}

/** Fills with values in [-scale, scale). */
export function fillNoise(values: Float32Array, seed: number, scale: number): void {
  const bits = noise(seed)
  for (let i = 0; i < values.length; i++) values[i] = ((bits.next().value as number) / 2 ** 31 - 1) * scale
}

/**
 * One shard of a random model in the layout of its kind: norms near 1, matrices scaled so that the hidden
 * state keeps its size from layer to layer.
 */
export function syntheticShard(
  config: ModelConfig,
  weights: WeightType,
  role: ShardRole,
  seed: number
): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(shardBytes(config, weights, role))
  for (const [i, { name, type, shape, offset, bytes }] of shardTensors(config, weights, role).entries()) {
    const own = seed * 64 + i
    if (type === 'u8') {
      const bits = noise(own)
      for (let at = offset; at < offset + bytes; at++) out[at] = (bits.next().value as number) >>> 24
      continue
    }
    const values = new Float32Array(out.buffer, offset, bytes / 4)
    if (name.startsWith('norm')) {
      fillNoise(values, own, 0.2)
      for (let at = 0; at < values.length; at++) values[at]! += 1
    } else if (name.endsWith('.s')) {
      const inputs = shape[1]! * 32
      const largest = weights === 'q4' && role === 'layer' ? 8 : 128
      fillNoise(values, own, 0.3)
      for (let at = 0; at < values.length; at++) values[at] = ((values[at]! + 1) * 1.7) / (largest * Math.sqrt(inputs))
    } else {
      const inputs = name === 'embedding' ? shape[1]! : shape[0]!
      fillNoise(values, own, name === 'embedding' ? 1 : 1.7 / Math.sqrt(inputs))
    }
  }
  return out
}

/** Random layers of a span, by their locations. They differ from one another in a byte of each tensor. */
export function syntheticLayers({
  config,
  weights,
  start,
  end,
  shardLocations
}: {
  readonly config: ModelConfig
  readonly weights: WeightType
  readonly start: number
  readonly end: number
  readonly shardLocations: ReadonlyMap<string, string>
}): Map<string, Uint8Array> {
  const shard = syntheticShard(config, weights, 'layer', 1)
  const files = new Map<string, Uint8Array>()
  for (let layer = start; layer < end; layer++) {
    // ONNX Runtime packs equal tensors once, and they would stay in the processor's cache.
    const own = shard.slice()
    for (const { offset } of shardTensors(config, weights, 'layer')) own[offset] = layer
    files.set(shardLocations.get(shardName({ role: 'layer', layer }))!, own)
  }
  return files
}
