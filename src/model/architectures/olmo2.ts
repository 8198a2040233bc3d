import { architecture, biases } from './architecture.ts'
import { attentionBias } from './fields.ts'

/** OLMo 2: norms of what attention and the feed-forward part give, and of all queries and all keys. */
export const olmo2 = architecture({
  name: 'olmo2',
  className: 'Olmo2ForCausalLM',
  modelType: 'olmo2',
  fields: { attention_bias: attentionBias },
  extras: c => ({
    norm: { place: 'after' },
    attention: { ...biases(c.attention_bias).attention, headNorm: 'all' }
  }),
  names: { norm1After: 'post_attention_layernorm.weight', norm2After: 'post_feedforward_layernorm.weight' }
})
