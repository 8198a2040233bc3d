/** The swarm as a session sees it whose caches are of another type than usual. Pure. */
import { type CacheType, usualCache } from '../base/cache-type.ts'
import type { ModelShape, PeerView } from './view.ts'

/**
 * Peers that have caches of that type for a model, and what these take. Who says nothing of its engine, or is of before there
 * were other types, has none.
 */
export function withCache(
  peers: readonly PeerView[],
  model: ModelShape,
  cache: CacheType | undefined
): { readonly peers: readonly PeerView[]; readonly model: ModelShape } {
  if (cache === undefined || cache === usualCache) return { peers, model }
  return {
    peers: peers.flatMap(view => {
      const { footprint } = view
      const bytes = footprint?.i8CacheBytesPerLayer
      return bytes === undefined ? [] : [{ ...view, footprint: { ...footprint!, cacheBytesPerLayer: bytes } }]
    }),
    model: {
      ...model,
      name: `${model.name} with caches of ${cache}`,
      cacheBytesPerLayer: model.i8CacheBytesPerLayer ?? model.cacheBytesPerLayer
    }
  }
}
