/**
 * A GGUF file's metadata and tensors in Hugging Face's terms, so that what an architecture is made of is known in one place:
 * a `config.json`, and the name of each tensor there (llama.cpp, conversion/*.py, reversed).
 */
import { shown } from '../../base/shown.ts'
import type { LayerNames } from '../architectures/tensors.ts'
import { dimensionsMax, type ModelConfig } from '../decoder.ts'
import type { GgufHeader } from './gguf.ts'
import type { GgufMetadata } from './gguf-metadata.ts'

export interface HuggingFaceTerms {
  /** What `config.json` would say. */
  readonly config: Readonly<Record<string, unknown>>
  /** The description that the config gives, as the file's tensors want it. @throws {ImportError} when it contradicts them */
  readonly adapt: (config: ModelConfig) => ModelConfig
  /** The names of a layer's tensors that {@link nameOf} gives, made of those that a checkpoint usually has. */
  readonly names: (usual: LayerNames) => LayerNames
  /** The name of a tensor in a checkpoint; undefined when it is none of the model's weights. */
  readonly nameOf: (tensor: string) => string | undefined
  /** By the file's name of a tensor: heads whose rows are rotated in pairs (2i, 2i + 1) where Hugging Face has halves; else undefined. */
  readonly pairedHeads: (tensor: string) => number | undefined
}

/** What rotation is scaled by where tensors say it: the names of these. */
export const ropeFactors = {
  divisors: 'rope_freqs.weight',
  short: 'rope_factors_short.weight',
  long: 'rope_factors_long.weight'
} as const
export type RopeFactors = { readonly [name in keyof typeof ropeFactors]?: readonly number[] }

/**
 * Parts of a layer with experts by their names in the file, and what they are called in a checkpoint: of all experts in one
 * tensor each, with gate and up in one, or of each expert by itself, as the first files had them.
 */
const expertNames: readonly { readonly names: Readonly<Record<string, string>>; readonly own: Partial<LayerNames> }[] =
  [
    {
      names: {
        ffn_gate_exps: 'mlp.experts.gate_proj',
        ffn_up_exps: 'mlp.experts.up_proj',
        ffn_down_exps: 'mlp.experts.down_proj'
      },
      own: {
        expertGate: 'mlp.experts.gate_proj.weight',
        expertUp: 'mlp.experts.up_proj.weight',
        expertDown: 'mlp.experts.down_proj.weight'
      }
    },
    {
      names: { ffn_gate_up_exps: 'mlp.experts.gate_up_proj', ffn_down_exps: 'mlp.experts.down_proj' },
      own: {
        expertGate: 'mlp.experts.gate_up_proj.weight',
        expertUp: 'mlp.experts.gate_up_proj.weight',
        expertDown: 'mlp.experts.down_proj.weight'
      }
    },
    {
      names: {
        'ffn_gate.#': 'mlp.experts.#.gate_proj',
        'ffn_up.#': 'mlp.experts.#.up_proj',
        'ffn_down.#': 'mlp.experts.#.down_proj'
      },
      own: {
        expertGate: 'mlp.experts.#.gate_proj.weight',
        expertUp: 'mlp.experts.#.up_proj.weight',
        expertDown: 'mlp.experts.#.down_proj.weight'
      }
    }
  ]

/** What differs between architectures. */
interface Family {
  /** As `architectures` of `config.json` has it. */
  readonly className: string
  readonly modelType: string
  /** Rows of queries and keys are in pairs of neighbours. */
  readonly paired?: true
  /** Parts of a layer beside {@link layerNames}, or in their place; tensors of none beside {@link topNames}. */
  readonly names?: Readonly<Record<string, string>>
  readonly topNames?: Readonly<Record<string, string>>
  /** Layers without heads of keys and values are short convolutions. */
  readonly convolves?: true
  /** Fields of `config.json` that say whether there are biases; others have none, or always the same. */
  readonly biases?: readonly ('attention_bias' | 'mlp_bias')[]
  /** The tensors of norms hold what is multiplied with, where Hugging Face's hold 1 less. */
  readonly wholeNorms?: true
  /** Where the file has none. @default 10000 */
  readonly ropeTheta?: number
  /** What it is where it has experts; others have none. */
  readonly mixture?: Pick<Family, 'className' | 'modelType'> & {
    /** The field of `config.json` that says how many there are. */
    readonly count: string
    /** The field that says how wide one is. @default they are as wide as the decoder's own feed-forward part */
    readonly width?: string
  }
  readonly config?: (init: {
    readonly metadata: GgufMetadata
    readonly hidden: number
    readonly heads: number
  }) => object
}

