import { z } from 'zod'
import { dimensionsMax } from '../decoder.ts'
import { architecture, biases } from './architecture.ts'
import { attentionBias, feedForwardBias, layerTypes, slidingWindow } from './fields.ts'
import { layerTypesOf, windowed } from './layers.ts'

/** SmolLM 3: every fourth layer is not rotated. */
export const smollm3 = architecture({
  name: 'smollm3',
  className: 'SmolLM3ForCausalLM',
  modelType: 'smollm3',
  fields: {
    attention_bias: attentionBias,
    mlp_bias: feedForwardBias,
    use_sliding_window: z.boolean().nullish(),
    sliding_window: slidingWindow,
    layer_types: layerTypes,
    /** 1: rotated. */
    no_rope_layers: z
      .array(z.union([z.literal(0), z.literal(1)]))
      .max(dimensionsMax.layers)
      .nullish(),
    no_rope_layer_interval: z.int().positive().nullish()
  },
  defaults: { ropeTheta: 2_000_000, tied: true },
  layers(c, refuse) {
    const interval = c.no_rope_layer_interval ?? 4
    const rotates = (layer: number): boolean =>
      c.no_rope_layers === null || c.no_rope_layers === undefined
        ? (layer + 1) % interval !== 0
        : c.no_rope_layers[layer] === 1
    const named = c.no_rope_layers?.length ?? c.num_hidden_layers
    if (named !== c.num_hidden_layers) {
      refuse(`no_rope_layers has ${named} layers, num_hidden_layers is ${c.num_hidden_layers}`)
    }
    const window = c.use_sliding_window === true ? c.sliding_window : undefined
    const usual = (layer: number) =>
      typeof window === 'number' && !rotates(layer) ? 'sliding_attention' : 'full_attention'
    return windowed(layerTypesOf(c, usual, refuse), window, refuse).map((form, layer) => ({
      ...form,
      rotates: rotates(layer)
    }))
  },
  extras: c => biases(c.attention_bias, c.mlp_bias)
})
