/**
 * The tensors of a checkpoint by their names: which of a decoder's matrices and vectors each holds. A tensor may hold several,
 * one after another, and a vector of ours may come from several tensors.
 */
import { convolutionOf, expertsOf, type ModelConfig } from '../decoder.ts'
import type { SourceTensor } from '../import-writer.ts'

/** What tensors hold, by the parts that have names of their own. */
type LayerTensor =
  | 'norm1'
  | 'norm1After'
  | 'norm2'
  | 'norm2After'
  | 'qNorm'
  | 'kNorm'
  | 'q'
  | 'k'
  | 'v'
  | 'o'
  | 'gate'
  | 'up'
  | 'down'
  | 'qBias'
  | 'kBias'
  | 'vBias'
  | 'oBias'
  | 'gateBias'
  | 'upBias'
  | 'downBias'
  | 'router'
  | 'expertGate'
  | 'expertUp'
  | 'expertDown'
  | 'convIn'
  | 'convKernel'
  | 'convOut'

/**
 * Names within a layer: those that several share are of a tensor that holds all of them, in the order of {@link LayerTensor}. A
 * name of experts has `#` where their number is, or else is of a tensor [experts, rows, inputs] that holds all of them. And the whole name of
 * the norm after the last layer.
 */
export type LayerNames = Readonly<Record<LayerTensor | 'norm', string>>

/** As Hugging Face's llama has them. */
export const llamaNames: LayerNames = {
  norm: 'model.norm.weight',
  norm1: 'input_layernorm.weight',
  norm1After: 'post_attention_layernorm.weight',
  norm2: 'post_attention_layernorm.weight',
  norm2After: 'post_feedforward_layernorm.weight',
  qNorm: 'self_attn.q_norm.weight',
  kNorm: 'self_attn.k_norm.weight',
  q: 'self_attn.q_proj.weight',
  k: 'self_attn.k_proj.weight',
  v: 'self_attn.v_proj.weight',
  o: 'self_attn.o_proj.weight',
  gate: 'mlp.gate_proj.weight',
  up: 'mlp.up_proj.weight',
  down: 'mlp.down_proj.weight',
  qBias: 'self_attn.q_proj.bias',
  kBias: 'self_attn.k_proj.bias',
  vBias: 'self_attn.v_proj.bias',
  oBias: 'self_attn.o_proj.bias',
  gateBias: 'mlp.gate_proj.bias',
  upBias: 'mlp.up_proj.bias',
  downBias: 'mlp.down_proj.bias',
  convIn: 'conv.in_proj.weight',
  convKernel: 'conv.conv.weight',
  convOut: 'conv.out_proj.weight',
  router: 'mlp.gate.weight',
  expertGate: 'mlp.experts.#.gate_proj.weight',
  expertUp: 'mlp.experts.#.up_proj.weight',
  expertDown: 'mlp.experts.#.down_proj.weight'
}

/** As transformers 5 has experts in memory, whose older files have a tensor for each. */
export const stackedExperts: Partial<LayerNames> = {
  router: 'mlp.gate.weight',
  expertGate: 'mlp.experts.gate_up_proj',
  expertUp: 'mlp.experts.gate_up_proj',
  expertDown: 'mlp.experts.down_proj'
}

/** Of names that a checkpoint may have, the usual ones first, those that this one has: by the tensors of its experts. */
export function namesIn(all: readonly LayerNames[], has: (part: string) => boolean): LayerNames {
  return all.find(({ expertDown }) => has(expertDown.replace('#', '0'))) ?? all[0]!
}

/** Rows of a tensor of the checkpoint, and where they are in one of ours. Numbers of a vector count as rows. */
export interface HeldRows {
  readonly tensor: SourceTensor
  /** Index of the layer, or null. */
  readonly layer: number | null
  /** First row in ours. */
  readonly at: number
  /** First row in the checkpoint's. */
  readonly from: number
  readonly rows: number
}

/** A tensor of the checkpoint that a decoder needs. */
export interface CheckpointTensor {
  readonly shape: readonly number[]
  readonly holds: readonly HeldRows[]
}

interface Held {
  readonly name: LayerTensor
  readonly tensor: SourceTensor
  readonly at: number
  readonly rows: number
  /** What comes after its rows in its shape; a vector has nothing there. */
  readonly columns: readonly number[]
  /** So many, one for each expert: rows of ours follow one another. */
  readonly experts?: number
}

