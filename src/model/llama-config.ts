/**
 * `config.json` of a Hugging Face model into our dimensions, or a refusal that names what we cannot compute
 * exactly. A field that is not known to be harmless where it differs from plain llama is refused.
 */
import { z } from 'zod'
import { ImportError } from '../errors.ts'
import { attentionBlock } from './limits.ts'
import type { SourceTensor } from './import-writer.ts'
import { dimensionsMax, type ModelConfig } from './decoder.ts'

const ids = z.union([z.int().nonnegative(), z.array(z.int().nonnegative())]).nullish()

const schema = z.looseObject({
  architectures: z.array(z.string()).nullish(),
  model_type: z.string().nullish(),
  hidden_size: z.int().positive(),
  intermediate_size: z.int().positive(),
  num_hidden_layers: z.int().positive(),
  num_attention_heads: z.int().positive(),
  num_key_value_heads: z.int().positive().nullish(),
  head_dim: z.int().positive().nullish(),
  vocab_size: z.int().positive(),
  max_position_embeddings: z.int().positive(),
  rms_norm_eps: z.number().positive(),
  rope_theta: z.number().positive().nullish(),
  rope_scaling: z.record(z.string(), z.unknown()).nullish(),
  rope_parameters: z.record(z.string(), z.unknown()).nullish(),
  hidden_act: z.string().nullish(),
  attention_bias: z.boolean().nullish(),
  mlp_bias: z.boolean().nullish(),
  tie_word_embeddings: z.boolean().nullish(),
  sliding_window: z.int().nullish(),
  quantization_config: z.unknown().optional(),
  partial_rotary_factor: z.number().nullish(),
  rope_interleaved: z.boolean().nullish(),
  bos_token_id: ids,
  eos_token_id: ids
})

/** The largest that each dimension may be, by its name in the file. */
const fieldsMax = {
  num_hidden_layers: dimensionsMax.layers,
  hidden_size: dimensionsMax.hidden,
  intermediate_size: dimensionsMax.intermediate,
  num_attention_heads: dimensionsMax.heads,
  num_key_value_heads: dimensionsMax.kvHeads,
  head_dim: dimensionsMax.headDim,
  vocab_size: dimensionsMax.vocab,
  max_position_embeddings: dimensionsMax.contextMax
} as const

export interface LlamaConfig {
  /** `tiedEmbeddings` as the file has it; a checkpoint without an output matrix is tied whatever it says. */
  readonly config: ModelConfig
  readonly bosId: number | null
  readonly eosIds: readonly number[]
}

/**
 * Checks a parsed `config.json`.
 *
 * @param file its path, for messages
 * @throws {ImportError} that names the architecture or the field that cannot be imported
 */
export function parseLlamaConfig(json: unknown, file: string): LlamaConfig {
  const refuse = (what: string): never => {
    throw new ImportError(`${file}: ${what}`)
  }
  // The architecture comes first: another one's config may lack fields, and its name is the real reason.
  const named = z
    .looseObject({ architectures: z.unknown().optional(), model_type: z.unknown().optional() })
    .safeParse(json)
  if (!named.success) return refuse('it must be a JSON object')
  const { architectures, model_type } = named.data
  const architecture = Array.isArray(architectures) ? shown(architectures[0]) : undefined
  if (architecture !== undefined ? architecture !== 'LlamaForCausalLM' : model_type !== 'llama') {
    return refuse(
      `the architecture ${architecture ?? shown(model_type ?? 'is not given; it')} cannot be imported, only LlamaForCausalLM`
    )
  }
  if (model_type !== undefined && model_type !== null && model_type !== 'llama') {
    return refuse(`the model type ${shown(model_type)} cannot be imported, only llama`)
  }
  const parsed = schema.safeParse(json)
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0]!
    const [field] = path
    if (path.length === 1 && (json as Record<PropertyKey, unknown>)[field!] === undefined) {
      return refuse(`it has no ${String(field)}`)
    }
    return refuse(`${path.map(String).join('.') || 'it'}: ${message}`)
  }
  const c = parsed.data
  // Before anything is counted up to one of them.
  for (const [field, bound] of Object.entries(fieldsMax)) {
    const value = c[field as keyof typeof fieldsMax] ?? 0
    if (value > bound) refuse(`${field} is ${value}, at most ${bound} can be imported`)
  }
  if (c.quantization_config !== undefined && c.quantization_config !== null) {
    const method = (c.quantization_config as { quant_method?: unknown }).quant_method ?? 'unknown'
    refuse(`the checkpoint is quantised (quantization_config: ${shown(method)}); import the original weights`)
  }
  if (c.hidden_act !== undefined && c.hidden_act !== null && c.hidden_act !== 'silu') {
    refuse(`hidden_act ${shown(c.hidden_act)} cannot be computed, only silu`)
  }
  if (c.attention_bias === true) refuse('attention_bias true cannot be computed: attention has no biases here')
  if (c.mlp_bias === true) refuse('mlp_bias true cannot be computed: the feed-forward part has no biases here')
  if (c.rope_interleaved === true) refuse('rope_interleaved true cannot be computed: rotation turns halves here')
  if (c.sliding_window !== undefined && c.sliding_window !== null) {
    refuse(`sliding_window ${c.sliding_window} cannot be computed: attention sees the whole context here`)
  }
  for (const [field, scaling] of [
    ['rope_scaling', c.rope_scaling],
    ['rope_parameters', c.rope_parameters]
  ] as const) {
    const type = scaling?.rope_type ?? scaling?.type ?? 'default'
    if (type !== 'default') refuse(`${field} of type ${shown(type)} cannot be computed, only unscaled rotation`)
    const isNamed = (scaling?.rope_type ?? scaling?.type ?? null) !== null
    const factor = scaling?.factor ?? 1
    if (!isNamed && factor !== 1) {
      refuse(`${field} has the factor ${shown(factor)} of a type that is not named: only unscaled rotation is computed`)
    }
  }
  const partial: unknown = c.partial_rotary_factor ?? c.rope_parameters?.partial_rotary_factor ?? 1
  if (partial !== 1) refuse(`partial_rotary_factor ${shown(partial)} cannot be computed: whole heads are rotated here`)
  const heads = c.num_attention_heads
  const kvHeads = c.num_key_value_heads ?? heads
  if (heads % kvHeads !== 0) {
    refuse(`num_attention_heads ${heads} is no multiple of num_key_value_heads ${kvHeads}`)
  }
  const headDim = c.head_dim ?? c.hidden_size / heads
  if (!Number.isInteger(headDim)) {
    refuse(`hidden_size ${c.hidden_size} is no multiple of num_attention_heads ${heads}, and there is no head_dim`)
  }
  if (headDim % 2 !== 0) refuse(`head_dim ${headDim} is odd: rotation turns pairs`)
  // The engine refuses wider ones when it loads them: that is too late, on every peer, for who imports.
  if (headDim > attentionBlock) {
    refuse(`head_dim ${headDim} cannot be computed exactly: heads are at most ${attentionBlock} wide here`)
  }
  const theta = c.rope_theta ?? c.rope_parameters?.rope_theta ?? 10000
  if (typeof theta !== 'number' || !(theta > 0)) return refuse(`rope_theta must be a positive number`)
  return {
    config: {
      layers: c.num_hidden_layers,
      hidden: c.hidden_size,
      intermediate: c.intermediate_size,
      heads,
      kvHeads,
      headDim,
      vocab: c.vocab_size,
      contextMax: c.max_position_embeddings,
      ropeTheta: theta,
      normEpsilon: c.rms_norm_eps,
      tiedEmbeddings: c.tie_word_embeddings ?? false
    },
    bosId: idList(c.bos_token_id)[0] ?? null,
    eosIds: idList(c.eos_token_id)
  }
}

