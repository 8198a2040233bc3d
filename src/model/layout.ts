/**
 * Where each tensor lies in a shard file. The layout is a function of the dimensions alone, so the
 * importer that writes, the engine that maps and the manifest that is checked cannot disagree.
 *
 * Float32 matrices are stored [in, out], ready for MatMul. Quantised ones are rows of blocks of 32
 * along the input dimension: `.q` u8 [out, blocks, 32 (8 bit) or 16 (4 bit)] and `.s` f32 [out, blocks];
 * a weight is (q - 128)·s at 8 bits and (q - 8)·s at 4, low nibble first (MatMulNBits, no zero points).
 * A last, short block is padded with zero weights.
 * The embedding is [vocab, hidden], one row per token, in f32 or at 8 bits: 4 bits there cost too much
 * quality for what they save, since the same matrix is the output matrix of tied models.
 */
import type { ModelConfig, ShardRole, WeightType } from './manifest.ts'

/** Weights per quantisation block. Only 32 is row-count invariant on every CPU class (exactness, promise P1). */
export const blockSize = 32
/** Tensors start on page borders so that ONNX Runtime can map them. */
export const tensorAlignment = 4096

export interface TensorEntry {
  readonly name: string
  readonly type: 'f32' | 'u8'
  readonly shape: readonly number[]
  /** From the start of the shard file, in bytes. */
  readonly offset: number
  readonly bytes: number
}

/** A matrix from `inputs` to `outputs` features as the model defines it, whatever its storage. */
interface Matrix {
  readonly name: string
  readonly inputs: number
  readonly outputs: number
}

/** The matrices of a layer in file order; `qkv` is query, key and value rows stacked, `gateUp` gate and up rows. */
export function layerMatrices(config: ModelConfig): Matrix[] {
  const { hidden, intermediate, heads, kvHeads, headDim } = config
  return [
    { name: 'qkv', inputs: hidden, outputs: (heads + 2 * kvHeads) * headDim },
    { name: 'o', inputs: heads * headDim, outputs: hidden },
    { name: 'gateUp', inputs: hidden, outputs: 2 * intermediate },
    { name: 'down', inputs: intermediate, outputs: hidden }
  ]
}

/** How the embedding and output matrices are stored in a model of `weights`. */
export function embeddingType(weights: WeightType): 'f32' | 'q8' {
  return weights === 'f32' ? 'f32' : 'q8'
}

/** The tensors of one shard, in file order. */
export function shardTensors(config: ModelConfig, weights: WeightType, role: ShardRole): TensorEntry[] {
  const tensors: Omit<TensorEntry, 'offset'>[] = []
  const f32 = (name: string, ...shape: number[]): void => {
    tensors.push({ name, type: 'f32', shape, bytes: 4 * shape.reduce((a, b) => a * b, 1) })
  }
  const matrix = ({ name, inputs, outputs }: Matrix, type: WeightType, rowMajor: boolean): void => {
    if (type === 'f32') {
      f32(name, ...(rowMajor ? [outputs, inputs] : [inputs, outputs]))
      return
    }
    const blocks = Math.ceil(inputs / blockSize)
    const width = type === 'q8' ? blockSize : blockSize / 2
    tensors.push({ name: `${name}.q`, type: 'u8', shape: [outputs, blocks, width], bytes: outputs * blocks * width })
    f32(`${name}.s`, outputs, blocks)
  }
  if (role === 'embedding') {
    matrix({ name: 'embedding', inputs: config.hidden, outputs: config.vocab }, embeddingType(weights), true)
  } else if (role === 'head') {
    f32('norm', config.hidden)
    if (!config.tiedEmbeddings) {
      matrix({ name: 'output', inputs: config.hidden, outputs: config.vocab }, embeddingType(weights), false)
    }
  } else {
    f32('norm1', config.hidden)
    f32('norm2', config.hidden)
    for (const m of layerMatrices(config)) matrix(m, weights, false)
  }
  let offset = 0
  return tensors.map(tensor => {
    const entry = { ...tensor, offset }
    offset = align(offset + tensor.bytes)
    return entry
  })
}

/** Size of a shard file in bytes: its last tensor's end, not padded. */
export function shardBytes(config: ModelConfig, weights: WeightType, role: ShardRole): number {
  const last = shardTensors(config, weights, role).at(-1)!
  return last.offset + last.bytes
}

function align(offset: number): number {
  return Math.ceil(offset / tensorAlignment) * tensorAlignment
}
