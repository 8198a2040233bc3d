/** The way around peers that are about to go, for a session that runs through them. */
import { findRoute, type RouteOptions } from './route.ts'
import type { Hop, ModelShape, PeerView } from './view.ts'
import { sameRange } from './view.ts'

/**
 * A route without peers that are leaving or excluded, or undefined. Hops that stay keep their stages wherever that
 * leaves a way: they hold the session's caches, and everybody else must rebuild one.
 */
export function findDetour(
  peers: readonly PeerView[],
  model: ModelShape,
  { route, excluded, ...options }: RouteOptions & { readonly route: readonly Hop[] }
): Hop[] | undefined {
  const avoided = new Set(excluded)
  for (const view of peers) if (view.leaving === true) avoided.add(view.peer)
  const known = new Set(peers.map(view => view.peer))
  const staying = route.filter(hop => known.has(hop.peer) && !avoided.has(hop.peer))
  const around = peers.map(view => ({
    ...view,
    stages: view.stages.filter(stage => {
      if (staying.some(hop => hop.peer === view.peer && sameRange(hop, stage))) return true
      return staying.every(hop => stage.end <= hop.start || stage.start >= hop.end)
    })
  }))
  return (
    findRoute(around, model, { ...options, excluded: avoided }) ??
    findRoute(peers, model, { ...options, excluded: avoided })
  )
}
