/** What passes between the thread that compares two ways to store the weights of a model and the one that asks it. */
import type { ModelConfig } from '../../model/decoder.ts'
import type { Weights } from '../../model/weight-types.ts'
import type { Divergence } from '../divergence.ts'

/** One of the two. */
export type Way = 'stored' | 'reference'

export interface ComparisonJob {
  readonly config: ModelConfig
  readonly weights: Readonly<Record<Way, Weights>>
  readonly shardDirectory: string
  /** Ids [tokens] of each text, at least two. */
  readonly texts: readonly (readonly number[])[]
}

/** A layer, both ways; they come in their order. */
export interface ComparisonRequest {
  readonly layer: number
  /** From `shardName` to the shard's file, of all that the layer needs. */
  readonly files: Readonly<Record<Way, ReadonlyMap<string, string>>>
}

/** After the last layer, of all tokens but the first of each text; undefined before. */
export type ComparisonAnswer = Readonly<Record<Way, Divergence>> | undefined
