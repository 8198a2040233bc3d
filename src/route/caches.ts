/** The swarm as a session sees it that asks for what not every peer knows. Pure. */
import { type CacheType, usualCache } from '../base/cache-type.ts'
import type { PeerId } from '../base/ids.ts'
import type { ModelShape, PeerView } from './view.ts'

/** What a session asks of every peer on its route, beside layers. */
export interface SessionNeeds {
  /** In what its caches are held. @default `f32` */
  readonly cache?: CacheType | undefined
  /** Whether a peer draws tokens as the session's sampling says. @default every one does */
  readonly draws?: ((peer: PeerId) => boolean) | undefined
}

/** Peers that have all that a session needs, and the model as it is with them. @returns as {@link withCache} */
export function ableFor(
  peers: readonly PeerView[],
  model: ModelShape,
  { cache, draws }: SessionNeeds
): ReturnType<typeof withCache> {
  if (draws === undefined) return withCache(peers, model, cache)
  const able = peers.filter(({ peer }) => draws(peer))
  const found = withCache(able, model, cache)
  if (able.length > 0 || peers.length === 0) return found
  return { ...found, lacking: `${model.name} cannot answer with this sampling: no peer that is here knows all of it` }
}

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
    if (bytes === undefined) return []
    const i8 = { cacheBytesPerLayer: bytes, cachePageTokens: footprint!.i8CachePageTokens }
    return [{ ...view, footprint: { ...footprint!, ...i8 } }]
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
      cacheBytesPerLayer: model.i8CacheBytesPerLayer ?? model.cacheBytesPerLayer,
      cachePageTokens: model.i8CachePageTokens,
      cachePageBytes: model.i8CachePageBytes
    }
  }
}
