import { architecture } from './architecture.ts'
import { slidingWindow } from './fields.ts'
import { alikeLayers } from './layers.ts'

/** Phi-3, 3.5 and 4-mini: matrices that hold several, and rotation by lists of factors, of a part of each head in the last. */
export const phi3 = architecture({
  name: 'phi3',
  className: 'Phi3ForCausalLM',
  modelType: 'phi3',
  fields: { sliding_window: slidingWindow },
  rope: c => ({
    originalContext: c.original_max_position_embeddings ?? 4096,
    // Its first files called the lists so.
    typeOf: type => (type === 'su' || type === 'yarn' ? 'longrope' : type)
  }),
  layers: c => alikeLayers(c, c.sliding_window ?? undefined),
  names: {
    q: 'self_attn.qkv_proj.weight',
    k: 'self_attn.qkv_proj.weight',
    v: 'self_attn.qkv_proj.weight',
    gate: 'mlp.gate_up_proj.weight',
    up: 'mlp.gate_up_proj.weight'
  }
})
