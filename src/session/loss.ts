/** What a session can lose, and what a refusal says was lost: who failed, or who did not (rule S17, promise P5). */
import type { PeerId, PlaceId } from '../base/ids.ts'
import { type Hop, placeOf } from '../route/view.ts'
import type { RefuseFrame } from '../stage/frame.ts'

export type Loss =
  /** This hop failed. `reason`: how; `left` is no fault of its. */
  | { readonly kind: 'failed'; readonly hop: number; readonly reason: string }
  /** This hop keeps the answer waiting; `isCharged`: nobody else can be why. */
  | { readonly kind: 'waited'; readonly hop: number; readonly reason: 'mute' | 'stuck'; readonly isCharged: boolean }
  /** The hop before this one does not hear it, but this driver does: only the link between the two is known to be lost. */
  | { readonly kind: 'cut'; readonly hop: number; readonly reason: string }
  /** This hop has no room. */
  | { readonly kind: 'no-room'; readonly hop: number }
  /** This hop does not know what the session needs of all. */
  | { readonly kind: 'unsupported'; readonly hop: number }
  /** Nobody's fault, and `stale`, who could not go on, can not at once. */
  | { readonly kind: 'unknown'; readonly stale?: PlaceId }

/** What hop `hop` of the route says was lost. @param hears whether the driver hears a peer */
export function lossOf({ hop, reason }: RefuseFrame, route: readonly Hop[], hears: (peer: PeerId) => boolean): Loss {
  switch (reason) {
    case 'next-lost':
    case 'next-silent': {
      const how = reason === 'next-lost' ? 'closed' : 'silent'
      const next = route[hop + 1]?.peer
      if (next !== undefined && hears(next)) return { kind: 'cut', hop: hop + 1, reason: how }
      // The tail's next one is this driver, which hears it: only the way to the tail is known to be broken.
      if (next === undefined && how === 'silent' && hears(route[hop]!.peer)) return { kind: 'unknown' }
      // Else the link between the two is broken, as if the tail were lost.
      return { kind: 'failed', hop: Math.min(hop + 1, route.length - 1), reason: how }
    }
    case 'no-room':
    case 'unsupported':
      return { kind: reason, hop }
    case 'stale-epoch':
      // Its cache is being freed, which takes as long as the step that runs on it: nobody's fault, and not over at once.
      return { kind: 'unknown', stale: placeOf(route[hop]!) }
    case 'gap':
      return { kind: 'unknown' }
    case 'invalid':
      // What a hop cannot compute came from the one before it.
      return { kind: 'failed', hop: hop - 1, reason }
    case 'leaving':
      return { kind: 'failed', hop, reason: 'left' }
    default:
      return { kind: 'failed', hop, reason }
  }
}