/** Parts of a layer by their names in the file. */
const layerNames: Readonly<Record<string, string>> = {
  attn_norm: 'input_layernorm',
  attn_q: 'self_attn.q_proj',
  attn_k: 'self_attn.k_proj',
  attn_v: 'self_attn.v_proj',
  attn_output: 'self_attn.o_proj',
  ffn_norm: 'post_attention_layernorm',
  ffn_gate: 'mlp.gate_proj',
  ffn_up: 'mlp.up_proj',
  ffn_down: 'mlp.down_proj'
}

const topNames: Readonly<Record<string, string>> = {
  token_embd: 'model.embed_tokens',
  output_norm: 'model.norm',
  output: 'lm_head'
}

const headNorms = { attn_q_norm: 'self_attn.q_norm', attn_k_norm: 'self_attn.k_norm' }
const gemmaNames = {
  post_attention_norm: 'post_attention_layernorm',
  ffn_norm: 'pre_feedforward_layernorm',
  post_ffw_norm: 'post_feedforward_layernorm'
}

/** @param largest layers of the largest model of the family, where scores are scaled otherwise */
const gemma =
  (largest: number): Family['config'] =>
  ({ metadata, hidden, heads }) => {
    const headDim = metadata.number('.attention.key_length', hidden / heads)
    return {
      hidden_activation: 'gelu_pytorch_tanh',
      query_pre_attn_scalar: metadata.number('.block_count') === largest ? hidden / heads : headDim,
      sliding_window: metadata.number('.attention.sliding_window', undefined),
      // llama.cpp caps where the file says so, and not otherwise.
      attn_logit_softcapping: metadata.float('.attn_logit_softcapping', null),
      final_logit_softcapping: metadata.float('.final_logit_softcapping', null)
    }
  }

