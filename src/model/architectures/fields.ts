/**
 * Fields of a `config.json`: those that all architectures have, with their bounds, and which of the others may be passed over. A field
 * that is not known, and whose name says that it may change what is computed, is refused.
 */
import { z } from 'zod'
import { dimensionsMax } from '../decoder.ts'

const size = z.int().positive()
const ids = z.union([z.int().nonnegative(), z.array(z.int().nonnegative())]).nullish()
const dictionary = z.record(z.string(), z.unknown()).nullish()

/** What most architectures have; each may have more. */
export const commonFields = {
  architectures: z.array(z.string()).nullish(),
  model_type: z.string().nullish(),
  hidden_size: size,
  intermediate_size: size,
  num_hidden_layers: size,
  num_attention_heads: size,
  num_key_value_heads: size.nullish(),
  head_dim: size.nullish(),
  vocab_size: size,
  max_position_embeddings: size,
  /** Outside of the scaling it counts more than within. */
  original_max_position_embeddings: z.int().min(2).nullish(),
  rms_norm_eps: z.number().positive(),
  rope_theta: z.number().positive().nullish(),
  rope_scaling: dictionary,
  rope_parameters: dictionary,
  partial_rotary_factor: z.number().positive().max(1).nullish(),
  hidden_act: z.string().nullish(),
  tie_word_embeddings: z.boolean().nullish(),
  quantization_config: z.unknown().optional(),
  bos_token_id: ids,
  eos_token_id: ids
} as const

export type CommonFields = z.infer<z.ZodObject<typeof commonFields>>

/** Fields that several architectures have. */
export const attentionBias = z.boolean().nullish()
export const feedForwardBias = z.boolean().nullish()
export const slidingWindow = size.nullish()
export const layerTypes = z.array(z.string()).max(dimensionsMax.layers).nullish()

/** The largest that each dimension may be, by its name in the file. */
export const fieldsMax = {
  num_hidden_layers: dimensionsMax.layers,
  hidden_size: dimensionsMax.hidden,
  intermediate_size: dimensionsMax.intermediate,
  num_attention_heads: dimensionsMax.heads,
  num_key_value_heads: dimensionsMax.kvHeads,
  head_dim: dimensionsMax.headDim,
  vocab_size: dimensionsMax.vocab,
  max_position_embeddings: dimensionsMax.contextMax
} as const

/** Parts of names of what changes the numbers. */
const computes =
  /rope|rotary|norm|softcap|multiplier|scal(e|ing)|window|expert|router|bias|attn|attention|activation|_act$|conv|layer_types|moe|qk_|_qk|kv|lora_rank|clip|bidirectional|residual|logit/
/** Of training alone, of how a library computes, or of its own. */
const passedOver =
  /dropout|_pdrop$|^_|implementation$|^output_|_loss|_coef|^initializer|^use_cache$|^cache_|^max_window_layers$|_std$|^pretraining_/

/** Whether a value leaves a computation as it is, whatever its field. */
function isNeutral(name: string, value: unknown): boolean {
  if (value === null || value === undefined || value === false || value === 0) return true
  return value === 1 && /multiplier|scal(e|ing)|factor/.test(name)
}

/** The first field that is not among those known and may change what is computed. */
export function unknownField(
  config: Readonly<Record<string, unknown>>,
  known: ReadonlySet<string>
): string | undefined {
  return Object.entries(config).find(
    ([name, value]) => !known.has(name) && computes.test(name) && !passedOver.test(name) && !isNeutral(name, value)
  )?.[0]
}
