/**
 * Each architecture that GGUF files may have: a file made of a Hugging Face checkpoint, as llama.cpp's converter makes it, becomes the
 * same model as the checkpoint itself.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { seeded } from '../../../src/base/rng.ts'
import { describeModel } from '../../../src/model/architectures/registry.ts'
import { checkpointTensors } from '../../../src/model/architectures/tensors.ts'
import { importModel } from '../../../src/model/import.ts'
import { type ModelStore, openStore, type StoredModel } from '../../../src/model/store.ts'
import { type TinyTensor, writeModelDirectory } from '../hugging-face.ts'
import { readShard } from '../reference.ts'
import { encoded, paired, tinyMetadata } from '../tiny-gguf.ts'
import { type Written, type WrittenTensor, writeGguf } from './gguf-writer.ts'

interface Family {
  /** `general.architecture`. */
  readonly name: string
  readonly config: Readonly<Record<string, unknown>>
  /** Of the architecture, beside the dimensions. */
  readonly metadata?: Readonly<Record<string, Written>>
  /** Names of a layer's tensors, Hugging Face's to the file's, beside llama's. */
  readonly names?: Readonly<Record<string, string>>
  readonly isPaired?: true
  /** The file holds norms as 1 more. */
  readonly plusOne?: true
  /** Parts of experts, and the file's tensor that holds those of all. */
  readonly stacks?: Readonly<Record<string, string>>
  /** Tensors that no checkpoint has. */
  readonly more?: Readonly<Record<string, readonly number[]>>
}

const llamaNames: Readonly<Record<string, string>> = {
  'model.embed_tokens': 'token_embd',
  'model.norm': 'output_norm',
  lm_head: 'output',
  input_layernorm: 'attn_norm',
  post_attention_layernorm: 'ffn_norm',
  'self_attn.q_proj': 'attn_q',
  'self_attn.k_proj': 'attn_k',
  'self_attn.v_proj': 'attn_v',
  'self_attn.o_proj': 'attn_output',
  'mlp.gate_proj': 'ffn_gate',
  'mlp.up_proj': 'ffn_up',
  'mlp.down_proj': 'ffn_down'
}
const headNorms = { 'self_attn.q_norm': 'attn_q_norm', 'self_attn.k_norm': 'attn_k_norm' }
const gemmaNames = {
  post_attention_layernorm: 'post_attention_norm',
  pre_feedforward_layernorm: 'ffn_norm',
  post_feedforward_layernorm: 'post_ffw_norm'
}
const gemmaConfig = { head_dim: 8, query_pre_attn_scalar: 8, sliding_window: 8, hidden_activation: 'gelu_pytorch_tanh' }
const f32 = Math.fround
const mixtureMetadata = {
  '.attention.key_length': { u32: 16 },
  '.attention.value_length': { u32: 16 },
  '.expert_count': { u32: 5 },
  '.expert_used_count': { u32: 2 },
  '.expert_feed_forward_length': { u32: 24 }
}
const qwen3Moe = {
  ...{ architectures: ['Qwen3MoeForCausalLM'], model_type: 'qwen3_moe', head_dim: 16 },
  ...{ num_experts: 5, num_experts_per_tok: 2, moe_intermediate_size: 24, norm_topk_prob: true }
}
const mixtral = { architectures: ['MixtralForCausalLM'], model_type: 'mixtral', num_local_experts: 4 }

