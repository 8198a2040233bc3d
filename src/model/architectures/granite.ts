import { z } from 'zod'
import { architecture, biases, type Extras } from './architecture.ts'
import { attentionBias, feedForwardBias } from './fields.ts'

const factor = z.number().positive().nullish()

/** Granite 3: factors of embeddings, scores, what layers add, and logits. */
export const granite = architecture({
  name: 'granite',
  className: 'GraniteForCausalLM',
  modelType: 'granite',
  fields: {
    attention_bias: attentionBias,
    mlp_bias: feedForwardBias,
    embedding_multiplier: factor,
    attention_multiplier: factor,
    residual_multiplier: factor,
    logits_scaling: factor
  },
  extras(c) {
    const { attention, feedForward } = biases(c.attention_bias, c.mlp_bias)
    const scaled = (name: keyof Extras, value: number): Extras => (value === 1 ? {} : { [name]: value })
    return {
      // The factor of scores takes the place of headDim^-½ even where it is 1.
      attention: { ...attention, scale: c.attention_multiplier ?? 1 },
      ...(feedForward === undefined ? {} : { feedForward }),
      ...scaled('embeddingScale', c.embedding_multiplier ?? 1),
      ...scaled('residualScale', c.residual_multiplier ?? 1),
      ...scaled('logitScale', 1 / (c.logits_scaling ?? 1))
    }
  }
})
