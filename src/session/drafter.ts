/** What proposes the next tokens of a sequence. */
import type { CacheType } from '../base/cache-type.ts'
import type { Sampling } from '../engine/engine.ts'

export interface Proposal {
  /** One id or more, in the order in which they may follow. */
  readonly ids: readonly number[]
  /** Proposals of one kind are about as often right; in [0, {@link proposalKinds}). The higher, the likelier. */
  readonly kind: number
}

export const proposalKinds = 6
/** Of proposals from a model that the driver holds whole. */
export const modelKind = 5

/** Of the sequence for which tokens are proposed. */
export interface DrafterInit {
  readonly tokensMax: number
  readonly sampling: Sampling
  /** @default `f32` */
  readonly cache?: CacheType | undefined
}

export interface Drafter {
  /**
   * Up to `count` tokens that may follow; undefined where it has no idea. Takes no longer for a longer sequence.
   *
   * @param ids the whole sequence so far, which only ever grows.
   */
  propose(ids: readonly number[], count: number): Proposal | undefined
}
