/** The way around peers that are about to go, for a session that runs through them. */
import type { PeerId, PlaceId } from '../base/ids.ts'
import { announcedLinks } from './cost.ts'
import { type RoomQuestion, withRoom } from './room.ts'
import { findRoute, type RouteOptions } from './route.ts'
import type { Hop, ModelShape, PeerView } from './view.ts'
import { isWithout, sameRange } from './view.ts'

export interface DetourQuestion extends RouteOptions, RoomQuestion {
  /** Hops of the session now. */
  readonly route: readonly Hop[]
  /** A way that leads through a stage without room is none. @default it is taken where there is no other */
  readonly needsRoom?: boolean
}

/**
 * A route without peers that are leaving, in doubt or excluded, or undefined. Hops that stay keep their stages wherever that
 * leaves a way: they hold the session's caches, and everybody else must rebuild one.
 */
export function findDetour(
  peers: readonly PeerView[],
  model: ModelShape,
  { route, excluded, tokensMax, takenBytes, needsRoom = false, ...given }: DetourQuestion
): Hop[] | undefined {
  const options = { ...given, links: given.links ?? announcedLinks(peers) }
  const avoided = new Set<PeerId | PlaceId>(excluded)
  for (const view of peers) if (view.leaving === true || view.isDoubtful === true) avoided.add(view.peer)
  const known = new Set(peers.map(view => view.peer))
  const staying = route.filter(hop => known.has(hop.peer) && !isWithout(avoided, hop))
  const around = (views: readonly PeerView[]): PeerView[] =>
    views.map(view => ({
      ...view,
      stages: view.stages.filter(stage => {
        if (staying.some(hop => hop.peer === view.peer && sameRange(hop, stage))) return true
        return staying.every(hop => stage.end <= hop.start || stage.start >= hop.end)
      })
    }))
  const room = { held: route, ...(tokensMax && { tokensMax }), ...(takenBytes && { takenBytes }) }
  const roomy = withRoom(peers, model, room)
  const find = (views: readonly PeerView[]): Hop[] | undefined =>
    findRoute(around(views), model, { ...options, excluded: avoided }) ??
    findRoute(views, model, { ...options, excluded: avoided })
  if (needsRoom) return find(roomy)
  return (roomy === peers ? undefined : find(roomy)) ?? find(peers)
}
