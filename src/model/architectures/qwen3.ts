import { architecture, biases } from './architecture.ts'
import { attentionBias } from './fields.ts'
import { qwenLayers, qwenWindow } from './qwen2.ts'

/** Qwen 3: a norm of each head of queries and keys. */
export const qwen3 = architecture({
  name: 'qwen3',
  className: 'Qwen3ForCausalLM',
  modelType: 'qwen3',
  fields: { ...qwenWindow, attention_bias: attentionBias },
  defaults: { headDim: 128 },
  layers: qwenLayers,
  extras: c => ({ attention: { ...biases(c.attention_bias).attention, headNorm: 'head' } })
})