/** By `general.architecture`. */
const families: ReadonlyMap<string, Family> = new Map<string, Family>([
  // Mistral's and Mixtral's files call themselves llama, too.
  [
    'llama',
    {
      className: 'LlamaForCausalLM',
      modelType: 'llama',
      paired: true,
      biases: ['attention_bias', 'mlp_bias'],
      mixture: { className: 'MixtralForCausalLM', modelType: 'mixtral', count: 'num_local_experts' }
    }
  ],
  ['qwen2', { className: 'Qwen2ForCausalLM', modelType: 'qwen2' }],
  ['qwen3', { className: 'Qwen3ForCausalLM', modelType: 'qwen3', names: headNorms, biases: ['attention_bias'] }],
  [
    'qwen3moe',
    {
      className: 'Qwen3MoeForCausalLM',
      modelType: 'qwen3_moe',
      names: headNorms,
      biases: ['attention_bias'],
      mixture: {
        className: 'Qwen3MoeForCausalLM',
        modelType: 'qwen3_moe',
        count: 'num_experts',
        width: 'moe_intermediate_size'
      }
    }
  ],
  [
    'smollm3',
    { className: 'SmolLM3ForCausalLM', modelType: 'smollm3', paired: true, biases: ['attention_bias', 'mlp_bias'] }
  ],
  [
    'phi3',
    {
      className: 'Phi3ForCausalLM',
      modelType: 'phi3',
      names: { attn_qkv: 'self_attn.qkv_proj', ffn_up: 'mlp.gate_up_proj' },
      config: ({ metadata }) => ({
        original_max_position_embeddings: metadata.number('.rope.scaling.original_context_length', undefined),
        sliding_window: metadata.number('.attention.sliding_window', 0) || null
      })
    }
  ],
  [
    'granite',
    {
      className: 'GraniteForCausalLM',
      modelType: 'granite',
      paired: true,
      biases: ['attention_bias', 'mlp_bias'],
      config: ({ metadata }) => ({
        embedding_multiplier: metadata.float('.embedding_scale', 1),
        attention_multiplier: metadata.float('.attention.scale', undefined),
        residual_multiplier: metadata.float('.residual_scale', 1),
        logits_scaling: metadata.float('.logit_scale', 1)
      })
    }
  ],
  [
    'gemma2',
    { className: 'Gemma2ForCausalLM', modelType: 'gemma2', names: gemmaNames, wholeNorms: true, config: gemma(46) }
  ],
  [
    'gemma3',
    {
      className: 'Gemma3ForCausalLM',
      modelType: 'gemma3_text',
      names: { ...gemmaNames, ...headNorms },
      wholeNorms: true,
      ropeTheta: 1_000_000,
      config: gemma(62)
    }
  ],
  [
    'olmo2',
    {
      className: 'Olmo2ForCausalLM',
      modelType: 'olmo2',
      names: {
        post_attention_norm: 'post_attention_layernorm',
        post_ffw_norm: 'post_feedforward_layernorm',
        ...headNorms
      }
    }
  ],
  [
    'lfm2',
    {
      className: 'Lfm2ForCausalLM',
      modelType: 'lfm2',
      convolves: true,
      topNames: { token_embd_norm: 'model.embedding_norm' },
      names: {
        ...{ attn_norm: 'operator_norm', ffn_norm: 'ffn_norm', attn_output: 'self_attn.out_proj' },
        ...{ attn_q_norm: 'self_attn.q_layernorm', attn_k_norm: 'self_attn.k_layernorm' },
        ...{ ffn_gate: 'feed_forward.w1', ffn_up: 'feed_forward.w3', ffn_down: 'feed_forward.w2' },
        ...{ 'shortconv.in_proj': 'conv.in_proj', 'shortconv.conv': 'conv.conv', 'shortconv.out_proj': 'conv.out_proj' }
      },
      ropeTheta: 1_000_000,
      config: ({ metadata }) => ({
        conv_L_cache: metadata.number('.shortconv.l_cache'),
        block_auto_adjust_ff_dim: false
      })
    }
  ]
])

/** @throws {ImportError} when the architecture is not known here, or a dimension is missing */
export function huggingFaceTerms(header: GgufHeader, metadata: GgufMetadata, factors: RopeFactors): HuggingFaceTerms {
  const family = families.get(metadata.architecture)
  if (family === undefined) {
    return metadata.refuse(
      `the architecture ${shown(metadata.architecture)} cannot be imported from GGUF, only ${[...families.keys()].join(', ')}`
    )
  }
  const shapes = new Map(header.tensors.map(({ name, shape }) => [name, shape]))
  const experts = expertsIn(metadata, family, shapes)
  const heads = metadata.forAllLayers('.attention.head_count')
  const byLayer = family.convolves === true ? metadata.byLayer('.attention.head_count_kv') : undefined
  const kvHeads =
    byLayer === undefined ? metadata.forAllLayers('.attention.head_count_kv', heads) : attendingHeads(metadata, byLayer)
  const types = byLayer?.map(count => (count === 0 ? 'conv' : 'full_attention'))
  const names = { ...layerNames, ...family.names, ...experts?.names }
  const biased = { attention_bias: shapes.has('blk.0.attn_q.bias'), mlp_bias: shapes.has('blk.0.ffn_up.bias') }
  return {
    config: {
      architectures: [(experts?.family ?? family).className],
      model_type: (experts?.family ?? family).modelType,
      ...dimensions(metadata, shapes, { heads, kvHeads, ropeTheta: family.ropeTheta ?? 10_000 }),
      rope_scaling: ropeScaling(metadata, factors),
      ...Object.fromEntries((family.biases ?? []).map(field => [field, biased[field]])),
      tie_word_embeddings: !shapes.has('output.weight'),
      ...(types === undefined ? {} : { layer_types: types }),
      ...experts?.config,
      ...family.config?.({ metadata, hidden: metadata.number('.embedding_length'), heads })
    },
    adapt: config => adapted(metadata, config, family, factors),
    names: usual => ({ ...usual, ...experts?.own }),
    nameOf: tensor => nameOf(tensor, names, { ...topNames, ...family.topNames }),
    pairedHeads(tensor) {
      const part = /^blk\.\d+\.(attn_q|attn_k)\.(weight|bias)$/.exec(tensor)?.[1]
      if (family.paired !== true || part === undefined) return undefined
      return part === 'attn_q' ? heads : kvHeads
    }
  }
}

