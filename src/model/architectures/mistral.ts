import { architecture, given } from './architecture.ts'
import { slidingWindow } from './fields.ts'

/** Mistral 7B, NeMo and Small: a window over all layers in the first of them. */
export const mistral = architecture({
  name: 'mistral',
  className: 'MistralForCausalLM',
  modelType: 'mistral',
  fields: { sliding_window: slidingWindow },
  layers(c) {
    const window = given(c.sliding_window, 4096)
    const type = window === undefined ? 'full_attention' : 'sliding_attention'
    return Array.from({ length: c.num_hidden_layers }, () => ({ type, window }))
  }
})
