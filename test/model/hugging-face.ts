/** Tiny random Hugging Face directories, written the way the real ones are. */
import { appendFile, mkdir, truncate, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { tokenizerJson } from '../../scripts/llama2c.ts'
import type { Rng } from '../../src/base/rng.ts'
import { describeModel } from '../../src/model/architectures/registry.ts'
import { checkpointTensors } from '../../src/model/architectures/tensors.ts'

export type CheckpointType = 'F32' | 'F16' | 'BF16'

export interface TinyInit {
  readonly seed?: number
  /** Merged over a config of 2 layers, hidden 24, 4 heads, 2 kv heads, vocab 300, untied. */
  readonly config?: Record<string, unknown>
  readonly type?: CheckpointType
  /** Split the tensors over this many files, with an index. */
  readonly files?: number
  /** Changes the tensors before they are written. */
  readonly edit?: (tensors: Map<string, TinyTensor>) => void
}

export interface TinyTensor {
  shape: number[]
  /** What the file's type holds exactly. */
  values: Float32Array
  dtype?: string
}

export const tinyConfig = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  hidden_size: 24,
  intermediate_size: 40,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 300,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-5,
  rope_theta: 50000,
  rope_scaling: null,
  hidden_act: 'silu',
  attention_bias: false,
  mlp_bias: false,
  tie_word_embeddings: false,
  bos_token_id: 1,
  eos_token_id: 2
}

/** Writes the directory and returns the tensors that are in it. */
export async function writeTiny(dir: string, init: TinyInit = {}): Promise<Map<string, TinyTensor>> {
  const { seed = 1, type = 'F32', files = 1, edit } = init
  const config = { ...tinyConfig, ...init.config }
  const tensors = randomTensors(config, type, quick(seed))
  edit?.(tensors)
  await mkdir(dir, { recursive: true })
  await writeFile(path.join(dir, 'config.json'), JSON.stringify(config))
  await writeFile(path.join(dir, 'tokenizer.json'), tinyTokenizer())
  await writeFile(
    path.join(dir, 'tokenizer_config.json'),
    JSON.stringify({
      add_bos_token: true,
      bos_token: { content: '<s>' },
      eos_token: '</s>',
      chat_template: '{{ messages }}'
    })
  )
  await writeFile(path.join(dir, 'generation_config.json'), JSON.stringify({ eos_token_id: [2, 5] }))
  const names = [...tensors.keys()]
  if (files === 1) {
    await writeFile(path.join(dir, 'model.safetensors'), encodeSafetensors(tensors, type))
    return tensors
  }
  const weightMap: Record<string, string> = {}
  for (let n = 0; n < files; n++) {
    const file = `model-${String(n + 1).padStart(5, '0')}-of-${String(files).padStart(5, '0')}.safetensors`
    const mine = names.filter((_, i) => i % files === n)
    for (const name of mine) weightMap[name] = file
    await writeFile(
      path.join(dir, file),
      encodeSafetensors(new Map(mine.map(name => [name, tensors.get(name)!])), type)
    )
  }
  await writeFile(path.join(dir, 'model.safetensors.index.json'), JSON.stringify({ weight_map: weightMap }))
  return tensors
}

