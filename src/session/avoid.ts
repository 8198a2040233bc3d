/** Whom a session goes around although it has nothing against them: peers that do not answer at this moment. */
import type { PeerId } from '../base/ids.ts'
import type { Hop, Without } from '../route/view.ts'

/** A question for a route, as the decider asks it. */
export interface Avoidance {
  readonly excluded: Without
  /** Those of them that are asked where there is no way around them. */
  readonly doubtful: Without
}

/**
 * Two peers may fall silent at once: the way around the first must not lead through the second, which may be found silent a
 * moment later. Where there is no other way, it is as good as any.
 */
export function avoiding({ excluded, doubtful }: Avoidance, suspects: ReadonlySet<PeerId>): Avoidance {
  if (suspects.size === 0) return { excluded, doubtful }
  return { excluded: excluded.union(suspects), doubtful: doubtful.union(suspects.difference(excluded)) }
}

/** The same for a way around others, while the session goes on: who is on its route still serves it. */
export function avoidingBeside(route: readonly Hop[], excluded: Without, suspects: ReadonlySet<PeerId>): Without {
  if (suspects.size === 0) return excluded
  return excluded.union(suspects.difference(new Set(route.map(({ peer }) => peer))))
}
