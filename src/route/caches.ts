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
): {
  readonly peers: readonly PeerView[]
  readonly model: ModelShape
  /** Why there is no route, in a sentence for a person, where that is because no peer has such caches. */
  readonly lacking?: string
} {
  if (cache === undefined || cache === usualCache) return { peers, model }
  const able = peers.flatMap(view => {
    const { footprint } = view
    const bytes = footprint?.i8CacheBytesPerLayer
    return bytes === undefined ? [] : [{ ...view, footprint: { ...footprint!, cacheBytesPerLayer: bytes } }]
  })
  const isLacking = able.length === 0 && peers.length > 0
  return {
    peers: able,
    ...(isLacking
      ? { lacking: `${model.name} cannot answer with caches of ${cache}: no peer that is here has them` }
      : {}),
    model: {
      ...model,
      name: `${model.name} with caches of ${cache}`,
      cacheBytesPerLayer: model.i8CacheBytesPerLayer ?? model.cacheBytesPerLayer
    }
  }
}
