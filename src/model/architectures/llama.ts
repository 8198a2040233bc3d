import { architecture, biases } from './architecture.ts'
import { attentionBias, feedForwardBias } from './fields.ts'

/** Llama 1 to 3.3, and what has its form: SmolLM 1 and 2, TinyLlama. */
export const llama = architecture({
  name: 'llama',
  className: 'LlamaForCausalLM',
  modelType: 'llama',
  fields: { attention_bias: attentionBias, mlp_bias: feedForwardBias },
  extras: c => biases(c.attention_bias, c.mlp_bias)
})
