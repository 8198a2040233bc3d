/** Which stages have room for one more session, as far as their peers say. Pure. */
import type { PeerId, Range } from '../base/ids.ts'
import { cacheBytesOf, type Hop, type ModelShape, type PeerView, sameRange, shapeAt, type StageView } from './view.ts'

/** What a session needs room for. */
export interface RoomQuestion {
  /** Tokens that its caches must hold. @default nothing is asked of anybody */
  readonly tokensMax?: number
  /** Stages that hold its caches already. @default none */
  readonly held?: readonly Hop[]
  /** Bytes of a stage that the chooser's other sessions take and that its peer may not have announced yet. @default none */
  readonly takenBytes?: (peer: PeerId, stage: Range, shape: ModelShape) => number
}

/** The views without stages that have no room for the session; the very same array where all of them have. */
export function withRoom(
  peers: readonly PeerView[],
  model: ModelShape,
  { tokensMax, held = [], takenBytes = () => 0 }: RoomQuestion
): readonly PeerView[] {
  if (tokensMax === undefined) return peers
  const hasRoom = (view: PeerView, stage: StageView): boolean => {
    const [{ peer }, shape] = [view, shapeAt(view, model)]
    const { cacheBytesFree } = stage
    if (cacheBytesFree === undefined || held.some(hop => hop.peer === peer && sameRange(hop, stage))) return true
    return cacheBytesOf(shape, stage, tokensMax) <= cacheBytesFree - takenBytes(peer, stage, shape)
  }
  if (peers.every(view => view.stages.every(stage => !stage.serving || hasRoom(view, stage)))) return peers
  return peers.map(view => ({
    ...view,
    stages: view.stages.filter(stage => !stage.serving || hasRoom(view, stage))
  }))
}

/**
 * How many sessions of so many tokens all serving stages have room for together: the least of any layer. Infinite where a layer
 * has a stage that does not say, or none: what is missing then is no room.
 */
export function roomFor(
  peers: readonly PeerView[],
  model: ModelShape,
  { tokensMax, takenBytes = () => 0 }: RoomQuestion & { readonly tokensMax: number }
): number {
  const room = new Array<number>(model.layers).fill(0)
  const served = new Array<boolean>(model.layers).fill(false)
  for (const view of peers) {
    const [{ peer, stages }, shape] = [view, shapeAt(view, model)]
    for (const stage of stages) {
      if (!stage.serving) continue
      const { start, end, cacheBytesFree = Number.POSITIVE_INFINITY } = stage
      const bytes = cacheBytesOf(shape, stage, tokensMax)
      const sessions =
        bytes === 0 ? Number.POSITIVE_INFINITY : (cacheBytesFree - takenBytes(peer, stage, shape)) / bytes
      for (let layer = start; layer < end; layer++) {
        room[layer]! += Math.max(0, Math.floor(sessions))
        served[layer] = true
      }
    }
  }
  return served.every(Boolean) ? Math.min(...room) : Number.POSITIVE_INFINITY
}