/** What a file says of its experts, if it has any. */
function expertsIn(metadata: GgufMetadata, { mixture }: Family, shapes: ReadonlyMap<string, readonly number[]>) {
  const count = metadata.number('.expert_count', 0)
  const { architecture } = metadata
  if (count === 0 && mixture?.width === undefined) return undefined
  if (mixture === undefined) {
    return metadata.refuse(`it is a mixture of experts (${architecture}.expert_count), which cannot be imported`)
  }
  const gate = metadata.number('.expert_gating_func', softmaxGating)
  if (gate !== 0 && gate !== softmaxGating)
    metadata.refuse(`experts chosen by ${architecture}.expert_gating_func ${gate} cannot be imported`)
  for (const key of ['.expert_shared_count', '.expert_group_count']) {
    if (metadata.number(key, 0) > 0) metadata.refuse(`${architecture}${key} is not known of its mixtures of experts`)
  }
  const scale = metadata.float('.expert_weights_scale', 1)
  if (scale !== 0 && scale !== 1) metadata.refuse(`${architecture}.expert_weights_scale ${scale} cannot be imported`)
  // More are refused for their number.
  const layers = Array.from(
    { length: Math.min(metadata.number('.block_count'), dimensionsMax.layers) },
    (_, layer) => layer
  )
  const inLayer = (part: string): boolean =>
    layers.some(layer => shapes.has(`blk.${layer}.${part.replace('#', '0')}.weight`))
  const { names, own } =
    expertNames.find(each => Object.keys(each.names).every(part => inLayer(part))) ?? expertNames[0]!
  const { width, count: field, ...family } = mixture
  return {
    family,
    names: { ffn_gate_inp: 'mlp.gate', ...names },
    own: { router: 'mlp.gate.weight', ...own },
    config: {
      [field]: count,
      num_experts_per_tok: metadata.number('.expert_used_count'),
      ...(width === undefined
        ? {}
        : {
            [width]: metadata.number('.expert_feed_forward_length'),
            // llama.cpp divides shares by their sum, whatever else a file says.
            norm_topk_prob: true,
            mlp_only_layers: layers.filter(layer => !shapes.has(`blk.${layer}.ffn_gate_inp.weight`))
          })
    }
  }
}

/** llama.cpp's number of it; 0 is what the architecture has. */
const softmaxGating = 1

/** Heads of keys and values in each layer that has some. @throws {ImportError} when these differ, or there are none */
function attendingHeads(metadata: GgufMetadata, byLayer: readonly number[]): number {
  const [first, ...others] = new Set(byLayer.filter(count => count !== 0))
  if (first !== undefined && others.length === 0) return first
  return metadata.refuse(
    `${metadata.architecture}.attention.head_count_kv must be the same number in all layers where it is not 0, and there must be one`
  )
}

/** A description in which the file's tensors stand in the place of Hugging Face's. */
function adapted(
  metadata: GgufMetadata,
  config: ModelConfig,
  { wholeNorms }: Family,
  { divisors }: RopeFactors
): ModelConfig {
  const { norm, rotation, ...rest } = config
  const { offset: _, ...norms } = norm ?? {}
  const ownNorm = wholeNorms === true ? (Object.keys(norms).length === 0 ? undefined : norms) : norm
  // Files divide by 1 where nothing is scaled.
  const divides = divisors?.some(value => value !== 1) === true
  if (divides && (config.kinds !== undefined || rotation?.divisors !== undefined)) {
    metadata.refuse(`${ropeFactors.divisors} beside another scaling of rotation cannot be imported`)
  }
  if (divides && divisors!.length !== (rotation?.dims ?? config.headDim) / 2) {
    metadata.refuse(`${ropeFactors.divisors} has ${divisors!.length} numbers, one for each pair of a head is wanted`)
  }
  const ownRotation = divides ? { ...rotation, divisors: divisors! } : rotation
  return {
    ...rest,
    ...(ownNorm === undefined ? {} : { norm: ownNorm }),
    ...(ownRotation === undefined ? {} : { rotation: ownRotation })
  }
}

