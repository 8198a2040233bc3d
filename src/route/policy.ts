import { flightMoveRatio, moveMarginRatio, placementCopies } from './limits.ts'

/** What placement weighs. Every peer of a swarm must use the same. */
export interface PlacePolicy {
  /** Predicted time per token that a plan must win, as a share, before it moves serving peers. */
  readonly moveMarginRatio: number
  /** What a plan must lengthen the flight by, as a factor, before it moves them for that. */
  readonly flightMoveRatio: number
  /** How often to cover each layer where budgets allow, before peers that are left simply copy stages. */
  readonly copies: number
  /** Whether copies follow load. */
  readonly byLoad: boolean
}

export const defaultPolicy: PlacePolicy = { moveMarginRatio, flightMoveRatio, copies: placementCopies, byLoad: true }