const families: readonly Family[] = [
  {
    name: 'llama',
    config: { architectures: ['LlamaForCausalLM'], model_type: 'llama', tie_word_embeddings: true },
    isPaired: true
  },
  {
    name: 'llama',
    config: {
      architectures: ['LlamaForCausalLM'],
      model_type: 'llama',
      attention_bias: true,
      rope_scaling: { rope_type: 'linear', factor: 4 }
    },
    metadata: { '.rope.scaling.type': { text: 'linear' }, '.rope.scaling.factor': { f32: 4 } },
    isPaired: true
  },
  { name: 'qwen2', config: { architectures: ['Qwen2ForCausalLM'], model_type: 'qwen2', rope_theta: 1e6 } },
  {
    name: 'qwen2',
    config: {
      architectures: ['Qwen2ForCausalLM'],
      model_type: 'qwen2',
      rope_scaling: { rope_type: 'yarn', factor: 4, original_max_position_embeddings: 16 }
    },
    metadata: {
      '.rope.scaling.type': { text: 'yarn' },
      '.rope.scaling.factor': { f32: 4 },
      '.rope.scaling.original_context_length': { u32: 16 }
    }
  },
  {
    name: 'qwen3',
    config: { architectures: ['Qwen3ForCausalLM'], model_type: 'qwen3', head_dim: 16 },
    metadata: { '.attention.key_length': { u32: 16 }, '.attention.value_length': { u32: 16 } },
    names: headNorms
  },
  // Experts in one tensor of each part, in one of gate and up, and in tensors of their own.
  {
    name: 'qwen3moe',
    config: { ...qwen3Moe, num_hidden_layers: 3, mlp_only_layers: [1] },
    metadata: mixtureMetadata,
    names: { ...headNorms, 'mlp.gate': 'ffn_gate_inp' },
    stacks: { gate_proj: 'ffn_gate_exps', up_proj: 'ffn_up_exps', down_proj: 'ffn_down_exps' }
  },
  {
    name: 'qwen3moe',
    config: qwen3Moe,
    metadata: mixtureMetadata,
    names: { ...headNorms, 'mlp.gate': 'ffn_gate_inp' },
    stacks: { gate_proj: 'ffn_gate_up_exps', up_proj: 'ffn_gate_up_exps', down_proj: 'ffn_down_exps' }
  },
  {
    name: 'llama',
    config: mixtral,
    metadata: { '.expert_count': { u32: 4 }, '.expert_used_count': { u32: 2 } },
    names: { 'block_sparse_moe.gate': 'ffn_gate_inp' },
    isPaired: true,
    stacks: { w1: 'ffn_gate_exps', w3: 'ffn_up_exps', w2: 'ffn_down_exps' }
  },
  {
    name: 'llama',
    config: mixtral,
    metadata: { '.expert_count': { u32: 4 }, '.expert_used_count': { u32: 2 } },
    names: {
      'block_sparse_moe.gate': 'ffn_gate_inp',
      ...Object.fromEntries(
        [0, 1, 2, 3].flatMap(e =>
          Object.entries({ w1: 'gate', w3: 'up', w2: 'down' }).map(([theirs, own]) => [
            `block_sparse_moe.experts.${e}.${theirs}`,
            `ffn_${own}.${e}`
          ])
        )
      )
    },
    isPaired: true
  },
  {
    name: 'smollm3',
    config: { architectures: ['SmolLM3ForCausalLM'], model_type: 'smollm3', rope_theta: 5e6, num_hidden_layers: 4 },
    isPaired: true
  },
  {
    name: 'phi3',
    config: {
      architectures: ['Phi3ForCausalLM'],
      model_type: 'phi3',
      partial_rotary_factor: 0.75,
      max_position_embeddings: 64,
      original_max_position_embeddings: 16,
      sliding_window: 32,
      rope_scaling: { type: 'longrope', short_factor: [1, 1.25, 1.5], long_factor: [1, 4, 16] }
    },
    metadata: {
      '.rope.dimension_count': { u32: 6 },
      '.rope.scaling.original_context_length': { u32: 16 },
      '.attention.sliding_window': { u32: 32 }
    },
    names: { 'self_attn.qkv_proj': 'attn_qkv', 'mlp.gate_up_proj': 'ffn_up' },
    more: { 'rope_factors_short.weight': [1, 1.25, 1.5], 'rope_factors_long.weight': [1, 4, 16] }
  },
  {
    name: 'granite',
    config: {
      architectures: ['GraniteForCausalLM'],
      model_type: 'granite',
      embedding_multiplier: 12,
      attention_multiplier: 0.015625,
      residual_multiplier: 0.22,
      logits_scaling: 8
    },
    metadata: {
      '.embedding_scale': { f32: 12 },
      '.attention.scale': { f32: 0.015625 },
      '.residual_scale': { f32: 0.22 },
      '.logit_scale': { f32: 8 }
    },
    isPaired: true
  },
  {
    name: 'gemma2',
    config: {
      architectures: ['Gemma2ForCausalLM'],
      model_type: 'gemma2',
      ...gemmaConfig,
      attn_logit_softcapping: 50,
      final_logit_softcapping: 30
    },
    metadata: {
      '.attention.key_length': { u32: 8 },
      '.attention.sliding_window': { u32: 8 },
      '.attn_logit_softcapping': { f32: 50 },
      '.final_logit_softcapping': { f32: 30 }
    },
    names: gemmaNames,
    plusOne: true
  },
  {
    name: 'gemma3',
    config: {
      architectures: ['Gemma3ForCausalLM'],
      model_type: 'gemma3_text',
      ...gemmaConfig,
      num_hidden_layers: 7,
      rope_theta: 1e6,
      rope_scaling: { rope_type: 'linear', factor: 8 }
    },
    metadata: {
      '.attention.key_length': { u32: 8 },
      '.attention.sliding_window': { u32: 8 },
      '.rope.scaling.type': { text: 'linear' },
      '.rope.scaling.factor': { f32: 8 }
    },
    names: { ...gemmaNames, ...headNorms },
    plusOne: true
  },
  {
    name: 'olmo2',
    config: { architectures: ['Olmo2ForCausalLM'], model_type: 'olmo2' },
    names: {
      post_attention_layernorm: 'post_attention_norm',
      post_feedforward_layernorm: 'post_ffw_norm',
      ...headNorms
    }
  },
  {
    name: 'lfm2',
    config: {
      architectures: ['Lfm2ForCausalLM'],
      model_type: 'lfm2',
      num_hidden_layers: 3,
      layer_types: ['conv', 'full_attention', 'conv'],
      conv_L_cache: 4,
      block_auto_adjust_ff_dim: false
    },
    metadata: { '.attention.head_count_kv': { i32s: [0, 2, 0] }, '.shortconv.l_cache': { u32: 4 } },
    names: {
      'model.embedding_norm': 'token_embd_norm',
      ...{ operator_norm: 'attn_norm', ffn_norm: 'ffn_norm', 'self_attn.out_proj': 'attn_output' },
      ...{ 'self_attn.q_layernorm': 'attn_q_norm', 'self_attn.k_layernorm': 'attn_k_norm' },
      ...{ 'feed_forward.w1': 'ffn_gate', 'feed_forward.w3': 'ffn_up', 'feed_forward.w2': 'ffn_down' },
      ...{ 'conv.in_proj': 'shortconv.in_proj', 'conv.conv': 'shortconv.conv', 'conv.out_proj': 'shortconv.out_proj' }
    }
  }
]