function dimensions(
  metadata: GgufMetadata,
  shapes: ReadonlyMap<string, readonly number[]>,
  { heads, kvHeads, ropeTheta }: { readonly heads: number; readonly kvHeads: number; readonly ropeTheta: number }
): Record<string, unknown> {
  const hidden = metadata.number('.embedding_length')
  const rotated = metadata.number('.rope.dimension_count', undefined)
  // Older files of the llama family say how wide a head is by this alone.
  const usual = metadata.architecture === 'llama' ? (rotated ?? hidden / heads) : hidden / heads
  const headDim = metadata.number('.attention.key_length', usual)
  const values = metadata.number('.attention.value_length', headDim)
  if (values !== headDim) {
    metadata.refuse(`values of ${values} dimensions beside keys of ${headDim} cannot be imported`)
  }
  return {
    hidden_size: hidden,
    intermediate_size: metadata.forAllLayers('.feed_forward_length'),
    num_hidden_layers: metadata.number('.block_count'),
    num_attention_heads: heads,
    num_key_value_heads: kvHeads,
    head_dim: headDim,
    vocab_size: shapes.get('token_embd.weight')?.[0] ?? metadata.number('.vocab_size'),
    max_position_embeddings: metadata.number('.context_length'),
    rms_norm_eps: metadata.float('.attention.layer_norm_rms_epsilon'),
    rope_theta: metadata.float('.rope.freq_base', ropeTheta),
    partial_rotary_factor: rotated === undefined || rotated === headDim ? undefined : rotated / headDim
  }
}

function ropeScaling(metadata: GgufMetadata, { short, long }: RopeFactors): Record<string, unknown> | null {
  const original = metadata.number('.rope.scaling.original_context_length', undefined)
  if (short !== undefined && long !== undefined) {
    // Its gain follows of the contexts.
    return {
      rope_type: 'longrope',
      short_factor: short,
      long_factor: long,
      ...(original === undefined ? {} : { original_max_position_embeddings: original })
    }
  }
  const type = metadata.text('.rope.scaling.type', 'none')
  const factor = metadata.float('.rope.scaling.factor', metadata.float('.rope.scale_linear', 1))
  if (type === 'none' || (type === 'linear' && factor === 1)) return null
  const gain = metadata.float('.rope.scaling.attn_factor', undefined)
  const [fast, slow] = [
    metadata.float('.rope.scaling.yarn_beta_fast', undefined),
    metadata.float('.rope.scaling.yarn_beta_slow', undefined)
  ]
  return {
    rope_type: type,
    factor,
    ...(original === undefined ? {} : { original_max_position_embeddings: original }),
    ...(gain === undefined ? {} : { attention_factor: gain }),
    ...(fast === undefined ? {} : { beta_fast: fast }),
    ...(slow === undefined ? {} : { beta_slow: slow })
  }
}

function nameOf(
  tensor: string,
  names: Readonly<Record<string, string>>,
  topNames: Readonly<Record<string, string>>
): string | undefined {
  const [, stem, kind] = /^(.+)\.(weight|bias)$/.exec(tensor) ?? []
  if (stem === undefined) return undefined
  const [, layer, part, expert] = /^blk\.(\d+)\.(\w+?(?:\.[a-z_]+)?)(?:\.(\d+))?$/.exec(stem) ?? []
  if (layer === undefined) return Object.hasOwn(topNames, stem) ? `${topNames[stem]}.${kind}` : undefined
  const name = expert === undefined ? part! : `${part}.#`
  if (!Object.hasOwn(names, name)) return undefined
  return `model.layers.${Number(layer)}.${names[name]!.replace('#', String(Number(expert)))}.${kind}`
}
