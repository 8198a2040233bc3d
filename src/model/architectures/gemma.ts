/** Gemma 2 and 3: four norms in a layer, of 1 more than their weights, and windows in most layers. */
import { z } from 'zod'
import { architecture, type Extras, given, type Refuse } from './architecture.ts'
import { attentionBias, type CommonFields, layerTypes, slidingWindow } from './fields.ts'
import { layerTypesOf, windowed } from './layers.ts'

const cap = z.number().positive().nullish()

const shared = {
  attention_bias: attentionBias,
  hidden_activation: z.string().nullish(),
  query_pre_attn_scalar: z.number().positive().nullish(),
  sliding_window: slidingWindow,
  layer_types: layerTypes,
  attn_logit_softcapping: cap,
  final_logit_softcapping: cap,
  use_bidirectional_attention: z.literal(false).nullish()
} as const
type Shared = CommonFields & z.infer<z.ZodObject<typeof shared>>

const names = {
  norm1After: 'post_attention_layernorm.weight',
  norm2: 'pre_feedforward_layernorm.weight',
  norm2After: 'post_feedforward_layernorm.weight'
} as const

const defaults = { headDim: 256, tied: true, activation: 'gelu_pytorch_tanh' } as const

function extras(c: Shared): Extras {
  return {
    norm: { offset: 1, place: 'both' },
    attention: {
      ...(c.attention_bias === true ? { qkvBias: true as const, outputBias: true as const } : {}),
      scale: 1 / Math.sqrt(c.query_pre_attn_scalar ?? 256)
    },
    embeddingScale: Math.sqrt(c.hidden_size)
  }
}

function layers(c: Shared, pattern: number, refuse: Refuse) {
  const usual = (layer: number) => ((layer + 1) % pattern === 0 ? 'full_attention' : 'sliding_attention')
  return windowed(layerTypesOf(c, usual, refuse), given(c.sliding_window, 4096), refuse)
}

/** Gemma 2: every second layer sees all; scores and logits are capped. */
export const gemma2 = architecture({
  name: 'gemma2',
  className: 'Gemma2ForCausalLM',
  modelType: 'gemma2',
  fields: shared,
  defaults,
  layers: (c, refuse) => layers(c, 2, refuse),
  extras(c) {
    const scoreCap = given(c.attn_logit_softcapping, 50)
    const logitCap = given(c.final_logit_softcapping, 30)
    const plain = extras(c)
    return {
      ...plain,
      attention: { ...plain.attention, ...(scoreCap === undefined ? {} : { scoreCap }) },
      ...(logitCap === undefined ? {} : { logitCap })
    }
  },
  names,
  edge: 'bf16'
})

/** Gemma 3 for text: every sixth layer sees all and is rotated by a frequency of its own; a norm of each head of queries and keys. */
export const gemma3 = architecture({
  name: 'gemma3',
  className: 'Gemma3ForCausalLM',
  modelType: 'gemma3_text',
  fields: {
    ...shared,
    rope_local_base_freq: z.number().positive().nullish(),
    sliding_window_pattern: z.int().positive().nullish(),
    _sliding_window_pattern: z.int().positive().nullish()
  },
  defaults: { ...defaults, ropeTheta: 1_000_000 },
  rope: c => ({
    theta: { full_attention: c.rope_theta ?? 1_000_000, sliding_attention: c.rope_local_base_freq ?? 10_000 },
    fullAlone: true
  }),
  layers: (c, refuse) => layers(c, c.sliding_window_pattern ?? c._sliding_window_pattern ?? 6, refuse),
  extras(c, refuse) {
    if (typeof c.attn_logit_softcapping === 'number') {
      refuse(`attn_logit_softcapping ${c.attn_logit_softcapping} is not computed for gemma3`)
    }
    const plain = extras(c)
    const logitCap = c.final_logit_softcapping ?? undefined
    return {
      ...plain,
      attention: { ...plain.attention, headNorm: 'head' },
      ...(logitCap === undefined ? {} : { logitCap })
    }
  },
  names,
  edge: 'bf16'
})