const dimensions = {
  hidden_size: 32,
  intermediate_size: 48,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 300,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-5,
  rope_theta: 50000,
  tie_word_embeddings: false
}
type Config = typeof dimensions & Readonly<Record<string, unknown>>

let dir: string
let store: ModelStore
beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'skein-gguf-'))
  store = await openStore({ own: path.join(dir, 'store') })
})
afterAll(() => rm(dir, { recursive: true, force: true }))

/** Random weights of which adding 1 loses nothing. */
function checkpointOf(config: Config): Map<string, TinyTensor> {
  const described = describeModel(config, 'config.json')
  const rng = seeded(7)
  const tensors = new Map<string, TinyTensor>()
  for (const [name, { shape }] of checkpointTensors(described.config, described.names)) {
    const length = shape.reduce((a, b) => a * b, 1)
    tensors.set(name, {
      shape: [...shape],
      values: Float32Array.from({ length }, () => f32(Math.round(rng() * 4096) / 4096))
    })
  }
  return tensors
}

function ggufName(name: string, own: Readonly<Record<string, string>>): string {
  const [, layer, part, kind] = /^(?:model\.layers\.(\d+)\.)?(.+)\.(weight|bias)$/.exec(name)!
  const stem = own[part!] ?? llamaNames[part!]!
  return `${layer === undefined ? '' : `blk.${layer}.`}${stem}.${kind}`
}

