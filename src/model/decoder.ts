/**
 * The description of a decoder: what a model computes beside its weights, as data. The dimensions are always there. What
 * a decoder has beyond the plainest llama stands in fields that are left out where it has not: so a field that is added
 * later changes no older model's id.
 */
import { modelLayersMax } from './limits.ts'

/** Norms: RMS norms before attention and before the feed-forward part, unless this says otherwise. */
export interface Norms {
  /** `mean`: the mean is taken off first, and the deviation divided by (LayerNorm without a bias). */
  readonly kind?: 'mean' | undefined
  /** What is multiplied with is 1 more than the weight in the shard. */
  readonly offset?: 1 | undefined
  /** `after`: of what attention and the feed-forward part give, before it is added; `both`: there too. */
  readonly place?: 'after' | 'both' | undefined
}

/** Rotary embedding: of whole heads, in pairs (i, i + headDim / 2) by position · ropeTheta^(-2i / headDim), unless this says otherwise. */
export interface Rotation {
  /** Dimensions of a head that are rotated, the first ones; all where it is left out. Takes headDim's place in the formula. */
  readonly dims?: number | undefined
  /** Pairs are (2i, 2i + 1). */
  readonly pairs?: 'neighbours' | undefined
  /** [dims / 2]: what the frequency of each pair is divided by (linear, llama3, yarn and long scaling, made at import). */
  readonly divisors?: readonly number[] | undefined
  /** Factor of all cosines and sines (yarn and long scaling). */
  readonly gain?: number | undefined
}

export interface AttentionExtras {
  /** Added to queries, keys and values before anything else. */
  readonly qkvBias?: true | undefined
  /** Added to the product with `o`. */
  readonly outputBias?: true | undefined
  /** Queries and keys pass a norm before they are rotated: `head`, each head by itself; `all`, all heads as one row. */
  readonly headNorm?: 'head' | 'all' | undefined
  /** Factor of scores in the place of headDim^-½. */
  readonly scale?: number | undefined
  /** c: a score s becomes c · tanh(s / c). */
  readonly scoreCap?: number | undefined
}

export interface FeedForwardExtras {
  /** Of the gate, in the place of silu: the exact one, or the one with tanh. */
  readonly activation?: 'gelu' | 'gelu-tanh' | undefined
  /** No gate: the activation is that of `up`. */
  readonly ungated?: true | undefined
  /** Added to gate and up, and to down. */
  readonly bias?: true | undefined
}

/**
 * A mixture of experts in the place of the feed-forward part: many such parts, of which each token takes a few. A router [count,
 * hidden] of float32 says which, and with what share: the softmax of its outputs.
 */
export interface Experts {
  /** How many there are in a layer. */
  readonly count: number
  /** How many of them a token takes: those with the largest shares, of equal ones the first. */
  readonly used: number
  /** Of each of them, in the place of the decoder's own. */
  readonly intermediate: number
  /** Shares are of those alone that the token takes: together they are 1. */
  readonly renormalised?: true | undefined
}

/**
 * A short convolution. Of a row, B, C and x [hidden] are the outputs of a product, u = B · x, and what the next product takes is
 * C · Σ_j kernel(j) · u(position - length + 1 + j), column by column, with 0 before position 0.
 */
export interface ShortConvolution {
  /** Positions that a token sees, its own the last of them: numbers of the kernel for each column. */
  readonly length: number
}

/** What layers of one kind have in the place of what the whole decoder has. */
export interface LayerKind {
  /** In the place of attention. A kind that has one has neither window nor rotation. */
  readonly convolution?: ShortConvolution | undefined
  /** `none`: one feed-forward part of the width `intermediate`. */
  readonly experts?: 'none' | undefined
  /** A token sees so many positions, its own the last of them. */
  readonly window?: number | undefined
  readonly ropeTheta?: number | undefined
  /** `none`: queries and keys are not rotated. */
  readonly rotation?: Rotation | 'none' | undefined
}

