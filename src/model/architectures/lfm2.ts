/** LFM2: short convolutions in the place of attention in most layers, and a norm of each head of queries and keys in the others. */
import { shown } from '../../base/shown.ts'
import { z } from 'zod'
import type { ShortConvolution } from '../decoder.ts'
import { architecture, type Refuse } from './architecture.ts'
import { type CommonFields, layerTypes } from './fields.ts'
import type { LayerForm } from './layers.ts'

const size = z.int().positive()
const flag = z.boolean().nullish()
/** What initial weights are drawn by. */
const drawn = z.unknown().optional()

const fields = {
  conv_L_cache: size.nullish(),
  /** There is no released model with one. */
  conv_bias: z.literal(false).nullish(),
  layer_types: layerTypes,
  full_attn_idxs: z.array(z.int().nonnegative()).nullish(),
  block_auto_adjust_ff_dim: flag,
  block_ffn_dim_multiplier: z.number().positive().nullish(),
  block_multiple_of: size.nullish(),
  block_use_swiglu: z.literal(true).nullish(),
  use_pos_enc: z.literal(true).nullish(),
  theta: z.number().positive().nullish(),
  // Said a second time.
  block_dim: size.nullish(),
  conv_dim: size.nullish(),
  conv_dim_out: size.nullish(),
  num_heads: size.nullish(),
  ...{ block_norm_eps: drawn, block_mlp_init_scale: drawn, block_out_init_scale: drawn },
  ...{ block_use_xavier_init: drawn, conv_use_xavier_init: drawn }
} as const
type Fields = CommonFields & z.infer<z.ZodObject<typeof fields>>

const usualTheta = 1_000_000

/** Width of the feed-forward part: two thirds of what the file says, times a factor, up to a multiple (`Lfm2MLP`). */
function intermediate(c: Fields): number {
  const factor = given(c.block_ffn_dim_multiplier, 1)
  if (c.block_auto_adjust_ff_dim === false) return c.intermediate_size
  const adjusted = Math.trunc((2 * c.intermediate_size) / 3)
  if (factor === null) return adjusted
  const multiple = c.block_multiple_of ?? 256
  return multiple * Math.ceil(Math.trunc(factor * adjusted) / multiple)
}

/** What is left out has its usual value; null says that there is none. */
function given<T>(value: T | null | undefined, usual: T): T | null {
  return value === undefined ? usual : value
}

function layers(c: Fields, refuse: Refuse): LayerForm[] {
  checkRepeated(c, refuse)
  const convolution: ShortConvolution = { length: c.conv_L_cache ?? 3 }
  return typesOf(c, refuse).map(type => ({
    type: 'full_attention',
    ...(type === 'conv' ? { convolution } : {})
  }))
}

function typesOf(c: Fields, refuse: Refuse): string[] {
  const { num_hidden_layers: layers, layer_types: types, full_attn_idxs: attending } = c
  if (types !== undefined && types !== null) {
    if (types.length !== layers) refuse(`layer_types names ${types.length} layers, num_hidden_layers is ${layers}`)
    const other = types.find(type => type !== 'conv' && type !== 'full_attention')
    if (other !== undefined) {
      refuse(`layer_types has ${shown(other)}, which cannot be computed, only conv, full_attention`)
    }
    return types
  }
  const beyond = attending?.find(layer => layer >= layers)
  if (beyond !== undefined) refuse(`full_attn_idxs has layer ${beyond}, num_hidden_layers is ${layers}`)
  const attends = (layer: number): boolean => attending?.includes(layer) ?? true
  return Array.from({ length: layers }, (_, layer) => (attends(layer) ? 'full_attention' : 'conv'))
}

/** What files of the first release say twice must be the same: it is computed by the first. */
function checkRepeated(c: Fields, refuse: Refuse): void {
  const { hidden_size, num_attention_heads } = c
  const pairs = [
    ['block_dim', c.block_dim, 'hidden_size', hidden_size],
    ['conv_dim', c.conv_dim, 'hidden_size', hidden_size],
    ['conv_dim_out', c.conv_dim_out, 'hidden_size', hidden_size],
    ['num_heads', c.num_heads, 'num_attention_heads', num_attention_heads],
    ['theta', c.theta, 'rope_theta', c.rope_theta ?? (c.rope_parameters?.rope_theta as number) ?? usualTheta]
  ] as const
  for (const [name, value, of, counts] of pairs) {
    if (value !== null && value !== undefined && value !== counts) refuse(`${name} is ${value}, ${of} is ${counts}`)
  }
}

export const lfm2 = architecture({
  name: 'lfm2',
  className: 'Lfm2ForCausalLM',
  modelType: 'lfm2',
  fields,
  otherFields: { rms_norm_eps: 'norm_eps', intermediate_size: 'block_ff_dim', tie_word_embeddings: 'tie_embedding' },
  defaults: { ropeTheta: usualTheta, tied: true },
  intermediate,
  layers,
  extras: () => ({ attention: { headNorm: 'head' } }),
  names: {
    norm: 'model.embedding_norm.weight',
    norm1: 'operator_norm.weight',
    norm2: 'ffn_norm.weight',
    qNorm: 'self_attn.q_layernorm.weight',
    kNorm: 'self_attn.k_layernorm.weight',
    o: 'self_attn.out_proj.weight',
    gate: 'feed_forward.w1.weight',
    up: 'feed_forward.w3.weight',
    down: 'feed_forward.w2.weight'
  },
  edge: 'bf16'
})