export function tinyTokenizer(): Uint8Array {
  return tokenizerJson([
    ...['<unk>', '<s>', '</s>'].map(text => ({ text, score: 0 })),
    ...Array.from({ length: 256 }, (_, byte) => ({
      text: `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
      score: 0
    })),
    ...['▁', 'a', 'b', 'ab', '▁a'].map((text, i) => ({ text, score: -i }))
  ])
}

/** Writes a directory of one file of float32 with a tiny tokenizer. */
export async function writeModelDirectory(
  dir: string,
  config: object,
  tensors: ReadonlyMap<string, TinyTensor>
): Promise<void> {
  await mkdir(dir, { recursive: true })
  await writeFile(path.join(dir, 'config.json'), JSON.stringify(config))
  await writeFile(path.join(dir, 'tokenizer.json'), tinyTokenizer())
  await writeFile(path.join(dir, 'model.safetensors'), encodeSafetensors(tensors, 'F32'))
}

/** Writes a directory of any size whose weights are all zero: a sparse file, which costs no time. */
export async function writeZeros(dir: string, changes: Record<string, unknown>): Promise<void> {
  const config = { ...tinyConfig, ...changes }
  const described = describeModel(config, dir)
  const header: Record<string, unknown> = {}
  let end = 0
  for (const [name, { shape }] of checkpointTensors(described.config, described.names)) {
    const bytes = shape.reduce((a, b) => a * b, 2)
    header[name] = { dtype: 'BF16', shape, data_offsets: [end, end + bytes] }
    end += bytes
  }
  const json = new TextEncoder().encode(JSON.stringify(header))
  const length = new Uint8Array(8)
  new DataView(length.buffer).setBigUint64(0, BigInt(json.length), true)
  await mkdir(dir, { recursive: true })
  await writeFile(path.join(dir, 'config.json'), JSON.stringify(config))
  await writeFile(path.join(dir, 'tokenizer.json'), tinyTokenizer())
  const file = path.join(dir, 'model.safetensors')
  await writeFile(file, length)
  await appendFile(file, json)
  await truncate(file, 8 + json.length + end)
}

/** Xorshift (Marsaglia, 2003): millions of weights want a quicker generator than the one that seeds sessions. */
function quick(seed: number): Rng {
  let state = seed
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
}

function randomTensors(
  config: typeof tinyConfig & { readonly head_dim?: number },
  type: CheckpointType,
  rng: Rng
): Map<string, TinyTensor> {
  const { hidden_size: hidden, intermediate_size: wide, num_hidden_layers: layers, vocab_size: vocab } = config
  const headDim = config.head_dim ?? hidden / config.num_attention_heads
  const [queries, kv] = [headDim * config.num_attention_heads, headDim * config.num_key_value_heads]
  const tensors = new Map<string, TinyTensor>()
  const add = (name: string, ...shape: number[]): void => {
    const values = new Float32Array(shape.reduce((a, b) => a * b, 1))
    for (let i = 0; i < values.length; i++) values[i] = exactly(type, rng() * 2 - 1)
    tensors.set(name, { shape, values })
  }
  add('model.embed_tokens.weight', vocab, hidden)
  for (let layer = 0; layer < layers; layer++) {
    const prefix = `model.layers.${layer}`
    add(`${prefix}.input_layernorm.weight`, hidden)
    add(`${prefix}.self_attn.q_proj.weight`, queries, hidden)
    add(`${prefix}.self_attn.k_proj.weight`, kv, hidden)
    add(`${prefix}.self_attn.v_proj.weight`, kv, hidden)
    add(`${prefix}.self_attn.o_proj.weight`, hidden, queries)
    add(`${prefix}.post_attention_layernorm.weight`, hidden)
    add(`${prefix}.mlp.gate_proj.weight`, wide, hidden)
    add(`${prefix}.mlp.up_proj.weight`, wide, hidden)
    add(`${prefix}.mlp.down_proj.weight`, hidden, wide)
  }
  add('model.norm.weight', hidden)
  if (!config.tie_word_embeddings) add('lm_head.weight', vocab, hidden)
  return tensors
}

/** Rounds so that the file's type holds the value exactly: few enough bits that no rule of rounding matters. */
function exactly(type: CheckpointType, value: number): number {
  const steps = type === 'BF16' ? 64 : type === 'F16' ? 512 : 1 << 20
  return Math.round(value * steps) / steps
}

export function encodeSafetensors(tensors: ReadonlyMap<string, TinyTensor>, type: CheckpointType): Uint8Array {
  const size = type === 'F32' ? 4 : 2
  const header: Record<string, unknown> = { __metadata__: { format: 'pt' } }
  let end = 0
  for (const [name, { shape, values, dtype = type }] of tensors) {
    header[name] = { dtype, shape, data_offsets: [end, end + values.length * size] }
    end += values.length * size
  }
  let json = JSON.stringify(header)
  json += ' '.repeat((8 - (json.length % 8)) % 8)
  const bytes = new Uint8Array(8 + json.length + end)
  const view = new DataView(bytes.buffer)
  view.setBigUint64(0, BigInt(json.length), true)
  bytes.set(new TextEncoder().encode(json), 8)
  let offset = 8 + json.length
  for (const { values } of tensors.values()) {
    for (const value of values) {
      if (type === 'F32') view.setFloat32(offset, value, true)
      else view.setUint16(offset, type === 'F16' ? halfBits(value) : bfloatBits(value), true)
      offset += size
    }
  }
  return bytes
}

/** float16 bits of a value that float16 holds exactly, by searching the exponent: no code shared with decoding. */
function halfBits(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0
  const magnitude = Math.abs(value)
  if (magnitude === 0) return sign
  let exponent = -14
  while (exponent < 15 && magnitude >= 2 ** (exponent + 1)) exponent++
  const significand = magnitude / 2 ** exponent
  const fraction = significand < 1 ? significand * 1024 : (significand - 1) * 1024
  return sign | ((significand < 1 ? 0 : exponent + 15) << 10) | fraction
}

function bfloatBits(value: number): number {
  const view = new DataView(new ArrayBuffer(4))
  view.setFloat32(0, value)
  return view.getUint16(0)
}