/** The dimensions of a decoder, in Hugging Face's terms, and what it has beyond llama. */
export interface ModelConfig {
  readonly layers: number
  readonly hidden: number
  readonly intermediate: number
  readonly heads: number
  readonly kvHeads: number
  readonly headDim: number
  readonly vocab: number
  /** Longest sequence in tokens (`max_position_embeddings`). */
  readonly contextMax: number
  readonly ropeTheta: number
  readonly normEpsilon: number
  /** True when the output matrix is the embedding itself. */
  readonly tiedEmbeddings: boolean

  readonly norm?: Norms | undefined
  readonly rotation?: Rotation | undefined
  readonly attention?: AttentionExtras | undefined
  readonly feedForward?: FeedForwardExtras | undefined
  readonly experts?: Experts | undefined
  /** Layers differ: kinds, and for each layer the index of its own. */
  readonly kinds?: { readonly of: readonly LayerKind[]; readonly layers: readonly number[] } | undefined
  /** Factor of the embedding's rows. */
  readonly embeddingScale?: number | undefined
  /** Factor of what attention and the feed-forward part add. */
  readonly residualScale?: number | undefined
  /** Factor of logits. */
  readonly logitScale?: number | undefined
  /** c: a logit l becomes c · tanh(l / c), after its factor. */
  readonly logitCap?: number | undefined
}

/** A decoder of so many layers: their kinds come by turns as in the one that it is made of. */
export function configFor(config: ModelConfig, layers: number): ModelConfig {
  const { kinds } = config
  if (kinds === undefined) return { ...config, layers }
  const { length } = kinds.layers
  return {
    ...config,
    layers,
    kinds: { ...kinds, layers: Array.from({ length: layers }, (_, i) => kinds.layers[i % length]!) }
  }
}

/** The mixture of experts that a layer has in the place of one feed-forward part, if it has. */
export function expertsOf(
  { experts, kinds }: Pick<ModelConfig, 'experts' | 'kinds'>,
  layer: number
): Experts | undefined {
  return kinds?.of[kinds.layers[layer]!]?.experts === 'none' ? undefined : experts
}

/** Of mixtures of experts: today's largest have 512, and a token takes 10 of them. */
export const expertsMax = { count: 1024, used: 64 } as const

/** What a layer has in the place of attention, if it has. */
export function convolutionOf({ kinds }: Pick<ModelConfig, 'kinds'>, layer: number): ShortConvolution | undefined {
  return kinds?.of[kinds.layers[layer]!]?.convolution
}

/** The largest dimensions that a manifest may have. */
export const dimensionsMax = {
  layers: modelLayersMax,
  hidden: 65536,
  intermediate: 1 << 20,
  heads: 1024,
  kvHeads: 1024,
  headDim: 1024,
  vocab: 1 << 24,
  contextMax: 1 << 24
} as const satisfies Partial<Record<keyof ModelConfig, number>>

/** Names of the fields that a llama of these dimensions does not have, such as `attention.scoreCap`, those that change most first. */
export function beyondLlama({
  layers,
  hidden,
  intermediate,
  heads,
  kvHeads,
  headDim,
  vocab,
  contextMax,
  ropeTheta,
  normEpsilon,
  tiedEmbeddings,
  ...extras
}: ModelConfig): string[] {
  const names: string[] = []
  for (const [name, value] of Object.entries(extras)) {
    if (value === undefined) continue
    if (name === 'kinds') {
      const { of } = extras.kinds!
      const convolves = of.some(({ convolution }) => convolution !== undefined)
      if (convolves) names.push('kinds.convolution')
      if (!convolves || of.some(({ convolution, ...rest }) => Object.keys(rest).length > 0)) names.push(name)
    } else if (typeof value !== 'object') names.push(name)
    else names.push(...Object.keys(value).map(key => `${name}.${key}`))
  }
  return names
}
