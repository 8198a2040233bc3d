import { architecture, given } from './architecture.ts'
import { slidingWindow } from './fields.ts'
import { alikeLayers } from './layers.ts'

/** Mistral 7B, NeMo and Small: a window over all layers in the first of them. */
export const mistral = architecture({
  name: 'mistral',
  className: 'MistralForCausalLM',
  modelType: 'mistral',
  fields: { sliding_window: slidingWindow },
  layers: c => alikeLayers(c, given(c.sliding_window, 4096))
})
