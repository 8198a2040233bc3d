import { z } from 'zod'
import { architecture } from './architecture.ts'
import { expertsPerToken, mixture } from './experts.ts'
import { slidingWindow } from './fields.ts'
import { alikeLayers } from './layers.ts'
import { stackedExperts } from './tensors.ts'

/** Mixtral 8x7B and 8x22B: experts in the place of the feed-forward part. */
export const mixtral = architecture({
  name: 'mixtral',
  className: 'MixtralForCausalLM',
  modelType: 'mixtral',
  fields: {
    sliding_window: slidingWindow,
    num_local_experts: z.int().positive().nullish(),
    num_experts_per_tok: expertsPerToken,
    /** Of training. */
    router_jitter_noise: z.number().nullish()
  },
  defaults: { ropeTheta: 1_000_000 },
  layers: c => alikeLayers(c, c.sliding_window ?? undefined),
  extras(c, refuse) {
    const { num_local_experts: count, num_experts_per_tok: used, intermediate_size: intermediate } = c
    const experts = { count: count ?? 8, used: used ?? 2, intermediate, renormalised: true } as const
    return mixture(experts, { count: 'num_local_experts' }, refuse)
  },
  names: {
    router: 'block_sparse_moe.gate.weight',
    expertGate: 'block_sparse_moe.experts.#.w1.weight',
    expertUp: 'block_sparse_moe.experts.#.w3.weight',
    expertDown: 'block_sparse_moe.experts.#.w2.weight'
  },
  otherNames: [stackedExperts]
})