/** A value of the file in a message, at most so much of it. */
function shown(value: unknown): string {
  const text = String(value)
  return text.length > 64 ? `${text.slice(0, 64)}…` : text
}

function idList(value: number | number[] | null | undefined): number[] {
  return value === null || value === undefined ? [] : [value].flat()
}

/** A tensor of the checkpoint that a model of these dimensions needs. */
export interface CheckpointTensor {
  readonly tensor: SourceTensor
  /** Index of the layer, or null. */
  readonly layer: number | null
  readonly shape: readonly number[]
}

/** Every tensor by its name in the checkpoint; `lm_head.weight` only where the output matrix is not tied. */
export function checkpointTensors(config: ModelConfig): Map<string, CheckpointTensor> {
  const { layers, hidden, intermediate, heads, kvHeads, headDim, vocab, tiedEmbeddings } = config
  const tensors = new Map<string, CheckpointTensor>()
  const add = (name: string, tensor: SourceTensor, layer: number | null, ...shape: number[]): void => {
    tensors.set(`${name}.weight`, { tensor, layer, shape })
  }
  add('model.embed_tokens', 'embedding', null, vocab, hidden)
  for (let layer = 0; layer < layers; layer++) {
    const prefix = `model.layers.${layer}`
    add(`${prefix}.input_layernorm`, 'norm1', layer, hidden)
    add(`${prefix}.self_attn.q_proj`, 'q', layer, heads * headDim, hidden)
    add(`${prefix}.self_attn.k_proj`, 'k', layer, kvHeads * headDim, hidden)
    add(`${prefix}.self_attn.v_proj`, 'v', layer, kvHeads * headDim, hidden)
    add(`${prefix}.self_attn.o_proj`, 'o', layer, hidden, heads * headDim)
    add(`${prefix}.post_attention_layernorm`, 'norm2', layer, hidden)
    add(`${prefix}.mlp.gate_proj`, 'gate', layer, intermediate, hidden)
    add(`${prefix}.mlp.up_proj`, 'up', layer, intermediate, hidden)
    add(`${prefix}.mlp.down_proj`, 'down', layer, hidden, intermediate)
  }
  add('model.norm', 'norm', null, hidden)
  if (!tiedEmbeddings) add('lm_head', 'output', null, vocab, hidden)
  return tensors
}

/** Whether a checkpoint may hold this tensor without our reading it: it holds nothing that is not recomputed. */
export function isIgnoredTensor(name: string, config: ModelConfig): boolean {
  // Older conversions stored the rotation frequencies; tied ones may store the output matrix a second time.
  return name.endsWith('.rotary_emb.inv_freq') || (config.tiedEmbeddings && name === 'lm_head.weight')
}
