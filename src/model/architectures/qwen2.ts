import { z } from 'zod'
import { architecture, given } from './architecture.ts'
import { layerTypes, slidingWindow } from './fields.ts'
import { type LayerForm, layerTypesOf, windowed } from './layers.ts'
import type { Refuse } from './architecture.ts'
import type { CommonFields } from './fields.ts'

/** Windows of Qwen 2 and 3: the files say one that is not used. */
export const qwenWindow = {
  use_sliding_window: z.boolean().nullish(),
  sliding_window: slidingWindow,
  max_window_layers: z.int().nonnegative().nullish(),
  layer_types: layerTypes
} as const

export function qwenLayers(
  c: CommonFields & z.infer<z.ZodObject<typeof qwenWindow>>,
  refuse: Refuse
): readonly LayerForm[] {
  const window = c.use_sliding_window === true ? given(c.sliding_window, 4096) : undefined
  const first = c.max_window_layers ?? 28
  const usual = (layer: number) => (window !== undefined && layer >= first ? 'sliding_attention' : 'full_attention')
  return windowed(layerTypesOf(c, usual, refuse), window, refuse)
}

/** Qwen 2 and 2.5: biases of queries, keys and values, whatever the file says of them. */
export const qwen2 = architecture({
  name: 'qwen2',
  className: 'Qwen2ForCausalLM',
  modelType: 'qwen2',
  fields: qwenWindow,
  layers: qwenLayers,
  extras: () => ({ attention: { qkvBias: true } })
})