/** What one layer of a decoder has, in the order in which tensors that hold several have it. */
function layerParts(config: ModelConfig, layer: number): Held[] {
  const { hidden, heads, kvHeads, headDim, norm, feedForward } = config
  const convolution = convolutionOf(config, layer)
  const attends = convolution === undefined
  const attention = attends ? config.attention : undefined
  const [queries, keys] = [heads * headDim, kvHeads * headDim]
  const gated = feedForward?.ungated !== true
  const [before, after] = [norm?.place !== 'after', norm?.place !== undefined]
  const [qkvBias, bias] = [attention?.qkvBias === true, feedForward?.bias === true]
  const headNorm = attention?.headNorm
  const matrix = (name: LayerTensor & SourceTensor, rows: number, inputs: number, there = true) =>
    there ? [{ name, tensor: name, at: 0, rows, columns: [inputs] }] : []
  const vector = (name: LayerTensor, tensor: SourceTensor, rows: number, there: boolean, at = 0) =>
    there ? [{ name, tensor, at, rows, columns: [] }] : []
  return [
    ...vector('norm1', 'norm1', hidden, before),
    ...vector('norm1After', 'norm1After', hidden, after),
    ...vector('norm2', 'norm2', hidden, before),
    ...vector('norm2After', 'norm2After', hidden, after),
    ...vector('qNorm', 'qNorm', headNorm === 'head' ? headDim : queries, headNorm !== undefined),
    ...vector('kNorm', 'kNorm', headNorm === 'head' ? headDim : keys, headNorm !== undefined),
    ...matrix('q', queries, hidden, attends),
    ...matrix('k', keys, hidden, attends),
    ...matrix('v', keys, hidden, attends),
    ...matrix('o', hidden, queries, attends),
    ...matrix('convIn', 3 * hidden, hidden, !attends),
    ...(attends ? [] : [kernel(hidden, convolution.length)]),
    ...matrix('convOut', hidden, hidden, !attends),
    ...feedForwardParts(config, layer),
    ...vector('qBias', 'qkvBias', queries, qkvBias),
    ...vector('kBias', 'qkvBias', keys, qkvBias, queries),
    ...vector('vBias', 'qkvBias', keys, qkvBias, queries + keys),
    ...vector('oBias', 'oBias', hidden, attention?.outputBias === true),
    ...vector('gateBias', 'upBias', config.intermediate, bias && gated),
    ...vector('upBias', 'upBias', config.intermediate, bias, gated ? config.intermediate : 0),
    ...vector('downBias', 'downBias', hidden, bias)
  ]
}

function feedForwardParts(config: ModelConfig, layer: number): Held[] {
  const { hidden, intermediate, feedForward } = config
  const experts = expertsOf(config, layer)
  const width = experts?.intermediate ?? intermediate
  const matrices = [
    ...(feedForward?.ungated === true ? [] : [['gate', 'expertGate', width, hidden] as const]),
    ['up', 'expertUp', width, hidden] as const,
    ['down', 'expertDown', hidden, width] as const
  ]
  if (experts === undefined) {
    return matrices.map(([name, , rows, inputs]) => ({ name, tensor: name, at: 0, rows, columns: [inputs] }))
  }
  return [
    { name: 'router', tensor: 'router', at: 0, rows: experts.count, columns: [hidden] },
    ...matrices.map(([tensor, name, rows, inputs]) => ({
      name,
      tensor,
      at: 0,
      rows,
      columns: [inputs],
      experts: experts.count
    }))
  ]
}

/** Of a convolution by column: each output has one input. */
function kernel(hidden: number, length: number): Held {
  return { name: 'convKernel', tensor: 'convKernel', at: 0, rows: hidden, columns: [1, length] }
}

/** Every tensor of a checkpoint by its name; `lm_head.weight` only where the output matrix is not tied. */
export function checkpointTensors(config: ModelConfig, names: LayerNames): Map<string, CheckpointTensor> {
  const { layers, hidden, vocab, tiedEmbeddings } = config
  const tensors = new Map<string, CheckpointTensor>()
  const whole = (name: string, tensor: SourceTensor, shape: readonly number[]): void => {
    tensors.set(name, { shape, holds: [{ tensor, layer: null, at: 0, from: 0, rows: shape[0]! }] })
  }
  whole('model.embed_tokens.weight', 'embedding', [vocab, hidden])
  for (let layer = 0; layer < layers; layer++) {
    const parts = layerParts(config, layer)
    const stacked = parts.filter(({ name, experts }) => experts !== undefined && !names[name].includes('#'))
    for (const part of parts) {
      if (stacked.includes(part)) continue
      const { name, tensor, rows, columns, experts } = part
      for (let expert = 0; expert < (experts ?? 1); expert++) {
        const key = `model.layers.${layer}.${names[name].replace('#', String(expert))}`
        const { holds = [] } = tensors.get(key) ?? {}
        const from = holds.reduce((sum, each) => sum + each.rows, 0)
        tensors.set(key, {
          shape: [from + rows, ...columns],
          holds: [...holds, { tensor, layer, at: part.at + expert * rows, from, rows }]
        })
      }
    }
    for (const name of new Set(stacked.map(({ name }) => names[name]))) {
      const own = stacked.filter(part => names[part.name] === name)
      tensors.set(`model.layers.${layer}.${name}`, stackOf(own, layer))
    }
  }
  whole(names.norm, 'norm', [hidden])
  if (!tiedEmbeddings) whole('lm_head.weight', 'output', [vocab, hidden])
  return tensors
}

/** A tensor [experts, rows, inputs] that holds these parts of all experts. */
function stackOf(parts: readonly Held[], layer: number): CheckpointTensor {
  const [{ experts = 0, columns }] = parts as [Held]
  const rows = parts.reduce((sum, part) => sum + part.rows, 0)
  const holds: HeldRows[] = []
  for (let expert = 0; expert < experts; expert++) {
    let from = expert * rows
    for (const { tensor, rows: own } of parts) {
      holds.push({ tensor, layer, at: expert * own, from, rows: own })
      from += own
    }
  }
  return { shape: [experts, rows, ...columns], holds }
}

/** Whether a checkpoint may hold this tensor without our reading it: it holds nothing that is not recomputed. */
export function isIgnoredTensor(name: string, config: ModelConfig): boolean {
  // Older conversions stored the rotation frequencies; tied ones may store the output matrix a second time.
  return name.endsWith('.rotary_emb.inv_freq') || (config.tiedEmbeddings && name === 'lm_head.weight')
}
