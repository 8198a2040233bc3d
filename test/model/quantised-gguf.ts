/** GGUF models with random blocks of any quantised type. */
import { ggufTypes } from '../../src/model/formats/gguf-types.ts'
import { halfBitsOf, type WrittenTensor } from './formats/gguf-writer.ts'
import { tinyConfig } from './hugging-face.ts'
import { encoded } from './tiny-gguf.ts'

export const wideConfig = {
  ...tinyConfig,
  hidden_size: 256,
  intermediate_size: 512,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 300
}

/** Random blocks of a type with numbers of 16 bits that are in range. */
export function randomBlocks(name: string, shape: readonly number[], seed: number): WrittenTensor {
  const [type, { columns, bytes }] = [...ggufTypes].find(([, each]) => each.name === name)!
  const data = new Uint8Array((shape.reduce((a, b) => a * b, 1) / columns) * bytes)
  let state = seed
  for (let i = 0; i < data.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    data[i] = state >>> 24
  }
  const view = new DataView(data.buffer)
  const halves = { Q6_K: [208], Q2_K: [80, 82], Q8_0: [0], Q4_0: [0], Q5_0: [0] }[name] ?? [0, 2]
  for (let from = 0; from < data.length; from += bytes) {
    for (const at of halves) view.setUint16(from + at, halfBitsOf(2 ** -6 * (1 + (data[from + at]! % 32) / 32)), true)
  }
  return { type, shape, data }
}

/** Matrices of random blocks in the place of a checkpoint's. @param typeOf by GGUF's name */
export function quantised(typeOf: (name: string) => string): Map<string, WrittenTensor> {
  const { hidden_size: hidden, intermediate_size: wide, vocab_size: vocab } = wideConfig
  const keys = hidden / 2
  const shapes: Record<string, number[]> = { 'token_embd.weight': [vocab, hidden], 'output.weight': [vocab, hidden] }
  const tensors = new Map<string, WrittenTensor>()
  const ones = { type: 0, shape: [hidden], data: encoded(new Float32Array(hidden).fill(1), 'F32') }
  tensors.set('output_norm.weight', ones)
  for (const layer of [0, 1]) {
    const of = (part: string): string => `blk.${layer}.${part}.weight`
    Object.assign(shapes, { [of('attn_q')]: [hidden, hidden], [of('attn_output')]: [hidden, hidden] })
    Object.assign(shapes, { [of('attn_k')]: [keys, hidden], [of('attn_v')]: [keys, hidden] })
    Object.assign(shapes, {
      [of('ffn_gate')]: [wide, hidden],
      [of('ffn_up')]: [wide, hidden],
      [of('ffn_down')]: [hidden, wide]
    })
    tensors.set(of('attn_norm'), ones).set(of('ffn_norm'), ones)
  }
  for (const [i, [name, shape]] of Object.entries(shapes).entries()) {
    tensors.set(name, randomBlocks(typeOf(name), shape, i + 1))
  }
  return tensors
}
