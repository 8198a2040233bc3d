import { z } from 'zod'
import { dimensionsMax } from '../decoder.ts'
import { architecture, biases, given } from './architecture.ts'
import { expertsPerToken, mixture } from './experts.ts'
import { attentionBias, type CommonFields } from './fields.ts'
import { alikeLayers } from './layers.ts'
import { qwenWindow } from './qwen2.ts'
import { stackedExperts } from './tensors.ts'

const fields = {
  ...qwenWindow,
  attention_bias: attentionBias,
  num_experts: z.int().nonnegative().nullish(),
  num_experts_per_tok: expertsPerToken,
  moe_intermediate_size: z.int().positive().max(dimensionsMax.intermediate).nullish(),
  norm_topk_prob: z.boolean().nullish(),
  /** Every so many layers one has experts, */
  decoder_sparse_step: z.int().positive().nullish(),
  /** and these have none. */
  mlp_only_layers: z.array(z.int().nonnegative()).max(dimensionsMax.layers).nullish()
} as const
type Fields = CommonFields & z.infer<z.ZodObject<typeof fields>>

/** By layer, whether it has experts. */
function isMixture({
  num_hidden_layers: layers,
  num_experts,
  decoder_sparse_step,
  mlp_only_layers
}: Fields): boolean[] {
  const [step, dense] = [decoder_sparse_step ?? 1, mlp_only_layers ?? []]
  return Array.from(
    { length: layers },
    (_, layer) => num_experts !== 0 && (layer + 1) % step === 0 && !dense.includes(layer)
  )
}

/** Qwen 3 with experts (30B-A3B, 235B-A22B, Coder): in every layer, or in some. */
export const qwen3Moe = architecture({
  name: 'qwen3-moe',
  className: 'Qwen3MoeForCausalLM',
  modelType: 'qwen3_moe',
  fields,
  layers(c) {
    const mixtures = isMixture(c)
    // Layers are told apart by that alone: whoever has no experts at all is a plain decoder.
    const differ = mixtures.includes(true)
    const window = c.use_sliding_window === true ? given(c.sliding_window, 4096) : undefined
    return alikeLayers(c, window).map((form, layer) =>
      differ && !mixtures[layer]! ? { ...form, isDense: true } : form
    )
  },
  extras(c, refuse) {
    const experts = {
      count: c.num_experts ?? 128,
      used: c.num_experts_per_tok ?? 8,
      intermediate: c.moe_intermediate_size ?? 768,
      ...(c.norm_topk_prob === true ? { renormalised: true as const } : {})
    }
    return {
      attention: { ...biases(c.attention_bias).attention, headNorm: 'head' },
      ...(isMixture(c).includes(true) ? mixture(experts, { count: 'num_experts' }, refuse) : {})
    }
  },
  otherNames: [stackedExperts]
})