/** Tensors of all experts in one: gate and up of each expert one after the other. */
function stacked(checkpoint: ReadonlyMap<string, TinyTensor>, stacks: Readonly<Record<string, string>>) {
  const found = new Map<string, { readonly expert: number; readonly tensor: TinyTensor }[]>()
  const rest = new Map<string, TinyTensor>()
  for (const [key, tensor] of checkpoint) {
    const [, layer, expert, part] = /^model\.layers\.(\d+)\..+\.experts\.(\d+)\.(\w+)\.weight$/.exec(key) ?? []
    if (part === undefined) {
      rest.set(key, tensor)
      continue
    }
    const own = `blk.${layer}.${stacks[part]}.weight`
    found.set(own, [...(found.get(own) ?? []), { expert: Number(expert), tensor }])
  }
  const made = [...found].map(([key, all]): [string, WrittenTensor] => {
    const experts = key.includes('gate_up') ? all.length / 2 : all.length
    const inOrder = all.toSorted((a, b) => a.expert - b.expert)
    const values = Float32Array.from(inOrder.flatMap(each => [...each.tensor.values]))
    const [, inputs] = all[0]!.tensor.shape as [number, number]
    const shape = [experts, values.length / experts / inputs, inputs]
    return [key, { type: 0, shape, data: encoded(values, 'F32') }]
  })
  return { rest, made }
}

function ggufOf(family: Family, config: Config): Uint8Array {
  const { name, metadata = {}, names = {}, isPaired, plusOne, more = {}, stacks } = family
  const tensors = new Map<string, WrittenTensor>()
  const { rest, made } = stacked(stacks === undefined ? new Map() : checkpointOf(config), stacks ?? {})
  for (const [key, tensor] of made) tensors.set(key, tensor)
  for (const [key, tensor] of stacks === undefined ? checkpointOf(config) : rest) {
    const own = ggufName(key, names)
    const part = /attn_(q|k)\.(weight|bias)$/.exec(own)?.[1]
    const heads = part === 'q' ? config.num_attention_heads : part === 'k' ? config.num_key_value_heads : undefined
    const { shape, values } = isPaired === true && heads !== undefined ? paired(tensor, heads) : tensor
    const stored = plusOne === true && own.endsWith('norm.weight') ? values.map(value => value + 1) : values
    // The one input of each column's kernel is not in files.
    const own3 = shape.length === 3 ? shape.filter((_, i) => i !== 1) : shape
    tensors.set(own, { type: 0, shape: own3, data: encoded(stored, 'F32') })
  }
  for (const [key, values] of Object.entries(more)) {
    tensors.set(key, { type: 0, shape: [values.length], data: encoded(Float32Array.from(values), 'F32') })
  }
  const all = Object.entries(tinyMetadata({ ...tinyBase, ...config })).map(([key, value]) => [
    key.replace(/^llama\./, `${name}.`),
    value
  ])
  const own = Object.entries(metadata).map(([key, value]) => [`${name}${key}`, value])
  return writeGguf({
    metadata: { ...Object.fromEntries(all), ...Object.fromEntries(own), 'general.architecture': { text: name } },
    tensors
  })
}

const tinyBase = {
  architectures: [''],
  model_type: '',
  rope_scaling: null,
  hidden_act: 'silu',
  attention_bias: false,
  mlp_bias: false,
  bos_token_id: 1,
  eos_token_id: 2
}

const digests = ({ manifest }: StoredModel): string[] => manifest.shards.map(({ sha256 }) => sha256)

describe.each(families.map((family, i): [string, Family] => [`${family.name} ${i}`, family]))('%s', (label, family) => {
  test('becomes the model that the checkpoint becomes', async () => {
    const name = label.replace(' ', '-')
    const config = { ...dimensions, ...family.config } as Config
    const folder = path.join(dir, name)
    await writeModelDirectory(folder, config, checkpointOf(config))
    const file = path.join(dir, `${name}.gguf`)
    await writeFile(file, ggufOf(family, config))
    const signal = AbortSignal.timeout(60_000)
    const init = { store, weights: 'f32', edge: 'f32', signal } as const
    const direct = await importModel({ ...init, source: folder, name: `${name}-folder` })
    const own = await importModel({ ...init, source: file, name: `${name}-file` })
    if (family.plusOne !== true) {
      expect(own.manifest.config).toEqual(direct.manifest.config)
      expect(digests(own)).toEqual(digests(direct))
      return
    }
    const { norm, ...rest } = direct.manifest.config
    const { offset, ...norms } = norm!
    expect(offset).toBe(1)
    expect(own.manifest.config).toEqual({ ...rest, norm: norms })
    for (const index of direct.manifest.shards.keys()) {
      const [theirs, ours] = [readShard(direct, index), readShard(own, index)]
      expect(ours.matrices).toEqual(theirs.matrices)
      for (const [key, values] of theirs.vectors) expect(ours.vectors.get(key)).toEqual(values.map(value => value + 1))
    }
  })
})
